"""The data of a run, and what of a run is written whatever trained it: splits, history, masks, figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.data._base import SPLITS, Data
from tfprune.experiments.rundir import RunDir
from tfprune.training.config import Config
from tfprune.training.history import write_history
from tfprune.training.run_task import RunTask
from tfprune.utils.errors import DataError
from tfprune.utils.files import atomic_write

if TYPE_CHECKING:
    import numpy as np


def load_data(config: Config) -> Data:
    """Loads the splits of the run's data set, or as much of each as the run is limited to.

    Raises:
        DataError: they cannot be read, or the task's metric is not defined for one of them.
    """
    data = config.spec.load(config.data_dir and Path(config.data_dir), config.seed, config.stream).first(config.limit)
    for name in SPLITS:
        if reason := data.objective.why_undefined(getattr(data, name).y):
            raise DataError(
                f"{config.data_name}, {name} split: {reason}: use more examples, larger splits (--set data.test=0.3, "
                "data.validation=0.3), or others (--set data.split_seed=1)"
            )
    return data.as_asked(config.metrics, config.class_weight)


def write_splits(path: Path, data: Data) -> None:
    """Writes which examples are in which split, one line per example, if that does not follow from name and seed."""
    if data.split_members is None:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "example"))
    writer.writerows((split, example) for split, own in data.split_members.items() for example in own.tolist())
    with atomic_write(path) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")


def write_arrays(folder: RunDir, history: list[dict[str, Any]], masks: Mapping[str, np.ndarray]) -> None:
    """Writes the history and the masks of a run."""
    import numpy as np

    write_history(folder.history, history)
    with atomic_write(folder.masks) as draft, open(draft, "wb") as file:
        np.savez_compressed(file, **masks)


def draw(trainer: RunTask, layers: Mapping[str, Mapping[str, int]], folder: RunDir) -> None:
    """Draws the curves of a run and the sparsity of its layers."""
    from tfprune.reporting.figures.epochs import plot_curves, plot_sparsity  # where something is drawn

    plot_curves(trainer.history, folder.curves, title=trainer.config.run_id)
    plot_sparsity(trainer.history, layers, folder.sparsity, title=trainer.config.run_id)
