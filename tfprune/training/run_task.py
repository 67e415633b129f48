"""What the tasks of runs have in common, whatever framework trains: pruning, counters, what a run comes to."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.batches import balanced_indices
from tfprune.data._base import Data, Split
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import Arrays
from tfprune.pruning.pattern_masks import check_pattern, describe_pattern
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.clock import COMPILE, RANKING
from tfprune.training.config import Config
from tfprune.training.costs import CostMeter
from tfprune.training.examples import CLASSES
from tfprune.training.history import scores_of
from tfprune.training.listeners import Listener, WatchScores
from tfprune.training.pruner import Pruner
from tfprune.training.resuming import CheckpointPolicy, Resumable, operation
from tfprune.utils.errors import ConfigError


class RunTask(Resumable, abc.ABC):
    """The `Task` of a run: a masked model, its data and its settings.

    Args:
        data: what the model learns from.
        config: the run's settings.
        dense: the training of an unpruned network with the same settings. A method that begins with
            it takes it over, with its history and its cost.
        reinit_fn: returns other initial weights, for methods that ask for them.
        checkpointing: where and how often the training is saved, and what it resumes from; None saves nothing.

    Attributes:
        model: that is trained.
        pruner: holds its masks.
        gradients: the derivatives that criteria ask for.
        history: the rows of a `callbacks.History` so far.
        clock: what the phases took; under `compile` what a fused loop took before its first step, or an earlier run for
            this one, under `ranking` what pruning between trainings took.
        costs: what its training took in multiply-adds.
        trained_epochs: passes over the training split so far, over all phases.
        taken_over: phase -> where it was taken over from, if it was not trained here.
        observers: what sees all trainings, each epoch when its row is in the history.
        untuned: the scores of the model as the last pruning after a training left it, before any more training.
    """

    model: Any
    pruner: Pruner
    gradients: Any
    costs: CostMeter

    def __init__(
        self,
        data: Data,
        config: Config,
        dense: BaselineRun | None = None,
        reinit_fn: Callable[[], list[np.ndarray]] | None = None,
        checkpointing: CheckpointPolicy | None = None,
    ) -> None:
        super().__init__(checkpointing)
        self.data = data
        self.config = config
        self.epochs = config.pruning.phase_epochs(config.epochs)
        self.steps_per_epoch = math.ceil(len(data.train) / config.batch_size)
        self.trained_epochs = 0
        self.taken_over: dict[str, str] = {}
        self.observers: list[Any] = []
        self.untuned: dict[str, Any] | None = None
        self._dense = dense
        self._reinit_fn = reinit_fn
        self._steps = 0  # of the optimizer, over finished phases

    def named(self, phase: str) -> str:
        """Returns what a training is called on a terminal."""
        return f"{self.config.method}, seed {self.config.seed}, {phase}"

    @operation
    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, PruningEvent] | None = None,
        lr_factor: float = 1.0,
        freeze_lr_epoch: int | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        """Trains from `initial_epoch` up to the run's epochs with a fresh optimizer; see `methods._base.Task`."""
        for epoch in events or {}:
            if not initial_epoch < epoch <= self.epochs:
                raise ConfigError(f"a pruning event after epoch {epoch} of {self.epochs} would never happen")
        if self._checkpoint is not None:
            self._resume_from_checkpoint(phase)
        elif freeze_lr_epoch is None and self._is_dense(phase, initial_epoch, events, callbacks):
            self._take_over(self._dense, callbacks)
            return
        with self.clock.timed(phase):
            self._train(phase, initial_epoch, events or {}, lr_factor, freeze_lr_epoch, callbacks)
        self.clock.settle(COMPILE)

    @abc.abstractmethod
    def _train(
        self,
        phase: str,
        initial_epoch: int,
        events: Mapping[int, PruningEvent],
        lr_factor: float,
        freeze_lr_epoch: int | None,
        callbacks: Sequence[Any],
    ) -> None:
        """Does what `fit` is asked for, or goes on with it from a checkpoint."""

    def _is_dense(self, phase: str, initial_epoch: int, events: object, callbacks: Sequence[Any]) -> bool:
        """Returns whether a stretch of training is what `dense` did: from the start, no cut, unobserved."""
        at_the_start = all(self._rewinds_to_start(callback) for callback in callbacks)
        known = self._dense is not None and self._dense.phase == phase
        return known and at_the_start and not (initial_epoch or events or self.history)

    @abc.abstractmethod
    def _rewinds_to_start(self, callback: Any) -> bool:
        """Returns whether a callback does no more than rewind to the initial weights."""

    def _take_over(self, dense: BaselineRun, callbacks: Sequence[Any]) -> None:
        """Does what a dense training from the start would do, by reading what it left."""
        self.history += dense.history
        self.trained_epochs = dense.epochs
        self.costs.take_over(dense.epochs)
        self._steps = self.trained_epochs * self.steps_per_epoch
        self.seconds[dense.phase], self.cpu_seconds[dense.phase] = dense.seconds, dense.cpu_seconds
        self.taken_over[dense.phase] = dense.source

    def _count_training(self, initial_epoch: int, events: Mapping[int, PruningEvent]) -> None:
        """Counts a training that is over."""
        self._steps += (self.epochs - initial_epoch) * self.steps_per_epoch
        self.trained_epochs += self.epochs - initial_epoch
        self.costs.count_training([initial_epoch, *sorted(events), self.epochs])

    @operation
    def prune(self, event: PruningEvent) -> None:
        """Cuts the model as it stands between trainings, ranked in the run's scope."""
        with self.clock.timed(RANKING):
            self._prune(event)
        if self.trained_epochs:
            scores = {name: self.evaluate(getattr(self.data, name)) for name in ("validation", "test")}
            self.untuned = {"sparsity": self.sparsity()} | scores

    def _prune(self, event: PruningEvent) -> None:
        """Puts on the masks that a cut leads to."""
        lived = self.costs.forward_masked
        self.pruner.prune(event)
        passes, self.gradients.passes = self.gradients.passes, 0
        self.costs.count_scoring(passes, lived)
        self.costs.count_event()

    @operation
    def shuffle_masks(self) -> None:
        """Moves the ones of each mask to places drawn at random, within their kernel."""
        self.pruner.shuffle()

    @operation
    def reinitialise(self) -> None:
        """Re-initialises all weights with a new seed; masks are kept."""
        self.pruner.reinitialise(self._reinit_fn)

    def counters(self) -> dict[str, Any]:
        own = {"trained_epochs": self.trained_epochs, "taken_over": self.taken_over, "untuned": self.untuned}
        return own | self.costs.state() | {"_steps": self._steps, "_prunings": self.pruner.prunings}

    def restore_counters(self, state: Mapping[str, Any]) -> None:
        self.trained_epochs, self.taken_over = state["trained_epochs"], state["taken_over"]
        self.untuned, self._steps, self.pruner.prunings = state["untuned"], state["_steps"], state["_prunings"]
        self.costs.restore(state)

    def masks(self) -> dict[str, np.ndarray]:
        """Returns what lives of the network as it was built: masks by kernel name."""
        return self.pruner.masks()

    def sparsity(self) -> Any:
        """Returns the share that is pruned, in [0, 1]; of a stack one number per network."""
        return self.pruner.sparsity()

    def check(self, kernels: Arrays, where: str) -> None:
        """Compares the kernels of a model with what was asked for.

        Raises:
            SparsityError: it is not pruned as it should be.
        """
        config = self.config
        check_pattern(kernels, self.masks(), config.pruning.pruning_events, config.scope, config.units, where)

    def report(self) -> dict[str, Any]:
        """Returns what `metrics.json` says of the pruning beyond the zeros of the exported kernels."""
        return pattern_report(self.config, self.masks())

    def finish(self) -> bool:
        """Logs the finished model if it was pruned after its last training; returns whether it was."""
        sparsity = self.sparsity()
        if not self.history or np.array_equal(self.history[-1]["sparsity"], sparsity):
            return False
        measured = {"": self.evaluate(self.data.train), "val_": self.evaluate(self.data.validation)}
        logs = {f"{prefix}{name}": value for prefix, values in measured.items() for name, value in values.items()}
        logs = {name: value for name, value in logs.items() if name in scores_of(self.history)}
        row = {"phase": "pruned", "epoch": self.epochs, "step": self._steps, "sparsity": sparsity}
        self.history.append(row | logs)
        return True

    @abc.abstractmethod
    def callback(self, listener: Listener) -> Any:
        """Returns what `fit` takes, and `observers` holds, for what listens to a training."""

    @property
    def validates_apart(self) -> bool:
        """Whether the validation split is looked at between epochs, and not as a part of their steps."""
        return True

    @abc.abstractmethod
    def evaluate(self, split: Split) -> dict[str, float]:
        """Returns `loss` (without penalties) and the task's metrics of the model as it stands."""

    def _watching(self, epochs: Sequence[int]) -> list[Listener]:
        """Returns what adds the metrics that were asked for to the logs of these epochs, if there are any."""
        names = self.data.objective.watched
        if not names:
            return []

        def scores() -> dict[str, float]:
            found = self.evaluate(self.data.validation)
            return {f"val_{name}": found[name] for name in names if name in found}

        return [WatchScores(scores, epochs)]

    def _examples(self, per_class: int, random: np.random.Generator) -> np.ndarray:
        """Draws the numbers of training examples, so many of each class; without classes as many as ten would have."""
        split, strata = self.data.train, self.data.objective.strata(self.data.train.y)
        if strata is None:
            return random.permutation(len(split))[: per_class * CLASSES]
        return balanced_indices(strata, per_class, random)


def pattern_report(config: Config, masks: Arrays) -> dict[str, Any]:
    """Returns what `metrics.json` says of the pattern that a network is pruned in; nothing where there is none."""
    if config.units is None:
        return {}
    return {"pattern": dataclasses.asdict(config.units) | {"layers": describe_pattern(masks, config.units)}}
