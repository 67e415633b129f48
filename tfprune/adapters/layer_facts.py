"""What is known of each layer of a model, for a table of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters.kernel_names import KernelNames, few, variables_of

NO_KERNEL = "no kernel that can be pruned"
Counted = Mapping[int, tuple[Mapping[str, int], str | None]]  # id of a layer -> multiply-adds, why some are missing


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """A layer of a model.

    Attributes:
        name, kind: of the layer.
        output: shape of its output, without the batch; None if it has none that is known.
        parameters: how many numbers it holds.
        kernel_weights, zeros: how many of them are in kernels or in weights that were included, and how many of those
            are zero.
        macs: multiply-adds of an example's forward pass; None where they cannot be counted.
        note: what of it is not pruned, and why its multiply-adds are not all counted, if so.
        counted: whether all of its multiply-adds are in `macs`.
        all_zeros: how many of all its numbers are zero.
        unpruned: names of weights with two axes or more that are no kernels of known layers, as `include` takes them.
    """

    name: str
    kind: str
    output: tuple[int | None, ...] | None
    parameters: int
    kernel_weights: int
    zeros: int
    macs: int | None
    note: str
    counted: bool = dataclasses.field(default=True, repr=False)
    all_zeros: int = dataclasses.field(default=0, repr=False)
    unpruned: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @property
    def sparsity(self) -> float | None:
        """Fraction of the kernel weights that is zero; None if there are none."""
        return self.zeros / self.kernel_weights if self.kernel_weights else None


@dataclasses.dataclass(frozen=True)
class Reader:
    """How the layers of a framework are read.

    Args:
        names: finds weights.
        values: returns those of a variable.
        output: returns the shape of a layer's output without the batch, None where there is none that is known.
    """

    names: KernelNames
    values: Callable[[Any], np.ndarray]
    output: Callable[[Any], tuple[int | None, ...] | None]


def layer_summaries(
    reader: Reader,
    model: Any,
    include: Collection[str],
    masked: Iterable[Any],
    counted: Counted,
    names: Mapping[int, str],
) -> list[LayerSummary]:
    """Returns what is known of the layers of a model that hold numbers or multiply, in its order.

    Args:
        reader: reads them.
        model: that has been built.
        include: names of weights that count as kernels.
        masked: weights that have masks, or count as kernels for another reason.
        counted: multiply-adds of the layers.
        names: of the layers, by their ids.
    """
    known = _Known(reader.names, model, include, masked)
    rows, seen = [], set()
    for layer, inner in _leaves(reader.names, model):
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        rows.append(
            _row(reader, layer, inner, names[id(inner)], known.new(variables_of(inner.weights)), known, counted)
        )
    for _, own in reader.names.models_with_paths(model):  # what models hold themselves
        weights = known.new(variables_of(reader.names.own_weights(own)))
        rows.append(_row(reader, own, own, names[id(own)], weights, known, counted))
    return [row for row in rows if row is not None]


def _leaves(names: KernelNames, model: Any) -> Iterable[tuple[Any, Any]]:
    """Yields the leaf layers of a model, with and without their wrappers."""
    for layer in model.layers:
        inner = names.inner(layer)
        if names.has_graph(inner):
            yield from _leaves(names, inner)
        else:
            yield layer, inner


class _Known:
    """What of a model is pruned, what could be, and what was counted already, as layers may share weights."""

    def __init__(self, names: KernelNames, model: Any, include: Collection[str], masked: Iterable[Any]) -> None:
        self.key = names.key
        others = {self.key(own.variable): own for own in names.other_weights(model)}
        self.kernels = {self.key(own.variable) for own in names.named_kernels(model, include)}
        self.kernels |= {self.key(variable) for variable in masked}
        self.unpruned = {key: own.name for key, own in others.items() if not own.auxiliary and key not in self.kernels}
        self._seen: set[Any] = set()

    def new(self, weights: Iterable[Any]) -> dict[Any, Any]:
        """Returns those of some weights that it was not given before, by what they are known by."""
        found = {self.key(weight): weight for weight in weights if self.key(weight) not in self._seen}
        self._seen |= found.keys()
        return found


def _row(
    reader: Reader,
    layer: Any,
    inner: Any,
    name: str,
    weights: Mapping[Any, Any],
    known: _Known,
    counted: Counted,
) -> LayerSummary | None:
    macs, reason = counted.get(id(inner), ({}, None))
    if not weights and not macs and reason is None:
        return None
    values = {key: reader.values(weight) for key, weight in weights.items()}
    zeros = {key: int(value.size - np.count_nonzero(value)) for key, value in values.items()}
    pruned = values.keys() & known.kernels
    unpruned = tuple(known.unpruned[key] for key in values if key in known.unpruned)
    left = f"not pruned: {few(unpruned)}" if unpruned else "" if pruned or not values else NO_KERNEL
    return LayerSummary(
        name=name,
        kind=type(inner).__name__,
        output=reader.output(layer),
        parameters=sum(int(value.size) for value in values.values()),
        kernel_weights=sum(int(values[key].size) for key in pruned),
        zeros=sum(zeros[key] for key in pruned),
        macs=sum(macs.values()) if macs else None,
        note="; ".join(filter(None, (left, reason and f"MACs: {reason}"))),
        counted=reason is None,
        all_zeros=sum(zeros.values()),
        unpruned=unpruned,
    )
