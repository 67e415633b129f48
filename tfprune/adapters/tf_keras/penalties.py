"""What is added to the gradients of a tf_keras model's weights while it is trained, to make channels small."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.graphs import Penalty
from tfprune.adapters.tf_keras.masking import Pairs
from tfprune.adapters.tf_keras.optimizers import unwrapped

PENALTIES = "_tfprune_penalties"  # the attribute of an optimizer that names what is added to its gradients


class Penalties:
    """Penalties on weights of a compiled model, whose strengths may change between epochs; nothing is compiled anew.

    Args:
        model: compiled.
        penalties: on its trainable weights.
    """

    def __init__(self, model: keras.Model, penalties: Sequence[Penalty]) -> None:
        self._model = model
        with model.distribute_strategy.scope():
            self._strengths = [tf.Variable(tf.zeros(own.shape), trainable=False) for own in penalties]
        self._known = {
            own.weight._unique_id: (own, strength) for own, strength in zip(penalties, self._strengths, strict=True)
        }
        optimizer = unwrapped(model.optimizer)
        if PENALTIES not in vars(optimizer):
            vars(optimizer)["apply_gradients"] = _penalised(optimizer, optimizer.apply_gradients)
        vars(optimizer)[PENALTIES] = self  # past Keras' tracking: it is no state of the optimizer
        self._compile_anew()

    def set(self, strengths: Sequence[np.ndarray]) -> None:
        """Sets how strong each penalty is: arrays of the penalties' shapes."""
        for variable, values in zip(self._strengths, strengths, strict=True):
            variable.assign(values)

    def held(self) -> bool:
        """Returns whether the model's optimizer of now goes by them."""
        return vars(unwrapped(self._model.optimizer)).get(PENALTIES) is self

    def release(self) -> None:
        """Ends the penalties."""
        optimizer = unwrapped(self._model.optimizer)
        if vars(optimizer).get(PENALTIES) is self:
            vars(optimizer)[PENALTIES] = None
        self._compile_anew()

    def _compile_anew(self) -> None:
        """Has the step made again that knows nothing of what has changed; `fit` may have it in its hands already."""
        if self._model.train_function is not None:
            self._model.make_train_function(force=True)

    def added(self, pairs: Pairs) -> list[tuple[Any, tf.Variable]]:
        """Returns gradients and their variables, with the penalties' gradients."""
        return [(self._with(gradient, variable), variable) for gradient, variable in pairs]

    def _with(self, gradient: Any, variable: tf.Variable) -> Any:
        found = self._known.get(getattr(variable, "_unique_id", None))
        if gradient is None or found is None:
            return gradient
        penalty, strength = found
        value = tf.convert_to_tensor(getattr(variable, "_variable", variable))  # under mixed precision Keras wraps it
        direction = tf.sign(value) if penalty.absolute else value
        gradient = tf.convert_to_tensor(gradient)
        return gradient + tf.cast(tf.cast(strength, value.dtype) * direction, gradient.dtype)


def _penalised(optimizer: keras.optimizers.Optimizer, apply: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an optimizer's `apply_gradients` that adds the penalties which it has been given."""

    @functools.wraps(apply)
    def apply_gradients(grads_and_vars: Pairs, *args: Any, **kwargs: Any) -> Any:
        penalties = vars(optimizer).get(PENALTIES)
        return apply(grads_and_vars if penalties is None else penalties.added(grads_and_vars), *args, **kwargs)

    return apply_gradients
