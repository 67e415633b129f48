"""From run folders to rows. No TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.config import Config
from tfprune.errors import ConfigError, RunError
from tfprune.rundir import RunDir, read_json

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 2  # of metrics.json; raised when a key that is read is new, changes its meaning or goes
COMPARISON_SCHEMA = 2  # the same of what `tfprune compare --json` writes


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        folder: the run's folder.
        config: its settings.
        metrics: what `metrics.json` holds.
    """

    folder: RunDir
    config: Config
    metrics: dict[str, Any]

    @property
    def model(self) -> Path:
        """Folder of the SavedModel."""
        return self.folder.model

    def history(self) -> list[dict[str, Any]]:
        """Returns the rows of `history.csv`, numbers as numbers, missing ones as None."""
        with open(self.folder.history, newline="", encoding="utf-8") as file:
            return [{name: _cell(name, cell) for name, cell in row.items()} for row in csv.DictReader(file)]

    def masks(self) -> dict[str, np.ndarray]:
        """Returns the masks by kernel name, uint8."""
        import numpy as np  # here, so that `tfprune --help` does without

        with np.load(self.folder.masks, allow_pickle=False) as stored:
            return dict(stored)


def read_result(folder: RunDir) -> Result:
    """Reads a finished run.

    Raises:
        RunError: the folder is no finished run of this version.
    """
    if not folder.root.is_dir():
        raise RunError(f"{folder.root}: there is no such run folder")
    if not folder.config.is_file():
        raise RunError(f"{folder.root}: this is no run folder (it has no {folder.config.name})")
    if not folder.finished:
        raise RunError(f"{folder.root}: this run is not finished; run its command again")
    metrics = read_json(folder.metrics)
    if metrics.get("schema") != SCHEMA:
        raise RunError(f"{folder.metrics}: schema {metrics.get('schema')} is not {SCHEMA}, which this version reads")
    try:
        config = Config.from_dict(read_json(folder.config))
    except ConfigError as error:
        raise RunError(f"{folder.config}: {error}") from None
    return Result(folder, config, metrics)


def read_comparison(path: Path) -> dict[str, Any]:
    """Reads what `tfprune compare --json` wrote.

    Raises:
        RunError: the file is something else.
    """
    values = read_json(path)
    if not {"dataset", "settings", "methods"} <= set(values) or values.get("schema") != COMPARISON_SCHEMA:
        raise RunError(
            f"{path}: this is no comparison of schema {COMPARISON_SCHEMA}; `tfprune compare --json` writes them"
        )
    return values


def _cell(name: str, cell: str) -> Any:
    if name == "phase":
        return cell
    if cell == "":
        return None
    return int(cell) if name in ("epoch", "step") else float(cell)
