"""What kinds of layers make of the channels of their inputs, see `channels`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.elementwise import elementwise
from tfprune.structured.operators import operated
from tfprune.structured.tracing import Call, Fixed, Labels, Trace

Rule = Callable[[Trace, Call], "Labels | None"]  # None: nothing is known of this layer, or not with these settings


def rule_of(layer: keras.layers.Layer) -> Rule:
    """Returns the rule by which channels pass through a layer."""
    name = traits_of(layer).channels
    return _unknown if name is None or getattr(layer, "data_format", None) == "channels_first" else RULES[name]


def _unknown(trace: Trace, call: Call) -> None:
    return None


def _pass(trace: Trace, call: Call) -> Labels:
    (labels,) = call.inputs
    return labels


def _activation(trace: Trace, call: Call) -> Labels:
    (labels,) = call.inputs
    return _activated(trace, call.layer, labels)


def _activated(trace: Trace, layer: keras.layers.Layer, labels: Labels) -> Labels:
    """An activation that mixes channels, such as softmax, needs all of those that it is given, and no others."""
    if not elementwise(layer.activation):
        what = getattr(layer.activation, "__name__", type(layer.activation).__name__)
        trace.protect(labels, f"{what} of {layer.name} may mix them")
    return labels


def _function(trace: Trace, call: Call) -> Labels | None:
    layer = call.layer
    if len(call.inputs) != 1 or layer.mask is not None or callable(layer._output_shape) or layer._output_shape:
        return None
    return call.inputs[0] if elementwise(lambda x: layer.function(x, **layer.arguments)) else None


def _mixed(trace: Trace, call: Call) -> Labels | None:
    """Softmax needs all channels if it works along them."""
    labels, rank = call.inputs[0], len(call.shapes[0])
    axes = [call.layer.axis] if isinstance(call.layer.axis, int) else call.layer.axis
    if rank - 1 in [axis % rank for axis in axes]:
        trace.protect(labels, f"{call.layer.name} ({type(call.layer).__name__}) mixes them")
    return labels


def _normalized(trace: Trace, call: Call) -> Labels | None:
    (labels,), layer = call.inputs, call.layer
    if list(layer.axis) != [layer.input_spec.ndim - 1]:
        return None
    for weight in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
        trace.index(weight, 0, labels)
    return labels


def _layer_normalized(trace: Trace, call: Call) -> Labels | None:
    (labels,), layer = call.inputs, call.layer
    if list(layer.axis) != [len(call.shapes[0]) - 1]:
        return None
    for weight in (layer.gamma, layer.beta):
        trace.index(weight, 0, labels)
    trace.disturb(labels, f"{layer.name} ({type(layer).__name__}) takes its statistics over them")
    return labels


def _group_normalized(trace: Trace, call: Call) -> Labels | None:
    """The same places of every group go; where each channel is a group, any can."""
    (labels,), layer = call.inputs, call.layer
    if layer.axis % len(call.shapes[0]) != len(call.shapes[0]) - 1:
        return None
    for weight in (layer.gamma, layer.beta):
        trace.index(weight, 0, labels)
    if layer.groups == len(labels):
        trace.fix(layer, Fixed("groups", labels))
        return labels
    trace.tie_rows(labels.reshape(layer.groups, -1))
    trace.disturb(labels, f"{layer.name} ({type(layer).__name__}) takes its statistics over them")
    return labels


def _adapted(trace: Trace, call: Call) -> Labels | None:
    (labels,), layer = call.inputs, call.layer
    if layer._keep_axis not in ([], [len(call.shapes[0]) - 1]):
        return None
    if layer.input_mean is None:
        for weight in (layer.adapt_mean, layer.adapt_variance) if layer._keep_axis else ():
            trace.index(weight, 0, labels)
        return labels
    return labels if all(_constant(trace, call, key) for key in ("mean", "variance")) else None


def _rescaled(trace: Trace, call: Call) -> Labels | None:
    return call.inputs[0] if all(_constant(trace, call, key) for key in ("scale", "offset")) else None


def _constant(trace: Trace, call: Call, key: str) -> bool:
    """Notes a setting with a number, or numbers one a channel; returns whether it is either."""
    width = np.shape(call.layer.get_config()[key])[-1:]
    if width == (len(call.inputs[0]),) and width != (1,):
        trace.fix(call.layer, Fixed(key, call.inputs[0], sliced=True))
    return width in ((), (1,), (len(call.inputs[0]),))


def _dropped(trace: Trace, call: Call) -> Labels | None:
    (labels,), shape = call.inputs, getattr(call.layer, "noise_shape", None)
    if shape is None or shape[-1] in (None, 1):
        return labels
    if not isinstance(shape, (list, tuple)) or shape[-1] != len(labels):
        return None
    trace.fix(call.layer, Fixed("noise_shape", labels, place=-1))
    return labels


def _sloped(trace: Trace, call: Call) -> Labels | None:
    (labels,), layer = call.inputs, call.layer
    if layer.alpha.shape[-1] != len(labels):
        return labels if layer.alpha.shape[-1] == 1 else None
    trace.index(layer.alpha, layer.alpha.shape.rank - 1, labels)
    return labels


def _scaled(trace: Trace, call: Call) -> Labels | None:
    (labels,), layer = call.inputs, call.layer
    trace.index(layer.gamma, 0, labels)
    trace.fix(layer, Fixed("projection_dim", labels))
    return labels


def _dense(trace: Trace, call: Call) -> Labels | None:
    """A kernel that ends in (inputs, outputs): Dense and the convolutions."""
    rank = call.layer.kernel.shape.rank
    if getattr(call.layer, "groups", 1) != 1:
        return _grouped(trace, call)
    return _produced(trace, call.layer, call.inputs[0], call.layer.kernel, rank - 2, rank - 1)


def _transposed(trace: Trace, call: Call) -> Labels | None:
    rank = call.layer.kernel.shape.rank
    if getattr(call.layer, "groups", 1) != 1:
        return None
    return _produced(trace, call.layer, call.inputs[0], call.layer.kernel, rank - 1, rank - 2)


def _grouped(trace: Trace, call: Call) -> Labels:
    """A convolution with groups loses whole ones: what is left has the same kind of groups."""
    layer, groups, kernel = call.layer, call.layer.groups, call.layer.kernel
    labels = trace.make(layer, kernel, kernel.shape.rank - 1, traits_of(layer).width)
    trace.index(layer.bias if layer.use_bias else None, 0, labels)
    first = call.inputs[0].reshape(groups, -1)[:, 0]
    for own in (call.inputs[0], labels):
        for column in own.reshape(groups, -1).T:
            trace.union(first, column)
    trace.fix(layer, Fixed("groups", first))
    return _activated(trace, layer, labels)


def _produced(
    trace: Trace, layer: keras.layers.Layer, inputs: Labels, kernel: tf.Variable, taken: int, made: int
) -> Labels:
    trace.index(kernel, taken, inputs)
    labels = trace.make(layer, kernel, made, traits_of(layer).width)
    trace.index(layer.bias if getattr(layer, "use_bias", False) else None, 0, labels)
    return _activated(trace, layer, labels)


def _depthwise(trace: Trace, call: Call) -> Labels | None:
    (labels,), layer = call.inputs, call.layer
    trace.index(layer.depthwise_kernel, layer.depthwise_kernel.shape.rank - 2, labels)
    spread = np.repeat(labels, layer.depth_multiplier)
    trace.index(layer.bias if layer.use_bias else None, 0, spread)
    return _activated(trace, layer, spread)


def _separable(trace: Trace, call: Call) -> Labels | None:
    layer = call.layer
    kernel, point = layer.depthwise_kernel, layer.pointwise_kernel
    trace.index(kernel, kernel.shape.rank - 2, call.inputs[0])
    spread = np.repeat(call.inputs[0], layer.depth_multiplier)
    return _produced(trace, layer, spread, point, point.shape.rank - 2, point.shape.rank - 1)


def _embedded(trace: Trace, call: Call) -> Labels | None:
    """What goes in are numbers of rows; none of their places can be missed."""
    trace.protect(call.inputs[0], f"{call.layer.name} ({type(call.layer).__name__}) looks them up")
    return trace.make(call.layer, call.layer.embeddings, 1, traits_of(call.layer).width)


def _merged(trace: Trace, call: Call) -> Labels | None:
    return trace.stretch(call.inputs)


def _concatenated(trace: Trace, call: Call) -> Labels | None:
    rank = len(call.shapes[0])
    return np.concatenate(call.inputs) if call.layer.axis in (-1, rank - 1) else trace.stretch(call.inputs)


def _flattened(trace: Trace, call: Call) -> Labels | None:
    positions = call.shapes[0][1:-1]
    return None if None in positions else np.tile(call.inputs[0], math.prod(positions))


def _reshaped(trace: Trace, call: Call) -> Labels | None:
    labels = trace.reshaped(call.inputs[0], call.shapes[0], call.outputs[0])
    target = call.layer.target_shape
    if labels is not None and target and target[-1] != -1:
        trace.fix(call.layer, Fixed("target_shape", labels, place=-1))
    return labels


def _permuted(trace: Trace, call: Call) -> Labels | None:
    return call.inputs[0] if call.layer.dims[-1] == len(call.layer.dims) else None


RULES: dict[str, Rule] = {  # by the names that `layer_traits` has for them
    "pass": _pass,
    "activation": _activation,
    "function": _function,
    "operator": operated,
    "mixed": _mixed,
    "sloped": _sloped,
    "scaled": _scaled,
    "rescaled": _rescaled,
    "dropped": _dropped,
    "adapted": _adapted,
    "normalized": _normalized,
    "layer normalized": _layer_normalized,
    "group normalized": _group_normalized,
    "dense": _dense,
    "transposed": _transposed,
    "depthwise": _depthwise,
    "separable": _separable,
    "embedded": _embedded,
    "merged": _merged,
    "concatenated": _concatenated,
    "flattened": _flattened,
    "reshaped": _reshaped,
    "permuted": _permuted,
}
