"""The published data: docs/results/PAGE.csv.gz has a row per run of a page's tables, tables.json what these share."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from _csv_files import read_csv, write_csv

from tfprune.experiments.results import read_comparisons
from tfprune.methods import METHODS
from tfprune.reporting.comparison import COLUMNS, summary_of
from tfprune.reporting.timing import KEY

INDEX = "tables.json"
TRIAL = ("table", "trial", "method", "granularity", "requested_sparsity", "seed")
TIMING = ("networks", "loop", "machine")
OTHERS = ("epochs_to_reach", "seconds_to_reach", "untuned_accuracy", *TIMING, "diverged", "uncounted")
HEADERS = (*TRIAL, *COLUMNS, *OTHERS)
Summary = dict[str, dict[str, Any]]


def read_tables(folder: Path) -> dict[str, dict[str, Summary]]:
    """Returns page -> table -> what all of its numbers are computed from and come to."""
    return {path.name.removesuffix(".csv.gz"): read_page(path) for path in sorted(folder.glob("*.csv.gz"))}


def read_index(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns page -> table -> settings, versions and machine."""
    return json.loads((folder / INDEX).read_text(encoding="utf-8"))


def add_table(folder: Path, page: str, table: str, comparison: Path) -> None:
    """Puts a comparison (`tfprune compare --json`) in the place of a page's table."""
    [found] = read_comparisons(comparison)
    path = folder / f"{page}.csv.gz"
    rows = [row for row in read_csv(path) if row["table"] != table] if path.is_file() else []
    rows += rows_of(table, found["methods"])
    write_csv(path, HEADERS, rows)
    index = read_index(folder) if (folder / INDEX).is_file() else {}
    index.setdefault(page, {})[table] = {name: found[name] for name in ("settings", "versions", "machine")}
    (folder / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def rows_of(table: str, summary: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields a row of `HEADERS` per run of a comparison."""
    for trial, values in summary.items():
        own = {name: values.get(name) for name in ("method", "granularity", "requested_sparsity")}
        own |= {"table": table, "trial": trial}
        for seed, row in values["seeds"].items():
            yield own | {"seed": seed} | _flat(row)


def read_page(path: Path) -> dict[str, Summary]:
    """Returns table -> what all of its numbers are computed from and come to."""
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for row in read_csv(path):
        own = {"method": row["method"], "granularity": row["granularity"] or "weight"}
        own |= {"requested_sparsity": float(row["requested_sparsity"]), "seeds": {}}
        trial = tables.setdefault(row["table"], {}).setdefault(row["trial"], own)
        trial["seeds"][row["seed"]] = _unflat(row)
    return {name: summary_of(_in_order(trials)) for name, trials in tables.items()}


def _in_order(trials: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    order = {method: place for place, method in enumerate(METHODS)}
    return dict(sorted(trials.items(), key=lambda trial: order[trial[1]["method"]]))  # stable: levels stay as they are


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: row.get(name) for name in (*COLUMNS, *OTHERS) if name in row}
    uncounted = " ".join(row.get("uncounted") or ()) or None
    return known | dict(row.get(KEY) or {}) | {"uncounted": uncounted, "diverged": row.get("diverged") or None}


def _unflat(row: Mapping[str, str]) -> dict[str, Any]:
    numbers = (*COLUMNS, "epochs_to_reach", "seconds_to_reach", "untuned_accuracy")
    found: dict[str, Any] = {name: float(row[name]) if row[name] else None for name in numbers}
    if row["networks"]:
        found[KEY] = {name: row[name] for name in TIMING}
    return found | {"uncounted": row["uncounted"].split(), "diverged": bool(row["diverged"])}
