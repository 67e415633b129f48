"""What kinds of layers make of the channels of their inputs, see `channels`.

A rule returns what is known of the outputs: a `Traced`, or a list of them where there are several; or None where
nothing is known of this layer, or not with these settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.layer_traits import OWN_FRAMEWORKS
from tfprune.structured.elementwise import elementwise, keeps_zero
from tfprune.structured.labels import Fixed, Labels
from tfprune.structured.movement import reshaped
from tfprune.structured.tracing import Call, Trace, Traced

Known = Traced | list[Traced] | None
Rule = Callable[[Trace, Call], Known]


def package_of(own: Any) -> str:
    """Returns the package that a function or class comes from."""
    return str(getattr(own, "__module__", "")).partition(".")[0]


def axes_of(axis: int | Sequence[int], rank: int) -> list[int]:
    """Returns the axes that a setting of a layer names, from 0 on."""
    return [own % rank for own in ([axis] if isinstance(axis, (int, np.integer)) else list(axis))]


def activated(trace: Trace, call: Call, tensor: Traced) -> Traced:
    """An activation that mixes channels, such as softmax, needs all of those that it is given, and no others."""
    activation, layer = getattr(call.layer, "activation", None), call.layer
    if not elementwise(activation, call.graphs.call) and tensor.axes:
        what = getattr(activation, "__name__", type(activation).__name__)
        softmax = what in ("softmax", "log_softmax") and package_of(activation) in (*OWN_FRAMEWORKS, "tensorflow")
        for axis, labels in tensor.axes.items():
            if not softmax or axis == len(tensor.shape) - 1:
                trace.protect(labels, f"{what} of {layer.name} may mix them")
    return Traced(tensor.shape, tensor.axes, tensor.zero and keeps_zero(activation, call.graphs.call))


def protect_places(trace: Trace, call: Call, tensor: Traced) -> None:
    """Protects what is on the axes between the batch and the last one, which a layer combines."""
    for labels in tensor.others().values():
        trace.protect(labels, f"{call.layer.name} ({type(call.layer).__name__}) combines them")


def on_last(call: Call, labels: Labels | None, zero: bool = False) -> Traced:
    """Returns an output of which the last axis alone has labels."""
    shape = call.outputs[0]
    return Traced(shape, {} if labels is None else {len(shape) - 1: labels}, zero)


def passed(trace: Trace, call: Call) -> Known:
    (tensor,) = call.inputs
    return Traced(call.outputs[0], tensor.axes, tensor.zero and not getattr(call.layer, "threshold", 0))


def noisy(trace: Trace, call: Call) -> Known:
    """What works element by element, and zero does not stay zero."""
    (tensor,) = call.inputs
    return Traced(call.outputs[0], tensor.axes)


def spatial(trace: Trace, call: Call) -> Known:
    """Pooling, padding and the like: channels stay apart from each other, and places do not."""
    (tensor,) = call.inputs
    protect_places(trace, call, tensor)
    return on_last(call, tensor.last, tensor.zero)


def repeated(trace: Trace, call: Call) -> Known:
    (tensor,) = call.inputs
    return on_last(call, tensor.last, tensor.zero)


def activation(trace: Trace, call: Call) -> Known:
    (tensor,) = call.inputs
    return activated(trace, call, tensor)


def function(trace: Trace, call: Call) -> Known:
    layer = call.layer
    if len(call.inputs) != 1 or layer.mask is not None or callable(layer._output_shape) or layer._output_shape:
        return None
    (tensor,) = call.inputs
    if not elementwise(lambda x: layer.function(x, **(layer.arguments or {})), call.graphs.call, cached=False):
        return None
    return Traced(call.outputs[0], tensor.axes)


def mixed(trace: Trace, call: Call) -> Known:
    """Softmax needs all channels of the axes that it works along."""
    tensor = call.inputs[0]
    for axis in axes_of(call.layer.axis, len(tensor.shape)):
        if axis in tensor.axes:
            trace.protect(tensor.axes[axis], f"{call.layer.name} ({type(call.layer).__name__}) mixes them")
    return Traced(call.outputs[0], tensor.axes)


def normalized(trace: Trace, call: Call) -> Known:
    """Statistics of each entry of one axis, over all others."""
    (tensor,), layer = call.inputs, call.layer
    (axis, *others) = axes_of(layer.axis, len(tensor.shape))
    if others:
        return None
    for own, labels in tensor.axes.items():
        if own != axis:
            trace.protect(labels, f"{layer.name} ({type(layer).__name__}) combines them")
    labels = tensor.axes.get(axis)
    for weight in layer.weights:
        if tuple(weight.shape) == (tensor.shape[axis],):
            trace.index(weight, 0, labels)
    axes = {} if labels is None else {axis: labels}
    return Traced(call.outputs[0], axes, tensor.zero or getattr(layer, "gamma", None) is not None)


def layer_normalized(trace: Trace, call: Call) -> Known:
    (tensor,), layer, rank = call.inputs, call.layer, len(call.inputs[0].shape)
    axes = sorted(axes_of(layer.axis, rank))
    if not any(axis in tensor.axes for axis in axes):  # each channel by itself
        return Traced(call.outputs[0], tensor.axes, tensor.zero and getattr(layer, "beta", None) is None)
    if any(axis in tensor.axes for axis in axes[:-1]) or (tensor.axes and axes[-1:] != [rank - 1]):
        return None
    for name in ("gamma", "beta", "scale"):
        weight = getattr(layer, name, None)
        if hasattr(weight, "shape"):
            trace.index(weight, len(weight.shape) - 1, tensor.last)
    if tensor.last is not None:
        what = f"{layer.name} ({type(layer).__name__})"
        trace.disturb(tensor.last, f"{what} takes its statistics over them")
        if len(axes) == 1:
            trace.keep_two(tensor.last, what)
    return Traced(call.outputs[0], tensor.axes, hasattr(getattr(layer, "gamma", getattr(layer, "scale", 0)), "shape"))


def group_normalized(trace: Trace, call: Call) -> Known:
    """The same places of every group go; where each channel is a group, any can."""
    (tensor,), layer = call.inputs, call.layer
    if axes_of(layer.axis, len(tensor.shape)) != [len(tensor.shape) - 1]:
        return None
    protect_places(trace, call, tensor)
    labels = tensor.last
    if labels is None:
        return on_last(call, None)
    for weight in (layer.gamma, layer.beta):
        trace.index(weight, 0, labels)
    if layer.groups == labels.shape[-1]:
        trace.fix(call, Fixed("groups", labels))
    else:
        what = f"{layer.name} ({type(layer).__name__})"
        for row in labels.reshape(-1, layer.groups, labels.shape[-1] // layer.groups):
            trace.tie_rows(row)
            if len(tensor.shape) == 2:
                trace.keep_two(row[0], what)
        trace.disturb(labels, f"{what} takes its statistics over them")
    return on_last(call, labels, layer.gamma is not None)


def adapted(trace: Trace, call: Call) -> Known:
    (tensor,), layer = call.inputs, call.layer
    if list(layer._keep_axis) not in ([], [len(tensor.shape) - 1]):
        return None
    if layer.input_mean is None:
        for weight in (layer.adapt_mean, layer.adapt_variance) if layer._keep_axis else ():
            trace.index(weight, len(weight.shape) - 1, tensor.last)
        return Traced(call.outputs[0], tensor.axes)
    return _with_constants(trace, call, "mean", "variance")


def rescaled(trace: Trace, call: Call) -> Known:
    return _with_constants(trace, call, "scale", "offset")


def _with_constants(trace: Trace, call: Call, *keys: str) -> Known:
    """Notes settings that are numbers, or numbers one an entry of an axis."""
    tensor, settings = call.inputs[0], call.layer.get_config()
    if not all(constant(trace, call, key, settings[key], tensor) for key in keys):
        return None
    return Traced(call.outputs[0], tensor.axes)


def constant(trace: Trace, call: Call, key: str, value: Any, tensor: Traced) -> bool:
    """Notes a setting with a number, or with numbers for entries of a tensor; returns whether it is either."""
    shape = np.shape(value)
    if isinstance(value, dict):  # an array as Keras 3 stores it
        return not tensor.axes
    for own, size in enumerate(shape):
        axis = own - len(shape) + len(tensor.shape)
        if axis < 0 or size not in (1, tensor.shape[axis]):
            return False
        if axis in tensor.axes and size != 1:
            trace.fix(call, Fixed(key, tensor.axes[axis], axis=own))
    return True


def dropped(trace: Trace, call: Call) -> Known:
    (tensor,), shape = call.inputs, getattr(call.layer, "noise_shape", None)
    if shape is None:
        return Traced(call.outputs[0], tensor.axes, tensor.zero)
    if not isinstance(shape, (list, tuple)):
        return None
    for axis, side in enumerate(shape):
        if axis in tensor.axes and side not in (None, 1):
            trace.fix(call, Fixed("noise_shape", tensor.axes[axis], place=axis))
    return Traced(call.outputs[0], tensor.axes, tensor.zero)


def sloped(trace: Trace, call: Call) -> Known:
    (tensor,), slopes = call.inputs, call.layer.alpha
    for own, size in enumerate(slopes.shape):
        if own + 1 in tensor.axes and size != 1:
            trace.index(slopes, own, tensor.axes[own + 1])
    return Traced(call.outputs[0], tensor.axes, tensor.zero)


def scaled(trace: Trace, call: Call) -> Known:
    (tensor,), layer = call.inputs, call.layer
    trace.index(layer.gamma, 0, tensor.last)
    if tensor.last is not None:
        trace.fix(call, Fixed("projection_dim", tensor.last))
    return Traced(call.outputs[0], tensor.axes, True if tensor.last is not None else tensor.zero)


def merged(trace: Trace, call: Call) -> Known:
    shape, name = call.outputs[0], type(call.layer).__name__
    axes = trace.broadcast(call.inputs, shape, call.layer.name)
    together = any if name == "Multiply" else all
    return Traced(shape, axes, together(tensor.zero for tensor in call.inputs))


def concatenated(trace: Trace, call: Call) -> Known:
    return joined(trace, call, call.layer.axis)


def joined(trace: Trace, call: Call, axis: int) -> Known:
    """Puts tensors one behind the other along an axis."""
    shape, tensors = call.outputs[0], call.inputs
    (axis,) = axes_of(axis, len(shape))
    rest = [Traced(own.shape, {key: lab for key, lab in own.axes.items() if key != axis}) for own in tensors]
    axes: dict[int, Labels] = {}
    for other in range(len(shape)):
        known = [own.axes[other] for own in rest if other in own.axes]
        if known:
            axes[other] = trace.merge(known)
            if len(known) < len(rest):
                trace.protect(axes[other], f"{call.layer.name} combines them with what cannot go")
    if any(axis in own.axes for own in tensors):
        if any(own.shape[axis] is None for own in tensors):
            return None
        parts = [own.axes.get(axis) for own in tensors]
        rows = max(1 if own is None else len(np.atleast_2d(own)) for own in parts)
        filled = [
            trace.new(int(own.shape[axis]), f"{call.layer.name} joins them with others") if lab is None else lab
            for own, lab in zip(tensors, parts, strict=True)
        ]
        tiled = [np.resize(np.atleast_2d(own), (rows, np.shape(own)[-1])) for own in filled]
        axes[axis] = np.concatenate(tiled, axis=1) if rows > 1 else np.concatenate([own[0] for own in tiled])
    return Traced(shape, axes, all(own.zero for own in tensors))


def flattened(trace: Trace, call: Call) -> Known:
    return _in_shape(trace, call)


def _in_shape(trace: Trace, call: Call) -> Known:
    tensor, shape = call.inputs[0], call.outputs[0]
    axes = reshaped(trace, tensor, shape)
    return None if axes is None else Traced(shape, axes, tensor.zero)


def into_shape(trace: Trace, call: Call) -> Known:
    """Reshape, whose target has the sizes of the channels that end up on an axis."""
    found = _in_shape(trace, call)
    target = list(call.layer.target_shape)
    for axis, labels in found.axes.items() if found is not None else ():
        if target and target[axis - 1] != -1:
            trace.fix(call, Fixed("target_shape", labels, place=axis - 1))
    return found


def permuted(trace: Trace, call: Call) -> Known:
    return transposed_axes(call, [0, *call.layer.dims])


def transposed_axes(call: Call, order: Sequence[int]) -> Traced:
    """Returns a tensor whose axes stand in another order."""
    (tensor,) = call.inputs
    order = axes_of(order, len(tensor.shape))
    axes = {place: tensor.axes[axis] for place, axis in enumerate(order) if axis in tensor.axes}
    return Traced(call.outputs[0], axes, tensor.zero)


def pooled(trace: Trace, call: Call) -> Known:
    """Pooling over all places."""
    (tensor,) = call.inputs
    protect_places(trace, call, tensor)
    return on_last(call, tensor.last, tensor.zero)
