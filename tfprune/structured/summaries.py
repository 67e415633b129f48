"""What a model consists of, layer by layer, and how sparse it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from tfprune.adapters import adapter_of
from tfprune.adapters.kernel_names import few
from tfprune.adapters.layer_facts import LayerSummary
from tfprune.utils.errors import ModelError
from tfprune.utils.notebook import html_table, text_table
from tfprune.utils.text import printable

HEADERS = ("layer", "type", "output", "parameters", "sparsity", "MACs", "")


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
        return text_table(self.rows(), HEADERS)

    def _repr_html_(self) -> str:
        return html_table(self.rows(), HEADERS)


def summary(model: Any, include: Collection[str] = ()) -> Summary:
    """Returns a table of a model's layers: shape, parameters, sparsity, multiply-adds.

    Args:
        model: any model that has been built.
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
    adapter = adapter_of(model)
    if not hasattr(model, "layers"):
        raise ModelError(f"a model is needed, got a layer of class {type(model).__name__}")
    return Summary(tuple(adapter.layers(model, include)))


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return "" if shape is None else " x ".join("?" if side is None else str(side) for side in shape)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
