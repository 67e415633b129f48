"""What `--json` prints: one object, with all digits, of a schema that has a number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from tfprune.cli._terminal import echo

SCHEMA = 1  # a higher one means that a key changed its meaning or is gone

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, with all digits.")


def echo_json(value: Mapping[str, Any]) -> None:
    """Prints what a command came to as JSON; numbers that are none are null."""
    echo(*json.dumps({"schema": SCHEMA, **_plain(value)}, indent=2, allow_nan=False).split("\n"))


def table_as_dicts(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Returns the rows of a table that people read, each by its headers; of equal ones the later have a number.

    >>> table_as_dicts(("method", "penguins", "penguins"), [("dynamic", 1, 2)])
    [{'method': 'dynamic', 'penguins': 1, 'penguins (2)': 2}]
    """
    nth = [headers[: place + 1].count(header) for place, header in enumerate(headers)]
    keys = [header if number == 1 else f"{header} ({number})" for header, number in zip(headers, nth, strict=True)]
    return [dict(zip(keys, row, strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    if hasattr(value, "tolist"):  # of NumPy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
