"""A training as a figure: loss and sparsity over its epochs."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure


class Curves(Figure):
    """A figure that a notebook shows, without pyplot."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()


def curves_figure(history: Sequence[Mapping[str, Any]]) -> Curves:
    """Draws loss and sparsity over the epochs of all trainings, one after the other.

    Args:
        history: rows with `loss`, perhaps `val_loss`, and `sparsity`.
    """
    figure = Curves(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    for name, label, style in (("loss", "training", "-"), ("val_loss", "validation", "--")):
        if any(row.get(name) is not None for row in history):
            left.plot(epochs, [row.get(name) for row in history], style, label=label)
    left.set(xlabel="epoch", ylabel="loss")
    if left.lines:
        left.legend(frameon=False)
    right.step(epochs, [100 * row["sparsity"] for row in history], where="mid")
    right.set(xlabel="epoch", ylabel="sparsity, %", ylim=(0, 100))
    return figure
