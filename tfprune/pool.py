"""Runs side by side in processes of their own, each with its share of the processor's cores."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from tqdm import tqdm

from tfprune.backend import cores
from tfprune.config import Config
from tfprune.errors import TrainingError
from tfprune.methods import BASELINE
from tfprune.results import Result


def run_side_by_side(
    configs: Sequence[Config], run: Callable[..., Result], jobs: int
) -> tuple[list[Result], list[str]]:
    """Does what `comparison.run_all` does, in `jobs` processes.

    A baseline is trained before the methods that take its training over. A process that dies is no
    failure of a run alone: all that it leaves undone is named.

    Args:
        configs: the settings.
        run: from a config, and `dense=` the baseline's run, to a finished run; it is pickled.
        jobs: processes, at least 1.

    Returns:
        The finished runs in the order of `configs`, and a line on each that failed.
    """
    finished: dict[str, Result] = {}
    failures: dict[str, str] = {}
    waiting = list(configs)
    baselines = {config.run_id for config in configs if config.method == BASELINE}
    running: dict[Future, Config] = {}
    threads = max(1, cores() // jobs)
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    with (
        ProcessPoolExecutor(jobs, context, _start_worker, (threads,)) as pool,
        tqdm(total=len(configs), desc="runs", unit="run", disable=None) as bar,
    ):
        while waiting or running:
            for config in _ready(waiting, baselines - {*finished, *failures})[: jobs - len(running)]:
                waiting.remove(config)
                dense = finished.get(config.as_baseline().run_id)
                running[pool.submit(functools.partial(run, config, dense=dense))] = config
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                config = running.pop(future)
                try:
                    finished[config.run_id] = future.result()
                except TrainingError as error:
                    failures[config.run_id] = f"{config.run_id}: {error}"
                except BrokenProcessPool:
                    for lost in (config, *running.values(), *waiting):
                        failures[lost.run_id] = f"{lost.run_id}: not done, a process of --jobs {jobs} was killed"
                    waiting, running = [], {}
                    break
                bar.update()
    order = [config.run_id for config in configs]
    return [finished[name] for name in order if name in finished], [failures[n] for n in order if n in failures]


def _ready(waiting: Sequence[Config], unfinished: set[str]) -> list[Config]:
    """Returns the runs that need not wait for their baseline."""
    return [config for config in waiting if config.method == BASELINE or config.as_baseline().run_id not in unfinished]


def _start_worker(threads: int) -> None:
    """Settles what TensorFlow reads once, before its first import in this process."""
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TQDM_DISABLE"] = "1"  # bars of several processes would overwrite each other
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends all; the main process says what is kept
