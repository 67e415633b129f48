"""What suits a network no more when channels have gone: its dropout rates, and BatchNorm's statistics."""

from __future__ import annotations

from typing import Any

from tfprune.adapters import adapter_of
from tfprune.adapters.layer_traits import traits_of
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
        self._known = {layer.name: (_rate(layer), width) for layer, width in _dropouts(model)}

    def scale(self, smaller: Any) -> None:
        """Sets the rates of a narrower version of the model, before its training step is compiled."""
        for layer, width in _dropouts(smaller):
            rate, inputs = self._known[layer.name]
            setattr(layer, traits_of(layer).rate, rate * width / inputs)


def _dropouts(model: Any) -> list[tuple[Any, int]]:
    """Returns the layers that drop out, those of nested models too, with how many channels they see at first."""
    graphs, found = adapter_of(model).graphs, {}
    for node in graphs.graph(model).nodes if graphs.has_graph(model) else ():
        if graphs.has_graph(node.layer):
            found |= {id(layer): (layer, width) for layer, width in _dropouts(node.layer) if id(layer) not in found}
        elif traits_of(node.layer).rate == "rate" and id(node.layer) not in found:
            found[id(node.layer)] = node.layer, graphs.shape(node.inputs[0])[-1]
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
