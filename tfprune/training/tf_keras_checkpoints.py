"""Checkpoints of trainings in tf_keras: the callback that saves them, and all that a training changes as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.randomness import get_rng_states, set_rng_states
from tfprune.adapters.tf_keras.wrapping import in_place_masks
from tfprune.training.callbacks import broken_layer
from tfprune.training.resuming import (
    CheckpointListener,
    CheckpointPolicy,
    TrainingPosition,
    numbered_arrays,
    put_back,
)


class CheckpointCallback(CheckpointListener, keras.callbacks.Callback):
    """A `CheckpointListener` as a callback of Keras, which begins in the middle of an epoch where that has to be."""

    def __init__(
        self,
        checkpointing: CheckpointPolicy,
        save: Callable[[TrainingPosition], None],
        restore: Callable[[], None] | None,
        position: TrainingPosition,
        steps_per_epoch: int,
        ready: Callable[[], bool],
    ) -> None:
        keras.callbacks.Callback.__init__(self)
        CheckpointListener.__init__(self, checkpointing, save, restore, position, steps_per_epoch, ready)

    def broken_layer(self) -> str | None:
        return broken_layer(self.model)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.position.step:
            self.model._training_state = self  # which Keras asks for the step to begin at

    def maybe_load_initial_counters_from_ckpt(self, steps: int, initial_epoch: int, mode: Any) -> tuple[int, int]:
        """Answers Keras, which then begins in the middle of an epoch."""
        self.model._training_state = None
        return initial_epoch, self.position.step


def variables_of(model: keras.Model) -> dict[str, list[tf.Variable]]:
    """Returns everything that a training changes in a compiled model, by part."""
    optimizer = model.optimizer
    own = list(getattr(optimizer, "inner_optimizer", optimizer).variables)
    if getattr(optimizer, "dynamic", False):  # loss scaling
        own += [optimizer._loss_scale.current_loss_scale, optimizer._loss_scale.counter]
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    masks = in_place_masks(model)  # those of wrappers are among the weights
    weights = [*model.weights, *(mask for _, _, mask in (masks.named_vars() if masks else ()))]
    return {"weight": weights, "optimizer": own, "metric": metrics}


def arrays_of(model: keras.Model, *, in_epoch: bool) -> dict[str, np.ndarray]:
    """Returns the values of `variables_of` by numbered names and, `in_epoch`, those of metrics and random draws."""
    variables = variables_of(model)
    if not in_epoch:
        del variables["metric"]
    arrays = {f"{part}/{n}": variable.numpy() for part, own in variables.items() for n, variable in enumerate(own)}
    return arrays | {f"draw/{n}": state for n, state in enumerate(get_rng_states(model)) if in_epoch}


def restore_variables(model: keras.Model, arrays: Mapping[str, np.ndarray], *, in_epoch: bool) -> None:
    """Puts back what `arrays_of` returned, into a model that was built and compiled alike.

    Raises:
        RunError: the model is another one.
    """
    getattr(model.optimizer, "inner_optimizer", model.optimizer).build(model.trainable_variables)
    variables = variables_of(model)
    if not in_epoch:
        del variables["metric"]
    for part, own in variables.items():
        put_back(own, numbered_arrays(arrays, part), part)
    if in_epoch:
        set_rng_states(model, numbered_arrays(arrays, "draw"))
