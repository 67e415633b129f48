"""Sizes of tensors as numbers in a graph: `tf.shape`, and what is taken of it to make other shapes.

A number that counts channels becomes another where some go, by itself: it fits as the size of an axis of these
channels, and nothing else may go by it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfprune.structured.labels import Labels
from tfprune.structured.movement import is_place
from tfprune.structured.tracing import Call, Count, Size, Trace, Traced

_TIMES = ("multiply", "mul", "rmul")


def sizes_of(trace: Trace, call: Call) -> Traced | None:
    """Returns what is known of sizes that a call gives; None if it gives anything else."""
    name = call.graphs.symbol(call.layer)
    if name == "shape" and len(call.inputs) == 1 and call.inputs[0].sizes is None:
        (tensor,) = call.inputs
        known = {axis: Count(labels) for axis, labels in tensor.axes.items()}
        return Traced((len(tensor.shape),), sizes=tuple(known.get(n, own) for n, own in enumerate(tensor.shape)))
    if not any(own.sizes is not None for own in call.inputs):
        return None
    found = None
    if name == "getitem":
        found = _taken(call)
    elif name in ("stack", "pack"):
        found = listed(call, call.value("values", "x"))
    elif name in ("concat", "concatv2"):
        parts = call.value("values")
        several = [_of(call, own) or listed(call, own) for own in parts] if isinstance(parts, (list, tuple)) else [None]
        found = None if None in several else tuple(size for own in several if own for size in own)
    elif name in _TIMES or name == "floordiv":
        found = _scaled(call, name)
    return None if found is None else Traced((len(found),), sizes=found)


def _scaled(call: Call, name: str) -> tuple[Size, ...] | None:
    """Returns sizes that are multiplied by a whole number, or divided; None where another number comes of it."""
    values = [*call.node.args, *(call.node.kwargs[key] for key in ("x", "y") if key in call.node.kwargs)]
    if len(values) != 2 or len(call.inputs) != 1:
        return None
    sizes, other = _of(call, values[0]), values[1]
    if sizes is None and name in _TIMES:
        sizes, other = _of(call, values[1]), values[0]
    number = None if sizes is None or call.graphs.is_tensor(other) else np.asarray(other)
    if number is None or number.ndim or number.dtype.kind not in "iu" or number < 1:
        return None
    return tuple(_times(size, int(number)) if name in _TIMES else _over(size, int(number)) for size in sizes)


def _times(size: Size, factor: int) -> Size:
    if isinstance(size, Count):
        if size.divisor % factor == 0:
            return Count(size.labels, size.divisor // factor)
        return Count(np.tile(size.labels, factor), size.divisor)
    return None if size is None else size * factor


def _over(size: Size, divisor: int) -> Size:
    if isinstance(size, Count):
        return Count(size.labels, size.divisor * divisor)
    return None if size is None else size // divisor


def fits_axis(trace: Trace, size: Count, labels: Labels) -> bool:
    """Returns whether a number is that of the entries of an axis, whatever goes of its channels."""
    if labels.ndim > 1 or size.labels.ndim > 1:
        return size.divisor == 1 and np.array_equal(size.labels, labels)
    counted, own = (Counter(trace.root(int(label)) for label in several) for several in (size.labels, labels))
    return counted == Counter({root: count * size.divisor for root, count in own.items()})


def _taken(call: Call) -> tuple[Size, ...] | None:
    option = call.option("key", "slice_spec", "slicespec")
    sizes, key = call.inputs[0].sizes, None if option is None else option.value
    key = key[0] if isinstance(key, (list, tuple)) and len(key) == 1 else key
    if isinstance(key, dict):
        key = slice(key["start"], key["stop"], key["step"])
    if sizes is None or len(call.inputs) > 1 or isinstance(key, bool) or key is None or not is_place(key):
        return None
    return sizes[key] if isinstance(key, slice) else (sizes[key],)


def listed(call: Call, values: Any) -> tuple[Size, ...] | None:
    """Returns the sizes in a list of numbers, of tensors with one, or a tensor of several; None if it is none."""
    known = _of(call, values)
    if known is not None:
        return known
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, (list, tuple)):
        return None
    sizes: list[Size] = []
    for own in values:
        if isinstance(own, (int, np.integer)) and not isinstance(own, bool):
            sizes.append(int(own))
        else:
            sizes.append((_of(call, own) or (None,))[0])
    return tuple(sizes)


def _of(call: Call, value: Any) -> tuple[Size, ...] | None:
    """Returns the sizes that a tensor of a call holds; None if it holds none."""
    places = [place for place, own in enumerate(call.node.inputs) if own is value]
    return call.inputs[places[0]].sizes if places else None


def without_sizes(trace: Trace, call: Call) -> Call:
    """Returns a call with the tensors alone that are no sizes; what these count stays, but in a shape.

    That of a reshape is left to its rule, see `rearranging.reshape`.
    """
    is_size = [own.sizes is not None for own in call.inputs]
    if not any(is_size):
        return call
    if call.graphs.symbol(call.layer) == "reshape":
        tensor = call.value("tensor", "x")
        is_size = [own is not tensor for own in call.node.inputs]
        shape = listed(call, call.value("shape", "newshape"))
        call = dataclasses.replace(call, target=shape)
    else:
        protect_counted(trace, call, (size for own in call.inputs for size in own.sizes or ()))
    left = [place for place, size in enumerate(is_size) if not size]
    node = dataclasses.replace(call.node, inputs=[call.node.inputs[place] for place in left])
    return dataclasses.replace(call, node=node, inputs=[call.inputs[place] for place in left])


def protect_counted(trace: Trace, call: Call, sizes: Iterable[Size]) -> None:
    """Protects the channels whose number something goes by."""
    for size in sizes:
        if isinstance(size, Count):
            trace.protect(size.labels, f"{call.layer.name} goes by their number")
