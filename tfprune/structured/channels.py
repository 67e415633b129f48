"""Which channels of a network have to go together.

Every axis of a tensor of a functional graph may have labels, one for each of its entries: a layer with an output width
makes new labels, a layer that works channel by channel hands them on, an addition ties those of its inputs to each
other, `Flatten` repeats them, a concatenation appends them. Each axis of each weight then carries the labels that it is
indexed by, and to remove a channel is to remove its label from all of them. A layer that is not known is tried; where
it may mix channels it protects whatever it touches: nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.graphs import Graphs, Node, Remade, Shape
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.labels import Fixed, Labels, WeightChannels, left, rows_of, stacked
from tfprune.structured.probing import probed
from tfprune.structured.probing_widths import normalizing, reading
from tfprune.structured.sizes import sizes_of, without_sizes
from tfprune.structured.table import rule_of
from tfprune.structured.tracing import Call, Trace, Traced
from tfprune.utils.errors import ModelError
from tfprune.utils.trees import leaves

OUTPUT = "the model's output"  # why the channels of the last layer stay


@dataclasses.dataclass(frozen=True)
class Group:
    """Channels that layers have in common: each can go, and goes from all of them.

    Attributes:
        name: the first layer that makes them, `model/layer` if it is nested; of a layer with several widths with that
            of this one (`attention/num_heads`).
        producers: all layers that make them.
        channels: a label a channel.
        protected: why none of them may go, or None.
        inexact: why what is left of the network answers differently from the one in which they are zero, or None.
        copies: how many entries of a layer's output each of them stands for.
        scaled: whether weights that stay change when one of them goes.
        parts: places of channels of which one has to stay: of those that a layer makes which makes some of them, and of
            those that are cut out of the others.
        pairs: places of channels of which two have to stay.
    """

    name: str
    producers: tuple[str, ...]
    channels: Labels
    protected: str | None
    inexact: str | None = None
    copies: int = 1
    scaled: bool = False
    parts: tuple[np.ndarray, ...] = ()
    pairs: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return len(self.channels)

    def step(self, multiple: int) -> int:
        """Returns what the width is a multiple of: where a channel stands for several outputs, these make it up."""
        return multiple // math.gcd(multiple, self.copies)

    def emptied(self, places: Sequence[int]) -> list[np.ndarray]:
        """Returns the parts of which too little is left without the channels at some places."""
        few = [part for part in self.pairs if np.sum(~np.isin(part, places)) < 2]
        return [part for part in self.parts if np.isin(part, places).all()] + few

    def without(self, gone: np.ndarray) -> Group:
        """Returns what is left of the group without the channels whose labels are `gone`; `copies` are as before."""
        stay = ~np.isin(self.channels, gone)
        places = np.cumsum(stay) - 1  # of those that stay
        parts, pairs = (tuple(places[part[stay[part]]] for part in own) for own in (self.parts, self.pairs))
        return dataclasses.replace(self, channels=self.channels[stay], parts=parts, pairs=pairs)


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels of a model.

    Attributes:
        groups: in the order of the graph.
        axes: id of a weight -> its axes that are channels -> the labels they are indexed by.
        made: id of a weight -> the axes on which it makes its layer's channels, kernels only.
        settings: id of a layer -> those of its settings that go by the number of channels.
        arguments: key of a call in the graph -> those of its arguments that do.
        read: labels of channels that something without weights reads.
        roots_of: id of a weight -> the labels with the root of whose number it has to shrink.
        whole: name of a layer that makes channels of its own, none of which can go -> why; it is in no group.
    """

    groups: tuple[Group, ...]
    axes: Mapping[int, Mapping[int, Labels]]
    made: Mapping[int, tuple[int, ...]]
    settings: Mapping[int, Sequence[Fixed]]
    arguments: Mapping[int, Sequence[Fixed]]
    read: frozenset[int] = frozenset()
    roots_of: Mapping[int, Labels] = dataclasses.field(default_factory=dict)
    whole: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def free(self) -> dict[str, Group]:
        """The groups that may lose channels, by name."""
        return {group.name: group for group in self.groups if group.protected is None}

    def of(self, weight: Any) -> WeightChannels:
        """Returns the channels of a weight of the model."""
        return WeightChannels(self.axes.get(id(weight), {}), self.roots_of.get(id(weight)))

    def without(self, gone: np.ndarray, made: Remade, weights: Sequence[tuple[Any, Any]]) -> Channels:
        """Returns the channels of the model without some: what is left of each group stays one.

        To follow the channels of the smaller model anew could give others. Rules go by widths: a grouped convolution
        that many channels of each group have gone from is left with few, and loses whole groups from then on.

        Args:
            gone: labels of those that have gone.
            made: the model without them.
            weights: those of this model, each with the one of that.
        """
        keys = {id(old): id(new) for old, new in weights}

        def fixed(several: Sequence[Fixed]) -> tuple[Fixed, ...]:
            return tuple(own.left(gone) for own in several)

        return Channels(
            tuple(group.without(gone) for group in self.groups),
            {keys[key]: {axis: left(labels, gone) for axis, labels in axes.items()} for key, axes in self.axes.items()},
            {keys[key]: axes for key, axes in self.made.items()},
            {id(made.operations[key]): fixed(own) for key, own in self.settings.items() if key in made.operations},
            {made.calls[key]: fixed(own) for key, own in self.arguments.items()},
            self.read - {*map(int, gone)},
            {keys[key]: left(labels, gone) for key, labels in self.roots_of.items()},
            self.whole,
        )


def channels(model: Any) -> Channels:
    """Follows the channels of a model.

    Args:
        model: functional or sequential, built; models may be nested in it. Layers are known under Keras' own classes:
            what is derived from one may do anything, and is tried.

    Raises:
        ModelError: the model is subclassed, has a `call` of its own or has not been built.
    """
    graphs = adapter_of(model).graphs
    check_graph(graphs, model, "follow its channels")
    trace = Trace()
    inputs = [_given(trace, graphs.shape(tensor)) for tensor in graphs.graph(model).inputs]
    for tensor in _through(trace, graphs, model, inputs):
        for labels in tensor.axes.values():
            trace.protect(labels, OUTPUT, above_all=True)
    for weight in trace.axes.keys() & trace.used:
        for labels in trace.axes[weight].values():
            trace.protect(labels, "a call has the weight itself among its arguments")
    return _found(trace, [id(layer) for layer in graphs.leaf_layers(model)])


def check_graph(graphs: Graphs, model: Any, purpose: str) -> None:
    """Raises `ModelError` if a model's graph does not tell what it does."""
    if not graphs.has_graph(model):
        raise ModelError(f"model {model.name} must be functional or sequential, and built, to {purpose}")
    if not graphs.is_graph(model):
        raise ModelError(
            f"model {model.name} is of a class with a call of its own, {type(model).__name__}, of which its layers and "
            f"their graph do not tell enough to {purpose}: do what it does in layers of a functional model"
        )


def _given(trace: Trace, shape: Shape | None, reason: str = "the model's input") -> Traced:
    """Returns what is known of a tensor of whose channels none can go."""
    if not shape or len(shape) == 1 or shape[-1] is None:
        return Traced(shape or ())
    return Traced(shape, {len(shape) - 1: trace.new(int(shape[-1]), reason)})


def _through(trace: Trace, graphs: Graphs, model: Any, inputs: Sequence[Traced]) -> list[Traced]:
    """Follows a model's graph; returns what is known of its outputs."""
    graph = graphs.graph(model)
    inputs = [_as_taken(trace, graphs, model, *pair) for pair in zip(graph.inputs, inputs, strict=True)]
    known = {id(tensor): own for tensor, own in zip(graph.inputs, inputs, strict=True)}
    for layer, tensor, own in zip(graph.input_layers, graph.inputs, inputs, strict=True):
        # A model may be called twice, with tensors of other shapes than its own inputs.
        if len(own.shape) == len(graphs.shape(tensor) or ()):
            _fix_shape(trace, graphs, layer, own)
    for node in graph.nodes:
        outputs = _called(trace, graphs, node, [known[id(tensor)] for tensor in node.inputs])
        known |= {id(tensor): own for tensor, own in zip(node.outputs, outputs, strict=True)}
    return [known[id(tensor)] for tensor in graph.outputs]


def _as_taken(trace: Trace, graphs: Graphs, model: Any, own: Any, given: Traced) -> Traced:
    """Returns what is known of a tensor that a model is called with, as its own input, to which Keras may expand it."""
    shape = graphs.shape(own)
    if shape is None or len(shape) == len(given.shape):
        return given
    reason = f"{model.name} takes them with {len(shape)} axes"
    trace.protect_all([given], reason)
    return _given(trace, shape, reason)


def _fix_shape(trace: Trace, graphs: Graphs, layer: Any, tensor: Traced) -> None:
    """Notes the shape that a layer was made for."""
    call = Call(graphs, layer, None, [tensor], [tensor.shape], layer)
    for key in ("batch_input_shape", "batch_shape"):
        for axis, labels in tensor.axes.items():
            trace.fix(call, Fixed(key, labels, place=axis))


def _called(trace: Trace, graphs: Graphs, node: Node, inputs: list[Traced]) -> list[Traced]:
    layer = node.layer
    trace.used |= {id(own) for own in leaves((node.args, dict(node.kwargs))) if hasattr(own, "assign")}
    if graphs.is_graph(layer):
        trace.within.append(layer.name)
        outputs = _through(trace, graphs, layer, inputs)
        trace.within.pop()
        return outputs
    shapes, results = list(map(graphs.shape, node.inputs)), list(map(graphs.shape, node.outputs))
    call = Call(graphs, layer, node, inputs, results, layer)
    if (sizes := sizes_of(trace, call)) is not None:
        return [sizes]
    call = without_sizes(trace, call)
    inputs, shapes = list(call.inputs), list(map(graphs.shape, call.node.inputs))
    found = None
    if None not in (*shapes, *results):
        call = _without_masks(trace, call)
        found = rule_of(layer, len(call.inputs))(trace, call)
        tried = hasattr(layer, "weights") and not graphs.has_graph(layer)  # a graph is made again for its own widths
        if found is None and traits_of(layer).channels is None and tried:
            found = probed(trace, call) or normalizing(trace, call) or reading(trace, call)
    if len(inputs) == 1 and shapes[0] and len(getattr(layer, "_batch_input_shape", None) or ()) == len(shapes[0]):
        _fix_shape(trace, graphs, layer, inputs[0])
    outputs = [found] if isinstance(found, Traced) else found or []
    if len(outputs) == len(results) and all(map(_fits, outputs, results)):
        return list(map(_sized, outputs))
    reason = f"{layer.name} ({type(layer).__name__}) is not known to work channel by channel"
    trace.protect_all((*inputs, *outputs), reason)
    trace.protect_layer(layer, reason)
    return [_given(trace, shape, reason) for shape in results]


def _without_masks(trace: Trace, call: Call) -> Call:
    """Returns a call without the inputs that say which steps count; nothing of these can go."""
    if not hasattr(call.layer, "weights") or len(call.inputs) == 1 or call.graphs.symbol(call.layer):
        return call
    masks = [option.value for name, option in call.options.items() if name.endswith("mask")]
    pairs = list(zip(call.node.inputs, call.inputs, strict=True))
    is_mask = [any(tensor is mask for mask in masks) for tensor, _ in pairs]
    trace.protect_all((own for (_, own), mask in zip(pairs, is_mask, strict=True) if mask), "they are of a mask")
    left = [pair for pair, mask in zip(pairs, is_mask, strict=True) if not mask]
    node = dataclasses.replace(call.node, inputs=[tensor for tensor, _ in left])
    return dataclasses.replace(call, node=node, inputs=[own for _, own in left])


def _fits(tensor: Traced, shape: Shape) -> bool:
    sizes = {axis: (labels.shape[-1], None) for axis, labels in tensor.axes.items()}
    return 0 not in sizes and all(shape[axis] in size for axis, size in sizes.items())


def _sized(tensor: Traced) -> Traced:
    """Returns a tensor that has the sides which its labels tell, where the graph does not."""
    sides = tuple(
        tensor.axes[axis].shape[-1] if side is None and axis in tensor.axes else side
        for axis, side in enumerate(tensor.shape)
    )
    return tensor if sides == tensor.shape else dataclasses.replace(tensor, shape=sides)


def _found(trace: Trace, order: Sequence[int]) -> Channels:
    """Returns what was found; `order` has the ids of all layers."""
    roots, inexact = trace.roots(), trace.inexact()
    widths: dict[int, list[tuple[int, str]]] = {}
    for key in trace.widths:
        widths.setdefault(key[0], []).append(key)
    groups: list[tuple[list[tuple[int, str]], list[int]]] = []
    for key in (key for layer in dict.fromkeys(order) for key in widths.get(layer, ())):
        own = list(dict.fromkeys(map(int, roots[trace.widths[key]])))
        tied = [group for group in groups if set(group[1]) & set(own)]
        merged = (
            [*(n for g in tied for n in g[0]), key],
            list(dict.fromkeys([*(c for g in tied for c in g[1]), *own])),
        )
        place = groups.index(tied[0]) if tied else len(groups)
        groups = [group for group in groups if group not in tied]
        groups.insert(place, merged)
    counted = [(*np.unique(roots[labels], return_counts=True), reason) for labels, reason in trace.pairs]
    kept = [(own, reason) for own, counts, reason in counted if 1 in counts and len(own) > 1]  # else one is several
    scaled = {int(label) for labels in trace.roots_of.values() for label in roots[labels]}

    def group(keys: Sequence[tuple[int, str]], own: Sequence[int]) -> Group:
        names = tuple(dict.fromkeys(trace.names[layer] for layer, _ in keys))
        first = "/".join(filter(None, (names[0], keys[0][1])))
        counts = [np.unique(roots[trace.widths[key]], return_counts=True)[1] * trace.copies.get(key, 1) for key in keys]
        disturbed = next(filter(None, map(inexact.get, own)), None)
        copies = math.gcd(*map(int, np.concatenate(counts)))
        places = [np.flatnonzero(np.isin(own, roots[trace.widths[key]])) for key in keys]
        places += [np.flatnonzero(np.isin(own, roots[piece])) for piece in trace.pieces]
        parts = tuple(part for part in places if 0 < len(part) < len(own))
        pairs = {tuple(np.flatnonzero(np.isin(own, two))): reason for two, reason in kept if np.isin(two, own).all()}
        reason = next(iter(pairs.values()), None) if len(own) == 2 else None
        changes = not scaled.isdisjoint(own)
        return Group(
            first,
            names,
            np.array(own),
            trace.reason(own) or reason,
            disturbed,
            copies,
            changes,
            parts,
            tuple(map(np.array, pairs)),
        )

    def rooted(labels: Labels) -> Labels:
        return stacked(roots[rows_of(labels)])

    def all_rooted(fixed: Sequence[Fixed]) -> tuple[Fixed, ...]:
        return tuple(dataclasses.replace(own, labels=rooted(own.labels)) for own in fixed)

    return Channels(
        tuple(group(*own) for own in groups),
        {weight: {axis: rooted(own) for axis, own in axes.items()} for weight, axes in trace.axes.items()},
        dict(trace.made),
        {layer: all_rooted(tuple(fixed.values())) for layer, fixed in trace.settings.items()},
        {node: all_rooted(fixed) for node, fixed in trace.arguments.items()},
        trace.read_elsewhere(),
        {weight: rooted(labels) for weight, labels in trace.roots_of.items()},
        dict(trace.whole),
    )
