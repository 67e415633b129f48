"""Compiling a Keras 3 model again, and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.compile_arguments import compile_copy, made_anew
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.masking import hold_masks
from tfprune.adapters.keras3.optimizers import fresh, parts, schedule_of


def compile_anew(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    """Gives a model an optimizer that has made no step, held to its masks; compiles it first if it is not."""
    backends.sync(model)
    with backends.scope(model):
        optimizer = made_anew(model, arguments["optimizer"], fresh)
        if getattr(model, "optimizer", None) is not None:
            vars(model)["optimizer"] = optimizer  # past Keras' tracking, as in `compile`; loss and metrics stay
            model.train_function = None
        else:
            compile_copy(keras, model, {**arguments, "optimizer": optimizer})
    hold_masks(model)


def learning_rate(model: keras.Model) -> float | None:
    """Returns the learning rate of a model's optimizer, of several the first one's; None if a schedule sets it.

    None, too, for a model that is compiled with no optimizer, as its own step has others.
    """
    backends.sync(model)
    if model.optimizer is None:
        return None
    own = _parts(model)
    if schedule_of(model.optimizer) is not None:
        return None
    return float(backends.numbers(own[0]._learning_rate))


def set_learning_rate(model: keras.Model, rate: float) -> None:
    """Sets the learning rate of a model's optimizer, which has no schedule; those of several keep their ratios."""
    factor = rate / learning_rate(model)
    for part in _parts(model):
        part.learning_rate = float(backends.numbers(part._learning_rate)) * factor


def _parts(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Returns `parts` of a model's optimizer; one that chooses others for variables has none until it is built."""
    if not parts(model.optimizer):
        with backends.scope(model):
            model.optimizer.build(model.trainable_variables)
    return parts(model.optimizer)
