"""What is known of the channels of a network while its graph is followed.

Every axis of a tensor may have labels, one for each of its entries; `rules` and `operators` say what a layer makes of
those of its inputs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.graphs import Graphs, Node, Option, Shape
from tfprune.structured.labels import Axes, Fixed, Labels, rows_of


@dataclasses.dataclass(frozen=True)
class Count:
    """A number of channels, or a part of it.

    Attributes:
        labels: of those that are counted, several times where the number is multiplied.
        divisor: what their number is divided by.
    """

    labels: Labels
    divisor: int = 1


Size = Count | int | None  # what a number counts, the number, or None where neither is known


@dataclasses.dataclass(frozen=True)
class Traced:
    """What is known of a tensor.

    Attributes:
        shape: with the batch.
        axes: labels of those axes that have some.
        zero: whether entries are zero where the weights are that make their channels.
        sizes: of a tensor that holds sizes of others, what they count, see `sizes`.
    """

    shape: Shape
    axes: Axes = dataclasses.field(default_factory=dict)
    zero: bool = False
    sizes: tuple[Size, ...] | None = None

    @property
    def last(self) -> Labels | None:
        """The labels of the last axis."""
        return self.axes.get(len(self.shape) - 1)

    def others(self) -> dict[int, Labels]:
        """Returns the labels of all axes but the last."""
        return {axis: labels for axis, labels in self.axes.items() if axis != len(self.shape) - 1}


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a layer in a graph.

    Attributes:
        graphs: of the model's framework.
        layer: which is called; where it is inside of another, the inner one.
        node: the call.
        inputs: what is known of the tensors that go in.
        outputs: shapes of the tensors that come out.
        owner: the layer whose settings are changed, which others are inside of.
        way: names of the settings of `owner` that lead to those of `layer`.
        target: the shape that something is reshaped to, where tensors say it, see `sizes`.
    """

    graphs: Graphs
    layer: Any
    node: Node
    inputs: Sequence[Traced]
    outputs: Sequence[Shape]
    owner: Any
    way: tuple[str, ...] = ()
    target: tuple[Size, ...] | None = None

    @functools.cached_property
    def options(self) -> Mapping[str, Option]:
        """The settings of an operation and the arguments of a call, by name."""
        return self.graphs.options(self.node)

    def option(self, *names: str) -> Option | None:
        """Returns the first of some that is there."""
        return next((self.options[name] for name in names if name in self.options), None)

    def value(self, *names: str, default: Any = None) -> Any:
        """Returns the value of the first of some options that is there."""
        found = self.option(*names)
        return default if found is None else found.value


class Trace:
    """The labels of a network; those that were tied have one root.

    Attributes:
        axes: id of a weight -> its axes that are channels -> their labels.
        widths: id of a layer and one of its widths (its name's ending, empty for its output) -> labels, for layers that
            have widths of their own.
        made: id of a weight -> the axes on which it makes its layer's channels, kernels only.
        names: id of a layer with a width -> its name, with those of the models that it is in.
        within: names of the models that are nested in each other here.
        settings: id of a layer -> its settings that go by the number of channels.
        arguments: key of a call -> its arguments that do.
        copies: id of a layer and a width -> how many entries of the layer's inside each of its channels stands for.
        roots_of: id of a weight -> labels, with whose number the root of which it is divided by in effect.
        pieces: labels of axes that are cut out of longer ones, each of which has to keep an entry.
        pairs: labels of axes that have to keep two entries, and why none of two can go.
        used: ids of weights that are arguments of calls.
        whole: name of a layer that makes channels of its own, none of which can go -> why.
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}  # of roots
        self._inexact: list[tuple[Labels, str]] = []
        self._read: list[Labels] = []
        self.pieces: list[Labels] = []
        self.pairs: list[tuple[Labels, str]] = []
        self.used: set[int] = set()
        self.whole: dict[str, str] = {}
        self.axes: dict[int, dict[int, Labels]] = {}
        self.widths: dict[tuple[int, str], Labels] = {}
        self.made: dict[int, tuple[int, ...]] = {}
        self.names: dict[int, str] = {}
        self.within: list[str] = []
        self.settings: dict[int, dict[tuple[Any, int | None], Fixed]] = {}
        self.arguments: dict[int, list[Fixed]] = {}
        self.roots_of: dict[int, Labels] = {}
        self.copies: dict[tuple[int, str], int] = {}

    def new(self, count: int, protected: str | None = None) -> Labels:
        """Returns labels that no other channel has."""
        labels = np.arange(len(self._parents), len(self._parents) + count)
        self._parents.extend(map(int, labels))
        if protected:
            self.protect(labels, protected)
        return labels

    def protect(self, labels: Labels, reason: str, *, above_all: bool = False) -> None:
        """Notes why channels cannot go; the first reason counts, unless this one is `above_all`."""
        for label in map(int, np.unique(labels)):
            root = self.root(label)
            if above_all or root not in self._reasons:
                self._reasons[root] = reason

    def protect_all(self, tensors: Iterable[Traced], reason: str) -> None:
        """Notes why no channel of some tensors can go."""
        for tensor in tensors:
            for labels in tensor.axes.values():
                self.protect(labels, reason)

    def protect_layer(self, layer: Any, reason: str) -> None:
        """Notes why no channel can go that a layer was found to have before it was known that it cannot be followed."""
        for weight in getattr(layer, "weights", ()):
            for labels in self.axes.get(id(weight), {}).values():
                self.protect(labels, reason)
        for (owner, _), labels in self.widths.items():
            if owner == id(layer):
                self.protect(labels, reason)

    def disturb(self, labels: Labels, reason: str) -> None:
        """Notes that others of these channels change when one of them goes."""
        self._inexact.append((np.ravel(labels), reason))

    def keep_two(self, labels: Labels, what: str) -> None:
        """Notes that what is normalized over the entries of an axis would be a constant if one were left."""
        if labels.ndim == 1:
            self.pairs.append((labels, f"{what} would make a constant of one of two"))

    def read(self, labels: Labels) -> None:
        """Notes that channels are read by something that has no weights."""
        self._read.append(np.ravel(labels))

    def union(self, one: Labels, other: Labels) -> Labels:
        """Ties channels to each other, place by place."""
        if one is other:
            return one
        for a, b in zip(np.ravel(one), np.ravel(other), strict=True):
            if a == b:
                continue
            kept, gone = sorted((self.root(int(a)), self.root(int(b))))
            if kept != gone:
                self._parents[gone] = kept
                if gone in self._reasons:
                    self._reasons.setdefault(kept, self._reasons.pop(gone))
        return one

    def merge(self, several: Sequence[Labels]) -> Labels:
        """Ties the labels of axes that go with each other; returns those of both."""
        first = several[0]
        if all(own.shape == first.shape and np.array_equal(own, first) for own in several[1:]):
            return first
        rows = [row for own in several for row in rows_of(own)]
        for row in rows[1:]:
            self.union(rows[0], row)
        return rows[0]

    def tie_rows(self, labels: Labels) -> Labels:
        """Ties the channels of each column: the same places of every row go. Returns those of a row."""
        for row in labels[1:]:
            self.union(labels[0], row)
        return labels[0]

    def broadcast(self, tensors: Sequence[Traced], shape: Shape, what: str) -> dict[int, Labels]:
        """Ties the channels of tensors that are combined element by element; returns those of the result.

        Axes of one entry take no part in others; what has no labels protects what it is combined with.
        """
        axes: dict[int, Labels] = {}
        for axis, size in enumerate(shape):
            known, unknown = [], False
            for tensor in tensors:
                own = axis - len(shape) + len(tensor.shape)
                if own < 0 or (tensor.shape[own] == 1 and size != 1):
                    continue
                if own in tensor.axes:
                    known.append(tensor.axes[own])
                elif tensor.shape[own] != 1:
                    unknown = True
            if known:
                axes[axis] = self.merge(known)
                if unknown:
                    self.protect(axes[axis], f"{what} combines them with what cannot go")
        return axes

    def index(self, weight: Any, axis: int, labels: Labels | None) -> None:
        """Notes the labels of a weight's axis; a layer that is called again has them tied to the earlier ones."""
        if weight is None or labels is None:
            return
        axes = self.axes.setdefault(id(weight), {})
        axes[axis] = self.merge([axes[axis], labels]) if axis in axes else labels

    def fix(self, call: Call, fixed: Fixed) -> None:
        """Notes a setting of a layer; one that is called again has its channels tied to the earlier ones."""
        way = (*call.way, fixed.key) if call.way else fixed.key
        known = self.settings.setdefault(id(call.owner), {})
        key = (way, fixed.place)
        if key in known:
            fixed = dataclasses.replace(fixed, labels=self.merge([known[key].labels, fixed.labels]))
        known[key] = dataclasses.replace(fixed, key=way)

    def fix_option(self, call: Call, option: Option, labels: Labels, **where: Any) -> None:
        """Notes an option of a call that goes by the number of channels."""
        if option.argument:
            self.arguments.setdefault(call.node.key, []).append(Fixed(option.key, labels, **where))
        else:
            self.fix(call, Fixed(option.key, labels, **where))

    def make(self, call: Call, count: int, slot: str = "", *, key: str | None = None, **where: Any) -> Labels:
        """Returns labels for a width of a layer, new ones the first time.

        Args:
            call: of the layer.
            count: how many.
            slot: which of several widths, empty for its output.
            key: the setting that says how many they are.
            where: see `Fixed`.
        """
        if (id(call.owner), slot) not in self.widths:
            self.widths[id(call.owner), slot] = self.new(count)
            self.names[id(call.owner)] = "/".join((*self.within, call.owner.name))
        labels = self.widths[id(call.owner), slot]
        if key:
            self.fix(call, Fixed(key, labels, **where))
        return labels

    def makes(self, kernel: Any, axis: int, labels: Labels) -> None:
        """Notes that a kernel makes channels on an axis."""
        self.made[id(kernel)] = tuple(sorted({*self.made.get(id(kernel), ()), axis}))
        self.index(kernel, axis, labels)

    def reason(self, roots: Sequence[int]) -> str | None:
        """Returns why one of these cannot go."""
        return next(filter(None, map(self._reasons.get, roots)), None)

    def inexact(self) -> dict[int, str]:
        """Returns root -> why others change when it goes."""
        return {self.root(int(label)): reason for labels, reason in reversed(self._inexact) for label in labels}

    def read_elsewhere(self) -> frozenset[int]:
        """Returns the roots of what is read by something that has no weights."""
        return frozenset(self.root(int(label)) for labels in self._read for label in labels)

    def roots(self) -> np.ndarray:
        """Returns the root of each label."""
        return np.array([self.root(label) for label in range(len(self._parents))], int)

    def root(self, label: int) -> int:
        """Returns the label that stands for all that are tied to one."""
        while self._parents[label] != label:
            self._parents[label] = label = self._parents[self._parents[label]]
        return label
