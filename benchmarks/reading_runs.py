"""How long it takes to read and compare many finished runs.

    python benchmarks/reading_runs.py --runs 1000

Trains each method on the penguins with two seeds, writes these runs again under as many seeds as it takes, as runs are
written that come from a cluster, and times what `tfprune compare` and `tfprune runs` do with finished runs before they
print. Importing TensorFlow is no part of it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tfprune.experiments.listing import list_runs
from tfprune.experiments.results import Result, metrics_with_checksum
from tfprune.experiments.rundir import RunDir, pack, unpack
from tfprune.experiments.sweeps import run_all
from tfprune.reporting.comparison import summarise
from tfprune.training.config import Config
from tfprune.utils.files import write_json

METHODS = ("unpruned", "pruned", "lottery", "dynamic")
EPOCHS = 200  # 100 rows of history a phase


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=1000)
    seeds = options.parse_args().runs // len(METHODS)
    with tempfile.TemporaryDirectory() as out:
        first = [
            Config(dataset="penguins", method=method, epochs=EPOCHS, seed=seed, out=out)
            for method in METHODS
            for seed in (0, 1)
        ]
        configs = [config.replace(seed=seed) for config in first[::2] for seed in range(seeds)]
        for trained in run_all(first)[0][::2]:
            _write_again(trained, range(2, seeds))
        _timed(f"{len(configs):,} runs listed", lambda: list_runs([Path(out)]))
        results = _timed(f"{len(configs):,} runs found and read", lambda: run_all(configs)[0])
        _timed("compared", lambda: summarise(results))


def _write_again(trained: Result, seeds: Iterable[int]) -> None:
    """Writes a run under other seeds."""
    files = pack(trained.folder)
    for seed in seeds:
        config = trained.config.replace(seed=seed)
        folder = RunDir(Path(config.out, config.run_id))
        unpack({name: files[name] for name in files if name != folder.metrics.name}, folder, config.to_dict())
        write_json(folder.metrics, metrics_with_checksum(folder, trained.metrics | {"seed": seed}))


def _timed(what: str, call: Callable[[], Any]) -> Any:
    started, cpu = time.perf_counter(), time.process_time()
    answer = call()
    print(f"{what}: {time.perf_counter() - started:.2f} s, {time.process_time() - cpu:.2f} s of CPU time")
    return answer


if __name__ == "__main__":
    main()
