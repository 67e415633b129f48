"""Published rows: gzipped CSV files whose bytes follow from the numbers."""

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def write_csv(path: Path, headers: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows; None and what a row lacks are empty cells."""
    text = io.StringIO()
    writer = csv.DictWriter(text, headers, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)  # which writes None as an empty cell
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))  # with the time, the bytes would change


def read_csv(path: Path) -> list[dict[str, str]]:
    """Returns the rows."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
