"""Runs on this machine: in this process, or side by side in processes with their share of the cores."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

from tfprune.adapters.backend import cores
from tfprune.experiments.executors._base import Executor, Resources, Train
from tfprune.experiments.results import Result
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError


def make(resources: Resources) -> Executor:
    """Returns what trains in `jobs` processes, by default in this one."""
    for name in ("address", "cpus_per_trial", "gpus_per_trial"):
        if getattr(resources, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} needs --executor ray; --jobs divides this machine's cores")
    return InProcessExecutor() if resources.jobs in (None, 1) else Processes(resources.jobs)


class InProcessExecutor:
    """This process as the only worker: work is done when it is submitted."""

    lost = ()

    def __init__(self) -> None:
        self.ready = Future()
        self.ready.set_result(None)

    def wanted(self) -> int:
        return 1

    def start(self, folders: Collection[str]) -> InProcessExecutor:
        return self

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done = Future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done

    def train(self, train: Train, configs: Sequence[Config], dense: Result | None) -> Future[list[Result]]:
        return self.submit(train, configs, dense)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


class Processes:
    """Spawned processes that share the cores evenly.

    Args:
        jobs: how many.
    """

    lost = (BrokenProcessPool,)

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def wanted(self) -> int:
        return self._jobs

    def start(self, folders: Collection[str]) -> _Process:
        return _Process(max(1, cores() // self._jobs))

    def close(self) -> None:
        pass


class _Process:
    """A process that ends with the one that started it, also if that is killed."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        watched, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, context, _start_process, (threads, watched))
        self.ready = self._last = self._pool.submit(os.getpid)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        self._last = self._pool.submit(function, *arguments)
        return self._last

    def train(self, train: Train, configs: Sequence[Config], dense: Result | None) -> Future[list[Result]]:
        return self.submit(train, configs, dense)

    def stop(self) -> None:
        if not self._last.done():
            self._lifeline.close()
        self._pool.shutdown(cancel_futures=True)
        self._lifeline.close()


def _start_process(threads: int, lifeline: Connection) -> None:
    configure_worker(threads)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends all; the main process says what is kept
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this process when nobody holds the other end any more."""
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)


def configure_worker(threads: int) -> None:
    """Settles a worker's process before its first import of TensorFlow, which reads some of this once."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice is for those who write code
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # several may share a GPU: none takes all of its memory at once
    os.environ["TQDM_DISABLE"] = "1"  # bars of several processes would overwrite each other
