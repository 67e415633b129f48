"""What is added to the gradients of a Keras 3 model's weights while it is trained, to make channels small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.graphs import Penalty
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.masking import PENALTIES, heed, release
from tfprune.adapters.keras3.optimizers import knows, parts


class Penalties:
    """Penalties on weights of a compiled model, whose strengths may change between epochs; nothing is compiled anew.

    Args:
        model: compiled.
        penalties: on its trainable weights.
    """

    def __init__(self, model: keras.Model, penalties: Sequence[Penalty]) -> None:
        self._model, self._penalties = model, penalties
        with backends.scope(model):
            self._strengths = [
                keras.Variable(
                    np.zeros(own.shape, "float32"), trainable=False, autocast=False, name=f"penalty_{number}"
                )
                for number, own in enumerate(penalties)
            ]
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
        for part in parts(model.optimizer):
            release(part, PENALTIES)
            vars(part)[PENALTIES] = self  # past Keras' tracking: it is no state of the optimizer
        heed(model, model.optimizer, self)

    def set(self, strengths: Sequence[np.ndarray]) -> None:
        """Sets how strong each penalty is: arrays of the penalties' shapes."""
        for variable, values in zip(self._strengths, strengths, strict=True):
            variable.assign(values)

    def held(self) -> bool:
        """Returns whether the model's optimizer of now goes by them."""
        return all(vars(part).get(PENALTIES) is self for part in parts(self._model.optimizer))

    def release(self) -> None:
        """Ends the penalties."""
        backends.sync(self._model)
        for part in parts(self._model.optimizer):
            if vars(part).get(PENALTIES) is self:
                release(part, PENALTIES)
        if self._model.train_function is not None:
            self._model.make_train_function(force=True)

    def variables_of(self, part: keras.optimizers.Optimizer) -> list[keras.Variable]:
        """Returns the strengths of the penalties on what an optimizer trains."""
        pairs = zip(self._penalties, self._strengths, strict=True)
        return [strength for own, strength in pairs if knows(part, own.weight)]

    def added(self, part: keras.optimizers.Optimizer, grads: Sequence[Any], variables: Any) -> list[Any]:
        """Returns the gradients of some variables (None: of all that the optimizer trains) with the penalties'."""
        trained = list(part._trainable_variables if variables is None else variables)
        known = {
            id(own.weight): (own, strength) for own, strength in zip(self._penalties, self._strengths, strict=True)
        }
        return [
            gradient
            if gradient is None or id(variable) not in known
            else _with(gradient, variable, *known[id(variable)])
            for gradient, variable in zip(grads, trained, strict=True)
        ]


def _with(gradient: Any, variable: keras.Variable, penalty: Penalty, strength: keras.Variable) -> Any:
    value = keras.ops.convert_to_tensor(variable.value)
    direction = keras.ops.sign(value) if penalty.absolute else value
    gradient = keras.ops.convert_to_tensor(gradient)
    return gradient + keras.ops.cast(keras.ops.cast(strength.value, value.dtype) * direction, gradient.dtype)
