"""Removes the channels that pruning single weights has left dead."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.channels import Channels, channels
from tfprune.structured.labels import goes, rows_of
from tfprune.structured.surgery import remove_groups
from tfprune.utils.errors import ModelError

TOLERANCE = 1e-5  # largest difference of an output, of the largest output
STEPPING = (
    "recurrent",
    "convolutional",
    "both directions",
    "attention",
    "grouped attention",
)  # rules of layers with others inside
PROBES = 4  # random inputs on which a channel that nothing makes is watched


@dataclasses.dataclass(frozen=True)
class Compaction:
    """What a compaction came to.

    Attributes:
        model: the smaller model.
        widths: group of channels -> how many there were and how many are left.
        parameters, multiplications: before and after.
    """

    model: Any
    widths: dict[str, tuple[int, int]]
    parameters: tuple[int, int]
    multiplications: tuple[int, int]

    @property
    def removed(self) -> int:
        """Channels that are gone."""
        return sum(before - after for before, after in self.widths.values())


def compact(model: Any) -> Compaction:
    """Removes the channels of a model that do nothing, which leaves its answers as they are.

    A channel does nothing if no weight reads it, or if no weight makes it: then it is the same number everywhere (its
    bias, through BatchNorm and activation), which is zero or goes into the biases of the layers that read it. Where one
    of those has no bias, or pads its input so that the number is not the same everywhere, the channel stays.

    Args:
        model: of Keras 3 or tf_keras, functional or sequential. It is not changed.

    Raises:
        ModelError: the model cannot be copied, or the smaller one answers differently.
    """
    graphs = adapter_of(model).graphs
    graphs.check(model)
    found = _exact(channels(model), model)
    folded = remove_groups(model, {})
    constant = _constant(found, model)
    read = _used(found, model, made=False) | found.read
    removed = {}
    for name, group in found.free.items():
        dead = [place for place, label in enumerate(group.channels) if label in constant or label not in read]
        while emptied := group.emptied(dead):
            dead.remove(next(place for place in emptied[0] if place in dead))
        removed[name] = dead[: len(group) - 1]
    gone = {int(found.free[name].channels[place]) for name, places in removed.items() for place in places}
    for layer, biases in _folds(found, model, constant.keys() & gone):
        bias = folded.get_layer(layer).bias
        graphs.assign(bias, graphs.numbers(bias) + biases)
    smaller = remove_groups(folded, removed)
    _check(model, smaller)
    return Compaction(
        smaller,
        {name: (len(group), len(group) - len(removed[name])) for name, group in found.free.items()},
        (graphs.parameters(model), graphs.parameters(smaller)),
        tuple(sum(graphs.macs_per_kernel(own).values()) for own in (model, smaller)),
    )


def _exact(found: Channels, model: Any) -> Channels:
    """Returns channels of which those stay whose going would change what others are, or that layers make of steps."""
    stepping: set[int] = set()
    for layer in adapter_of(model).graphs.leaf_layers(model):
        if traits_of(layer).channels in STEPPING:
            for weight in layer.weights:
                stepping |= {int(own) for labels in found.axes.get(id(weight), {}).values() for own in labels.ravel()}
    groups = [
        dataclasses.replace(
            group,
            protected=group.protected
            or group.inexact
            or ("a layer has them inside of it" if stepping & set(map(int, group.channels)) else None),
        )
        for group in found.groups
    ]
    return dataclasses.replace(found, groups=tuple(groups))


def _kernels(found: Channels, model: Any) -> Iterator[tuple[Any, np.ndarray, int, int]]:
    """Yields the kernels that read channels and make others: layer, values, id of the weight, axis that makes."""
    graphs = adapter_of(model).graphs
    for layer in graphs.leaf_layers(model):
        for weight in layer.weights:
            for axis in found.made.get(id(weight), ()):
                yield layer, graphs.numbers(weight), id(weight), axis


def _used(found: Channels, model: Any, *, made: bool) -> set[int]:
    """Returns the channels that a kernel makes, or those that one reads."""
    used: set[int] = set()
    for _, kernel, weight, axis in _kernels(found, model):
        for own, labels in found.axes[weight].items():
            if (own == axis) == made:
                others = tuple(other for other in range(kernel.ndim) if other != own)
                for row in rows_of(labels):
                    used |= set(map(int, row[np.any(kernel, axis=others)]))
    return used


def _constant(found: Channels, model: Any) -> dict[int, float]:
    """Returns the channels that nothing makes and that all readers can do without -> their value."""
    unmade = {int(label) for group in found.free.values() for label in group.channels} - _used(found, model, made=True)
    values: dict[int, set[float]] = {label: set() for label in unmade}
    for layer, _, weight, axis in _kernels(found, model) if unmade else ():
        for own, labels in found.axes[weight].items():
            if own != axis and unmade & set(map(int, labels.ravel())):
                seen = _watched(model, layer, labels.shape[-1])
                for row in rows_of(labels):
                    for label, value in zip(row, seen, strict=True):
                        if int(label) in unmade:
                            values[int(label)].add(value if _takes(layer) or value == 0 else np.nan)
    for label in found.read & unmade:
        values[label].add(np.nan)
    return {label: next(iter(seen)) for label, seen in values.items() if len(seen) == 1 and not np.isnan([*seen]).any()}


def _watched(model: Any, layer: Any, count: int) -> np.ndarray:
    """Returns the value of each channel that a layer reads, nan where it is not the same for all places and inputs."""
    graphs = adapter_of(model).graphs
    nodes = [node for node in graphs.graph(model).nodes if node.layer is layer]
    if len(nodes) != 1 or len(nodes[0].inputs) != 1:  # within another model, or called twice
        return np.full(count, np.nan)
    (seen,) = graphs.values_at(model, nodes[0].inputs, _probes(model))
    seen = seen.reshape(-1, seen.shape[-1])
    if len(seen[0]) != count:
        return np.full(count, np.nan)
    return np.where(np.ptp(seen, axis=0) == 0, seen[0], np.nan)


def _takes(layer: Any) -> bool:
    """Returns whether a layer can take a constant input over into its bias."""
    if not traits_of(layer).takes_constants or not layer.use_bias:
        return False
    return getattr(layer, "padding", "valid") == "valid" or max(layer.kernel_size) == 1


def _folds(found: Channels, model: Any, gone: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the layers that read constant channels, with what goes into their biases."""
    for layer, kernel, weight, axis in _kernels(found, model) if gone else ():
        for own, labels in found.axes[weight].items():
            constant = goes(labels, np.array(sorted(gone), int))
            if own != axis and constant.any() and _takes(layer):
                values = np.where(constant, np.nan_to_num(_watched(model, layer, labels.shape[-1])), 0.0)
                yield layer.name, np.tensordot(values, kernel, (0, own)).reshape(-1, kernel.shape[axis]).sum(axis=0)


def _check(model: Any, smaller: Any) -> None:
    graphs, inputs = adapter_of(model).graphs, _probes(model, seed=1)
    outputs = []
    for own in (model, smaller):
        found = graphs.values_at(own, graphs.graph(own).outputs, inputs)
        outputs.append(np.concatenate([np.ravel(out) for out in found]))
    difference = float(np.max(np.abs(outputs[1] - outputs[0])) / max(1.0, np.max(np.abs(outputs[0]))))
    if not difference <= TOLERANCE:
        raise ModelError(f"model {model.name} without its dead channels answers differently, by {difference:.2g}")


def _probes(model: Any, seed: int = 0) -> list[Any]:
    """Returns random inputs: numbers, row numbers that every lookup has, and words."""
    graphs = adapter_of(model).graphs
    layers = list(graphs.leaf_layers(model))
    sizes = [layer.input_dim for layer in layers if hasattr(layer, "input_dim") and layer.input_dim]
    sizes += [layer.num_tokens for layer in layers if getattr(layer, "num_tokens", None)]
    words = [str(word) for own in layers if hasattr(own, "get_vocabulary") for word in own.get_vocabulary()[:100]]
    return graphs.probes(graphs.graph(model).inputs, PROBES, seed, min([256, *sizes]), words)
