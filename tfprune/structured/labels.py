"""Labels of channels: an axis of a tensor or weight has one for each of its entries, and loses those whose label goes.

Where an axis was made of several (flattened places and channels), it has several rows of labels: an entry goes if one
of its labels does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

Labels = np.ndarray  # of whole numbers: one for each entry of an axis, or several rows of such
Axes = Mapping[int, Labels]  # axis -> the labels of the channels that it is indexed by


def rows_of(labels: Labels) -> np.ndarray:
    """Returns labels as rows, also where there is one."""
    return labels[np.newaxis] if labels.ndim == 1 else labels


def stacked(rows: np.ndarray) -> Labels:
    """Returns rows of labels, those that are there already left out, as labels."""
    kept: list[np.ndarray] = []
    for row in rows:
        if not any(np.array_equal(row, own) for own in kept):
            kept.append(row)
    return kept[0] if len(kept) == 1 else np.stack(kept)


def goes(labels: Labels, gone: np.ndarray) -> np.ndarray:
    """Returns which entries of an axis go."""
    return np.isin(rows_of(labels), gone).any(axis=0)


def left(labels: Labels, gone: np.ndarray) -> Labels:
    """Returns the labels of the entries of an axis that stay."""
    return labels[..., ~goes(labels, gone)]


def drop_axes(value: np.ndarray, axes: Axes, gone: np.ndarray) -> np.ndarray:
    """Returns an array without the channels whose labels are `gone`."""
    for axis, labels in axes.items():
        value = np.compress(~goes(labels, gone), value, axis)
    return value


@dataclasses.dataclass(frozen=True)
class WeightChannels:
    """The channels that a weight is indexed by.

    Attributes:
        axes: its axes that are channels -> their labels.
        root: the labels with the root of whose number it shrinks, see `Trace.roots_of`; None if it does not.
    """

    axes: Axes = dataclasses.field(default_factory=dict)
    root: Labels | None = None

    def without(self, values: np.ndarray, gone: np.ndarray) -> np.ndarray:
        """Returns what is left of the weight's values without the channels whose labels are `gone`."""
        values = drop_axes(values, self.axes, gone)
        kept = 1.0 if self.root is None else float(np.mean(~goes(self.root, gone)))
        return values if kept == 1.0 else values * np.asarray(kept**0.5, values.dtype)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A number of channels, or numbers one a channel, that a setting of a layer or an argument of its call has fixed.

    Attributes:
        key: name of the setting, or the names on the way to it; name or place of the argument.
        labels: of the channels.
        place: which entry of a shape, or of a tuple of slices, it is; None if it is the value itself.
        axis: which axis of an array has a number for each channel; None if it is no array.
        given: whether it has to be there even if the layer would find it itself, as the size of its inputs.
        cut: whether it says where a slice of the channels begins and ends, or where one of them is.
    """

    key: str | int | tuple[str, ...]
    labels: Labels
    place: int | None = None
    axis: int | None = None
    given: bool = False
    cut: bool = False

    def left(self, gone: np.ndarray) -> Fixed:
        """Returns what this is in a model without some channels."""
        return dataclasses.replace(self, labels=left(self.labels, gone))

    def without(self, value: Any, gone: np.ndarray) -> Any:
        """Returns the value as it is without some channels; the same object if nothing of it goes."""
        kept = ~goes(self.labels, gone)
        if not len(gone) or (kept.all() and not self.given):
            return value
        if self.axis is not None:
            left = np.compress(kept, np.asarray(value), self.axis)
            return left.tolist() if isinstance(value, (list, tuple)) else left
        if self.place is None:
            return _cut(value, kept) if self.cut else int(kept.sum())
        if value is None or isinstance(value, int):
            return value
        shape = list(value)
        shape[self.place] = _cut(shape[self.place], kept) if self.cut else int(kept.sum())
        return np.asarray(shape) if isinstance(value, np.ndarray) else type(value)(shape)


def _cut(value: Any, kept: np.ndarray) -> Any:
    """Returns a place, or a slice, of what is kept, as Keras 3 (a slice) or tf_keras (a dictionary) notes it."""
    if isinstance(value, (int, np.integer)):
        return int(kept[: value % len(kept)].sum())
    noted = isinstance(value, dict)
    ends = (value["start"], value["stop"]) if noted else (value.start, value.stop)
    start, stop = (None if end is None else int(kept[: slice(None, end).indices(len(kept))[1]].sum()) for end in ends)
    return {"start": start, "stop": stop, "step": value["step"]} if noted else slice(start, stop, value.step)
