"""What is known of the channels of a network while its graph is followed.

Every tensor is an array of labels, one for each entry of its last axis; `rules` and `operators` say what a layer makes
of those of its inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf

Labels = np.ndarray  # of whole numbers, one for each entry of an axis


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A number of channels, or numbers one a channel, that a layer's setting or an argument of its call has fixed.

    Attributes:
        key: name of the setting; name or place of the argument.
        labels: of the channels.
        place: which entry of a shape the number is; None if it is the value itself.
        sliced: whether it is an array whose last axis has a number for each channel.
    """

    key: str | int
    labels: Labels
    place: int | None = None
    sliced: bool = False

    def without(self, value: Any, gone: np.ndarray) -> Any:
        """Returns the value as it is without some channels; the same object if nothing of it goes."""
        kept = ~np.isin(self.labels, gone)
        if kept.all():
            return value
        if self.sliced:
            left = np.compress(kept, np.asarray(value), -1)
            if isinstance(value, (list, tuple)):
                return left.tolist()
            return left if isinstance(value, np.ndarray) else tf.constant(left, value.dtype)
        count = int(kept.sum())
        if self.place is None:
            return count
        shape = list(value)
        shape[self.place] = count
        return type(value)(shape) if isinstance(value, (list, tuple)) else tf.constant(shape, value.dtype)


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a layer in a graph.

    Attributes:
        layer: which is called.
        node: the call, as Keras has it.
        inputs: labels of the tensors that go in.
        shapes: of the tensors that go in.
        outputs: shapes of the tensors that come out.
    """

    layer: keras.layers.Layer
    node: Any
    inputs: Sequence[Labels]
    shapes: Sequence[tuple[int | None, ...] | None]
    outputs: Sequence[tuple[int | None, ...] | None]


class Trace:
    """The labels of a network; those that were tied have one root.

    Attributes:
        axes: id of a weight -> its axes that are channels -> their labels.
        widths: id of a layer -> the labels of its output, for layers that have a width of their own and for the inputs
            of nested models.
        made: id of a weight -> the axis on which it makes its layer's output, kernels only.
        names: id of a layer with a width -> its name, with those of the models that it is in.
        within: names of the models that are nested in each other here.
        settings: id of a layer -> its settings that go by the number of channels.
        arguments: id of a call -> its arguments that do.
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}  # of roots
        self._inexact: list[tuple[Labels, str]] = []
        self.axes: dict[int, dict[int, Labels]] = {}
        self.widths: dict[int, Labels] = {}
        self.made: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.within: list[str] = []
        self.settings: dict[int, dict[str, Fixed]] = {}
        self.arguments: dict[int, list[Fixed]] = {}

    def new(self, count: int, protected: str | None = None) -> Labels:
        """Returns labels that no other channel has."""
        labels = np.arange(len(self._parents), len(self._parents) + count)
        self._parents.extend(map(int, labels))
        if protected:
            self.protect(labels, protected)
        return labels

    def protect(self, labels: Labels, reason: str, *, above_all: bool = False) -> None:
        """Notes why channels cannot go; the first reason counts, unless this one is `above_all`."""
        for label in labels:
            root = self.root(int(label))
            if above_all or root not in self._reasons:
                self._reasons[root] = reason

    def disturb(self, labels: Labels, reason: str) -> None:
        """Notes that others of these channels change when one of them goes."""
        self._inexact.append((labels, reason))

    def union(self, one: Labels, other: Labels) -> Labels:
        """Ties channels to each other, place by place."""
        for a, b in zip(one, other, strict=True):
            kept, gone = sorted((self.root(int(a)), self.root(int(b))))
            if kept != gone:
                self._parents[gone] = kept
                if gone in self._reasons:
                    self._reasons.setdefault(kept, self._reasons.pop(gone))
        return one

    def stretch(self, several: Sequence[Labels]) -> Labels | None:
        """Ties the channels of tensors that are combined element by element; None if they do not fit.

        Of a tensor with one channel, each of the others' is combined with the same.
        """
        widest = max(several, key=len)
        if any(len(own) not in (1, len(widest)) for own in several):
            return None
        for own in several:
            if own is not widest and len(own) == len(widest):
                self.union(widest, own)
        return widest

    def tie_rows(self, labels: Labels) -> None:
        """Ties the channels of each column: the same places of every row go."""
        for row in labels[1:]:
            self.union(labels[0], row)

    def reshaped(self, labels: Labels, before: Sequence[int | None], after: Sequence[int | None]) -> Labels | None:
        """Returns the labels of a tensor in another shape, the same elements in the same order; None if in pieces."""
        count = after[-1] if len(after) > 1 else None
        if before[-1] is None or count is None:
            return None
        if count % len(labels) == 0:
            return np.tile(labels, count // len(labels))
        if len(labels) % count == 0 and count > 1:
            self.tie_rows(labels.reshape(-1, count))
            return labels[:count]
        return None

    def index(self, weight: tf.Variable | None, axis: int, labels: Labels) -> None:
        """Notes the labels of a weight's axis; a layer that is called again has them tied to the earlier ones."""
        if weight is None:
            return
        axes = self.axes.setdefault(id(weight), {})
        if axis in axes:
            self.union(axes[axis], labels)
        axes.setdefault(axis, labels)

    def fix(self, layer: keras.layers.Layer, fixed: Fixed) -> None:
        """Notes a setting of a layer; one that is called again has its channels tied to the earlier ones."""
        known = self.settings.setdefault(id(layer), {}).setdefault(str(fixed.key), fixed)
        self.union(known.labels, fixed.labels)

    def make(self, layer: keras.layers.Layer, kernel: tf.Variable, axis: int, setting: str) -> Labels:
        """Returns the labels of a layer's output, new ones the first time."""
        if id(layer) not in self.widths:
            self.widths[id(layer)] = self.new(kernel.shape[axis])
            self.names[id(layer)] = "/".join((*self.within, layer.name))
        self.made[id(kernel)] = axis
        self.index(kernel, axis, self.widths[id(layer)])
        self.fix(layer, Fixed(setting, self.widths[id(layer)]))
        return self.widths[id(layer)]

    def reason(self, roots: Sequence[int]) -> str | None:
        """Returns why one of these cannot go."""
        return next(filter(None, map(self._reasons.get, roots)), None)

    def inexact(self) -> dict[int, str]:
        """Returns root -> why others change when it goes."""
        return {self.root(int(label)): reason for labels, reason in reversed(self._inexact) for label in labels}

    def roots(self) -> np.ndarray:
        """Returns the root of each label."""
        return np.array([self.root(label) for label in range(len(self._parents))], int)

    def root(self, label: int) -> int:
        """Returns the label that stands for all that are tied to one."""
        while self._parents[label] != label:
            self._parents[label] = label = self._parents[self._parents[label]]
        return label
