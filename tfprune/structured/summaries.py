"""What a model consists of, layer by layer, and how sparse it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.kernel_names import few, variables_of
from tfprune.adapters.tf_keras.kernel_names import models_with_paths, named_kernels, other_weights, own_weights
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.adapters.tf_keras.mask_values import kernel_variables
from tfprune.adapters.tf_keras.multiply_adds import layer_names, macs_of_layers
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.adapters.tf_keras.wrapping import in_place_masks
from tfprune.utils.notebook import html_table
from tfprune.utils.text import printable

NO_KERNEL = "no kernel that can be pruned"
HEADERS = ("layer", "type", "output", "parameters", "sparsity", "MACs", "")


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
class Summary:
    """A table of a model; prints itself, also in a notebook.

    Attributes:
        layers: those that hold numbers or multiply, in the model's order.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,)), keras.layers.Dense(2)])
    >>> table = tfprune.summary(tfprune.prune(model, 0.5))
    >>> table.sparsity, table.parameters, [layer.zeros for layer in table.layers]
    (0.5, 112, [40, 10])
    >>> round(table.total_sparsity, 3)  # the biases of a new model are zero too
    0.554
    """

    layers: tuple[LayerSummary, ...]

    @property
    def sparsity(self) -> float:
        """Fraction of all kernel weights that is zero."""
        return sum(layer.zeros for layer in self.layers) / max(1, sum(layer.kernel_weights for layer in self.layers))

    @property
    def total_sparsity(self) -> float:
        """Fraction of all numbers of the model that is zero: kernels, what is not pruned, biases, statistics."""
        return sum(layer.all_zeros for layer in self.layers) / max(1, self.parameters)

    @property
    def unpruned(self) -> tuple[str, ...]:
        """Names of the weights with two axes or more that are not pruned unless `include` names them."""
        return tuple(name for layer in self.layers for name in layer.unpruned)

    @property
    def parameters(self) -> int:
        """How many numbers the model holds."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of an example's forward pass, without those of the layers in `uncounted`."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the layers of which `macs` leaves something out."""
        return tuple(layer.name for layer in self.layers if not layer.counted)

    def rows(self) -> list[tuple[str, ...]]:
        """Returns the cells of the table, the total last."""
        rows = [
            (
                *(printable(layer.name), layer.kind, _shape(layer.output), f"{layer.parameters:,}"),
                *(_percent(layer.sparsity), "" if layer.macs is None else f"{layer.macs:,}", layer.note),
            )
            for layer in self.layers
        ]
        macs, note = f"{self.macs:,}", f"{_percent(self.total_sparsity)} of all weights"
        if self.uncounted:
            macs, note = f"≥ {macs}", f"{note}; MACs are incomplete: {few(self.uncounted, 8)}"
        return [*rows, ("total", "", "", f"{self.parameters:,}", _percent(self.sparsity), macs, printable(note))]

    def __str__(self) -> str:
        from tabulate import tabulate

        return str(tabulate(self.rows(), HEADERS, tablefmt="simple", disable_numparse=True))

    def _repr_html_(self) -> str:
        return html_table(self.rows(), HEADERS)


def summary(model: keras.Model, include: Collection[str] = ()) -> Summary:
    """Returns a table of a model's layers: shape, parameters, sparsity, multiply-adds.

    Args:
        model: any tf_keras model that has been built.
        include: names of weights that count as kernels, as for `tfprune.prune`; those that have masks do anyway.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,), name="a")])
    >>> print(tfprune.summary(tfprune.prune(model, 0.25)))
    layer    type    output    parameters    sparsity    MACs
    -------  ------  --------  ------------  ----------  ------  ---------------------
    a        Dense   10        90            25.0 %      80
    total                      90            25.0 %      80      33.3 % of all weights
    """
    counted, names = macs_of_layers(model), layer_names(model)
    known = _Known(model, include)
    rows = [
        _row(layer, names[id(inner)], known.new(variables_of(inner.weights)), known, *counted[id(inner)])
        for layer in leaf_layers(model)
        for inner in [layer.layer if isinstance(layer, Masked) else layer]
    ]
    for _, own in models_with_paths(model):  # what models hold themselves
        rows.append(_row(own, names[id(own)], known.new(own_weights(own)), known, *counted.get(id(own), ({}, None))))
    return Summary(tuple(row for row in rows if row is not None))


class _Known:
    """What of a model is pruned, what could be, and what was counted already, as layers may share weights."""

    def __init__(self, model: keras.Model, include: Collection[str]) -> None:
        others = {own.variable._unique_id: own for own in other_weights(model)}
        masked = kernel_variables(model).values() if in_place_masks(model) is not None else ()
        self.kernels = {own.variable._unique_id for own in named_kernels(model, include)}
        self.kernels |= {variable._unique_id for variable in masked}
        self.unpruned = {key: own.name for key, own in others.items() if not own.auxiliary and key not in self.kernels}
        self._seen: set[Any] = set()

    def new(self, weights: Iterable[tf.Variable]) -> list[tf.Variable]:
        """Returns those of some weights that it was not given before."""
        found = {weight._unique_id: weight for weight in weights if weight._unique_id not in self._seen}
        self._seen |= found.keys()
        return list(found.values())


def _row(
    layer: keras.layers.Layer,
    name: str,
    weights: Sequence[tf.Variable],
    known: _Known,
    macs: Mapping[str, int],
    reason: str | None,
) -> LayerSummary | None:
    inner = layer.layer if isinstance(layer, Masked) else layer
    if not weights and not macs and reason is None:
        return None
    values = {weight._unique_id: weight.numpy() for weight in weights}
    zeros = {key: int(value.size - np.count_nonzero(value)) for key, value in values.items()}
    pruned = values.keys() & known.kernels
    unpruned = tuple(known.unpruned[key] for key in values if key in known.unpruned)
    left = f"not pruned: {few(unpruned)}" if unpruned else "" if pruned or not values else NO_KERNEL
    return LayerSummary(
        name=name,
        kind=type(inner).__name__,
        output=_output(layer),
        parameters=sum(int(value.size) for value in values.values()),
        kernel_weights=sum(int(values[key].size) for key in pruned),
        zeros=sum(zeros[key] for key in pruned),
        macs=sum(macs.values()) if macs else None,
        note="; ".join(filter(None, (left, reason and f"MACs: {reason}"))),
        counted=reason is None,
        all_zeros=sum(zeros.values()),
        unpruned=unpruned,
    )


def _output(layer: keras.layers.Layer) -> tuple[int | None, ...] | None:
    try:
        shape = layer.output_shape
    except (AttributeError, RuntimeError):  # called several times on different shapes, or out of a graph's sight
        return None
    return shape[1:] if isinstance(shape, tuple) else None


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return "" if shape is None else " x ".join("?" if side is None else str(side) for side in shape)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
