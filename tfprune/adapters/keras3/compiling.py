"""How a Keras 3 model is compiled, and compiling it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.masking import hold_masks
from tfprune.adapters.keras3.optimizers import fresh, parts, schedule_of
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line


def compiled_arguments(model: keras.Model) -> dict[str, Any]:
    """Returns the arguments that a model was compiled with, and its optimizer as it stands.

    Raises:
        ModelError: it is not compiled.
    """
    if getattr(model, "optimizer", None) is None or not hasattr(model, "_compile_config"):
        raise ModelError(f"model {model.name} is not compiled: call model.compile(optimizer, loss) first")
    return {**model._compile_config.config, "optimizer": model.optimizer, "run_eagerly": model.run_eagerly}


def compile_anew(model: keras.Model, arguments: Mapping[str, Any]) -> None:
    """Gives a model an optimizer that has made no step, held to its masks; compiles it first if it is not."""
    backends.sync(model)
    with backends.scope(model):
        optimizer = _fresh(model, arguments["optimizer"])
        if getattr(model, "optimizer", None) is not None:
            vars(model)["optimizer"] = optimizer  # past Keras' tracking, as in `compile`; loss and metrics stay
            model.train_function = None
        elif type(model).compile is not keras.Model.compile:
            raise ModelError(
                f"model {model.name} compiles itself in a way of its own, which a copy cannot repeat; take it as it is "
                "with in_place=True"
            )
        else:
            model.compile(**{**arguments, "optimizer": optimizer})
    hold_masks(model)


def learning_rate(model: keras.Model) -> float | None:
    """Returns the learning rate of a model's optimizer, of several the first one's; None if a schedule sets it."""
    backends.sync(model)
    if schedule_of(model.optimizer) is not None:
        return None
    return float(backends.numbers(parts(model.optimizer)[0]._learning_rate))


def set_learning_rate(model: keras.Model, rate: float) -> None:
    """Sets the learning rate of a model's optimizer, which has no schedule; those of several keep their ratios."""
    factor = rate / learning_rate(model)
    for part in parts(model.optimizer):
        part.learning_rate = float(backends.numbers(part._learning_rate)) * factor


def _fresh(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    try:
        return fresh(optimizer)
    except (NotImplementedError, TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"the optimizer of model {model.name}, {type(optimizer).__name__}, cannot be made anew from its get_config "
            f"({one_line(error)}); each training needs one that has made no step"
        ) from None
