"""The task of a method in tf_keras: it fits and prunes a model. Knows when to log; knows nothing about any method."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, seed_everything, tf
from tfprune.adapters.batches import Batch
from tfprune.adapters.tf_keras.adapter import ADAPTER, TfKerasModel
from tfprune.adapters.tf_keras.gradients import GradientProvider, draw_batch
from tfprune.adapters.tf_keras.mask_values import set_weights
from tfprune.adapters.tf_keras.randomness import ReseedEachEpoch
from tfprune.adapters.tf_keras.schedules import PruneAtSteps
from tfprune.data._base import Data, Split
from tfprune.data._pipeline import evaluation_batches
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.pruning.events import PruningEvent
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.callbacks import History, PruneOnSchedule, Rewinding, StopOnNaN, TensorBoardLog
from tfprune.training.config import Config
from tfprune.training.costs import CostMeter
from tfprune.training.evaluation import EVALUATION_BATCH, criterion_loss, evaluate
from tfprune.training.fused import Fused
from tfprune.training.history import Progress, logged_epochs, scores_of
from tfprune.training.listeners import Listener
from tfprune.training.loops import FusedLoop, PlainLoop, in_the_form_of_its_loop
from tfprune.training.pruner import Networks, Pruner
from tfprune.training.resuming import CheckpointPolicy, TrainingPosition
from tfprune.training.run_task import RunTask
from tfprune.training.strategies import DistributedContext
from tfprune.training.tf_keras_checkpoints import CheckpointCallback, arrays_of, restore_variables
from tfprune.utils.seeds import derive


class Trainer(RunTask):
    """The `Task` of a run in tf_keras, see `RunTask`.

    Args:
        model: a wrapped model.
        data, config, dense, reinit_fn, checkpointing: see `RunTask`.
        tensorboard: folder of the event files; None logs none.
        seeds, networks: of several networks in the model, see `Pruner`.

    Attributes:
        loop: goes through the epochs.
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
        super().__init__(data, config, dense, reinit_fn, checkpointing)
        self.model = in_the_form_of_its_loop(model, data, config)
        self.configs: Sequence[Config] = [config]  # of each network
        self._tensorboard = tensorboard
        self._distributed = DistributedContext.of(config)
        self.gradients = GradientProvider(self.model, self._sample, criterion_loss(data.objective))
        self.pruner = Pruner(
            TfKerasModel(self.model, self.gradients),
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
        progress = Progress(self.named(phase), position.epoch, self.epochs, self.sparsity)
        rows = History(self.history, phase, self._steps, logged, self.sparsity)
        watching = [self.callback(own) for own in self._watching(logged)]
        observers = [*watching, rows, self.callback(progress), *self.observers]
        board = self._tensorboard and self._board(logged, begun=bool(checkpoint))
        if board:
            observers.append(board)
        if self._checkpointing:
            steps = self.loop.steps_of_keras
            kept = {"kind": CheckpointCallback, "scale": scale, "board": board}
            observers.append(self._checkpoint_listener(phase, position, checkpoint, steps, **kept))
        # the same draws in all methods and phases
        seed_everything(derive(self.config.seed, "fit"), anew=self.config.has_own_model)
        draws = ReseedEachEpoch(self.config.seed)
        callbacks = [draws, StopOnNaN(self._steps), PruneOnSchedule(schedule, apply_event), *callbacks, *observers]
        try:
            with self._checkpointing.signals.deferred() if self._checkpointing else contextlib.nullcontext():
                self._fit(initial_epoch, position, logged, events, callbacks)
        finally:
            progress.close()
        self._count_training(initial_epoch, events)

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

    def _rewinds_to_start(self, callback: Any) -> bool:
        return isinstance(callback, Rewinding) and callback.epoch == 0

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
        super()._take_over(dense, callbacks)
        if board:
            for row in self.history:
                known = {name: row.get(name) for name in scores_of(self.history)}
                board.log_scores(row["step"], {name: value for name, value in known.items() if value is not None})
            board.log_kernels(self._steps)
            board.on_train_end()

    def _sample(self, per_class: int) -> Batch:
        randoms = [self.pruner.random("sample", number) for number in range(len(self.pruner.seeds))]
        if self.data.objective.name == CLASSIFICATION.name:
            return draw_batch(self.data.train, per_class, randoms)
        rows = self._examples(per_class, randoms[0])
        return Batch(np.asarray(self.data.train.x[rows]), self.data.train.y[rows])

    def _rewinding(self, epoch: int) -> Rewinding:
        return Rewinding(epoch)

    def arrays(self, *, in_epoch: bool) -> dict[str, np.ndarray]:
        return arrays_of(self.model, in_epoch=in_epoch)

    def restore_arrays(self, arrays: Mapping[str, np.ndarray], *, in_epoch: bool) -> None:
        restore_variables(self.model, arrays, in_epoch=in_epoch)

    def _board(self, logged: Sequence[int] = (), *, begun: bool = False) -> TensorBoardLog:
        return TensorBoardLog(self._tensorboard, self._steps, logged, self.masks, self.sparsity, begun=begun)

    def _cost_meter(self, networks: Networks | None) -> CostMeter:
        return CostMeter(self.model, len(self.data.train), networks)

    def finish(self) -> bool:
        logged = super().finish()
        if logged and self._tensorboard is not None:
            board = self._board()
            board.set_model(self.model)
            board.log_kernels(self._steps)
            board.on_train_end()
        return logged

    def callback(self, listener: Listener) -> keras.callbacks.Callback:
        return ADAPTER.callback(listener)

    @property
    def validates_apart(self) -> bool:
        return not isinstance(self.model, Fused)

    def evaluate(self, split: Split) -> dict[str, float]:
        if self.data.objective.measured != (self.data.objective.logged,):
            return evaluate(self.model, split, self.data.objective)
        if isinstance(self.model, Fused):
            return self.model.measure(split)
        batches = evaluation_batches(split, max(self.config.batch_size, EVALUATION_BATCH))
        return self.model.evaluate(batches, verbose=0, return_dict=True)
