"""What `benchmarks/shrink_in_training.py` found, docs/results/*-shrink-in-training.json, as the tables and sentences of
docs/faster-and-smaller.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.reporting.statistics import Interval, t_interval
from tfprune.reporting.tables import markdown_table, points
from tfprune.utils.text import Table

WHOLE, REMOVED, SMALL = "unpruned", "removed in training", "small from scratch"
NAMES = {WHOLE: WHOLE, REMOVED: "filters removed", SMALL: "narrow from scratch"}
Seeds = Sequence[Mapping[str, Any]]  # training -> what it came to, of each seed


def read(folder: Path) -> dict[str, Seeds]:
    """Returns the seeds of each comparison, by the name of its place on the page."""
    ending = "-shrink-in-training.json"
    files = {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*{ending}"))}
    return {name: json.loads(path.read_text(encoding="utf-8"))["seeds"] for name, path in files.items()}


def blocks(folder: Path) -> dict[str, str]:
    """Returns the tables of the page by the name of their place."""
    return {f"shrinking {name}": markdown_table(table(seeds)) for name, seeds in read(folder).items()}


def table(seeds: Seeds) -> Table:
    """Returns headers and rows of a comparison: medians of the ratios of each seed, and mean accuracies."""
    headers = (
        *("training", "epochs", "parameters / unpruned", "wall time / unpruned", "CPU time / unpruned"),
        "test accuracy, mean (each seed)",
    )
    rows = []
    for training, name in NAMES.items():
        accuracy = [100 * own[training]["test_accuracy"] for own in seeds]
        ratios = [np.median(ratios_of(seeds, training, key)) for key in ("parameters", "wall", "cpu")]
        each = ", ".join(f"{own:.2f}" for own in accuracy)
        epochs = seeds[0][training]["epochs"]
        rows.append((name, str(epochs), *(f"{own:.2f}" for own in ratios), f"{np.mean(accuracy):.2f} % ({each})"))
    return headers, rows


def ratios_of(seeds: Seeds, training: str, key: str) -> list[float]:
    return [own[training][key] / own[WHOLE][key] for own in seeds]


def ahead(seeds: Seeds, other: str) -> Interval:
    """Returns by how much the network that lost filters in training is more accurate than another one."""
    return t_interval([own[REMOVED]["test_accuracy"] - own[other]["test_accuracy"] for own in seeds])


def sentences(folder: Path) -> Iterator[str]:
    """Yields the sentences of the page that hold figures."""
    for seeds in read(folder).values():
        walls = [f"{own:.2f}" for own in ratios_of(seeds, REMOVED, "wall")]
        to_whole, to_small = (points(*ahead(seeds, other)) for other in (WHOLE, SMALL))
        each = f"{', '.join(walls[:-1])} and {walls[-1]}"
        yield f"{to_whole} points to unpruned and {to_small} to the narrow network; wall times of {each}"
