"""The one way to the terminal: whatever is printed may hold names, labels and errors from elsewhere."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import click

from tfprune.utils.text import printable

GAP = 2  # characters between two columns
PADDING = 2  # that tabulate leaves a header at least
_verbosity = 0
UNBROKEN = "\ue000%"  # stands for " %", which stays with its number
NARROWEST = 8  # characters of a column that gives way to others


def echo(*lines: object, err: bool = False, bold: str = "") -> None:
    """Prints lines. What a line holds can neither end it nor move the cursor.

    Args:
        lines: one each; of none an empty one is printed.
        err: to stderr.
        bold: a part that is printed so, where there are colours; what comes from elsewhere cannot ask for it.
    """
    text = "\n".join(printable(str(line)) for line in lines)
    click.echo(text.replace(bold, click.style(bold, bold=True), 1) if bold else text, err=err)


def echo_table(rows: Iterable[Sequence[Any]], headers: Sequence[str], *, wide: bool = False) -> None:
    """Prints a plain table, on a terminal no wider than that: what is longest goes on in the next line.

    Args:
        rows: their cells; one of several lines is a list or tuple of them.
        headers: names of the columns.
        wide: as wide as it is, whatever the terminal.
    """
    from tabulate import tabulate

    cells = [[_cell(cell).replace(" %", UNBROKEN) for cell in row] for row in rows]
    names = [_cell(name) for name in headers]
    if not wide and width() and (most := _fitting(names, cells, width())):
        names = [_wrapped(name, own - PADDING) for name, own in zip(names, most, strict=True)]
        cells = [[_wrapped(*cell) for cell in zip(row, most, strict=True)] for row in cells]
    lines = tabulate(cells, names, tablefmt="simple", disable_numparse=True, stralign="left")
    click.echo("\n".join(line.rstrip() for line in lines.replace(UNBROKEN, " %").split("\n")))


def width() -> int | None:
    """Returns the columns of the terminal, or those that COLUMNS says; None where output goes to a file or a pipe."""
    seen = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if seen or os.environ.get("COLUMNS") else None


def _fitting(names: Sequence[str], cells: Sequence[Sequence[str]], whole: int) -> list[int] | None:
    """Returns the widths of columns that fit in so many characters, None if all fit: the widest give way."""
    rows = [[name + " " * PADDING for name in names], *cells]
    widths = [max(len(line) for cell in column for line in (cell.split("\n"))) for column in zip(*rows, strict=True)]
    room = whole - GAP * (len(widths) - 1)
    if sum(widths) <= room:
        return None
    longest = [max(map(len, " ".join(column).split()), default=0) for column in zip(*cells, strict=True)]
    heads = [max(map(len, name.split()), default=0) + PADDING for name in names]
    words = [min(max(pair), whole // 3) for pair in zip(longest or heads, heads, strict=True)]
    for least in (words, [NARROWEST] * len(widths)):  # all words are broken where nothing else helps
        while sum(widths) > room:
            place = max(range(len(widths)), key=lambda n: widths[n] if widths[n] > least[n] else 0)
            if widths[place] <= least[place]:
                break
            widths[place] -= 1
    return widths


def set_verbosity(level: int | None) -> None:
    """Says what goes to stderr: errors alone (-1), as each command has it (0, None), or every step (1)."""
    global _verbosity
    _verbosity = level or 0


def start_logging(*, steps: bool = False, progress: bool = False) -> None:
    """Shows the package's warnings on stderr, one line each; see `set_verbosity`.

    Args:
        steps: on a terminal, also what is being done.
        progress: of many runs, a line now and then where no bar is drawn.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice is for those who write code
    logger = logging.getLogger("tfprune")
    logger.handlers[:] = [_BesideBars()]
    logger.propagate = False  # TensorFlow's libraries hang a handler of their own on the root logger
    seen = sys.stderr is not None and sys.stderr.isatty()
    usual = logging.INFO if steps and seen else logging.WARNING
    logger.setLevel({-1: logging.ERROR, 1: logging.INFO}.get(_verbosity, usual))
    shown = logging.INFO if progress and not seen and _verbosity >= 0 else logging.NOTSET
    logging.getLogger("tfprune.experiments.sweeps").setLevel(shown)


def _wrapped(cell: str, most: int) -> str:
    return "\n".join(part for line in cell.split("\n") for part in textwrap.wrap(line, most) or [""])


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
