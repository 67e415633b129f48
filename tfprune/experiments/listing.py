"""Runs as rows, finished or not: chosen, sorted, and as a table. No TensorFlow."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tfprune.data.objectives import OBJECTIVES
from tfprune.experiments.results import read_config, read_result, run_folders
from tfprune.experiments.rundir import RunDir
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, RunError, choose_from
from tfprune.utils.text import Table, csv_text

WORDS = ("method", "dataset", "model", "state", "path", "failure")
METRICS = {name: metric for task in OBJECTIVES for name, metric in OBJECTIVES[task].metrics.items()}
COMPARED = {OBJECTIVES[task].primary for task in OBJECTIVES} - {"accuracy"}
NUMBERS = ("seed", "sparsity", "accuracy", "loss", "parameters", "bytes", "epochs", "seconds")
COLUMNS = (*WORDS[:3], *NUMBERS, *WORDS[3:])
SHOWN = ("path", "sparsity", "accuracy", "loss", "epochs", "state")  # on a screen; the path names the rest
FINISHED, UNFINISHED, FAILED = "finished", "unfinished", "failed"
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"\s*([\w-]+)\s*([<>=!~]+)\s*(.*?)\s*")
Row = dict[
    str, Any
]  # a value for each of `COLUMNS`, None where there is none, and for the other metrics that a run has


def list_runs(paths: Iterable[Path]) -> tuple[list[Row], list[str]]:
    """Reads runs, finished ones and others.

    Args:
        paths: run folders, or folders that hold run folders.

    Returns:
        A row a run, and a line on each that cannot be read. `accuracy` and `loss` are of the test split, `parameters`
        those that are not zero, `bytes` those of the weights, gzipped; only a finished run has them.

    Raises:
        RunError: a folder is missing or holds no runs.
    """
    rows, left_out = [], []
    for folder in dict.fromkeys(folder for path in paths for folder in run_folders(path)):
        try:
            rows.append(_row(RunDir(folder)))
        except RunError as error:
            left_out.append(str(error))
    return rows, left_out


def _row(folder: RunDir) -> Row:
    row: Row = dict.fromkeys(COLUMNS)
    if folder.finished:
        result = read_result(folder)
        metrics = result.metrics
        row |= _described_run(result.config) | {
            "sparsity": metrics["sparsity"]["achieved"],
            **{name: value for name, value in metrics["test"].items() if name in METRICS or name == "loss"},
            "parameters": metrics["nonzero_parameters"],
            "bytes": metrics["bytes"]["weights"]["gzip"],
            "epochs": metrics["epochs"],
            "seconds": metrics["seconds"]["total"],
            "state": FINISHED,
        }
    else:
        failure = folder.read_failure()
        row |= _described_run(read_config(folder)) | {"state": FAILED if failure else UNFINISHED, "failure": failure}
    return row | {"path": str(folder.root)}


def _described_run(config: Config) -> Row:
    return {
        "method": config.method,
        "dataset": config.data_name,
        "model": config.model_name,
        "seed": config.seed,
    }


def condition(text: str) -> Callable[[Row], bool]:
    """Returns what `COLUMN OPERATOR VALUE` asks of a row; one without a value in that column never meets it.

    Raises:
        ConfigError: column, operator or value is unknown.

    >>> condition("sparsity > 0.5")({"sparsity": 0.75}), condition("method=lottery")({"method": "dynamic"})
    (True, False)
    """
    parts = _CONDITION.fullmatch(text)
    if not parts:
        raise ConfigError(f"a condition needs COLUMN OPERATOR VALUE, such as sparsity>0.5, got {text!r}")
    column, sign, word = parts.groups()
    if sign not in OPERATORS:
        raise ConfigError(f"condition {text!r} has an unknown operator {sign!r}: {choose_from('', OPERATORS)}")
    value: str | float = word
    if _column(column) not in WORDS:
        try:
            value = float(word)
        except ValueError:
            raise ConfigError(f"condition {text!r}: {column} is compared with a number, got {word!r}") from None
    compare = OPERATORS[sign]
    return lambda row: row.get(column) is not None and compare(row[column], value)


def in_order(rows: Iterable[Row], key: str) -> list[Row]:
    """Sorts rows by a column, the lowest first, with a minus before its name the highest; None comes last.

    Raises:
        ConfigError: there is no such column.
    """
    column = _column(key.removeprefix("-"))
    known, unknown = [], []
    for row in rows:
        (unknown if row.get(column) is None else known).append(row)
    return [*sorted(known, key=operator.itemgetter(column), reverse=key.startswith("-")), *unknown]


def _column(name: str) -> str:
    if name not in COLUMNS and name not in METRICS:
        raise ConfigError(f"runs have no column {name!r}: {choose_from(name, (*COLUMNS, *METRICS))}")
    return name


def runs_table(rows: Iterable[Row], columns: Sequence[str] | None = None) -> Table:
    """Returns headers and rows for people.

    Args:
        rows: of `list_runs`.
        columns: that are shown; None is all but why a run failed, which is left to CSV and JSON.
    """
    rows = list(rows)
    shown = [column for column in columns or _columns_of(rows) if column != "failure"]
    if columns and "accuracy" in shown and (others := [own for own in _other_metrics(rows) if own in COMPARED]):
        place = shown.index("accuracy")
        shown[place : place + 1] = (["accuracy"] if any(_is_of_classes(row) for row in rows) else []) + others
    forms: dict[str, Callable[[Any], str]] = {
        "sparsity": lambda share: f"{100 * share:.1f} %",
        **{name: metric.text for name, metric in METRICS.items()},
        "loss": lambda loss: f"{loss:.4f}",
        **dict.fromkeys(("parameters", "bytes", "epochs"), lambda count: f"{count:,}"),
        "seconds": lambda seconds: f"{seconds:,.1f}",
    }
    cells = [
        tuple("" if row.get(column) is None else forms.get(column, str)(row[column]) for column in shown)
        for row in rows
    ]
    return tuple(shown), cells


def as_csv(rows: Sequence[Row]) -> str:
    """Returns rows as CSV with a line of headers; numbers keep all their digits."""
    columns = _columns_of(rows)
    return csv_text(columns, [[row.get(column) for column in columns] for row in rows])


def _is_of_classes(row: Row) -> bool:
    return row.get("accuracy") is not None and not any(row.get(name) is not None for name in COMPARED)


def _columns_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Returns the columns of rows: after the accuracy the metrics of other tasks that some have."""
    place = COLUMNS.index("accuracy") + 1
    return (*COLUMNS[:place], *_other_metrics(rows), *COLUMNS[place:])


def _other_metrics(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if name in METRICS and name not in COLUMNS))
