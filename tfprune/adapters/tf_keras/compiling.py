"""Compiling a tf_keras model again, and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.compile_arguments import compile_copy, made_anew
from tfprune.adapters.tf_keras.optimizers import fresh, schedule_of
from tfprune.adapters.tf_keras.wrapping import hold_masks


def compile_anew(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    """Gives a model an optimizer that has made no step, held to its masks; compiles it first if it is not."""
    with model.distribute_strategy.scope():
        optimizer = made_anew(model, arguments["optimizer"], fresh)
        if getattr(model, "optimizer", None) is not None:
            model.optimizer = optimizer
            model._reset_compile_cache()  # its loss and metrics stay, those of a `compile` of the person's own too
        else:
            compile_copy(keras, model, {**arguments, "optimizer": optimizer})
    hold_masks(model)


def learning_rate(model: keras.Model) -> float | None:
    """Returns the learning rate of a model's optimizer; None if a schedule sets it."""
    if schedule_of(model.optimizer) is not None:
        return None
    return float(tf.convert_to_tensor(model.optimizer.learning_rate))  # a strategy's variable is no number by itself


def set_learning_rate(model: keras.Model, rate: float) -> None:
    """Sets the learning rate of a model's optimizer, which has no schedule."""
    model.optimizer.learning_rate = rate
