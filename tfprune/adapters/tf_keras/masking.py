"""Masks in place: kernels of any model stay exactly zero where they are pruned, with no wrapper around a layer.

The model keeps its class, its layers and their names, its files. What holds the zeros is outside of all that is saved:

* the optimizer's `apply_gradients` masks the gradients of the kernels before a step, so that pruned weights count in no
  norm that gradients are clipped by, and after it puts pruned weights to zero and what it remembers of them to where it
  starts, whatever the step has done (decay, averages, momentum);
* a constraint of each kernel does the same for the weights under an optimizer that is not held, as after the model was
  compiled anew.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.optimizers import initial_slots, slots, unwrapped
from tfprune.pruning.masks import revived

HELD = "_tfprune_masks"  # the attribute of an optimizer that names the masks which it is held to
STARTS = "_tfprune_starts"  # the one that says where its slots start: number of axes -> `optimizers.initial_slots`
Pairs = Iterable[tuple[Any, tf.Variable]]  # gradients (tensors, `tf.IndexedSlices` or None) and their variables


class InPlaceMasks:
    """Masks of some kernels of a model, held by constraints and, once it is given to `hold`, by the optimizer.

    Args:
        kernels: name -> variable.

    Attributes:
        pruning_schedule: what a training under these masks is pruned by; for whoever looks, as at a tfmot wrapper.
    """

    def __init__(self, kernels: Mapping[str, tf.Variable]) -> None:
        self.pruning_schedule: Any = None
        self._own = {name: kernel.constraint for name, kernel in kernels.items()}
        self._vars = [
            (name, kernel, tf.Variable(tf.ones(kernel.shape, tf.bool), trainable=False, name=f"{name}_mask"))
            for name, kernel in kernels.items()
        ]
        self._masks = {kernel._unique_id: mask for _, kernel, mask in self._vars}
        self._constrain()

    def named_vars(self) -> Iterator[tuple[str, tf.Variable, tf.Variable]]:
        """Yields each kernel's name (`"lstm/cell/kernel"`), the kernel and its mask."""
        yield from self._vars

    def set(self, masks: Mapping[str, np.ndarray] | None, optimizer: keras.optimizers.Optimizer | None) -> None:
        """Puts new masks on: kernels become zero where they are, and what the optimizer remembers starts anew there.

        Args:
            masks: kernel name -> array of its shape, zero where a weight is pruned; None puts the same ones on again.
            optimizer: that of the model, if it has one.
        """
        self._look_up_starts(optimizer)
        for name, _, mask in self._vars if masks is not None else ():
            mask.assign(np.asarray(masks[name]) != 0)
        self._enforce(optimizer, set(self._masks))

    def revived(self) -> int:
        """Returns how many pruned weights are not zero."""
        kernels = {name: kernel.numpy() for name, kernel, _ in self._vars}
        return revived(kernels, {name: mask.numpy() for name, _, mask in self._vars})

    def hold(self, optimizer: keras.optimizers.Optimizer) -> bool:
        """Makes an optimizer keep what is pruned at zero, with nothing remembered of it.

        Returns:
            Whether it was not held to these masks before: what was compiled of the model's training step knows nothing
            of them then, see `Model.make_train_function`.
        """
        optimizer = unwrapped(optimizer)
        self._look_up_starts(optimizer)
        known = vars(optimizer).get(HELD)
        vars(optimizer)[HELD] = self  # past Keras' tracking: it is no state of the optimizer
        if known is None:
            vars(optimizer)["apply_gradients"] = _held(optimizer, optimizer.apply_gradients)
        return known is not self

    def release(self) -> None:
        """Gives the kernels back the constraints that they had; they may leave zero from then on."""
        for name, kernel, _ in self._vars:
            _set_constraint(kernel, self._own[name])

    def applied(self, optimizer: keras.optimizers.Optimizer, apply: Callable[[list], Any], pairs: Pairs) -> Any:
        """Does a step of an optimizer with masked gradients; what is pruned is as it was before, whatever the step did.

        Args:
            optimizer: that makes the step.
            apply: does it, given the gradients and their variables.
            pairs: those.
        """
        pairs = [(self._masked(gradient, variable), variable) for gradient, variable in pairs]
        with self._unconstrained():
            result = apply(pairs)
        self._enforce(optimizer, {_key(variable) for gradient, variable in pairs if gradient is not None})
        return result

    def _masked(self, gradient: Any, variable: tf.Variable) -> Any:
        mask = self._masks.get(_key(variable))
        if mask is None or gradient is None:
            return gradient
        if isinstance(gradient, tf.IndexedSlices):  # of a lookup: the gradients of some rows
            values = _where(tf.gather(mask, gradient.indices), gradient.values)
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return _where(mask, gradient)

    def _enforce(self, optimizer: keras.optimizers.Optimizer | None, keys: set[Any]) -> None:
        for _, kernel, mask in self._vars:
            if kernel._unique_id not in keys:
                continue
            variable = getattr(kernel, "_variable", kernel)  # under mixed precision Keras wraps the real one
            variable.assign(_where(mask, tf.convert_to_tensor(variable)))
            remembered = slots(optimizer, kernel)
            starts = vars(unwrapped(optimizer))[STARTS][len(kernel.shape)] if remembered else ()
            for slot, start in zip(remembered, starts or [0.0] * len(remembered), strict=True):
                slot.assign(_where(mask, tf.convert_to_tensor(slot), start))

    def _look_up_starts(self, optimizer: keras.optimizers.Optimizer | None) -> None:
        """Notes at an optimizer where what it remembers starts; not in a compiled step, which makes no variables."""
        if optimizer is None:
            return
        known = vars(unwrapped(optimizer)).setdefault(STARTS, {})
        known |= initial_slots(optimizer, {len(kernel.shape) for _, kernel, _ in self._vars} - known.keys())

    def _constrain(self) -> None:
        for name, kernel, mask in self._vars:
            _set_constraint(kernel, _masked_after(self._own[name], mask))

    @contextlib.contextmanager
    def _unconstrained(self) -> Iterator[None]:
        """Leaves the kernels their own constraints alone: old optimizers take none where gradients are of some rows."""
        self.release()
        try:
            yield
        finally:
            self._constrain()


def _held(optimizer: keras.optimizers.Optimizer, apply: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an optimizer's `apply_gradients` that goes by the masks which it is held to."""

    @functools.wraps(apply)
    def apply_gradients(grads_and_vars: Pairs, *args: Any, **kwargs: Any) -> Any:
        step = functools.partial(_step, apply, args, kwargs)
        return vars(optimizer)[HELD].applied(optimizer, step, grads_and_vars)

    return apply_gradients


def _step(apply: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any], pairs: list) -> Any:
    return apply(pairs, *args, **kwargs)


def _key(variable: tf.Variable) -> Any:
    """Returns what a variable is known by; None while a model is being saved, when variables stand for others."""
    return getattr(variable, "_unique_id", None)


def _where(mask: tf.Tensor, values: tf.Tensor, otherwise: float = 0.0) -> tf.Tensor:
    """Returns the values where the mask is set. No product: what is no number any more is zero there all the same."""
    return tf.where(mask, values, tf.constant(otherwise, values.dtype))


def _masked_after(inner: Callable | None, mask: tf.Variable) -> Callable[[tf.Tensor], tf.Tensor]:
    def constraint(kernel: tf.Tensor) -> tf.Tensor:
        return _where(mask, tf.convert_to_tensor(kernel if inner is None else inner(kernel)))

    return constraint


def _set_constraint(kernel: tf.Variable, constraint: Callable | None) -> None:
    variable = getattr(kernel, "_variable", kernel)  # under mixed precision Keras wraps the real one
    for own in getattr(variable, "values", (variable,)):  # that of each device, where a strategy mirrors it
        own._constraint = constraint
