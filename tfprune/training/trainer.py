"""The task of a method: it fits and prunes a model. Knows when to log; knows nothing about any method."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, seed_everything, tf
from tfprune.adapters.tf_keras.adapter import TfKerasModel
from tfprune.adapters.tf_keras.gradients import GradientProvider, draw_batch
from tfprune.adapters.tf_keras.mask_values import set_weights
from tfprune.adapters.tf_keras.randomness import ReseedEachEpoch
from tfprune.adapters.tf_keras.schedules import PruneAtSteps
from tfprune.data._base import Data, Split
from tfprune.data._pipeline import evaluation_batches
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import Arrays
from tfprune.pruning.pattern_masks import check_pattern, describe_pattern
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.callbacks import SCORES, History, Progress, PruneOnSchedule, Rewinding, StopOnNaN, TensorBoardLog
from tfprune.training.clock import COMPILE, RANKING
from tfprune.training.config import Config
from tfprune.training.costs import CostMeter
from tfprune.training.evaluation import EVALUATION_BATCH
from tfprune.training.fused import Fused
from tfprune.training.loops import FusedLoop, PlainLoop, in_the_form_of_its_loop, logged_epochs
from tfprune.training.pruner import Networks, Pruner
from tfprune.training.resuming import CheckpointPolicy, Resumable, TrainingPosition, operation
from tfprune.training.strategies import DistributedContext
from tfprune.utils.errors import ConfigError
from tfprune.utils.seeds import derive


class Trainer(Resumable):
    """The `Task` of a run: a masked model, its data and its settings.

    Args:
        model: a wrapped model.
        data: what it learns from.
        config: the run's settings.
        tensorboard: folder of the event files; None logs none.
        dense: the training of an unpruned network with the same settings. A method that begins with
            it takes it over, with its history and its cost.
        reinit_fn: returns other initial weights, for methods that ask for them.
        checkpointing: where and how often the training is saved, and what it resumes from; None saves nothing.
        seeds, networks: of several networks in the model, see `Pruner`.

    Attributes:
        pruner: holds its masks.
        history: the rows of a `callbacks.History` so far.
        clock: what the phases took; under `compile` what a fused loop took before its first step, or an earlier run for
            this one, under `ranking` what pruning between trainings took.
        costs: what its training took in multiply-adds.
        loop: goes through the epochs.
        trained_epochs: passes over the training split so far, over all phases.
        taken_over: phase -> where it was taken over from, if it was not trained here.
        observers: Keras callbacks that see all trainings, each epoch when its row is in the history.
        untuned: the scores of the model as the last pruning after a training left it, before any more training.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        config: Config,
        tensorboard: Path | None = None,
        dense: BaselineRun | None = None,
        reinit_fn: Callable[[], list[np.ndarray]] | None = None,
        checkpointing: CheckpointPolicy | None = None,
        *,
        seeds: Sequence[int] = (),
        networks: Networks | None = None,
    ) -> None:
        super().__init__(checkpointing)
        self.model = in_the_form_of_its_loop(model, data, config)
        self.data = data
        self.config = config
        self.configs: Sequence[Config] = [config]  # of each network
        self.epochs = config.pruning.phase_epochs(config.epochs)
        self.steps_per_epoch = math.ceil(len(data.train) / config.batch_size)
        self.trained_epochs = 0
        self.taken_over: dict[str, str] = {}
        self.observers: list[keras.callbacks.Callback] = []
        self._tensorboard = tensorboard
        self._dense = dense
        self._reinit_fn = reinit_fn
        self._steps = 0  # of the optimizer, over finished phases
        self.untuned: dict[str, Any] | None = None
        self._distributed = DistributedContext.of(config)
        self._slopes = GradientProvider(self.model, self._sample)
        self.pruner = Pruner(
            TfKerasModel(self.model, self._slopes),
            config.scope,
            config.units,
            seeds=seeds or [config.seed],
            networks=networks,
            agreed=self._distributed.broadcast_from_chief,
        )
        self.costs = self._cost_meter(networks)
        steps, seeds = self.steps_per_epoch, self.pruner.seeds
        fused = isinstance(self.model, Fused)
        self.loop = FusedLoop(data, config, steps, seeds, self.clock) if fused else PlainLoop(data, config, steps)

    @operation
    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, PruningEvent] | None = None,
        lr_factor: float = 1.0,
        freeze_lr_epoch: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
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

    def _train(
        self,
        phase: str,
        initial_epoch: int,
        events: Mapping[int, PruningEvent],
        lr_factor: float,
        freeze_lr_epoch: int | None,
        callbacks: Sequence,
    ) -> None:
        scale = self.loop.rate_scale(self.model, lr_factor)
        self._start(initial_epoch, scale, freeze_lr_epoch)
        self.pruner.begin()

        def apply_event(event: PruningEvent) -> None:
            self._prune(event)
            if lr_factor != 1.0:
                scale.assign(scale * lr_factor)

        checkpoint, self._checkpoint = self._checkpoint, None
        position = TrainingPosition(**checkpoint.state["place"]) if checkpoint else TrainingPosition(initial_epoch)
        if not checkpoint:
            self.costs.begin()
        logged = logged_epochs(initial_epoch, self.epochs, events)
        schedule = PruneAtSteps(
            {(epoch - initial_epoch) * self.steps_per_epoch: event for epoch, event in events.items()}
        )
        progress = Progress(phase, position.epoch, self.epochs, self.sparsity)
        observers = [History(self.history, phase, self._steps, logged, self.sparsity), progress, *self.observers]
        board = self._tensorboard and self._board(logged, begun=bool(checkpoint))
        if board:
            observers.append(board)
        if self._checkpointing:
            observers.append(
                self._checkpoint_callback(phase, position, checkpoint, scale, board, self.loop.steps_of_keras)
            )
        # the same draws in all methods and phases
        seed_everything(derive(self.config.seed, "fit"), anew=self.config.has_own_model)
        draws = ReseedEachEpoch(self.config.seed)
        callbacks = [draws, StopOnNaN(self._steps), PruneOnSchedule(schedule, apply_event), *callbacks, *observers]
        try:
            with self._checkpointing.signals.deferred() if self._checkpointing else contextlib.nullcontext():
                self._fit(initial_epoch, position, logged, events, callbacks)
        finally:
            progress.close()
        self._steps += (self.epochs - initial_epoch) * self.steps_per_epoch
        self.trained_epochs += self.epochs - initial_epoch
        self.costs.count_training([initial_epoch, *sorted(events), self.epochs])

    def _fit(
        self,
        initial_epoch: int,
        position: TrainingPosition,
        logged: Sequence[int],
        events: Mapping[int, PruningEvent],
        callbacks: Sequence,
    ) -> None:
        """Trains what comes after `place`, of a training that began at `initial_epoch`."""
        self.loop.fit(self.model, initial_epoch, position, self.epochs, logged, events, callbacks)

    def _start(self, initial_epoch: int, scale: tf.Variable | None = None, freeze_lr_epoch: int | None = None) -> None:
        """Gives the model a fresh optimizer.

        Args:
            initial_epoch: where its learning rate starts.
            scale: what multiplies it.
            freeze_lr_epoch: where it stands still, if it does.
        """
        first_step = (initial_epoch if freeze_lr_epoch is None else freeze_lr_epoch) * self.steps_per_epoch
        step_multiplier = 1.0 if freeze_lr_epoch is None else 0.0
        self.loop.start(self.model, first_step, scale, step_multiplier)

    def _is_dense(self, phase: str, initial_epoch: int, events: object, callbacks: Sequence[object]) -> bool:
        """Returns whether a stretch of training is what `dense` did: from the start, no cut, unobserved."""
        at_the_start = all(isinstance(callback, Rewinding) and callback.epoch == 0 for callback in callbacks)
        known = self._dense is not None and self._dense.phase == phase
        return known and at_the_start and not (initial_epoch or events or self.history)

    def _take_over(self, dense: BaselineRun, callbacks: Sequence[Rewinding]) -> None:
        """Does what a dense training from the start would do, by reading what it left."""
        for callback in callbacks:
            callback.set_model(self.model)
            callback.on_train_begin()
        board = self._tensorboard and self._board()
        if board:
            board.set_model(self.model)
            board.log_kernels(0)
        self._start(0)
        set_weights(self.model, dense.weights())
        self.history += dense.history
        self.trained_epochs = dense.epochs
        self.costs.take_over(dense.epochs)
        self._steps = self.trained_epochs * self.steps_per_epoch
        self.seconds[dense.phase], self.cpu_seconds[dense.phase] = dense.seconds, dense.cpu_seconds
        self.taken_over[dense.phase] = dense.source
        if board:
            for row in self.history:
                board.log_scores(row["step"], {name: row[name] for name in SCORES if row[name] is not None})
            board.log_kernels(self._steps)
            board.on_train_end()

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
        passes, self._slopes.passes = self._slopes.passes, 0
        self.costs.count_scoring(passes, lived)
        self.costs.count_event()

    def _sample(self, per_class: int) -> Split:
        randoms = [self.pruner.random("sample", number) for number in range(len(self.pruner.seeds))]
        return draw_batch(self.data.train, per_class, randoms)

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

    def _board(self, logged: Sequence[int] = (), *, begun: bool = False) -> TensorBoardLog:
        return TensorBoardLog(self._tensorboard, self._steps, logged, self.masks, self.sparsity, begun=begun)

    def _cost_meter(self, networks: Networks | None) -> CostMeter:
        return CostMeter(self.model, len(self.data.train), networks)

    def finish(self) -> None:
        """Logs the finished model if it was pruned after its last training."""
        sparsity = self.sparsity()
        if not self.history or np.array_equal(self.history[-1]["sparsity"], sparsity):
            return
        measured = {"": self.evaluate(self.data.train), "val_": self.evaluate(self.data.validation)}
        logs = {f"{prefix}{name}": value for prefix, values in measured.items() for name, value in values.items()}
        row = {"phase": "pruned", "epoch": self.epochs, "step": self._steps, "sparsity": sparsity}
        self.history.append(row | logs)
        if self._tensorboard is not None:
            board = self._board()
            board.set_model(self.model)
            board.log_kernels(self._steps)
            board.on_train_end()

    def evaluate(self, split: Split) -> dict[str, float]:
        """Returns `loss` (cross-entropy alone) and `accuracy` of the model as it stands."""
        if isinstance(self.model, Fused):
            return self.model.measure(split)
        batches = evaluation_batches(split, max(self.config.batch_size, EVALUATION_BATCH))
        return self.model.evaluate(batches, verbose=0, return_dict=True)


def pattern_report(config: Config, masks: Arrays) -> dict[str, Any]:
    """Returns what `metrics.json` says of the pattern that a network is pruned in; nothing where there is none."""
    if config.units is None:
        return {}
    return {"pattern": dataclasses.asdict(config.units) | {"layers": describe_pattern(masks, config.units)}}
