"""Residual branches: what a sum adds to something else, and what a network can do without as a whole.

The counterpart of `channels` for depth (compare Xu et al. 2020, Layer Pruning via Fusible Residual Convolutional
Block, arXiv:2011.14356). All branches make one group, in which each counts as a channel that every weight of the branch
is indexed by, so that what counts and removes channels can do the same with branches. What is inside of a branch need
not be known: it goes altogether. Its end must be: where its weights are zero it has to add zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.graphs import Examples, Graphs, Node, Remade
from tfprune.adapters.layer_traits import OWN_FRAMEWORKS, activation_traits, traits_of
from tfprune.structured.channels import Channels, Group, check_graph
from tfprune.utils.errors import ConfigError, ModelError, choose_from

BRANCHES = "residual branches"  # the name of their group, which no layer can have


@dataclasses.dataclass(frozen=True, kw_only=True)
class Branches(Channels):
    """The residual branches of a model; see `channels.Channels` for what it has of that. The one group is `BRANCHES`.

    Attributes:
        inside: name of a layer -> the label of the branch that it belongs to.
        ends: name of a sum -> the labels of its inputs, -1 for those that stay.
        last: label -> the layer whose weights give what the branch adds.
    """

    inside: Mapping[str, int]
    ends: Mapping[str, tuple[int, ...]]
    last: Mapping[int, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """A branch is called after its first layer, whatever else goes; their order may be another one then."""
        return self.groups[0].producers

    def labels(self, names: Collection[str]) -> list[int]:
        """Returns the labels of branches; an unknown name is a `ModelError` that lists the known ones."""
        for name in names:
            if name not in self.names:
                raise ModelError(f"there is no residual branch {name!r}: {choose_from(name, self.names)}")
        return [self.names.index(name) for name in names]

    def without(self, gone: np.ndarray, made: Remade, weights: Sequence[tuple[Any, Any]]) -> Branches:
        """Returns the branches of the model without some."""
        return branches(made.model)

    def spared(self, layers: Collection[str]) -> list[int]:
        """Returns the labels of the branches in which one of these layers is."""
        return sorted({label for name, label in self.inside.items() if name in layers})


def branches(model: Any) -> Branches:
    """Finds the residual branches of a model, in the order of its graph; those of nested models are not looked for.

    A branch lies between an input of an `Add` layer and another input of the same sum, which it is computed from.
    Nothing else reads what is inside, nothing in it is used twice, and no other sum lies in it.

    Raises:
        ModelError: the model is subclassed or has not been built.
    """
    graphs = adapter_of(model).graphs
    check_graph(graphs, model, "find its branches")
    graph = _Branched(graphs, model)
    found: list[tuple[str, int, list[Any], Any]] = []
    for node in graph.nodes:
        for number in range(len(node.inputs)) if _is(node.layer, ("Add",)) else ():
            inside = graph.between(node, number)
            last = graph.last(node.inputs[number]) if inside else None
            if last is not None and any(graphs.kernels_of(layer) for layer in inside):
                found.append((node.layer.name, number, inside, last))
    labels = np.arange(len(found))
    ends: dict[str, list[int]] = {}
    for label, (add, number, _, _) in enumerate(found):
        ends.setdefault(add, [-1] * len(model.get_layer(add).input))[number] = label
    reason = None if found else "no sum adds one"
    return Branches(
        groups=(Group(BRANCHES, tuple(inside[0].name for _, _, inside, _ in found), labels, reason),),
        axes={
            id(weight): {0: np.full(weight.shape[0], label)}
            for label, (_, _, inside, _) in enumerate(found)
            for layer in inside
            for weight in layer.weights
        },
        made={},
        settings={},
        arguments={},
        inside={layer.name: label for label, (_, _, inside, _) in enumerate(found) for layer in inside},
        ends={add: tuple(own) for add, own in ends.items()},
        last={label: last for label, (_, _, _, last) in enumerate(found)},
    )


class _Branched:
    """Who makes and who reads each tensor of a model."""

    def __init__(self, graphs: Graphs, model: Any) -> None:
        graph = graphs.graph(model)
        self._graphs = graphs
        self.nodes = graph.nodes
        self._maker: dict[int, Node] = {id(tensor): node for node in self.nodes for tensor in node.outputs}
        self._readers: dict[int, list[Node | None]] = {}
        for node in self.nodes:
            for tensor in node.inputs:
                self._readers.setdefault(id(tensor), []).append(node)
        for tensor in graph.outputs:
            self._readers.setdefault(id(tensor), []).append(None)
        self._calls = list(self._called(model))

    def _called(self, model: Any) -> Iterator[int]:
        """Yields the id of the layer of each call, those in nested models too."""
        for node in self._graphs.graph(model).nodes:
            yield id(node.layer)
            if self._graphs.has_graph(node.layer):
                yield from self._called(node.layer)

    def between(self, add: Node, number: int) -> list[Any] | None:
        """Returns the layers between an input of a sum and its others, in the order of the graph; None: no branch."""
        tensors = add.inputs
        others = {id(tensor) for place, tensor in enumerate(tensors) if place != number}
        inside: list[Node] = []
        ahead = [tensors[number]]
        if id(tensors[number]) in others or self._calls.count(id(add.layer)) > 1:
            return None
        shapes = list(map(self._graphs.shape, tensors))
        if any(shape != shapes[number] for shape in shapes):  # one is stretched
            return None
        while ahead:
            tensor = ahead.pop()
            if id(tensor) in others or any(self._maker.get(id(tensor)) is own for own in inside):
                continue
            node = self._maker.get(id(tensor))
            if node is None or _is_sum(node.layer) or self._calls.count(id(node.layer)) > 1:
                return None
            inside.append(node)
            ahead.extend(node.inputs)
        for node in inside:
            readers = [reader for tensor in node.outputs for reader in self._readers.get(id(tensor), ())]
            if not all(reader is add or any(reader is own for own in inside) for reader in readers):
                return None
            if not hasattr(node.layer, "weights") or any(len(weight.shape) == 0 for weight in node.layer.weights):
                return None
        inside.sort(key=lambda node: (-node.depth, node.layer.name))
        return [node.layer for node in inside]

    def last(self, tensor: Any) -> Any | None:
        """Returns the layer whose weights decide what a tensor is; None if it is not zero where they are."""
        node = self._maker.get(id(tensor))
        while node and traits_of(node.layer).zero == "inputs" and len(node.inputs) == 1 and _keeps_zero(node.layer):
            node = self._maker.get(id(node.inputs[0]))
        if node is None:
            return None
        scaled = getattr(node.layer, "scale", True)  # a normalization without would still hand on a constant
        return node.layer if traits_of(node.layer).zero == "weights" and _keeps_zero(node.layer) and scaled else None


def _is(layer: Any, kinds: Sequence[str]) -> bool:
    in_keras = type(layer).__module__.partition(".")[0] in OWN_FRAMEWORKS
    return in_keras and type(layer).__name__ in kinds and hasattr(layer, "weights")


def _is_sum(layer: Any) -> bool:
    """Also of what is left of one (see `surgery`), so that no branch appears where there was none."""
    if _is(layer, ("Add",)):
        return True
    known = activation_traits(getattr(layer, "activation", None))
    return _is(layer, ("Activation",)) and known is not None and layer.activation.__name__ == "linear"


def _keeps_zero(layer: Any) -> bool:
    if getattr(layer, "threshold", 0):
        return False
    activation = activation_traits(getattr(layer, "activation", None))
    return activation is not None and activation.zero


def _mean_norm(order: int, model: Any, found: Branches, seed: int, examples: object) -> np.ndarray:
    graphs = adapter_of(model).graphs
    sums, counts = np.zeros(len(found.names)), np.zeros(len(found.names))
    for layer in (layer for layer in model.layers if layer.name in found.inside):
        for leaf in graphs.leaf_layers(layer) if graphs.has_graph(layer) else (layer,):
            for kernel in graphs.kernels_of(leaf):
                values = graphs.numbers(kernel)
                sums[found.inside[layer.name]] += np.sum(np.abs(values, dtype=np.float64) ** order)
                counts[found.inside[layer.name]] += values.size
    return (sums / counts) ** (1 / order)


def _batch_norm(model: Any, found: Branches, seed: int, examples: object) -> np.ndarray:
    graphs = adapter_of(model).graphs
    without = [found.names[label] for label, layer in found.last.items() if getattr(layer, "gamma", None) is None]
    if without:
        raise ModelError(f"criterion bn needs branches that end in a scale of BatchNorm, unlike {', '.join(without)}")
    return np.array([np.mean(np.abs(graphs.numbers(layer.gamma))) for layer in found.last.values()])


def _taylor(model: Any, found: Branches, seed: int, examples: Examples | None) -> np.ndarray:
    graphs = adapter_of(model).graphs
    if examples is None:
        raise ConfigError("criterion taylor needs examples=(inputs, class numbers)")
    weights = [graphs.learned(layer) for layer in found.last.values()]  # frozen ones, too
    slopes = iter(graphs.slopes(model, [weight for own in weights for weight in own], examples))
    return np.array([sum(float(np.sum(graphs.numbers(w) * next(slopes))) for w in own) ** 2 for own in weights])


def _random(model: Any, found: Branches, seed: int, examples: object) -> np.ndarray:
    return np.random.default_rng(seed).random(len(found.names))


def _norm(order: int) -> Callable[..., np.ndarray]:
    return lambda *args: _mean_norm(order, *args)


CRITERIA: dict[str, Callable[..., np.ndarray]] = {
    "l1": _norm(1),
    "l2": _norm(2),
    "bn": _batch_norm,
    "taylor": _taylor,
    "random": _random,
}
