"""How epochs are gone through: batch by batch as Keras does, or many epochs in one call."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.wrapping import share_masks
from tfprune.data._base import Data
from tfprune.data._pipeline import evaluation_batches, training_batches
from tfprune.pruning.events import PruningEvent
from tfprune.training.callbacks import Rewinding
from tfprune.training.clock import COMPILE, Clock
from tfprune.training.compiling import compile_model, devices
from tfprune.training.config import Config
from tfprune.training.fused import LAYERS, MAX_STEPS, EpochRemapCallback, Fused, can_fuse, epoch_chunks, longest_chunk
from tfprune.training.resuming import TrainingPosition
from tfprune.training.strategies import distribute_dataset
from tfprune.utils.errors import ConfigError
from tfprune.utils.seeds import derive


class PlainLoop:
    """Keras's own: a call a batch, or an epoch where that is short.

    Args:
        data: what is trained on.
        config: the run's settings.
        steps_per_epoch: of the optimizer.

    Attributes:
        steps_of_keras: in an epoch, each an opportunity to save the training.
    """

    def __init__(self, data: Data, config: Config, steps_per_epoch: int) -> None:
        self.data, self.config, self.steps_per_epoch = data, config, steps_per_epoch
        self.steps_of_keras = steps_per_epoch

    def rate_scale(self, model: keras.Model, rate_factor: float) -> tf.Variable | None:
        """Returns what multiplies the learning rate; None where nothing ever does."""
        return tf.Variable(1.0, trainable=False) if rate_factor != 1.0 else None

    def start(
        self, model: keras.Model, first_step: int, scale: tf.Variable | None = None, step_multiplier: float = 1.0
    ) -> None:
        """Gives a model a fresh optimizer.

        Args:
            model: compiled by this.
            first_step: of the run, where its learning rate starts.
            scale: what multiplies it.
            step_multiplier: steps of the learning rate in one of the optimizer: 0 where it stands still.
        """
        objective = self.data.objective
        compile_model(model, self.config, self.steps_per_epoch, first_step, scale, step_multiplier, objective)

    def fit(
        self,
        model: keras.Model,
        initial_epoch: int,
        start: TrainingPosition,
        end: int,
        logged: Sequence[int],
        events: Mapping[int, PruningEvent],
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Trains what comes after `start` up to the end of epoch `end`, with the examples that come then."""
        if start.step:  # metrics have no variables before they have seen an example
            model.test_on_batch(np.asarray(self.data.train.x[:1]), self.data.train.y[:1])
        batches = functools.partial(
            training_batches,
            self.data.train,
            self.config.batch_size,
            shuffle=self.config.shuffle,
            seed=derive(self.config.seed, "order"),
            augment=self.config.augment,
            first_step=start.epoch * self.steps_per_epoch + start.step,
        )
        model.fit(
            batches() if devices(model) == 1 else distribute_dataset(model.distribute_strategy, batches),
            epochs=end,
            initial_epoch=start.epoch,
            steps_per_epoch=self.steps_per_epoch,
            validation_data=evaluation_batches(self.data.validation, self.config.batch_size),
            validation_freq=logged,
            callbacks=callbacks,
            verbose=0,
        )


class FusedLoop:
    """Many epochs a call, see `fused`.

    Args:
        data: what is trained on.
        config: the settings of the run, or of the first of several networks.
        steps_per_epoch: of the optimizer.
        seeds: of the networks.
        clock: which the compiling is charged to.
    """

    steps_of_keras = 1

    def __init__(self, data: Data, config: Config, steps_per_epoch: int, seeds: Sequence[int], clock: Clock) -> None:
        self.data, self.config, self.steps_per_epoch = data, config, steps_per_epoch
        self._seeds = seeds
        self._clock = clock
        self._compiled: set[int] = set()  # the lengths of chunks that this run has compiled its step for

    def rate_scale(self, model: Fused, rate_factor: float) -> tf.Variable:
        """Returns what multiplies the learning rate."""
        return model.rate_scale

    def start(
        self, model: Fused, first_step: int, scale: tf.Variable | None = None, step_multiplier: float = 1.0
    ) -> None:
        """Makes the optimizer a fresh one, see `PlainLoop.start`; one compiled function serves all phases."""
        if getattr(model, "optimizer", None) is None:
            starts = model.first_step, model.rate_scale, model.step_multiplier
            compile_model(model, self.config, self.steps_per_epoch, *starts, model.objective)
        model.restart(first_step, step_multiplier)

    def fit(
        self,
        model: Fused,
        initial_epoch: int,
        start: TrainingPosition,
        end: int,
        logged: Sequence[int],
        events: Mapping[int, PruningEvent],
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Trains what comes after `start` up to the end of epoch `end`, in chunks that began at `initial_epoch`."""
        remembered = {callback.epoch for callback in callbacks if isinstance(callback, Rewinding)}
        ends = sorted({*logged, *(epoch for epoch in remembered if initial_epoch < epoch <= end)})
        batches = epoch_chunks(
            self.data.train,
            self.data.validation,
            first_epoch=initial_epoch,
            ends=ends,
            order_seeds=[derive(seed, "order") for seed in self._seeds] if self.config.shuffle else None,
            stacked=model.stacked,
        )
        self._compile_for(model, longest_chunk(ends, initial_epoch) if self.config.shuffle else 0, batches)
        callback = EpochRemapCallback(callbacks, ends, events, self.data.validation, initial_epoch)
        done = sum(end <= start.epoch for end in ends)
        model.fit(
            batches.skip(done),
            epochs=len(ends),
            initial_epoch=done,
            steps_per_epoch=1,
            callbacks=[callback],
            verbose=0,
        )

    def _compile_for(self, model: Fused, epochs: int, batches: tf.data.Dataset) -> None:
        """Compiles the step for chunks with orders for so many epochs; what an earlier run compiled is owed."""
        if epochs in self._compiled:
            return
        self._compiled.add(epochs)
        if epochs in model.compiled:
            self._clock.owe(*model.compiled[epochs])
            return
        clocks = (self._clock.seconds, self._clock.cpu_seconds)
        before = [clock.get(COMPILE, 0.0) for clock in clocks]
        with self._clock.timed(COMPILE):
            model.make_train_function()(iter(batches.map(lambda chunk: chunk | {"epochs": 0})))
        model.compiled[epochs] = tuple(clock[COMPILE] - was for clock, was in zip(clocks, before, strict=True))


def in_the_form_of_its_loop(model: keras.Model, data: Data, config: Config) -> keras.Model:
    """Returns a model in the form that the run's loop trains: a `Fused` one where `loop` and the model allow it."""
    if isinstance(model, Fused) or config.loop == "plain" or devices(model) > 1:
        return model
    suits = can_fuse(model, data.train, config.batch_size) and not config.augment
    if config.loop == "fused" and not suits:
        raise ConfigError(
            f"loop=fused needs float32, data in memory, no augmentation, at most {MAX_STEPS} steps per epoch and "
            f"layers of the kinds {', '.join(LAYERS)}; use loop=auto or plain"
        )
    if not suits:
        return model
    fused = Fused(model.inputs, model.outputs, config.batch_size, data.objective, name=model.name)
    return share_masks(fused, model)
