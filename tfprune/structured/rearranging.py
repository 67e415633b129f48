"""What functions that only move the entries of tensors make of their channels, see `operators`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfprune.adapters.graphs import Option
from tfprune.structured.labels import Labels, rows_of
from tfprune.structured.movement import axes_of_key, indexed, reshaped
from tfprune.structured.rules import Known, axes_of, joined, transposed_axes
from tfprune.structured.sizes import fits_axis, protect_counted
from tfprune.structured.tracing import Call, Count, Trace, Traced


def whole_numbers(value: Any) -> list[int] | None:
    """Returns one axis or several as a list; None if it is anything but whole numbers."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return [int(value)]
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return [int(own) for own in found.ravel()] if found.dtype.kind in "iu" and found.size else None


def join_along(trace: Trace, call: Call) -> Known:
    """Puts tensors one behind the other along an axis."""
    axis, values = call.value("axis", default=0), call.value("values", "xs")
    if not isinstance(axis, int) or not isinstance(values, (list, tuple)) or len(values) != len(call.inputs):
        return None
    return joined(trace, call, axis)


def stack_up(trace: Trace, call: Call) -> Known:
    """Puts tensors on a new axis."""
    axis, rank, values = call.value("axis", default=0), len(call.outputs[0]), call.value("values", "x")
    if not isinstance(axis, int) or not isinstance(values, (list, tuple)) or len(values) != len(call.inputs):
        return None
    axes = trace.broadcast(call.inputs, call.inputs[0].shape, call.layer.name)
    (axis,) = axes_of(axis, rank)
    moved = {own + (own >= axis): labels for own, labels in axes.items()}
    return Traced(call.outputs[0], moved, all(own.zero for own in call.inputs))


def take_apart(trace: Trace, call: Call) -> Known:
    """Takes the entries of an axis apart, which must have no channels."""
    (tensor,), axis = call.inputs, call.value("axis", default=0)
    if not isinstance(axis, int):
        return None
    (axis,) = axes_of(axis, len(tensor.shape))
    if axis in tensor.axes:
        return None
    axes = {own - (own > axis): labels for own, labels in tensor.axes.items()}
    return [Traced(shape, axes, tensor.zero) for shape in call.outputs]


def split_up(trace: Trace, call: Call) -> Known:
    """Parts of the same size that are asked for by their number lose the same places; others lose any."""
    option = call.option("num_or_size_splits", "indices_or_sections")
    if len(call.inputs) != 1 or option is None:
        return None
    (tensor,), axis, sections = call.inputs, call.value("axis", default=0), option.value
    if not isinstance(axis, int):
        return None
    (axis,) = axes_of(axis, len(tensor.shape))
    labels = tensor.axes.get(axis)
    rest = {own: lab for own, lab in tensor.axes.items() if own != axis}
    if labels is None:
        return [Traced(shape, rest, tensor.zero) for shape in call.outputs]
    if not isinstance(sections, int):
        parts = _parted(trace, call, option, labels, [int(shape[axis]) for shape in call.outputs])
        if parts is None:
            return None
        outputs = zip(call.outputs, parts, strict=True)
        return [Traced(shape, rest | {axis: own}, tensor.zero) for shape, own in outputs]
    if labels.ndim > 1:
        return None
    row = trace.tie_rows(labels.reshape(sections, -1))
    return [Traced(shape, rest | {axis: row}, tensor.zero) for shape in call.outputs]


def _parted(trace: Trace, call: Call, option: Option, labels: Labels, sizes: Sequence[int]) -> list[Labels] | None:
    """Returns the labels of parts of an axis, and notes where these begin and end, which a list says."""
    if whole_numbers(option.value) is None or 0 in sizes:
        return None
    ends = np.cumsum(sizes)
    parts = np.split(labels, ends[:-1], axis=-1)
    by_size = call.option("num_or_size_splits") is option
    for place, own in enumerate(parts if by_size else ends[:-1]):
        if not by_size:
            trace.fix_option(call, option, labels[..., :own], place=place)
        elif int(option.value[place]) != -1:
            trace.fix_option(call, option, own, place=place)
    trace.pieces += parts
    return parts


def take(trace: Trace, call: Call) -> Known:
    """Takes entries of an axis, which must have no channels, by numbers that are known."""
    axis, places = call.value("axis"), call.value("indices")
    if len(call.inputs) != 1 or not isinstance(axis, int) or not _is_first(call) or call.value("batch_dims"):
        return None
    try:
        rank = np.asarray(places).ndim
    except (TypeError, ValueError):
        return None
    (tensor,), (axis,) = call.inputs, axes_of(axis, len(call.inputs[0].shape))
    if np.asarray(places).dtype.kind not in "iu" or axis in tensor.axes:
        return None
    axes = {own if own < axis else own + rank - 1: labels for own, labels in tensor.axes.items()}
    return Traced(call.outputs[0], axes, tensor.zero)


def _is_first(call: Call) -> bool:
    """Returns whether the tensor of a call is what it is done to."""
    return call.value("params", "x") is call.node.inputs[0]


def reshape(trace: Trace, call: Call) -> Known:
    """Puts the same entries into another shape."""
    option = call.option("shape", "newshape")
    if len(call.inputs) != 1 or option is None:
        return None
    shape = call.outputs[0]
    axes = reshaped(trace, call.inputs[0], shape)
    if axes is None:
        return None
    if call.target is not None:
        return _into_target(trace, call, axes)
    for axis, labels in axes.items():
        try:
            known = int(option.value[axis])
        except (TypeError, ValueError, IndexError):  # one of the sides is a tensor
            return None
        if known != -1:
            trace.fix_option(call, option, labels, place=axis)
    return Traced(shape, axes, call.inputs[0].zero)


def _into_target(trace: Trace, call: Call, axes: dict[int, Labels]) -> Known:
    """Puts the same entries into a shape that tensors say: a size that counts channels fits the axis of these alone."""
    option = call.option("shape", "newshape")
    for axis, size in enumerate(call.target):
        labels = axes.get(axis)
        if labels is None:
            protect_counted(trace, call, [size])
        elif isinstance(size, Count):
            if not fits_axis(trace, size, labels):
                protect_counted(trace, call, [size])
                return None
        elif isinstance(size, int) and isinstance(option.value, (list, tuple)):
            if size != -1:
                trace.fix_option(call, option, labels, place=axis)
        elif size != -1:
            return None
    return Traced(call.outputs[0], axes, call.inputs[0].zero)


def add_axes(trace: Trace, call: Call) -> Known:
    """Adds axes of one entry."""
    axes, rank = whole_numbers(call.value("axis")), len(call.outputs[0])
    if axes is None or len(call.inputs) != 1:
        return None
    new = axes_of(axes, rank)
    old = [axis for axis in range(rank) if axis not in new]
    (tensor,) = call.inputs
    return Traced(call.outputs[0], {old[own]: labels for own, labels in tensor.axes.items()}, tensor.zero)


def drop_single(trace: Trace, call: Call) -> Known:
    """Drops axes of one entry."""
    (tensor,), axis = call.inputs, call.value("axis")
    rank = len(tensor.shape)
    chosen = [own for own in range(rank) if tensor.shape[own] == 1] if axis in (None, []) else whole_numbers(axis)
    if chosen is None:
        return None
    left = [own for own in range(rank) if own not in axes_of(chosen, rank)]
    axes = {left.index(own): labels for own, labels in tensor.axes.items() if own in left}
    return Traced(call.outputs[0], axes, tensor.zero)


def transpose(trace: Trace, call: Call) -> Known:
    """Puts axes in another order."""
    order, rank = call.value("perm", "axes"), len(call.outputs[0])
    order = list(range(rank))[::-1] if order is None else whole_numbers(order)
    return None if order is None or len(call.inputs) != 1 else transposed_axes(call, order)


def swap_axes(trace: Trace, call: Call) -> Known:
    """Swaps two axes."""
    one, other = call.value("axis1"), call.value("axis2")
    order = list(range(len(call.outputs[0])))
    order[one], order[other] = order[other], order[one]
    return transposed_axes(call, order)


def move_axes(trace: Trace, call: Call) -> Known:
    """Moves axes to other places."""
    source, target = (whole_numbers(call.value(name)) for name in ("source", "destination"))
    rank = len(call.outputs[0])
    if source is None or target is None:
        return None
    return transposed_axes(call, _order_of(source, target, rank))


def _order_of(source: list[int], target: list[int], rank: int) -> list[int]:
    names = np.empty([axis + 1 for axis in range(rank)])  # sides that tell the axes apart
    return [side - 1 for side in np.moveaxis(names, source, target).shape]


def index(trace: Trace, call: Call) -> Known:
    """Slices of channels are cut anew, and a channel that is taken alone stays, at the place where it is then."""
    (tensor,), option = call.inputs, call.option("key", "slice_spec", "slicespec")
    if option is None:
        return None
    several = isinstance(option.value, (tuple, list))
    key = option.value if several else (option.value,)
    plain = tuple(slice(own["start"], own["stop"], own["step"]) if isinstance(own, dict) else own for own in key)
    axis_of = axes_of_key(plain, len(tensor.shape))
    alone = [axis for place, axis in axis_of.items() if _is_alone(plain[place], tensor.axes.get(axis))]
    others = {axis: labels for axis, labels in tensor.axes.items() if axis not in alone}
    places = {
        place: tensor.axes[axis]
        for place, axis in axis_of.items()
        if axis in tensor.axes and plain[place] != slice(None)
    }
    strided = [place for place in places if isinstance(plain[place], slice) and plain[place].step not in (None, 1)]
    if not all(_in_step(places[place], plain[place]) for place in strided):
        return None
    axes = indexed(trace, dataclasses.replace(tensor, axes=others), plain)
    if axes is None:
        return None
    for place, labels in places.items():
        own = plain[place]
        if place in strided:
            for row in rows_of(labels):
                trace.tie_rows(row.reshape(-1, own.step).T)
            continue
        trace.fix_option(call, option, labels, cut=True, **({"place": place} if several else {}))
        if not _is_alone(own, labels):
            trace.pieces.append(labels[..., own])
        elif isinstance(own, slice):
            trace.pieces += list(rows_of(labels)[:, own])
            trace.read(labels[..., own])
        else:
            trace.pieces += list(rows_of(labels)[:, own, np.newaxis])
            trace.read(rows_of(labels)[:, own])
    return Traced(call.outputs[0], axes, tensor.zero)


def _is_alone(own: Any, labels: Labels | None) -> bool:
    """Returns whether a place, or a slice of one place, is taken."""
    if not isinstance(own, slice) or labels is None or own.step not in (None, 1):
        return not isinstance(own, slice)
    return own != slice(None) and len(range(*own.indices(labels.shape[-1]))) == 1


def _in_step(labels: Labels, own: slice) -> bool:
    """Returns whether a slice takes one of each so many channels: these go together, and it takes one of each then."""
    step, count = int(own.step), labels.shape[-1]
    return step > 1 and own.stop in (None, count) and 0 <= (own.start or 0) < step and count % step == 0
