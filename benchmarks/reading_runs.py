"""How long it takes to read and compare many finished runs.

    python benchmarks/reading_runs.py --runs 1000

Runs one training of the penguins a method, copies their folders under as many seeds as it takes, and times what
`tfprune compare` and `tfprune runs` do with finished runs before they print.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfprune.comparison import summarise
from tfprune.config import Config
from tfprune.experiment import train
from tfprune.listing import list_runs
from tfprune.rundir import RunDir
from tfprune.sweeps import run_all

METHODS = ("unpruned", "pruned", "lottery", "dynamic")


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--runs", type=int, default=1000)
    count = options.parse_args().runs
    with tempfile.TemporaryDirectory() as out:
        configs = []
        for method in METHODS:
            result = train(
                Config(dataset="penguins", method=method, epochs=200, out=out)
            )  # 100 rows of history a phase
            for seed in range(count // len(METHODS)):
                config = result.config.replace(seed=seed)
                folder = RunDir(Path(out, config.run_id))
                if seed:
                    folder.root.mkdir()
                    shutil.copy(result.folder.history, folder.history)
                    metrics = json.loads(result.folder.metrics.read_text()) | {"seed": seed}
                    folder.metrics.write_text(json.dumps(metrics))
                    folder.config.write_text(json.dumps(config.to_dict()))
                configs.append(config)
        _timed(f"{len(configs):,} runs listed", lambda: list_runs([Path(out)]))
        results = _timed(f"{len(configs):,} runs found and read", lambda: run_all(configs)[0])
        _timed("compared", lambda: summarise(results))


def _timed(what: str, call: Callable[[], Any]) -> Any:
    started, cpu = time.perf_counter(), time.process_time()
    answer = call()
    print(f"{what}: {time.perf_counter() - started:.2f} s, {time.process_time() - cpu:.2f} s of the processor")
    return answer


if __name__ == "__main__":
    main()
