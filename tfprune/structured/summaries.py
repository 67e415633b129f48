"""What a model consists of, layer by layer, and how sparse it is."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.kernel_names import kernels_of
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.adapters.tf_keras.multiply_adds import macs_of_layers
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.utils.notebook import html_table
from tfprune.utils.text import printable

HEADERS = ("layer", "type", "output", "parameters", "sparsity", "MACs", "")


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """A layer of a model.

    Attributes:
        name, kind: of the layer.
        output: shape of its output, without the batch; None if it has none that is known.
        parameters: how many numbers it holds.
        kernel_weights, zeros: how many of them can be pruned, and how many of those are zero.
        macs: multiply-adds of an example's forward pass; None where they cannot be counted.
        note: why nothing of it can be pruned, and why its multiply-adds are not all counted, if so.
        counted: whether all of its multiply-adds are in `macs`.
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
    """

    layers: tuple[LayerSummary, ...]

    @property
    def sparsity(self) -> float:
        """Fraction of all kernel weights that is zero."""
        return sum(layer.zeros for layer in self.layers) / max(1, sum(layer.kernel_weights for layer in self.layers))

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
        without = ", ".join(self.uncounted)
        macs, note = (f"≥ {self.macs:,}", f"MACs are incomplete: {without}") if without else (f"{self.macs:,}", "")
        return [*rows, ("total", "", "", f"{self.parameters:,}", _percent(self.sparsity), macs, note)]

    def __str__(self) -> str:
        from tabulate import tabulate

        return str(tabulate(self.rows(), HEADERS, tablefmt="simple", disable_numparse=True))

    def _repr_html_(self) -> str:
        return html_table(self.rows(), HEADERS)


def summary(model: keras.Model) -> Summary:
    """Returns a table of a model's layers: shape, parameters, sparsity, multiply-adds.

    Args:
        model: any tf_keras model that has been built.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,), name="a")])
    >>> print(tfprune.summary(tfprune.prune(model, 0.25)))
    layer    type    output    parameters    sparsity    MACs
    -------  ------  --------  ------------  ----------  ------  --
    a        Dense   10        90            25.0 %      80
    total                      90            25.0 %      80
    """
    counted = macs_of_layers(model)
    return Summary(tuple(row for layer in leaf_layers(model) if (row := _row(layer, *counted[id(_inner(layer))]))))


def _inner(layer: keras.layers.Layer) -> keras.layers.Layer:
    return layer.layer if isinstance(layer, Masked) else layer


def _row(layer: keras.layers.Layer, macs: dict[str, int], reason: str | None) -> LayerSummary | None:
    inner = _inner(layer)
    kernels = kernels_of(inner)
    parameters = sum(
        int(np.prod(weight.shape)) for weight in inner.weights if hasattr(weight, "shape")
    )  # no vocabularies
    if not parameters and not macs and reason is None:
        return None
    values = [kernel.numpy() for kernel in kernels]
    notes = ["" if kernels or not parameters else "no kernel that can be pruned", reason and f"MACs: {reason}"]
    return LayerSummary(
        name=inner.name,
        kind=type(inner).__name__,
        output=_output(layer),
        parameters=parameters,
        kernel_weights=sum(int(value.size) for value in values),
        zeros=sum(int(value.size - np.count_nonzero(value)) for value in values),
        macs=sum(macs.values()) if macs else None,
        note="; ".join(filter(None, notes)),
        counted=reason is None,
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
