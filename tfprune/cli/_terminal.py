"""The one way to the terminal: whatever is printed may hold names, labels and errors from elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from tfprune.utils.text import printable


def echo(*lines: object, err: bool = False, bold: str = "") -> None:
    """Prints lines. What a line holds can neither end it nor move the cursor.

    Args:
        lines: one each; of none an empty one is printed.
        err: to stderr.
        bold: a part that is printed so, where there are colours; what comes from elsewhere cannot ask for it.
    """
    text = "\n".join(printable(str(line)) for line in lines)
    click.echo(text.replace(bold, click.style(bold, bold=True), 1) if bold else text, err=err)


def echo_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> None:
    """Prints a plain table. A cell of several lines is a list or tuple of them."""
    from tabulate import tabulate

    cells = [[_cell(cell) for cell in row] for row in rows]
    names = [_cell(name) for name in headers]
    click.echo(tabulate(cells, names, tablefmt="simple", disable_numparse=True, stralign="left"))


def start_logging(*, steps: bool = False) -> None:
    """Shows the package's warnings on stderr, one line each.

    Args:
        steps: on a terminal, also what is being done.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice is for those who write code
    logger = logging.getLogger("tfprune")
    logger.handlers[:] = [_BesideBars()]
    logger.propagate = False  # TensorFlow's libraries hang a handler of their own on the root logger
    seen = sys.stderr is not None and sys.stderr.isatty()
    logger.setLevel(logging.INFO if steps and seen else logging.WARNING)


class _BesideBars(logging.Handler):
    """Writes to stderr without tearing a progress bar apart: a line, and after that of a bug its traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = f"{record.levelname.capitalize()}: " if record.levelno >= logging.WARNING else ""
        lines = [printable(prefix + record.getMessage())]
        if record.exc_info:
            lines += [printable(logging.Formatter().formatException(record.exc_info), keep="\n")]
        tqdm.write("\n".join(lines), file=sys.stderr)


def _cell(value: Any) -> str:
    return "\n".join(map(_cell, value)) if isinstance(value, (list, tuple)) else printable(str(value))
