"""How results show themselves in a notebook: HTML tables and figures that need no network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfprune.utils.text import printable


def html_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> str:
    """Returns a table; all text is escaped.

    >>> "&lt;b&gt;" in html_table([("<b>",)], ("name",))
    True
    """
    from tabulate import tabulate

    cells = [[printable(str(cell)) for cell in row] for row in rows]
    return str(tabulate(cells, headers, tablefmt="html", disable_numparse=True))


def html_image(content: bytes, text: str) -> str:
    """Returns a PNG as part of a page."""
    encoded = base64.b64encode(content).decode("ascii")
    return f'<img alt="{html.escape(printable(text))}" src="data:image/png;base64,{encoded}" style="max-width: 100%">'


def curves(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Draws loss and sparsity over the epochs of all trainings, one after the other, as a PNG.

    Args:
        history: rows with `loss`, perhaps `val_loss`, and `sparsity`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    for name, label, style in (("loss", "training", "-"), ("val_loss", "validation", "--")):
        if any(row.get(name) is not None for row in history):
            left.plot(epochs, [row.get(name) for row in history], style, label=label)
    left.set(xlabel="epoch", ylabel="loss")
    left.legend(frameon=False)
    right.step(epochs, [100 * row["sparsity"] for row in history], where="mid")
    right.set(xlabel="epoch", ylabel="sparsity, %", ylim=(0, 100))
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()
