"""A set of runs and who trains them: what is finished is read, the rest is handed to the workers of an executor."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import queue
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from tfprune.experiments.executors._base import Executor, Train, Worker
from tfprune.experiments.executors.local import InProcessExecutor
from tfprune.experiments.results import Result, find_result, tidy
from tfprune.methods import BASELINE
from tfprune.training.config import Config, by_seed
from tfprune.utils.errors import ConfigError, RunError, TfpruneError, TrainingError
from tfprune.utils.progress import progress_bar
from tfprune.utils.text import LONGEST, one_line

log = logging.getLogger(__name__)

Kept = TypeVar("Kept")

ATTEMPTS = 3  # at a run whose worker is killed: it may be the run that kills it
SAY_AGAIN = 10.0  # seconds between two lines of progress, where no bar is drawn
LOOK_AGAIN = 2.0  # seconds between two looks at how many workers there should be


def train_runs(configs: Sequence[Config], dense: Result | None) -> list[Result]:
    """Trains a run, or several of the same settings but method and seed as one model."""
    from tfprune.experiments.experiment import train  # in the worker: the rest of this file needs no TensorFlow

    if len(configs) == 1:
        return [train(configs[0], exported=False, dense=dense)]
    from tfprune.experiments.together import train_together

    return train_together(configs)


def networks_at_once(config: Config) -> int:
    """Returns how many runs with these settings and any seeds can be trained as one model; 1: each alone."""
    from tfprune.experiments.libraries import prepare

    prepare(config)
    if config.backend != "tensorflow":
        return 1
    from tfprune.experiments.together import networks_at_once  # TensorFlow

    return networks_at_once(config)


def identity(result: Result) -> Result:
    """What `run_all` keeps of a run unless it is told otherwise."""
    return result


def run_all(
    configs: Iterable[Config],
    executor: Executor | None = None,
    *,
    train: Train = train_runs,
    networks: Callable[[Config], int] = networks_at_once,
    skipped: type[Exception] = TrainingError,
    keep: Callable[[Result], Kept] = identity,
) -> tuple[list[Kept], list[str]]:
    """Trains what is not finished of a set of runs.

    Runs that differ in nothing but method and seed are trained side by side as one model where that is possible.
    Otherwise a baseline is trained before the methods that take its training over. A run whose worker is killed is
    tried again by another one.

    Args:
        configs: the settings; the same run may be named twice.
        executor: who trains them; None is this process. It is closed in the end.
        train: trains one run or several of a group, see `train_runs`.
        networks: says how large a group may be.
        skipped: an error of this kind concerns the run alone, and the rest go on; others stop all.
        keep: what is kept of a finished run until the end. The metrics of a million take tens of gigabytes.

    Returns:
        What is kept of the finished runs, in the order of `configs`, and a line on each that failed.
    """
    configs = list(configs)
    if any(config.strategy == "multiworker" for config in configs):
        raise ConfigError("strategy multiworker trains one run, on all workers at once: use `tfprune train`")
    executor = executor or InProcessExecutor()
    with contextlib.closing(executor):
        sweep = _Sweep({config.run_id: config for config in configs}, executor, train, networks, skipped, keep)
        try:
            sweep.run()
        finally:
            sweep.stop()
    return sweep.in_order(sweep.finished), sweep.in_order(sweep.failures)


@dataclasses.dataclass
class _Work:
    """What a worker is handed: runs to train, or (`planning`) the question how many of them it can train as one."""

    configs: tuple[Config, ...]
    planning: bool = False
    dense: Result | None = None  # the baseline, where it has been trained for this work
    attempts: int = 0


class _Sweep:
    def __init__(
        self,
        configs: dict[str, Config],
        executor: Executor,
        train: Train,
        networks: Callable[[Config], int],
        skipped: type[Exception],
        keep: Callable[[Result], Any],
    ) -> None:
        self.configs = configs
        self.finished: dict[str, Any] = {}  # what is kept
        self.failures: dict[str, str] = {}
        self._executor, self._train, self._networks = executor, train, networks
        self._skipped, self._keep = skipped, keep
        self._folders = sorted({config.out for config in configs.values()})
        self._ready: collections.deque[_Work] = collections.deque()
        self._waiting: dict[str, list[Config]] = {}  # baseline's run id -> runs that come after it
        self._idle: list[Worker] = []
        self._starting: dict[Future, Worker] = {}
        self._running: dict[Future, tuple[Worker, _Work]] = {}
        self._done: queue.SimpleQueue[Future] = queue.SimpleQueue()  # of `_starting` and `_running`
        self._stillborn = 0  # workers in a row that were gone before they were ready
        self._told = -SAY_AGAIN
        self._bar = progress_bar(total=len(configs), desc="runs", unit="run")

    def in_order(self, values: dict[str, object]) -> list:
        return [values[name] for name in self.configs if name in values]

    def run(self) -> None:
        missing = []
        for name, config in self.configs.items():
            result = find_result(config)
            if result is None:
                missing.append(config)
            else:
                tidy(result.folder)
                self._record_result(name, result)
        for family in _families(missing):
            # What loses channels is trained alone, and so is what it is compared with, or times would mean nothing.
            whole = all(not config.removes for config in family)
            if whole and len({config.seed for config in family}) > 1 and family[0].loop != "plain":
                self._ready.append(_Work(tuple(family), planning=True))
            else:
                self._queue(family)
        while self._ready or self._running:
            self._start_workers()
            self._assign_work()
            with contextlib.suppress(queue.Empty):
                future = self._done.get(timeout=LOOK_AGAIN)
                if future in self._starting:
                    self._on_worker_ready(future)
                else:
                    self._collect(future)

    def _queue(self, configs: Iterable[Config]) -> None:
        """Lines up runs that are trained alone; those that take a training over wait for it."""
        for config in configs:
            baseline = config.as_baseline().run_id
            alone = config.method == BASELINE or baseline not in self.configs
            if alone or baseline in self.finished or baseline in self.failures:
                self._ready.append(_Work((config,)))
            else:
                self._waiting.setdefault(baseline, []).append(config)

    def _start_workers(self) -> None:
        have = len(self._idle) + len(self._starting) + len(self._running)
        useful = min(self._executor.wanted(), len(self._ready) + len(self._running))
        for _ in range(useful - have):
            worker = self._executor.start(self._folders)
            self._starting[worker.ready] = worker
            worker.ready.add_done_callback(self._done.put)

    def _on_worker_ready(self, future: Future) -> None:
        worker = self._starting.pop(future)
        try:
            future.result()
        except self._executor.lost as error:
            worker.stop()
            self._stillborn += 1
            if self._stillborn >= ATTEMPTS:
                raise RunError(f"workers end as they start, {ATTEMPTS} in a row ({one_line(error)})") from None
            return
        except BaseException:
            worker.stop()  # it is in none of the lists that `stop` goes through
            raise
        self._stillborn = 0
        self._idle.append(worker)

    def _assign_work(self) -> None:
        while self._ready and self._idle:
            worker, work = self._idle.pop(), self._ready.popleft()
            try:
                if work.planning:
                    future = worker.submit(self._networks, work.configs[0])
                else:
                    future = worker.train(self._train, work.configs, self._dense(work))
            except self._executor.lost:  # while it was idle: the work is not to blame
                worker.stop()
                self._ready.appendleft(work)
                return
            self._running[future] = worker, work
            if not work.planning:
                self._tell(work.configs)
            future.add_done_callback(self._done.put)

    def _tell(self, configs: Sequence[Config]) -> None:
        """Says what is trained: in the bar, or without one in a line now and then."""
        methods = ", ".join(dict.fromkeys(config.method for config in configs))
        seeds = sorted({config.seed for config in configs})
        named = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
        together = f", {len(configs)} networks side by side" if len(configs) > 1 else ""
        if not self._bar.disable:
            self._bar.set_postfix_str(f"{methods}, {named}")
        elif time.monotonic() - self._told >= SAY_AGAIN:
            self._told = time.monotonic()
            done = len(self.finished) + len(self.failures)
            log.info("%d of %d runs are done; training %s, %s%s", done, len(self.configs), methods, named, together)

    def _dense(self, work: _Work) -> Result | None:
        """Returns the finished baseline of a run that is trained alone."""
        baseline = work.configs[0].as_baseline()
        if work.dense or len(work.configs) > 1 or baseline.run_id not in self.finished:
            return work.dense
        return find_result(self.configs[baseline.run_id])

    def _collect(self, future: Future) -> None:
        worker, work = self._running.pop(future)
        try:
            outcome = future.result()
        except self._executor.lost:
            worker.stop()
            self._try_again(work)
            return
        except self._skipped as error:
            self._idle.append(worker)
            if len(work.configs) > 1:  # all diverged: alone, each will say so
                self._queue(work.configs)
            else:
                self._fail(work.configs[0], error)
            return
        except BaseException:
            worker.stop()  # it is in none of the lists that `stop` goes through
            raise
        self._idle.append(worker)
        if work.planning:
            self._plan(work.configs, outcome)
            return
        for result in outcome:
            self._record_result(result.config.run_id, result)
        self._queue(config for config in work.configs if config.run_id not in self.finished)

    def _plan(self, family: Sequence[Config], networks: int) -> None:
        if networks == 1:
            self._queue(family)
            return
        for group in _groups(family, networks):
            if len(group) > 1:
                self._ready.append(_Work(tuple(group)))
            else:
                self._queue(group)

    def _try_again(self, work: _Work) -> None:
        work.attempts += 1
        if work.attempts < ATTEMPTS:
            self._ready.append(work)
        elif len(work.configs) > 1:
            self._queue(work.configs)
        else:
            self._fail(work.configs[0], f"not done, its worker was killed {ATTEMPTS} times; is there enough memory?")

    def _fail(self, config: Config, reason: object) -> None:
        if isinstance(reason, Exception) and not isinstance(reason, TfpruneError):  # a bug: its traceback is needed
            log.error("%s failed", config.run_id, exc_info=reason)
        self.failures[config.run_id] = f"{config.run_id}: {one_line(reason, LONGEST)}"
        self._bar.update()
        self._release_waiting(config.run_id)

    def _record_result(self, name: str, result: Result) -> None:
        # With the settings that were asked for: those that a worker sends back are the same once more.
        self.finished[name] = self._keep(dataclasses.replace(result, config=self.configs[name]))
        self._bar.update()
        self._release_waiting(name, result)

    def _release_waiting(self, name: str, dense: Result | None = None) -> None:
        # First, so that what is compared is trained at about the same time.
        self._ready.extendleft(_Work((config,), dense=dense) for config in reversed(self._waiting.pop(name, ())))

    def stop(self) -> None:
        for worker in (*self._idle, *self._starting.values(), *(worker for worker, _ in self._running.values())):
            worker.stop()
        self._bar.close()


def _families(configs: Iterable[Config]) -> list[list[Config]]:
    """Gathers runs that differ in nothing but their method, its settings and their seed."""
    families: dict[tuple[str, str], list[Config]] = {}
    for config in configs:
        families.setdefault((config.as_baseline().trial_id, config.out), []).append(config)
    return list(families.values())


def _groups(configs: Sequence[Config], networks: int) -> list[list[Config]]:
    """Splits runs into groups of methods with the same seeds, of no more than `networks` seeds."""
    groups: dict[tuple[int, ...], list[Config]] = {}
    for own in by_seed(configs):
        for first in range(0, len(own), networks):
            part = own[first : first + networks]
            groups.setdefault(tuple(config.seed for config in part), []).extend(part)
    return list(groups.values())
