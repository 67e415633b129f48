"""Which channels of a network have to go together.

Every tensor of a functional graph is followed as an array of labels, one for each entry of its last axis: a layer with
an output width makes new labels, a layer that works channel by channel hands them on, an addition ties those of its
inputs to each other, `Flatten` repeats them, a concatenation appends them. Each axis of each weight then carries the
labels that it is indexed by, and to remove a channel is to remove its label from all of them. A layer that is not known
protects whatever it touches: nothing is guessed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.layer_traits import activation_traits, traits_of
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.utils.errors import ModelError

Labels = np.ndarray  # of whole numbers, one for each entry of an axis
Rule = Callable[["_Trace", "keras.layers.Layer", Sequence[Labels]], "Labels | None"]  # None: this layer is not known


@dataclasses.dataclass(frozen=True)
class Group:
    """Channels that layers have in common: each can go, and goes from all of them.

    Attributes:
        name: the first layer that makes them, `model/layer` if it is nested.
        producers: all layers that make them.
        channels: a label a channel.
        protected: why none of them may go, or None.
    """

    name: str
    producers: tuple[str, ...]
    channels: Labels
    protected: str | None

    def __len__(self) -> int:
        return len(self.channels)


@dataclasses.dataclass(frozen=True)
class Channels:
    """The channels of a model.

    Attributes:
        groups: in the order of the graph.
        axes: id of a weight -> its axes that are channels -> the labels they are indexed by.
        widths: id of a layer -> the labels of its output, for layers that have a width of their own and for the
            inputs of nested models.
        made: id of a weight -> the axis on which it makes its layer's output, kernels only.
    """

    groups: tuple[Group, ...]
    axes: Mapping[int, Mapping[int, Labels]]
    widths: Mapping[int, Labels]
    made: Mapping[int, int]

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
    trace = _Trace()
    inputs = [trace.new(tensor.shape[-1] or 1, "the model's input") for tensor in model.inputs]
    for labels in trace.through(model, inputs):
        trace.protect(labels, "the model's output")
    return trace.result([id(layer) for layer in leaf_layers(model)])


class _Trace:
    """What is known of the labels while a graph is followed; labels that were tied have one root."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}  # of roots
        self._axes: dict[int, dict[int, Labels]] = {}
        self._widths: dict[int, Labels] = {}
        self._made: dict[int, int] = {}
        self._names: dict[int, str] = {}  # of layers with a width
        self._within: list[str] = []  # models that are nested in each other here

    def new(self, count: int, protected: str | None = None) -> Labels:
        labels = np.arange(len(self._parents), len(self._parents) + count)
        self._parents.extend(map(int, labels))
        if protected:
            self.protect(labels, protected)
        return labels

    def protect(self, labels: Labels, reason: str) -> None:
        for label in labels:
            self._reasons.setdefault(self._root(int(label)), reason)

    def union(self, one: Labels, other: Labels) -> Labels:
        for a, b in zip(one, other, strict=True):
            kept, gone = sorted((self._root(int(a)), self._root(int(b))))
            if kept != gone:
                self._parents[gone] = kept
                if gone in self._reasons:
                    self._reasons.setdefault(kept, self._reasons.pop(gone))
        return one

    def index(self, weight: tf.Variable | None, axis: int, labels: Labels) -> None:
        """Notes the labels of a weight's axis; a layer that is called again has them tied to the earlier ones."""
        if weight is None:
            return
        axes = self._axes.setdefault(id(weight), {})
        if axis in axes:
            self.union(axes[axis], labels)
        axes.setdefault(axis, labels)

    def make(self, layer: keras.layers.Layer, kernel: tf.Variable, axis: int) -> Labels:
        """Returns the labels of a layer's output, new ones the first time."""
        if id(layer) not in self._widths:
            self._widths[id(layer)] = self.new(kernel.shape[axis])
            self._names[id(layer)] = "/".join((*self._within, layer.name))
        self._made[id(kernel)] = axis
        self.index(kernel, axis, self._widths[id(layer)])
        return self._widths[id(layer)]

    def through(self, model: keras.Model, inputs: Sequence[Labels]) -> list[Labels]:
        """Follows a model's graph; returns the labels of its outputs."""
        known = {id(tensor): labels for tensor, labels in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if not node.is_input:
                    outputs = self._call(node, [known[id(tensor)] for tensor in node.keras_inputs])
                    known |= {
                        id(tensor): own for tensor, own in zip(tf.nest.flatten(node.outputs), outputs, strict=True)
                    }
        return [known[id(tensor)] for tensor in model.outputs]

    def _call(self, node: object, inputs: list[Labels]) -> list[Labels]:
        layer = node.layer
        if isinstance(layer, keras.Model) and getattr(layer, "_nodes_by_depth", None) and layer.inputs:
            for inner, labels in zip(layer._input_layers, inputs, strict=True):
                self.union(self._widths.setdefault(id(inner), labels), labels)  # a model may be called twice
            self._within.append(layer.name)
            outputs = self.through(layer, inputs)
            self._within.pop()
            return outputs
        found = _rule(layer)(self, layer, inputs)
        if found is not None:
            return [found]
        reason = f"{layer.name} ({type(layer).__name__}) is not known to work channel by channel"
        for labels in inputs:
            self.protect(labels, reason)
        return [self.new(_last(tensor.shape), reason) for tensor in tf.nest.flatten(node.outputs)]

    def result(self, order: Sequence[int]) -> Channels:
        """Returns what was found; `order` has the ids of all layers."""
        roots = np.array([self._root(label) for label in range(len(self._parents))], int)
        groups: list[tuple[list[str], list[int]]] = []
        for layer in (layer for layer in order if layer in self._names):
            name, own = self._names[layer], list(dict.fromkeys(map(int, roots[self._widths[layer]])))
            tied = [group for group in groups if set(group[1]) & set(own)]
            merged = (
                [*(n for g in tied for n in g[0]), name],
                list(dict.fromkeys([*(c for g in tied for c in g[1]), *own])),
            )
            place = groups.index(tied[0]) if tied else len(groups)
            groups = [group for group in groups if group not in tied]
            groups.insert(place, merged)
        return Channels(
            tuple(
                Group(names[0], tuple(names), np.array(own), next(filter(None, map(self._reasons.get, own)), None))
                for names, own in groups
            ),
            {weight: {axis: roots[own] for axis, own in axes.items()} for weight, axes in self._axes.items()},
            {layer: roots[own] for layer, own in self._widths.items()},
            dict(self._made),
        )

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = label = self._parents[self._parents[label]]
        return label


def _last(shape: tf.TensorShape) -> int:
    return (shape[-1] or 1) if shape.rank else 1


def _rule(layer: keras.layers.Layer) -> Rule:
    name = traits_of(layer).channels
    return _unknown if name is None or getattr(layer, "data_format", None) == "channels_first" else RULES[name]


def _unknown(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> None:
    return None


def _pass(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels:
    (labels,) = inputs
    return labels


def _activation(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    return inputs[0] if _elementwise(layer.activation) else None


def _elementwise(activation: Callable[..., tf.Tensor] | None) -> bool:
    return activation_traits(activation) is not None


def _normalized(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    (labels,) = inputs
    if list(layer.axis) != [layer.input_spec.ndim - 1]:
        return None
    for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        trace.index(weight, 0, labels)
    return labels


def _sloped(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    (labels,) = inputs
    if layer.alpha.shape[-1] != len(labels):
        return labels if layer.alpha.shape[-1] == 1 else None
    trace.index(layer.alpha, layer.alpha.shape.rank - 1, labels)
    return labels


def _dense(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    """A kernel that ends in (inputs, outputs): Dense and the convolutions."""
    if getattr(layer, "groups", 1) != 1 or not _elementwise(layer.activation):
        return None
    rank = layer.kernel.shape.rank
    return _produce(trace, layer, inputs, layer.kernel, rank - 2, rank - 1)


def _transposed(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    if getattr(layer, "groups", 1) != 1 or not _elementwise(layer.activation):
        return None
    rank = layer.kernel.shape.rank
    return _produce(trace, layer, inputs, layer.kernel, rank - 1, rank - 2)


def _produce(
    trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels], kernel: tf.Variable, taken: int, made: int
) -> Labels:
    trace.index(kernel, taken, inputs[0])
    labels = trace.make(layer, kernel, made)
    trace.index(layer.bias if layer.use_bias else None, 0, labels)
    return labels


def _depthwise(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    (labels,) = inputs
    if not _elementwise(layer.activation):
        return None
    kernel = layer.depthwise_kernel
    trace.index(kernel, kernel.shape.rank - 2, labels)
    spread = np.repeat(labels, layer.depth_multiplier)
    trace.index(layer.bias if layer.use_bias else None, 0, spread)
    return spread


def _separable(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    if not _elementwise(layer.activation):
        return None
    kernel, point = layer.depthwise_kernel, layer.pointwise_kernel
    trace.index(kernel, kernel.shape.rank - 2, inputs[0])
    spread = np.repeat(inputs[0], layer.depth_multiplier)
    return _produce(trace, layer, [spread], point, point.shape.rank - 2, point.shape.rank - 1)


def _merged(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    first = inputs[0]
    if any(len(labels) != len(first) for labels in inputs):  # one is stretched over the other
        return None
    for labels in inputs[1:]:
        trace.union(first, labels)
    return first


def _concatenated(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    rank = len(layer.input_shape[0])
    return np.concatenate(inputs) if layer.axis in (-1, rank - 1) else _merged(trace, layer, inputs)


def _flattened(trace: _Trace, layer: keras.layers.Layer, inputs: Sequence[Labels]) -> Labels | None:
    positions = layer.input_shape[1:-1]
    return None if None in positions else np.tile(inputs[0], int(np.prod(positions, dtype=int)))


RULES: dict[str, Rule] = {  # by the names that `layer_traits` has for them
    "pass": _pass,
    "activation": _activation,
    "sloped": _sloped,
    "normalized": _normalized,
    "dense": _dense,
    "transposed": _transposed,
    "depthwise": _depthwise,
    "separable": _separable,
    "merged": _merged,
    "concatenated": _concatenated,
    "flattened": _flattened,
}
