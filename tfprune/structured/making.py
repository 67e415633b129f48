"""What layers with kernels make of the channels of their inputs, and which they make of their own; see `rules`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.labels import Fixed, Labels, rows_of, stacked
from tfprune.structured.rules import Known, activated, on_last, protect_places
from tfprune.structured.tracing import Call, Trace, Traced

FEW = 8  # inputs of a group of a convolution; with no more, whole groups go


def _altered(layer: Any) -> bool:
    """Returns whether a layer has more to its kernel than the kernel."""
    return bool(getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None))


def _bias(layer: Any) -> Any:
    return getattr(layer, "bias", None) if getattr(layer, "use_bias", True) else None


def _produced(trace: Trace, call: Call, inputs: Labels | None, kernel: Any, taken: int, made: int) -> Labels:
    """Notes a kernel that reads channels on one axis and makes others on another; returns the labels of these."""
    trace.index(kernel, taken, inputs)
    labels = trace.make(call, int(kernel.shape[made]), key=traits_of(call.layer).width)
    trace.makes(kernel, made, labels)
    trace.index(_bias(call.layer), 0, labels)
    return labels


def dense(trace: Trace, call: Call) -> Known:
    """A kernel (inputs, outputs) on the last axis; the others pass."""
    (tensor,), layer = call.inputs, call.layer
    if _altered(layer):
        return None
    labels = _produced(trace, call, tensor.last, layer.kernel, 0, 1)
    shape = call.outputs[0]
    axes = tensor.others() | {len(shape) - 1: labels}
    return activated(trace, call, Traced(shape, axes, zero=True))


def convolved(trace: Trace, call: Call) -> Known:
    """A kernel that ends in (inputs, outputs)."""
    (tensor,), layer = call.inputs, call.layer
    if _altered(layer):
        return None
    protect_places(trace, call, tensor)
    rank = len(layer.kernel.shape)
    if getattr(layer, "groups", 1) != 1:
        labels = _grouped(trace, call)
    else:
        labels = _produced(trace, call, tensor.last, layer.kernel, rank - 2, rank - 1)
    return activated(trace, call, on_last(call, labels, zero=True))


def _grouped(trace: Trace, call: Call) -> Labels:
    """With few inputs a group whole groups go; with more the same places of every group.

    What is left has groups of the same kind.
    """
    layer, groups, kernel = call.layer, call.layer.groups, call.layer.kernel
    rank, (tensor,) = len(kernel.shape), call.inputs
    count = int(kernel.shape[rank - 1])
    few = int(kernel.shape[rank - 2]) <= FEW
    labels = trace.make(call, count, key=traits_of(layer).width)
    trace.makes(kernel, rank - 1, labels)
    trace.index(_bias(layer), 0, labels)
    made, inputs = labels.reshape(groups, -1), tensor.last
    inputs = trace.new(groups * int(kernel.shape[rank - 2]), "the model's input") if inputs is None else inputs
    taken = [row.reshape(groups, -1) for row in rows_of(inputs)]
    if few:
        first = taken[0][:, 0]
        for own in (*taken, made):
            for column in own.T:
                trace.union(first, column)
        trace.fix(call, Fixed("groups", first))
    else:
        for own in (*taken, made):
            trace.tie_rows(own)
        trace.index(kernel, rank - 2, stacked(np.stack([own[0] for own in taken])))
    return labels


def transposed(trace: Trace, call: Call) -> Known:
    (tensor,), layer = call.inputs, call.layer
    if getattr(layer, "groups", 1) != 1 or _altered(layer):
        return None
    protect_places(trace, call, tensor)
    rank = len(layer.kernel.shape)
    labels = _produced(trace, call, tensor.last, layer.kernel, rank - 1, rank - 2)
    return activated(trace, call, on_last(call, labels, zero=True))


def depthwise(trace: Trace, call: Call) -> Known:
    (tensor,), layer = call.inputs, call.layer
    protect_places(trace, call, tensor)
    kernel = getattr(layer, "depthwise_kernel", None)
    kernel = layer.kernel if kernel is None else kernel
    trace.index(kernel, len(kernel.shape) - 2, tensor.last)
    spread = None if tensor.last is None else np.repeat(tensor.last, layer.depth_multiplier, axis=-1)
    trace.index(_bias(layer), 0, spread)
    return activated(trace, call, on_last(call, spread, zero=True))


def separable(trace: Trace, call: Call) -> Known:
    (tensor,), layer = call.inputs, call.layer
    protect_places(trace, call, tensor)
    kernel, point = layer.depthwise_kernel, layer.pointwise_kernel
    trace.index(kernel, len(kernel.shape) - 2, tensor.last)
    spread = None if tensor.last is None else np.repeat(tensor.last, layer.depth_multiplier, axis=-1)
    labels = _produced(trace, call, spread, point, len(point.shape) - 2, len(point.shape) - 1)
    return activated(trace, call, on_last(call, labels, zero=True))


def embedded(trace: Trace, call: Call) -> Known:
    """What goes in are numbers of rows; none of their places can be missed."""
    if _altered(call.layer):
        return None
    layer = call.layer
    trace.protect_all(call.inputs, f"{layer.name} ({type(layer).__name__}) looks them up")
    labels = trace.make(call, int(layer.embeddings.shape[1]), key=traits_of(layer).width)
    trace.makes(layer.embeddings, 1, labels)
    return on_last(call, labels, zero=True)


def einsum_dense(trace: Trace, call: Call) -> Known:
    """A kernel whose axes, named by letters, are read from the input, made for the output, or both."""
    (tensor,), layer, shape = call.inputs, call.layer, call.outputs[0]
    letters = _letters(layer.equation, len(tensor.shape), len(shape))
    if letters is None or _altered(layer):
        return None
    taken, kernel, given = letters
    if len(set(taken)) < len(taken) or len(set(given)) < len(given):
        return None
    axes: dict[int, Labels] = {}
    for axis, letter in enumerate(taken):
        labels = tensor.axes.get(axis)
        if letter in kernel:
            trace.index(layer.kernel, kernel.index(letter), labels)
        elif labels is not None and letter not in given:
            return None  # it would be summed
        if labels is not None and letter in given:
            axes[given.index(letter)] = labels
    new = [letter for letter in given if letter in kernel and letter not in taken]
    for letter in new:
        size = int(layer.kernel.shape[kernel.index(letter)])
        place = given.index(letter)
        slot = "" if letter == new[-1] else letter
        labels = axes[place] = trace.make(call, size, slot)
        trace.makes(layer.kernel, kernel.index(letter), labels)
    _fix_output_shape(trace, call, axes)
    bias = _bias(layer)
    for own, size in enumerate(bias.shape if bias is not None else ()):
        axis = own - len(bias.shape) + len(shape)
        if axis in axes and size == shape[axis]:
            trace.index(bias, own, axes[axis])
    return activated(trace, call, Traced(shape, axes, zero=bool(new)))


def _fix_output_shape(trace: Trace, call: Call, axes: dict[int, Labels]) -> None:
    given = call.layer.get_config()["output_shape"]
    shape = call.outputs[0]
    for axis, labels in axes.items():
        if isinstance(given, int):
            if axis == len(shape) - 1:
                trace.fix(call, Fixed("output_shape", labels))
        elif given[axis - len(shape)] is not None:
            trace.fix(call, Fixed("output_shape", labels, place=axis - len(shape) + len(given)))


def _letters(equation: str, inputs: int, outputs: int) -> tuple[str, str, str] | None:
    """Returns the letters of an equation's input, kernel and output, with letters for an ellipsis; None: unclear."""
    left, _, given = equation.replace(" ", "").partition("->")
    taken, _, kernel = left.partition(",")
    rest = [own for own in "ABCDEFGHIJ" if own not in equation]
    if "..." in kernel or not given:
        return None
    if "..." in taken:
        dots = "".join(rest[: inputs - len(taken) + 3])
        taken, given = taken.replace("...", dots), given.replace("...", dots)
    return (taken, kernel, given) if (len(taken), len(given)) == (inputs, outputs) else None
