"""Folders that a person names once, in the environment; what a command or a file says counts more."""

from __future__ import annotations

import os
from pathlib import Path

OUT = "TFPRUNE_OUT"
DATA_DIR = "TFPRUNE_DATA_DIR"
USUAL_OUT = "saved_models"


def runs_folder() -> str:
    """Returns the folder in which run folders are made unless `out` says otherwise."""
    return os.environ.get(OUT) or USUAL_OUT


def data_folder() -> Path | None:
    """Returns the folder of prepared data sets that the environment names, None if it names none."""
    named = os.environ.get(DATA_DIR)
    return Path(named).expanduser() if named else None


def prepared_folder() -> Path:
    """Returns the folder of prepared data sets of TFDS: that of the environment, or the one that TFDS uses."""
    return data_folder() or Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets")
