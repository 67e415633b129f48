"""The wrapper around layers of built-in models that holds their masks: tfmot's, which keeps weights at zero otherwise.

What stock tfmot does inside the graph (count steps, sort every kernel, write the masked kernel back
before each forward pass) is not done here. A `Masked` layer multiplies the gradients of its kernels by
their masks, so that a pruned weight is not pulled anywhere; a constraint multiplies the kernels after
each optimizer step. Together with emptied optimizer slots (see `set_masks`) a pruned weight is zero
whenever anyone can look, under every optimizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tfprune.adapters.backend import keras, tf, tfmot_wrapper
from tfprune.adapters.tf_keras.layers import kernel_attributes
from tfprune.adapters.tf_keras.schedules import PruneAtSteps, no_pruning


@keras.utils.register_keras_serializable("tfprune")
class Masked(tfmot_wrapper.PruneLowMagnitude):
    """tfmot's pruning wrapper, with masks that change only when `set_masks` is called.

    Args:
        layer: a layer with prunable kernels.
        pruning_schedule: what a training under this wrapper is pruned by; kept with the layer.
    """

    def __init__(self, layer: keras.layers.Layer, pruning_schedule: PruneAtSteps | None = None, **kwargs: Any) -> None:
        attributes = kernel_attributes(layer)
        # An instance attribute: tfmot asks for this method before it looks the layer up in its own table.
        layer.get_prunable_weights = lambda: [getattr(layer, name) for name in attributes]
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, pruning_schedule or no_pruning(), **kwargs)
        self.attributes = attributes

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        for kernel, mask, _ in self.pruning_vars:
            _constrain(kernel, mask)

    def add_weight(self, name: str | None = None, **kwargs: Any) -> tf.Variable:
        """Gives each of several masks a name of its own; tfmot calls them all alike, and HDF5 takes no two."""
        self._names = [*getattr(self, "_names", ()), name]
        return super().add_weight(f"{name}_{self._names.count(name)}", **kwargs)

    def call(self, inputs: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        with self._masked_kernels():
            return self.layer(inputs, **kwargs)

    @contextlib.contextmanager
    def _masked_kernels(self) -> Iterator[None]:
        """Lets the layer see `kernel * mask`. Through `__dict__`, which Keras' tracking does not notice."""
        names = [name for name in self.attributes if name in self.layer.__dict__]
        kernels = {name: self.layer.__dict__[name] for name in names}
        masks = {id(kernel): mask for kernel, mask, _ in self.pruning_vars}
        try:
            for name, kernel in kernels.items():
                # A product, so that the gradient is masked too. `tf.custom_gradient` would save it, and keeps every
                # graph that it was ever traced in.
                self.layer.__dict__[name] = kernel * tf.cast(masks[id(kernel)], kernel.dtype)
            yield
        finally:
            self.layer.__dict__.update(kernels)

    def named_vars(self) -> Iterator[tuple[str, tf.Variable, tf.Variable]]:
        """Yields each kernel's name (`"dense_1/kernel"`), the kernel and its mask."""
        for name, (kernel, mask, _) in zip(self.attributes, self.pruning_vars, strict=True):
            yield f"{self.layer.name}/{name}", kernel, mask


def _constrain(kernel: tf.Variable, mask: tf.Variable) -> None:
    """Masks a kernel after each step, after what it is constrained to otherwise."""
    inner = kernel.constraint

    def constraint(kernel: tf.Tensor) -> tf.Tensor:
        kernel = kernel if inner is None else inner(kernel)
        return kernel * tf.cast(mask, kernel.dtype)

    variable = getattr(kernel, "_variable", kernel)  # under mixed precision Keras wraps the real one
    for own in getattr(variable, "values", (variable,)):  # that of each device, where a strategy mirrors it
        own._constraint = constraint
