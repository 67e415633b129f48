"""How a tf_keras model is compiled, and compiling it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.copies import with_own_metrics
from tfprune.adapters.tf_keras.optimizers import fresh, schedule_of
from tfprune.adapters.tf_keras.wrapping import hold_masks
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line


def compiled_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns the arguments that a model was compiled with, and its optimizer as it stands.

    Raises:
        ModelError: it is not compiled.
    """
    if getattr(model, "optimizer", None) is None or not hasattr(model, "_compile_config"):
        raise ModelError(f"model {model.name} is not compiled: call model.compile(optimizer, loss) first")
    return {**model._compile_config.config, "optimizer": model.optimizer, "run_eagerly": model._run_eagerly}


def compile_anew(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    """Gives a model an optimizer that has made no step, held to its masks; compiles it first if it is not."""
    with model.distribute_strategy.scope():
        optimizer = _fresh(model, arguments["optimizer"])
        if getattr(model, "optimizer", None) is not None:
            model.optimizer = optimizer
            model._reset_compile_cache()  # its loss and metrics stay, those of a `compile` of the person's own too
        elif type(model).compile is not keras.Model.compile:
            raise ModelError(
                f"model {model.name} compiles itself in a way of its own, which a copy cannot repeat; take it as it is "
                "with in_place=True"
            )
        else:
            model.compile(**with_own_metrics(arguments) | {"optimizer": optimizer})
    hold_masks(model)


def learning_rate(model: keras.Model) -> float | None:
    """Returns the learning rate of a model's optimizer; None if a schedule sets it."""
    if schedule_of(model.optimizer) is not None:
        return None
    return float(tf.convert_to_tensor(model.optimizer.learning_rate))  # a strategy's variable is no number by itself


def set_learning_rate(model: keras.Model, rate: float) -> None:
    """Sets the learning rate of a model's optimizer, which has no schedule."""
    model.optimizer.learning_rate = rate


def _fresh(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    try:
        return fresh(optimizer)
    except (NotImplementedError, TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"the optimizer of model {model.name}, {type(optimizer).__name__}, cannot be made anew from its get_config "
            f"({one_line(error)}); each training needs one that has made no step"
        ) from None
