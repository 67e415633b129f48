"""What a sweep adds to its trainings: the time between trials that no worker spends in one, start-up apart.

Each backend trains the same penguin runs with one worker that has all cores, in turns over several rounds. A stretch
goes from the end of the first run to the end of the last, so that starting workers and importing TensorFlow is no
part of it; its overhead is its length over the time inside the trainings, both from the same stretch, so that a
machine that is busy otherwise slows down both.

    python benchmarks/sweep_overhead.py --page docs/scaling.md
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

from tfprune.adapters.backend import cores
from tfprune.experiments.executors._base import Executor, Resources
from tfprune.experiments.executors.local import InProcessExecutor, Processes
from tfprune.experiments.executors.ray import Cluster
from tfprune.experiments.results import Result
from tfprune.experiments.sweeps import run_all, train_runs
from tfprune.reporting.tables import update_page
from tfprune.training.config import Config


def timed(configs: Sequence[Config], dense: Result | None) -> list[Result]:
    """Trains as a sweep does, and takes down when."""
    began = time.time()
    results = train_runs(configs, dense)
    return [dataclasses.replace(run, metrics=run.metrics | {"began": began, "ended": time.time()}) for run in results]


def alone(config: Config) -> int:
    return 1


def bare(configs: Sequence[Config]) -> list[Result]:
    """The trainings without any sweep."""
    return [result for config in configs for result in timed([config], None)]


def swept(make: Callable[[], Executor]) -> Callable[[Sequence[Config]], list[Result]]:
    def run(configs: Sequence[Config]) -> list[Result]:
        results, failures = run_all(configs, make(), train=timed, networks=alone)
        assert not failures, failures
        return results

    return run


BACKENDS = {
    "bare": bare,
    "local": swept(InProcessExecutor),
    "local, a process": swept(lambda: Processes(1)),
    "ray": swept(lambda: Cluster(Resources(jobs=1, cpus_per_trial=cores()))),
}


def stretch(results: Sequence[Result]) -> tuple[float, float]:
    """Returns seconds a trial inside trainings, and the length of the stretch over them."""
    times = sorted((run.metrics["ended"], run.metrics["began"]) for run in results)
    inside = sum(ended - began for ended, began in times[1:])
    return inside / (len(times) - 1), (times[-1][0] - times[0][0]) / inside


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--page", type=Path, help="A Markdown page to renew.")
    given = parser.parse_args()
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in BACKENDS}
    for _ in range(given.rounds):
        for name, run in BACKENDS.items():
            with tempfile.TemporaryDirectory() as out:
                common = {"dataset": "penguins", "method": "unpruned", "epochs": given.epochs, "loop": "plain"}
                configs = [Config(**common, seed=seed, out=out) for seed in range(given.trials)]
                measured[name].append(stretch(run(configs)))
    rows = [
        (name, *(f"{statistics.median(column):.3f}" for column in zip(*values, strict=True)))
        for name, values in measured.items()
    ]
    headers = ("executor", "seconds a trial", "time / time inside trainings")
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    print(table)
    if given.page:
        load = f"load {os.getloadavg()[0]:.1f} on {cores()} cores when it ended"
        runs = f"{given.rounds} rounds of {given.trials} runs of {given.epochs} epochs"
        update_page(given.page, "overhead", f"{table}\n\nMedians of {runs}, in turns, one worker; {load}.")


if __name__ == "__main__":
    main()
