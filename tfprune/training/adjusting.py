"""What suits a network no more when channels have gone: its dropout rates, and BatchNorm's statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.channels import Channels
from tfprune.structured.labels import goes
from tfprune.structured.surgery import Removed, made_smaller
from tfprune.utils.trees import leaves, map_tree

RECALIBRATION_BATCH = 128


class Dropouts:
    """The layers of a model that drop activations out, and how fewer channels change their rates.

    A rate is multiplied by the share that is left of the layer's inputs: a rate that suits a wide layer is too high for
    a narrow one. Han et al. 2015 (arXiv:1506.02626) take the root of the share of connections that is left, which is
    the same where the layers on both sides lose the same share.

    Args:
        model: as it was built.
    """

    def __init__(self, model: Any) -> None:
        self._known = {path: (_rate(layer), width) for path, layer, width in _dropouts(model)}

    def scale(self, smaller: Any) -> None:
        """Sets the rates of a narrower version of the model, before its training step is compiled."""
        for path, layer, width in _dropouts(smaller):
            rate, inputs = self._known[path]
            setattr(layer, traits_of(layer).rate, rate * width / inputs)


def _dropouts(model: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any, int]]:
    """Returns the layers that drop out, those of nested models too, with how many channels they see at first.

    Layers in different models may have one name: each comes with its path through these.
    """
    graphs, found = adapter_of(model).graphs, {}
    for node in graphs.graph(model).nodes if graphs.has_graph(model) else ():
        own = (*path, node.layer.name)
        if graphs.has_graph(node.layer):
            for inner in _dropouts(node.layer, own):
                found.setdefault(id(inner[1]), inner)
        elif traits_of(node.layer).rate == "rate" and id(node.layer) not in found:
            found[id(node.layer)] = own, node.layer, graphs.shape(node.inputs[0])[-1]
    return list(found.values())


def _rate(layer: Any) -> float:
    return getattr(layer, traits_of(layer).rate)


def recalibrate(model: Any, inputs: Any) -> None:
    """Takes BatchNorm's moving statistics anew, from examples: when channels have gone, the old ones are off.

    They become the means, over batches, of what the layers see with nothing dropped out (Li et al. 2020, EagleEye,
    arXiv:2007.02491).

    Args:
        model: changed in place.
        inputs: examples: an array or a structure of arrays.
    """
    layers = list(adapter_of(model).graphs.leaf_layers(model))
    norms = [(layer, traits_of(layer).momentum) for layer in layers if traits_of(layer).momentum]
    noises = [(layer, traits_of(layer).rate) for layer in layers if traits_of(layer).rate]
    before = [(layer, name, getattr(layer, name)) for layer, name in (*norms, *noises)]
    for layer, name in noises:
        setattr(layer, name, 0.0)
    for number, start in enumerate(range(0, len(next(leaves(inputs))), RECALIBRATION_BATCH)):
        for layer, name in norms:
            setattr(layer, name, number / (number + 1))  # so that all batches count alike
        rows = slice(start, start + RECALIBRATION_BATCH)
        model(map_tree(lambda own: own[rows], inputs), training=True)  # noqa: B023 - called at once
    for layer, name, value in before:
        setattr(layer, name, value)


def recalibrate_zeroed(model: Any, found: Channels, removed: Removed, inputs: Any) -> None:
    """Takes BatchNorm's moving statistics anew where channels are zero, as they are once these have gone.

    Where other layers take statistics over the channels that stay, as LayerNormalization does, those are of the smaller
    model.

    Args:
        model: in which the channels are zero; changed in place.
        found: what can go of it.
        removed: the channels or branches that are zero.
        inputs: see `recalibrate`.
    """
    if not any(group.inexact and len(removed.get(group.name, ())) for group in found.groups):
        recalibrate(model, inputs)
        return
    graphs = adapter_of(model).graphs
    with graphs.scope(model):
        gone, made, pairs = made_smaller(model, removed, found)
        recalibrate(made.model, inputs)
    norms = [layer for layer in graphs.leaf_layers(model) if traits_of(layer).momentum]
    taken = {id(weight) for layer in norms for weight in layer.weights} - {
        id(weight) for layer in norms for weight in graphs.learned(layer)
    }
    for weight, smaller in pairs:
        if id(weight) in taken:
            values, axes = graphs.numbers(weight), found.of(weight).axes
            kept = [np.arange(size) for size in values.shape]
            kept = [np.flatnonzero(~goes(axes[axis], gone)) if axis in axes else own for axis, own in enumerate(kept)]
            values[np.ix_(*kept)] = graphs.numbers(smaller)
            graphs.assign(weight, values)
