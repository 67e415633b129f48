"""The published data of docs/starting-large.md, a row per training, and what they come to."""

import csv
import gzip
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HEADERS = (
    *("part", "trial", "budget", "keep", "seed", "steps", "steps_whole", "parameters", "widths"),
    *("cpu_seconds", "wall_seconds", "validation_accuracy", "test_accuracy"),
)
CURVE = (0.25, 0.5, 0.75)  # shares of the channels


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes the trainings, the same bits for the same numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADERS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the trainings."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
