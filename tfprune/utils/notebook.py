"""How results show themselves in a notebook: HTML tables and figures that need no network."""

from __future__ import annotations

import base64
import html
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfprune.utils.text import printable


def html_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> str:
    """Returns a table; all text is escaped.

    >>> "&lt;b&gt;" in html_table([("<b>",)], ("name",))
    True
    """
    return _table(rows, headers, "html")


def text_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> str:
    """Returns a table whose columns are aligned.

    >>> print(text_table([("a", "1.0")], ("name", "time")))
    name    time
    ------  ------
    a       1.0
    """
    return _table(rows, headers, "simple")


def _table(rows: Iterable[Sequence[Any]], headers: Sequence[str], form: str) -> str:
    from tabulate import tabulate

    cells = [[printable(str(cell)) for cell in row] for row in rows]
    return str(tabulate(cells, headers, tablefmt=form, disable_numparse=True))


def html_image(content: bytes, text: str) -> str:
    """Returns a PNG as part of a page."""
    encoded = base64.b64encode(content).decode("ascii")
    return f'<img alt="{html.escape(printable(text))}" src="data:image/png;base64,{encoded}" style="max-width: 100%">'


def curves(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns `curves.curves_figure` as a PNG."""
    from tfprune.utils.curves import curves_figure

    return curves_figure(history)._repr_png_()


class LiveCurves:
    """Shows `curves.curves_figure` in a notebook while a training goes on; does nothing elsewhere.

    Args:
        history: rows, to which the training adds.
        every: seconds between two figures, at least.
    """

    def __init__(self, history: Sequence[Mapping[str, Any]], every: float = 2.0) -> None:
        self._history, self._every, self._last, self._display = history, every, -math.inf, None

    def update(self) -> None:
        """Draws what there is by now, if a notebook shows it and the last figure is old enough."""
        if self._history and time.monotonic() - self._last >= self._every and in_notebook():
            self._show()

    def finish(self) -> None:
        """Draws the last state."""
        if self._display is not None:
            self._show()

    def _show(self) -> None:
        from IPython.display import display

        from tfprune.utils.curves import curves_figure

        figure = curves_figure(self._history)
        if self._display is None:
            self._display = display(figure, display_id=True)
        else:
            self._display.update(figure)
        self._last = time.monotonic()


def in_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"
