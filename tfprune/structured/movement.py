"""Where labels go when a tensor is reshaped, cut or permuted: the same is done to an array of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.graphs import Shape
from tfprune.structured.labels import Labels, rows_of, stacked
from tfprune.structured.tracing import Trace, Traced

UNKNOWN_SIDE = 2  # what sides that are not fixed are taken for


def moved(
    trace: Trace, tensor: Traced, shape: Sequence[int], move: Callable[[np.ndarray], np.ndarray]
) -> dict[int, Labels] | None:
    """Returns the labels of what a function makes of a tensor by moving its entries; None if they come apart.

    Where channels of one axis end up on several, the last of these keeps them, and the others' are tied.

    Args:
        trace: ties them.
        tensor: what is moved.
        shape: that of the tensor, with sizes for the sides that are not fixed.
        move: of an array of that shape.
    """
    found: dict[int, list[Labels]] = {}
    for axis, labels in tensor.axes.items():
        for row in rows_of(labels):
            places = np.broadcast_to(row.reshape([-1 if own == axis else 1 for own in range(len(shape))]), shape)
            try:
                after = move(places)
            except (ValueError, IndexError):  # sides that are not fixed were others than they have to be
                return None
            if not after.size:  # nothing is left that could be followed
                return None
            if (where := _axis_of(trace, after)) is None:
                if row.size > 1:  # all that comes out is of one channel
                    trace.protect(after, "one of them is taken alone")
                continue
            if where[0] == 0:
                return None
            found.setdefault(where[0], []).append(where[1])
    return {axis: stacked(np.stack(rows)) for axis, rows in found.items()}


def _axis_of(trace: Trace, places: np.ndarray) -> tuple[int, Labels] | None:
    """Returns the axis along which labels vary, with those on it; None if there is but one label."""
    varying = [axis for axis, size in enumerate(places.shape) if size > 1 and (places != places.take([0], axis)).any()]
    if not varying:
        return None
    places = places[tuple(slice(None) if axis in varying else 0 for axis in range(places.ndim))]
    return varying[-1], trace.tie_rows(places.reshape(-1, places.shape[-1]))


def reshaped(trace: Trace, tensor: Traced, after: Shape) -> dict[int, Labels] | None:
    """Returns the labels of a tensor in another shape, the same entries in the same order; None if they come apart."""
    tensor = _sized(tensor, after)
    entries = math.prod([side or UNKNOWN_SIDE for side in tensor.shape[1:]])
    sides = list(after)
    if sides[0] is not None and sides[0] == tensor.shape[0]:  # the batch stays
        sides[0] = 1
    if sides[0] is None and tensor.shape[0] is None and any(side is None for side in sides[1:]):
        sides[0] = 1
    if sum(side is None for side in sides) > 1:  # it would have to be known which is which
        known = [side for side in tensor.shape[1:] if side is None]
        sides[1:] = [UNKNOWN_SIDE if side is None and known else side for side in sides[1:]]
    open_places = [place for place, side in enumerate(sides) if side is None]
    rest = math.prod([side for side in sides if side is not None])
    if rest == 0 or entries % rest or (not open_places and entries != rest):
        return None
    target = [entries // rest if side is None else side for side in sides]
    shape = [1, *(side or UNKNOWN_SIDE for side in tensor.shape[1:])]
    return moved(trace, tensor, shape, lambda places: places.reshape(target))


def _sized(tensor: Traced, after: Shape) -> Traced:
    """Returns a tensor with the one side that is not fixed, where the shape that it is put into says what it is."""
    open_sides = [axis for axis, side in enumerate(tensor.shape) if side is None and axis]
    if len(open_sides) != 1 or None in after[1:]:
        return tensor
    side, rest = divmod(math.prod(after[1:]), math.prod([own for own in tensor.shape[1:] if own is not None]))
    if rest or not side:
        return tensor
    sides = [side if axis in open_sides else own for axis, own in enumerate(tensor.shape)]
    return dataclasses.replace(tensor, shape=tuple(sides))


def indexed(trace: Trace, tensor: Traced, key: Any) -> dict[int, Labels] | None:
    """Returns the labels of a tensor that is indexed, by whole numbers, slices, new axes and an ellipsis."""
    key = tuple(key) if isinstance(key, (tuple, list)) else (key,)
    if any(isinstance(own, bool) or not (own is None or own is Ellipsis or is_place(own)) for own in key):
        return None
    named = {axis: key[place] for place, axis in axes_of_key(key, len(tensor.shape)).items()}
    shape = [
        _side_for(named[axis]) if side is None and axis in named else side or 1 if axis == 0 else side or UNKNOWN_SIDE
        for axis, side in enumerate(tensor.shape)
    ]
    return moved(trace, tensor, shape, lambda places: places[key])


def _side_for(own: Any) -> int:
    """Returns a size of a side that is not fixed of which an index, or a slice, takes something, and leaves something.

    >>> _side_for(-3), _side_for(slice(2, -2)), _side_for(slice(4))
    (5, 6, 6)
    """
    ends = (own.start, own.stop, own.step) if isinstance(own, slice) else (own,)
    return UNKNOWN_SIDE + sum(abs(int(end)) for end in ends if end is not None)


def is_place(own: Any) -> bool:
    """Returns whether something is a whole number or a slice of such."""
    if isinstance(own, slice):
        return all(end is None or isinstance(end, (int, np.integer)) for end in (own.start, own.stop, own.step))
    return isinstance(own, (int, np.integer))


def axes_of_key(key: Sequence[Any], rank: int) -> dict[int, int]:
    """Returns place in an index -> axis of the tensor that it takes places of."""
    takes = [place for place, own in enumerate(key) if own is not None and own is not Ellipsis]
    ellipsis = next((place for place, own in enumerate(key) if own is Ellipsis), len(key))
    before = [place for place in takes if place < ellipsis]
    after = [place for place in takes if place > ellipsis]
    found = {place: axis for axis, place in enumerate(before)}
    return found | {place: rank - len(after) + number for number, place in enumerate(after)}
