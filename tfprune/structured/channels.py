"""Which channels of a network have to go together.

Every tensor of a functional graph is followed as an array of labels, one for each entry of its last axis: a layer with
an output width makes new labels, a layer that works channel by channel hands them on, an addition ties those of its
inputs to each other, `Flatten` repeats them, a concatenation appends them. Each axis of each weight then carries the
labels that it is indexed by, and to remove a channel is to remove its label from all of them. A layer that is not known
protects whatever it touches: nothing is guessed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.layers import has_graph, leaf_layers
from tfprune.structured.rules import rule_of
from tfprune.structured.tracing import Call, Fixed, Labels, Trace
from tfprune.utils.errors import ModelError

OUTPUT = "the model's output"  # why the channels of the last layer stay


@dataclasses.dataclass(frozen=True)
class Group:
    """Channels that layers have in common: each can go, and goes from all of them.

    Attributes:
        name: the first layer that makes them, `model/layer` if it is nested.
        producers: all layers that make them.
        channels: a label a channel.
        protected: why none of them may go, or None.
        inexact: why what is left of the network answers differently from the one in which they are zero, or None.
        copies: how many entries of a layer's output each of them stands for.
    """

    name: str
    producers: tuple[str, ...]
    channels: Labels
    protected: str | None
    inexact: str | None = None
    copies: int = 1

    def __len__(self) -> int:
        return len(self.channels)


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels of a model.

    Attributes:
        groups: in the order of the graph.
        axes: id of a weight -> its axes that are channels -> the labels they are indexed by.
        made: id of a weight -> the axis on which it makes its layer's output, kernels only.
        settings: id of a layer -> those of its settings that go by the number of channels.
        arguments: id of a call in the graph -> those of its arguments that do.
    """

    groups: tuple[Group, ...]
    axes: Mapping[int, Mapping[int, Labels]]
    made: Mapping[int, int]
    settings: Mapping[int, Sequence[Fixed]]
    arguments: Mapping[int, Sequence[Fixed]]

    @property
    def free(self) -> dict[str, Group]:
        """The groups that may lose channels, by name."""
        return {group.name: group for group in self.groups if group.protected is None}


def channels(model: keras.Model) -> Channels:
    """Follows the channels of a model.

    Args:
        model: functional or sequential, built; models may be nested in it. Layers are known under tf_keras' own
            classes: what is derived from one may do anything.

    Raises:
        ModelError: the model is subclassed or has not been built.
    """
    if not model.built or not hasattr(model, "_nodes_by_depth") or not model.inputs:
        raise ModelError(f"model {model.name} must be functional or sequential, and built, to follow its channels")
    trace = Trace()
    inputs = [trace.new(_last(_shape(tensor)), "the model's input") for tensor in model.inputs]
    for labels in _through(trace, model, inputs):
        trace.protect(labels, OUTPUT, above_all=True)
    return _found(trace, [id(layer) for layer in leaf_layers(model)])


def _through(trace: Trace, model: keras.Model, inputs: Sequence[Labels]) -> list[Labels]:
    """Follows a model's graph; returns the labels of its outputs."""
    known = {id(tensor): labels for tensor, labels in zip(model.inputs, inputs, strict=True)}
    for layer, labels in zip(model._input_layers, inputs, strict=True):
        if layer.output.shape.rank and layer.output.shape[-1] is not None:
            trace.fix(layer, Fixed("batch_input_shape", labels, place=-1))  # a model may be called twice
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                outputs = _called(trace, node, [known[id(tensor)] for tensor in node.keras_inputs])
                known |= {id(tensor): own for tensor, own in zip(tf.nest.flatten(node.outputs), outputs, strict=True)}
    return [known[id(tensor)] for tensor in model.outputs]


def _called(trace: Trace, node: object, inputs: list[Labels]) -> list[Labels]:
    layer = node.layer
    if has_graph(layer) and getattr(layer, "_nodes_by_depth", None) and layer.inputs:
        trace.within.append(layer.name)
        outputs = _through(trace, layer, inputs)
        trace.within.pop()
        return outputs
    shapes, results = map(_shape, node.keras_inputs), list(map(_shape, tf.nest.flatten(node.outputs)))
    call = Call(layer, node, inputs, list(shapes), results)
    plain = len(results) == 1 and None not in (*call.shapes, *results)
    found = rule_of(layer)(trace, call) if plain else None
    if len(inputs) == 1 and len(getattr(layer, "_batch_input_shape", None) or ()) > 1 and call.shapes[0][-1]:
        trace.fix(layer, Fixed("batch_input_shape", inputs[0], place=-1))
    reason = f"{layer.name} ({type(layer).__name__}) is not known to work channel by channel"
    if found is not None and len(found) == _last(results[0]):
        return [found]
    for labels in (*inputs, *([] if found is None else [found])):
        trace.protect(labels, reason)
    return [trace.new(_last(shape), reason) for shape in results]


def _found(trace: Trace, order: Sequence[int]) -> Channels:
    """Returns what was found; `order` has the ids of all layers."""
    roots, inexact = trace.roots(), trace.inexact()
    groups: list[tuple[list[int], list[int]]] = []
    for layer in (layer for layer in order if layer in trace.names):
        own = list(dict.fromkeys(map(int, roots[trace.widths[layer]])))
        tied = [group for group in groups if set(group[1]) & set(own)]
        merged = (
            [*(n for g in tied for n in g[0]), layer],
            list(dict.fromkeys([*(c for g in tied for c in g[1]), *own])),
        )
        place = groups.index(tied[0]) if tied else len(groups)
        groups = [group for group in groups if group not in tied]
        groups.insert(place, merged)

    def group(layers: Sequence[int], own: Sequence[int]) -> Group:
        names = tuple(trace.names[layer] for layer in layers)
        counts = [np.unique(roots[trace.widths[layer]], return_counts=True)[1] for layer in layers]
        disturbed = next(filter(None, map(inexact.get, own)), None)
        return Group(
            names[0], names, np.array(own), trace.reason(own), disturbed, math.gcd(*map(int, np.concatenate(counts)))
        )

    def rooted(fixed: Sequence[Fixed]) -> tuple[Fixed, ...]:
        return tuple(dataclasses.replace(own, labels=roots[own.labels]) for own in fixed)

    return Channels(
        tuple(group(*own) for own in groups),
        {weight: {axis: roots[own] for axis, own in axes.items()} for weight, axes in trace.axes.items()},
        dict(trace.made),
        {layer: rooted(tuple(fixed.values())) for layer, fixed in trace.settings.items()},
        {node: rooted(fixed) for node, fixed in trace.arguments.items()},
    )


def _shape(tensor: tf.Tensor) -> tuple[int | None, ...] | None:
    return tuple(tensor.shape) if tensor.shape.rank else None


def _last(shape: tuple[int | None, ...] | None) -> int:
    return (shape[-1] or 1) if shape else 1
