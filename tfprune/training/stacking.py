"""Many networks as one model: the same layers with other weights, side by side on the last axis.

Networks of a few hundred weights leave a processor idle; a hundred of them at once cost little more than
one. Nothing passes from one network to another, so each comes out as if it had been trained alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.layer_traits import activation_traits, traits_of
from tfprune.adapters.rebuilding import rebuilt
from tfprune.data._base import Split
from tfprune.pruning.masks import Arrays
from tfprune.training.pruner import Networks

SMALL_KERNEL = 128  # weights; up to here a product that runs over the networks in its innermost loop is faster
PENALTIES = (
    *("kernel_regularizer", "bias_regularizer", "activity_regularizer"),
    *("kernel_constraint", "bias_constraint"),
)  # of a whole weight or output, which would be that of all networks


class StackedDense(keras.layers.Layer):
    """`Dense` for several networks: [examples, inputs, networks] to [examples, units, networks].

    Args:
        units: outputs of each network.
        activation, use_bias: as those of `Dense`.
    """

    def __init__(self, units: int, activation: Any = None, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias

    def build(self, input_shape: tuple[int | None, int, int]) -> None:
        _, inputs, networks = input_shape
        self.kernel = self.add_weight("kernel", (inputs, self.units, networks))
        self.bias = self.add_weight("bias", (self.units, networks)) if self.use_bias else None
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        if inputs.shape[1] * self.units <= SMALL_KERNEL:
            outputs = tf.reduce_sum(inputs[:, :, tf.newaxis, :] * self.kernel[tf.newaxis], axis=1)
        else:
            outputs = tf.einsum("bis,ios->bos", inputs, self.kernel)
        return self.activation(outputs + self.bias if self.use_bias else outputs)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "activation": keras.activations.serialize(self.activation)}
        return super().get_config() | own | {"use_bias": self.use_bias}


def stackable(model: keras.Model) -> bool:
    """Returns whether a model is made of what `stack` knows: a chain of dense and elementwise layers on features."""
    chain = isinstance(model, keras.Sequential) or all(
        len(layer.inbound_nodes) == len(layer.inbound_nodes[0].keras_inputs) == 1 for layer in model.layers[1:]
    )
    return chain and len(model.input_shape) == 2 and all(map(_known, model.layers))


def _known(layer: keras.layers.Layer) -> bool:
    activation = activation_traits(getattr(layer, "activation", None))
    penalties = any(getattr(layer, name, None) for name in PENALTIES)
    return traits_of(layer).stackable and not penalties and activation is not None and activation.stackable


def stack(model: keras.Model, networks: int) -> keras.Model:
    """Returns a model of several networks like `model`: [examples, features, networks] to [examples, networks, logits].

    Args:
        model: one that is `stackable`; its weights are not taken over, see `stack_weights`.
        networks: how many.
    """
    inputs = x = keras.layers.Input((*model.input_shape[1:], networks), name=model.input_names[0])
    for layer in model.layers:
        if type(layer) is keras.layers.Dense:
            x = StackedDense(layer.units, layer.activation, layer.use_bias, name=layer.name)(x)
        elif not isinstance(layer, keras.layers.InputLayer):
            x = rebuilt(layer)(x)
    return keras.Model(inputs, keras.layers.Permute((2, 1), name="networks_first")(x), name=model.name)


def stack_weights(weights: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Puts the weights of networks side by side: `[network][weight]` to `[weight]`, networks last."""
    return [np.stack(arrays, axis=-1) for arrays in zip(*weights, strict=True)]


def unstack(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Returns the arrays of each network, which lie on the last axis of `arrays`."""
    networks = next(iter(arrays.values())).shape[-1]
    return [{name: array[..., n] for name, array in arrays.items()} for n in range(networks)]


def stack_splits(splits: Sequence[Split]) -> Split:
    """Puts the examples that networks learn from side by side, networks last."""
    return Split(np.stack([split.x for split in splits], -1), np.stack([split.y for split in splits], -1))


class StackedNetworks(Networks):
    """Networks that lie on the last axis of all arrays, see `stacking`. One that is lost does not stop the others."""

    def unstack(self, arrays: Arrays) -> list[Arrays]:
        return unstack(arrays)

    def stack(self, arrays: Sequence[Arrays]) -> Arrays:
        return {name: np.stack([own[name] for own in arrays], axis=-1) for name in arrays[0]}

    def gradients(self, slopes: Arrays, number: int) -> Arrays:
        return {name: np.nan_to_num(slope[..., number]) for name, slope in slopes.items()}

    def finite(self, weights: Arrays) -> Arrays:
        return {name: np.nan_to_num(kernel) for name, kernel in weights.items()}

    def sparsity(self, masks: Arrays) -> Any:
        alive = sum(np.count_nonzero(mask, axis=tuple(range(mask.ndim - 1))) for mask in masks.values())
        return 1 - alive / sum(mask[..., 0].size for mask in masks.values())

    def alive(self, mask: np.ndarray) -> Any:
        return np.mean(mask, axis=tuple(range(mask.ndim - 1)), dtype=np.float64)
