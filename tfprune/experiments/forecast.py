"""What a run would do and take: its plan, and how long a few real steps of it take here. Nothing is written."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of, is_keras3
from tfprune.adapters.backend import tf
from tfprune.data._base import Data
from tfprune.experiments.libraries import library_of, prepare
from tfprune.experiments.run_data import load_data
from tfprune.experiments.rundir import RunDir
from tfprune.methods._dry_run import Training, record_steps
from tfprune.pruning.counts import peak_memory
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.pattern_masks import kept_after
from tfprune.structured.summaries import Summary, summary
from tfprune.training.config import Config
from tfprune.training.evaluation import EVALUATION_BATCH
from tfprune.training.history import logged_epochs
from tfprune.training.listeners import Listener, Logs
from tfprune.training.precision import deterministic_ops
from tfprune.training.run_task import RunTask
from tfprune.utils.errors import ConfigError
from tfprune.utils.text import percent

MEASURED_SECONDS, MEASURED_CALLS = 1.0, 3  # at least so long and so many, unless the training ends before
EVALUATED = 8 * EVALUATION_BATCH  # examples of the validation split that are timed


@dataclasses.dataclass(frozen=True)
class Event:
    """A line of a run's plan.

    Attributes:
        phase: the training that it belongs to, "" between trainings.
        epoch: of that training, counted from 1; when the event happens, or a training's last.
        step: optimizer steps that the run has made then.
        what: happens.
        left: weights, or filters and units, that are left of those which can be pruned; None if that does not change.
        sparsity: the share of them that is gone.
    """

    phase: str
    epoch: int
    step: int
    what: str
    left: int | None = None
    sparsity: float | None = None


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a run would do and take.

    Attributes:
        data: the splits.
        summary: the model's layers.
        prunable: weights, or filters and units, that can be pruned.
        events: what happens when.
        steps: of the optimizer, over all trainings.
        steps_per_epoch: of those.
        validations: times that the validation split is looked at.
        precision: in which the training computes.
        start_seconds, step_seconds, validation_seconds: until the first step is done; for one step; for one look at
            the validation split, 0 where it is part of the steps.
        measured_steps: that were timed.
        memory: device -> the most bytes taken while this was found out.
        files: what the run will leave.
    """

    data: Data
    summary: Summary
    prunable: int
    events: tuple[Event, ...]
    steps: int
    steps_per_epoch: int
    validations: int
    precision: str
    start_seconds: float
    step_seconds: float
    validation_seconds: float
    measured_steps: int
    memory: Mapping[str, int]
    files: tuple[Path, ...]

    @property
    def seconds(self) -> float:
        """Estimate of the trainings' wall time: without what is saved and logged on the way, export and plots."""
        training = self.steps * self.step_seconds + self.validations * self.validation_seconds
        return self.start_seconds + training


def forecast(config: Config) -> Forecast:
    """Finds out what a run would do and take. Of a model that removes filters, all steps are taken for the whole one's.

    Raises:
        TfpruneError: the run could not be made.
    """
    if config.strategy == "multiworker":  # each would end its measurement at another step, and the rest wait for it
        raise ConfigError("a dry run measures in one process; leave --strategy multiworker out")
    prepare(config)
    data = load_data(config)
    library = library_of(config, data)
    precision = library.choose_precision()
    trainer = library.trainer(precision)
    layers = summary(trainer.model)
    sizes = _Sizes(trainer)
    trainings = [step for step in record_steps(config.pruning, trainer.epochs) if isinstance(step, Training)]
    logged = [logged_epochs(own.initial_epoch, trainer.epochs, own.events) for own in trainings]
    watch = _Stopwatch()
    with watch, deterministic_ops(True) if config.deterministic else contextlib.nullcontext():
        trainer.fit("measured", callbacks=[trainer.callback(watch)])
    return Forecast(
        data=data,
        summary=layers,
        prunable=sizes.all,
        events=tuple(_events(config, trainer, sizes)),
        steps=sum((trainer.epochs - own.initial_epoch) * trainer.steps_per_epoch for own in trainings),
        steps_per_epoch=trainer.steps_per_epoch,
        validations=sum(map(len, logged)),
        precision=precision[0],
        start_seconds=watch.start_seconds,
        step_seconds=watch.step_seconds,
        validation_seconds=_validation_seconds(trainer),
        measured_steps=watch.steps,
        memory=_memory(),
        files=_files(config, data, is_keras3(trainer.model)),
    )


class _Sizes:
    """How much of a model can be pruned, and how much of that is left after cuts."""

    def __init__(self, trainer: RunTask) -> None:
        self._config = trainer.config
        self._tracker = trainer.channel_tracker if trainer.config.removes else None
        self._shapes = {name: mask.shape for name, mask in trainer.masks().items()}
        self.all = self.left([])

    def left(self, events: list[PruningEvent]) -> int:
        if self._tracker is None:
            return kept_after(self._shapes, events, self._config.scope, self._config.units)
        return self._tracker.count_after(events)


def _events(config: Config, trainer: RunTask, sizes: _Sizes) -> Iterator[Event]:
    events: list[PruningEvent] = []
    steps = epoch = 0
    remembered: set[int] = set()

    def event(phase: str, epoch: int, step: int, own: PruningEvent) -> Event:
        events.append(own)
        left = sizes.left(events)
        return Event(phase, epoch, step, _describe_event(own), left, 1 - left / sizes.all if sizes.all else 0.0)

    for step in record_steps(config.pruning, trainer.epochs):
        if isinstance(step, PruningEvent):
            yield event("", epoch, steps, step)
        elif not isinstance(step, Training):
            yield Event("", epoch, steps, step)
        else:
            for place in step.rewound:
                if place in remembered:
                    yield Event(step.phase, step.initial_epoch, steps, f"weights go back to those after epoch {place}")
                remembered.add(place)
            for at, own in sorted(step.events.items()):
                yield event(step.phase, at, steps + (at - step.initial_epoch) * trainer.steps_per_epoch, own)
            epoch = trainer.epochs
            steps += (epoch - step.initial_epoch) * trainer.steps_per_epoch
            yield Event(step.phase, epoch, steps, "the training ends")


def _describe_event(event: PruningEvent) -> str:
    if event.regrow_fraction:
        return f"{percent(event.regrow_fraction)} of what lives is pruned, as much comes back"
    if event.rate is None:
        said = f"pruned to {percent(event.sparsity)}"
    else:
        said = f"{percent(event.rate)} of what is left is pruned"
    return f"{said}, once the masks have settled" if event.stability_tolerance is not None else said


class _Enough(Exception):
    """Ends a training that has been timed."""


class _Stopwatch(Listener):
    """Times the calls of a training's compiled function, and ends the training when it has seen enough; a context."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, int]] = []  # seconds and steps of each
        self.start_seconds = 0.0

    def __enter__(self) -> None:
        self._entered = time.perf_counter()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> bool:
        return kind is _Enough

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._steps = self._steps_so_far()
        self._begun = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        steps = self._steps_so_far() - self._steps  # which waits until they are done
        now = time.perf_counter()
        if not self.calls:
            self.start_seconds = now - self._entered
        self.calls.append((now - self._begun, steps))
        if len(self._timed) >= MEASURED_CALLS and sum(seconds for seconds, _ in self._timed) >= MEASURED_SECONDS:
            raise _Enough

    def _steps_so_far(self) -> int:
        adapter_of(self.model).sync(self.model)
        return int(np.asarray(self.model.optimizer.iterations))

    @property
    def _timed(self) -> list[tuple[float, int]]:
        return self.calls[1:]  # the first one compiled

    @property
    def steps(self) -> int:
        """Those that were timed."""
        return sum(steps for _, steps in self._timed or self.calls)

    @property
    def step_seconds(self) -> float:
        return sum(seconds for seconds, _ in self._timed or self.calls) / self.steps


def _validation_seconds(trainer: RunTask) -> float:
    if not trainer.validates_apart:
        return 0.0
    part = trainer.data.validation.first(EVALUATED)
    trainer.evaluate(part)  # compiles
    started = time.perf_counter()
    trainer.evaluate(part)
    return (time.perf_counter() - started) * len(trainer.data.validation) / len(part)


def _memory() -> dict[str, int]:
    if "tensorflow" not in sys.modules:
        return {"main memory": peak_memory()}
    gpus = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
    taken = {gpu: int(tf.config.experimental.get_memory_info(gpu)["peak"]) for gpu in gpus}
    return {"main memory": peak_memory()} | taken


def _files(config: Config, data: Data, keras3: bool) -> tuple[Path, ...]:
    folder = RunDir(Path(config.out) / config.run_id)
    files = [folder.config, folder.metrics, folder.history, folder.masks, folder.curves, folder.sparsity, folder.card]
    files += [folder.splits] if data.split_members is not None else []
    files += [folder.channels] if config.removes else []
    if keras3:
        on_tensorflow = (folder.tensorboard, folder.model) if config.backend == "tensorflow" else ()
        return (*files, folder.keras_model, *on_tensorflow)
    files += [folder.architecture] if config.has_own_model else []
    return (*files, folder.tensorboard, folder.model)
