"""What differs between TensorFlow, JAX and PyTorch under Keras 3."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.backend import tf


def name() -> str:
    """Returns `tensorflow`, `jax` or `torch`."""
    return str(keras.backend.backend())


def sync(model: keras.Model) -> None:
    """Puts what a training has come to into the model's variables: on JAX they are empty in the middle of an epoch."""
    if name() == "jax":
        model.jax_state_sync()


def seed(number: int) -> None:
    """Seeds what PyTorch draws from where Keras gives it no generator, as for dropout; other backends have no such."""
    if name() == "torch":
        import torch

        seeded = torch if torch.accelerator.is_available() else torch.default_generator  # that of the processor alone
        seeded.manual_seed(number)


def hands_over_state() -> bool:
    """Returns whether a compiled step knows only the variables that it is handed; others would be constants to it."""
    return name() == "jax"


def scope(model: keras.Model) -> contextlib.AbstractContextManager[Any]:
    """Returns where variables are made that go with those of a model: TensorFlow's strategy, if it has one."""
    return model.distribute_strategy.scope() if name() == "tensorflow" else contextlib.nullcontext()


def numbers(variable: Any) -> np.ndarray:
    """Returns a copy of the values of a variable; those that NumPy has no type for as float32."""
    return array(variable.value)


def array(tensor: Any) -> np.ndarray:
    """Returns a copy of the values of a tensor; those that NumPy has no type for as float32."""
    values = keras.ops.convert_to_numpy(tensor)
    return np.array(values, values.dtype if values.dtype.kind in "biufc" else np.float32)


def masked(gradient: Any, mask: keras.Variable) -> Any:
    """Returns a gradient that is zero where the mask is."""
    if hasattr(gradient, "indices") and hasattr(gradient, "values") and name() == "tensorflow":
        # Of a lookup: the gradients of some rows.
        values = _selected(tf.gather(mask.value, gradient.indices), gradient.values)
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return _selected(mask.value, gradient)


def _selected(mask: Any, values: Any) -> Any:
    """Does what `where` does, in less time: TensorFlow's older operation does not broadcast."""
    if name() == "torch":
        return _bits(values).bitwise_and(mask.view(_integers(1)).neg()).view(values.dtype)
    return tf.compat.v1.where(mask, values, tf.zeros_like(values)) if name() == "tensorflow" else where(mask, values)


def _integers(size: int) -> Any:
    """Returns PyTorch's type of integers of as many bytes."""
    import torch

    return {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]


def _bits(values: Any) -> Any:
    """Returns a tensor of PyTorch as integers; to clear their bits takes a tenth of the time of `where`."""
    return values.detach().view(_integers(values.element_size()))


def where(mask: Any, values: Any, otherwise: float = 0.0) -> Any:
    """Returns the values where the mask is set. No product: what is no number any more is zero there all the same."""
    return keras.ops.where(mask, values, keras.ops.cast(otherwise, values.dtype))


def keep(mask: keras.Variable, *variables: keras.Variable, starts: Sequence[float] = ()) -> None:
    """Puts variables to where they start, by default zero, where the mask of all of them is zero."""
    starts = starts or [0.0] * len(variables)
    if name() == "torch":
        _keep_on_torch(mask.value, [own.value for own in variables], starts)
        return
    replicas = name() == "tensorflow" and tf.distribute.get_strategy().num_replicas_in_sync > 1
    for variable, start in zip(variables, starts, strict=True):
        if replicas:
            _keep_on_replicas(variable.value, mask.value, start)
        else:
            variable.assign(where(mask.value, variable.value, start))


def _keep_on_torch(mask: Any, tensors: Sequence[Any], starts: Sequence[float]) -> None:
    every_or_no_bit = {}  # by the size of a number
    for tensor, start in zip(tensors, starts, strict=True):
        if start:
            tensor.detach().masked_fill_(mask.logical_not(), start)
            continue
        bits = _bits(tensor)
        if bits.dtype not in every_or_no_bit:
            every_or_no_bit[bits.dtype] = mask.view(_integers(1)).neg().to(bits.dtype)
        bits.bitwise_and_(every_or_no_bit[bits.dtype])


def slowed_by_zeros() -> bool:
    """Returns whether arithmetic with zeros takes longer: PyTorch takes six times as long for their roots."""
    return name() == "torch"


def guards(model: keras.Model) -> bool:
    """Returns whether `guard` is worth it: on JAX a mask in each step costs nothing, on several devices it is none."""
    return name() == "tensorflow" and model.distribute_strategy.num_replicas_in_sync == 1


def guard(variable: keras.Variable, mask: keras.Variable) -> None:
    """Lets a variable take zeros alone where its mask is zero, whoever assigns it; steps of optimizers go past that."""
    assign = type(variable)._direct_assign.__get__(variable)
    vars(variable)["_direct_assign"] = lambda value: assign(where(mask.value, tf.cast(value, variable.value.dtype)))


def unguard(variable: keras.Variable) -> None:
    """Undoes `guard`."""
    vars(variable).pop("_direct_assign", None)


def settle(variable: keras.Variable) -> None:
    """Waits until a variable has its values: JAX would take memory for many that are yet to be computed."""
    if name() == "jax":
        variable.value.block_until_ready()


def _keep_on_replicas(variable: Any, mask: Any, otherwise: float) -> None:
    """Does so on each device, from where a step is made for one of them or for all."""

    def on_all(strategy: Any, variable: Any, mask: Any) -> None:
        strategy.extended.update(variable, lambda own, m: own.assign(where(m, own, otherwise)), args=(mask,))

    if tf.distribute.in_cross_replica_context():
        on_all(tf.distribute.get_strategy(), variable, mask)
    else:
        tf.distribute.get_replica_context().merge_call(on_all, args=(variable, mask))


def own_memory(variables: Sequence[keras.Variable]) -> None:
    """Gives variables memory of their own: JAX takes no step where two share some, as a weight and its average do."""
    if name() == "jax":
        for variable in variables:
            if variable._value is not None:  # as it is where a step has failed
                variable.assign(keras.ops.copy(variable.value))


def precise() -> contextlib.AbstractContextManager[Any]:
    """Returns where float64 is what it says: on JAX it is float32 elsewhere."""
    if name() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


Function = Callable[[Sequence[Any]], Any]  # tensors -> a scalar


def gradients(function: Function, values: Sequence[Any]) -> list[Any]:
    """Returns the derivatives of a function with respect to each of some tensors; zeros where it does not use one."""
    if name() == "jax":
        import jax

        return list(jax.grad(lambda own: function(own))(list(values)))
    if name() == "torch":
        import torch

        own = [value.detach().clone().requires_grad_(True) for value in values]
        found = torch.autograd.grad(function(own), own, allow_unused=True)
        return [torch.zeros_like(v) if g is None else g.detach() for g, v in zip(found, own, strict=True)]
    own = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(own)
        result = function(own)
    return [tf.convert_to_tensor(g) for g in tape.gradient(result, own, unconnected_gradients="zero")]


def hessian_gradients(function: Function, values: Sequence[Any]) -> list[Any]:
    """Returns the product of a function's second derivatives and its gradient."""
    if name() == "jax":
        import jax

        def norm(own: Sequence[Any]) -> Any:
            found = jax.grad(lambda inner: function(inner))(own)
            return sum((g * jax.lax.stop_gradient(g)).sum() for g in found)

        return list(jax.grad(norm)(list(values)))
    if name() == "torch":
        import torch

        own = [value.detach().clone().requires_grad_(True) for value in values]
        found = torch.autograd.grad(function(own), own, allow_unused=True, create_graph=True)
        products = [(g * g.detach()).sum() for g in found if g is not None]
        twice = torch.autograd.grad(sum(products), own, allow_unused=True)
        return [torch.zeros_like(v) if g is None else g.detach() for g, v in zip(twice, own, strict=True)]
    own = [tf.convert_to_tensor(value) for value in values]
    with tf.GradientTape() as outer:
        outer.watch(own)
        with tf.GradientTape() as inner:
            inner.watch(own)
            result = function(own)
        found = [tf.convert_to_tensor(g) for g in inner.gradient(result, own, unconnected_gradients="zero")]
        product = sum(tf.reduce_sum(g * tf.stop_gradient(g)) for g in found)
    return [tf.convert_to_tensor(g) for g in outer.gradient(product, own, unconnected_gradients="zero")]
