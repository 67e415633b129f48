"""The published data of docs/tickets.md, a row per training, and what they come to."""

ROUNDS, ITERATIONS, EVERY, REWIND = 12, 12_000, 200, 400
CONTROL_ROUNDS = (2, 4, 6, 8, 10, 12)
HEADERS = (
    *("trial", "arm", "round", "remaining", "stop_iteration", "stop_accuracy", "end_accuracy", "end_train_accuracy"),
    *("cpu_seconds", "test_curve"),
)
