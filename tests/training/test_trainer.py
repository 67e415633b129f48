import pytest

from tfprune.training.history import LOGGED_EPOCHS, logged_epochs


@pytest.mark.parametrize("epochs", [1, 99, 100, 199, 250, 4_000, 1_000_000])
def test_histories_and_logs_do_not_grow_with_the_length_of_a_training(epochs):
    event = max(1, epochs // 3)
    logged = logged_epochs(0, epochs, {event: None})
    assert min(epochs, LOGGED_EPOCHS) <= len(logged) < 2 * LOGGED_EPOCHS + 1
    assert {event, epochs} <= set(logged) <= set(range(1, epochs + 1))
