"""The kernels, masks and weights of a model as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.kernel_names import named_kernels, other_weights
from tfprune.adapters.tf_keras.masking import InPlaceMasks
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.adapters.tf_keras.wrapping import masked_layers
from tfprune.pruning.scores import LazyArrays


def kernel_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns the prunable kernels by name; of a masked model those with masks, of a plain one all."""
    if masked := masked_layers(model):
        return {name: kernel for layer in masked for name, kernel, _ in layer.named_vars()}
    return {kernel.name: kernel.variable for kernel in named_kernels(model)}


def prunable_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns all that can be pruned by name, masked or not: kernels, and weights that can be included."""
    return {own.name: own.variable for own in (*named_kernels(model), *other_weights(model))}


def mask_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns the masks of a masked model by kernel name."""
    return {name: mask for layer in masked_layers(model) for name, _, mask in layer.named_vars()}


def kernels(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the values of the prunable kernels by name."""
    return {name: variable.numpy() for name, variable in kernel_variables(model).items()}


def lazy_kernels(model: keras.Model) -> LazyArrays:
    """Returns the same as `kernels`, each read when it is asked for: as they stand then."""
    variables = kernel_variables(model)
    return LazyArrays(variables, lambda name: variables[name].numpy())


def get_masks(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the masks of a masked model by kernel name, uint8."""
    return {name: mask.numpy().astype(np.uint8) for name, mask in mask_variables(model).items()}


def set_masks(model: keras.Model, masks: Mapping[str, np.ndarray]) -> None:
    """Puts masks on a masked model: kernels become zero where they are, what the optimizer remembers starts anew."""
    optimizer = getattr(model, "optimizer", None)
    for layer in masked_layers(model):
        if isinstance(layer, InPlaceMasks):
            layer.set(masks, optimizer)
            continue
        for name, kernel, mask in layer.named_vars():
            mask.assign(masks[name].astype(mask.dtype.as_numpy_dtype))
            for variable in (kernel, *slots(optimizer, kernel)):
                variable.assign(variable * tf.cast(mask, variable.dtype))


def get_weights(model: keras.Model) -> list[np.ndarray]:
    """Returns copies of all weights in the order of the layers, as the model without wrappers has them: no masks."""
    return [weight.copy() for layer in model.layers for weight in layer.get_weights()]


def set_weights(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Puts back what `get_weights` returned; what the masks prune stays zero."""
    rest = iter(weights)
    for layer in model.layers:
        # A wrapper's get_weights and set_weights are those of its layer: without masks, steps and thresholds.
        type(layer).set_weights(layer, [next(rest) for _ in layer.get_weights()])  # without a word on masks
    set_masks(model, get_masks(model))
