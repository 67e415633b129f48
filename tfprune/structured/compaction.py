"""Removes the channels that pruning single weights has left dead."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.layer_traits import traits_of
from tfprune.adapters.tf_keras.copies import check_model
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel
from tfprune.structured.channels import Channels, channels
from tfprune.structured.surgery import remove_groups
from tfprune.utils.errors import ModelError

TOLERANCE = 1e-5  # largest difference of an output, of the largest output
PROBES = 4  # random inputs on which a channel that nothing makes is watched


@dataclasses.dataclass(frozen=True)
class Compaction:
    """What a compaction came to.

    Attributes:
        model: the smaller model.
        widths: group of channels -> how many there were and how many are left.
        parameters, multiplications: before and after.
    """

    model: keras.Model
    widths: dict[str, tuple[int, int]]
    parameters: tuple[int, int]
    multiplications: tuple[int, int]

    @property
    def removed(self) -> int:
        """Channels that are gone."""
        return sum(before - after for before, after in self.widths.values())


def compact(model: keras.Model) -> Compaction:
    """Removes the channels of a model that do nothing, which leaves its answers as they are.

    A channel does nothing if no weight reads it, or if no weight makes it: then it is the same number everywhere (its
    bias, through BatchNorm and activation), which is zero or goes into the biases of the layers that read it. Where one
    of those has no bias, or pads its input so that the number is not the same everywhere, the channel stays.

    Args:
        model: a tf_keras model, functional or sequential. It is not changed.

    Raises:
        ModelError: the model cannot be copied, or the smaller one answers differently.
    """
    check_model(model)
    found = _exact(channels(model))
    folded = remove_groups(model, {})
    constant = _constant(found, model)
    read = _used(found, model, made=False)
    removed = {}
    for name, group in found.free.items():
        dead = [place for place, label in enumerate(group.channels) if label in constant or label not in read]
        removed[name] = dead[: len(group) - 1]
    gone = {int(found.free[name].channels[place]) for name, places in removed.items() for place in places}
    for layer, biases in _folds(found, model, constant.keys() & gone):
        folded.get_layer(layer).bias.assign_add(biases)
    smaller = remove_groups(folded, removed)
    _check(model, smaller)
    return Compaction(
        smaller,
        {name: (len(group), len(group) - len(removed[name])) for name, group in found.free.items()},
        (model.count_params(), smaller.count_params()),
        tuple(sum(count for count, _ in macs_per_kernel(own).values()) for own in (model, smaller)),
    )


def _exact(found: Channels) -> Channels:
    """Returns channels of which those stay whose going would change what others are."""
    groups = [dataclasses.replace(group, protected=group.protected or group.inexact) for group in found.groups]
    return dataclasses.replace(found, groups=tuple(groups))


def _kernels(found: Channels, model: keras.Model) -> Iterator[tuple[keras.layers.Layer, np.ndarray, int, int]]:
    """Yields the kernels that read channels and make others: layer, values, id of the weight, axis that makes."""
    for layer in leaf_layers(model):
        for weight in layer.weights:
            if id(weight) in found.made:
                yield layer, weight.numpy(), id(weight), found.made[id(weight)]


def _used(found: Channels, model: keras.Model, *, made: bool) -> set[int]:
    """Returns the channels that a weight which is not zero makes or, without `made`, reads."""
    used: set[int] = set()
    for _, kernel, weight, axis in _kernels(found, model):
        for own, labels in found.axes[weight].items():
            if (own == axis) == made:
                others = tuple(other for other in range(kernel.ndim) if other != own)
                used |= set(map(int, labels[np.any(kernel, axis=others)]))
    return used


def _constant(found: Channels, model: keras.Model) -> dict[int, float]:
    """Returns the channels that nothing makes and that all readers can do without -> their value."""
    unmade = {int(label) for group in found.free.values() for label in group.channels} - _used(found, model, made=True)
    values: dict[int, set[float]] = {label: set() for label in unmade}
    for layer, _, weight, axis in _kernels(found, model) if unmade else ():
        for own, labels in found.axes[weight].items():
            if own != axis and unmade & set(map(int, labels)):
                for label, value in zip(labels, _watched(model, layer, len(labels)), strict=True):
                    if int(label) in unmade:
                        values[int(label)].add(value if _takes(layer) or value == 0 else np.nan)
    return {label: next(iter(seen)) for label, seen in values.items() if len(seen) == 1 and not np.isnan([*seen]).any()}


def _watched(model: keras.Model, layer: keras.layers.Layer, count: int) -> np.ndarray:
    """Returns the value of each channel that a layer reads, nan where it is not the same for all places and inputs."""
    if layer not in model.layers or len(layer.inbound_nodes) != 1:  # within another model, or called twice
        return np.full(count, np.nan)
    seen = np.asarray(keras.Model(model.inputs, layer.input)(_probes(model), training=False))
    seen = seen.reshape(-1, seen.shape[-1])
    if len(seen[0]) != count:
        return np.full(count, np.nan)
    return np.where(np.ptp(seen, axis=0) == 0, seen[0], np.nan)


def _takes(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer can take a constant input over into its bias."""
    if not traits_of(layer).takes_constants or not layer.use_bias:
        return False
    return getattr(layer, "padding", "valid") == "valid" or max(layer.kernel_size) == 1


def _folds(found: Channels, model: keras.Model, gone: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the layers that read constant channels, with what goes into their biases."""
    for layer, kernel, weight, axis in _kernels(found, model) if gone else ():
        for own, labels in found.axes[weight].items():
            constant = np.isin(labels, list(gone))
            if own != axis and constant.any() and _takes(layer):
                values = np.where(constant, np.nan_to_num(_watched(model, layer, len(labels))), 0.0)
                yield layer.name, np.tensordot(values, kernel, (0, own)).reshape(-1, kernel.shape[axis]).sum(axis=0)


def _check(model: keras.Model, smaller: keras.Model) -> None:
    inputs = _probes(model, seed=1)
    outputs = [
        np.concatenate([np.ravel(out) for out in tf.nest.flatten(own(inputs, training=False))])
        for own in (model, smaller)
    ]
    difference = float(np.max(np.abs(outputs[1] - outputs[0])) / max(1.0, np.max(np.abs(outputs[0]))))
    if not difference <= TOLERANCE:
        raise ModelError(f"model {model.name} without its dead channels answers differently, by {difference:.2g}")


def _probes(model: keras.Model, seed: int = 0) -> list[np.ndarray]:
    """Returns random inputs: numbers, row numbers that every lookup has, and words."""
    random, inputs = np.random.default_rng(seed), []
    sizes = [layer.input_dim for layer in leaf_layers(model) if hasattr(layer, "input_dim") and layer.input_dim]
    sizes += [layer.num_tokens for layer in leaf_layers(model) if getattr(layer, "num_tokens", None)]
    words = [
        str(word)
        for layer in leaf_layers(model)
        if hasattr(layer, "get_vocabulary")
        for word in layer.get_vocabulary()[:100]
    ]
    for tensor in model.inputs:
        shape = (PROBES, *(side or 8 for side in tensor.shape[1:]))
        if tensor.dtype == tf.string:
            inputs.append(tf.constant(random.choice([*words, "?"], shape).tolist()))
        elif tensor.dtype.is_integer:
            inputs.append(random.integers(0, min([256, *sizes]), shape).astype(tensor.dtype.as_numpy_dtype))
        else:
            inputs.append(random.normal(size=shape).astype(tensor.dtype.as_numpy_dtype))
    return inputs
