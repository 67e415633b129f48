"""The task of a method for a model of Keras 3, on any backend: `model.fit` with the run's own batches."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.base import MaskedModel
from tfprune.adapters.batches import Batch
from tfprune.adapters.keras3 import backends, fitting
from tfprune.adapters.keras3.adapter import ADAPTER
from tfprune.adapters.tf_keras.optimizers import OPTIMIZERS
from tfprune.data._base import Data, Split
from tfprune.pruning.events import PruningEvent
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.config import Config
from tfprune.training.costs import CostMeter
from tfprune.training.history import PhaseRows, Progress, logged_epochs
from tfprune.training.keras3_board import ScalarLog
from tfprune.training.keras3_data import Examples, evaluated, training_data, validation_data
from tfprune.training.listeners import Listener, Logs, PruneAtEpochs, Rewind, StopOnNaN
from tfprune.training.pruner import Pruner
from tfprune.training.resuming import (
    CheckpointListener,
    CheckpointPolicy,
    TrainingPosition,
    numbered_arrays,
    put_back,
    with_prefix,
)
from tfprune.training.run_task import RunTask
from tfprune.utils.seeds import derive

HOOKS = ("on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end")


class Keras3Trainer(RunTask):
    """The `Task` of a run in Keras 3, see `RunTask`.

    Args:
        model: returns logits; is masked in place.
        data, config, dense, reinit_fn, checkpointing: see `RunTask`.
        tensorboard: folder of the event files; None logs none.
    """

    def __init__(
        self,
        model: Any,
        data: Data,
        config: Config,
        tensorboard: Path | None = None,
        dense: BaselineRun | None = None,
        reinit_fn: Callable[[], list[np.ndarray]] | None = None,
        checkpointing: CheckpointPolicy | None = None,
    ) -> None:
        super().__init__(data, config, dense, reinit_fn, checkpointing)
        self.model = model
        self._tensorboard = tensorboard
        self.gradients = ADAPTER.gradients(model, self._sample)
        self.pruner = Pruner(self._attached(model), config.scope, config.units, seeds=[config.seed])
        self.costs = self._cost_meter()
        self._compile(0)

    def _attached(self, model: Any) -> MaskedModel:
        return ADAPTER.attach(model, self.config.exclude, gradients=self.gradients)

    def _cost_meter(self) -> CostMeter:
        return CostMeter(self.model, len(self.data.train))

    def _train(
        self,
        phase: str,
        initial_epoch: int,
        events: Mapping[int, PruningEvent],
        lr_factor: float,
        freeze_lr_epoch: int | None,
        callbacks: Sequence[Rewind],
    ) -> None:
        self._compile(initial_epoch, events, lr_factor, freeze_lr_epoch)
        self.pruner.begin()
        checkpoint, self._checkpoint = self._checkpoint, None
        position = TrainingPosition(**checkpoint.state["place"]) if checkpoint else TrainingPosition(initial_epoch)
        if not checkpoint:
            self.costs.begin()
        logged = logged_epochs(initial_epoch, self.epochs, events)
        actions = {epoch: functools.partial(self._prune, event) for epoch, event in events.items()}
        progress = Progress(self.named(phase), position.epoch, self.epochs, self.sparsity)

        def steps(epoch: int) -> int:
            return self._steps + (epoch - initial_epoch) * self.steps_per_epoch

        rows = PhaseRows(self.history, phase, steps, logged, self.sparsity)
        pruning = PruneAtEpochs(actions, start=position.epoch)
        listeners = [_Reseed(self.config.seed, position), StopOnNaN(), pruning, *callbacks, *self._watching(logged)]
        listeners += [rows, progress, *self.observers]
        board = self._tensorboard and ScalarLog(self._tensorboard, steps, logged, self.sparsity)
        if board:
            listeners.append(board)
        if self._checkpointing:
            per_epoch = self.steps_per_epoch
            listeners.append(self._checkpoint_listener(phase, position, checkpoint, per_epoch, board=board))
        fitting.seed_everything(derive(self.config.seed, "fit"))
        try:
            with self._checkpointing.signals.deferred() if self._checkpointing else contextlib.nullcontext():
                self._fit(position, logged, events, listeners)
        finally:
            progress.close()
        self._count_training(initial_epoch, events)

    def _fit(
        self,
        position: TrainingPosition,
        logged: Sequence[int],
        events: Mapping[int, PruningEvent],
        listeners: Sequence[Any],
    ) -> None:
        """Trains what comes after a position."""
        relay = Relay(listeners)
        relay.begin(self.model)
        self._fit_up_to(self.epochs, position, logged, relay)
        relay.end()

    def _fit_up_to(self, end: int, position: TrainingPosition, logged: Sequence[int], relay: Relay) -> None:
        """Trains up to an epoch, in one call of Keras or, from the middle of an epoch, in two."""
        if position.step:
            x, y = np.asarray(self.data.train.x[:1]), self.data.train.y[:1]
            self.model.test_on_batch(x, y)  # metrics have no variables before they have seen an example
            saving = [own for own in relay.listeners if isinstance(own, CheckpointListener)]
            for own in saving:
                own.first_step = position.step
            self._stretch(position, position.epoch + 1, logged, relay)
            for own in saving:
                own.first_step = 0
            position = TrainingPosition(position.epoch + 1)
        if position.epoch < end:
            self._stretch(position, end, logged, relay)

    def _stretch(self, start: TrainingPosition, end: int, logged: Sequence[int], relay: Relay) -> None:
        examples = training_data(self.data.train, self.config, start, self.steps_per_epoch)
        relay.examples = examples
        self.model.fit(
            examples.x,
            steps_per_epoch=examples.steps,
            epochs=end,
            initial_epoch=start.epoch,
            validation_freq=list(logged),
            shuffle=False,
            callbacks=[ADAPTER.callback(relay)],
            verbose=0,
            **validation_data(self.data.validation, self.config.batch_size),
        )
        ADAPTER.sync(self.model)

    def _compile(
        self,
        initial_epoch: int,
        events: Mapping[int, PruningEvent] | None = None,
        lr_factor: float = 1.0,
        freeze_lr_epoch: int | None = None,
    ) -> None:
        """Gives the model a fresh optimizer whose learning rate starts at an epoch, or stands still at one."""
        config, per_epoch = self.config, self.steps_per_epoch
        cuts = {(epoch - initial_epoch) * per_epoch: lr_factor for epoch in events or {}} if lr_factor != 1.0 else {}
        rate = fitting.learning_rate(
            config.learning_rate_schedule,
            config.learning_rate,
            warmup_steps=round(config.warmup_epochs * per_epoch),
            total_steps=self.epochs * per_epoch,
            first_step=(initial_epoch if freeze_lr_epoch is None else freeze_lr_epoch) * per_epoch,
            moves=freeze_lr_epoch is None,
            factors=cuts,
        )
        kind = OPTIMIZERS[config.optimizer][0]
        objective = self.data.objective
        loss, metrics = objective.loss(keras), objective.compiled_metrics(keras)
        fitting.compile_for(self.model, loss, metrics, kind, rate, config.optimizer_settings, xla=config.xla)

    def _take_over(self, dense: BaselineRun, callbacks: Sequence[Rewind]) -> None:
        for callback in callbacks:
            callback.on_train_begin()
        self.pruner.model.set_weights(dense.weights())
        super()._take_over(dense, callbacks)

    def _rewinds_to_start(self, callback: Any) -> bool:
        return isinstance(callback, Rewind) and callback.epoch == 0

    def _rewinding(self, epoch: int) -> Rewind:
        return Rewind(epoch, self.pruner.model)

    def _sample(self, per_class: int) -> Batch:
        split = self.data.train
        chosen = self._examples(per_class, self.pruner.random("sample"))
        return Batch(np.asarray(split.x[chosen]), split.y[chosen])

    def arrays(self, *, in_epoch: bool) -> dict[str, np.ndarray]:
        masks = {f"mask/{name}": mask for name, mask in self.pruner.masks().items()}
        return masks | fitting.state_of(self.model, in_epoch=in_epoch)

    def restore_arrays(self, arrays: Mapping[str, np.ndarray], *, in_epoch: bool) -> None:
        self.pruner.model.set_masks(with_prefix(arrays, "mask"))
        for part, own in fitting.variables_of(self.model, in_epoch=in_epoch).items():
            put_back(own, numbered_arrays(arrays, part), part)

    def callback(self, listener: Listener) -> Listener:
        return listener

    def evaluate(self, split: Split) -> dict[str, float]:
        return evaluated(self.model, split, self.data.objective)


class _Reseed(Listener):
    """Sets what a model's layers draw in an epoch: a function of the seed and the epoch, and of nothing else.

    What a backend draws from by itself is set in each step, as no checkpoint holds it.

    Args:
        seed: of the run.
        start: where the training begins, from which Keras counts the steps of its epoch.
    """

    def __init__(self, seed: int, start: TrainingPosition) -> None:
        self.seed, self.start, self.epoch = seed, start, start.epoch

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch
        count = len(fitting.seed_generators(self.model))
        fitting.reseed(self.model, [derive(self.seed, f"fit {number} {epoch}") for number in range(count)])

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        step = batch + (self.start.step if self.epoch == self.start.epoch else 0)
        backends.seed(derive(self.seed, f"step {step} {self.epoch}"))


class Relay(Listener):
    """Lets listeners see one training where Keras is called more than once.

    Attributes:
        examples: that Keras goes through now, which are told the epoch.
    """

    def __init__(self, listeners: Sequence[Any]) -> None:
        self.listeners = listeners
        self.examples: Examples | None = None
        for name in HOOKS:
            setattr(self, name, functools.partial(self._call, name))

    def begin(self, model: Any) -> None:
        """To be called before the first call of Keras."""
        self.set_model(model)
        self._call("on_train_begin")

    def set_model(self, model: Any) -> None:
        """Says what is trained from now on."""
        for listener in self.listeners:
            listener.model = model

    def end(self) -> None:
        """To be called after the last one."""
        self._call("on_train_end")

    def _call(self, name: str, *args: Any, **kwargs: Any) -> None:
        if name == "on_epoch_begin":
            self.examples.begin(args[0])
        for listener in self.listeners:
            if (hook := getattr(listener, name, None)) is not None:
                hook(*args, **kwargs)
