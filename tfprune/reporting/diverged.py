"""Seeds whose training diverged: they count, at chance, or a method that fails at times would look better for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tfprune.experiments.results import Result, read_config
from tfprune.experiments.rundir import RunDir
from tfprune.training.config import Config
from tfprune.utils.errors import RunError


class Diverged(NamedTuple):
    """A run whose loss was no number any more.

    Attributes:
        config: its settings.
        classes: how many classes the data have.
    """

    config: Config
    classes: int


def find_diverged(folders: Iterable[RunDir], results: Iterable[Result]) -> list[Diverged]:
    """Returns the runs in folders that diverged, of data sets of which `results` has a finished run."""
    classes = {data_of(run.config): len(counts["test"]) for run in results if (counts := _classes(run))}
    found = []
    for folder in folders:
        try:
            config = read_config(folder) if folder.config.is_file() and folder.diverged else None
        except RunError:  # of another version, as `find_results` says of it
            continue
        if config is not None and data_of(config) in classes:
            found.append(Diverged(config, classes[data_of(config)]))
    return found


def with_finished_runs(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the trials of a comparison of which not all runs diverged: figures have a place for no others."""
    return {
        trial: values
        for trial, values in summary.items()
        if not all(row.get("diverged") for row in values["seeds"].values())
    }


def data_of(config: Config) -> str:
    """Returns what names a run's data set."""
    return f"{config.dataset} {sorted(config.data_settings.items())}"


def _classes(run: Result) -> dict[str, Any] | None:
    return run.metrics.get("data", {}).get("classes")  # which runs of earlier versions do not have


def chance_row(run: Diverged, columns: Sequence[str]) -> dict[str, Any]:
    """Returns a row of a comparison: accuracy and loss of equal probabilities for all classes, and nothing else.

    >>> row = chance_row(Diverged(Config(dataset="penguins"), 4), ("epochs",))
    >>> row["test_accuracy"], row["epochs"], row["diverged"]
    (0.25, None, True)
    """
    scores = {"test_loss": math.log(run.classes), "test_accuracy": 1 / run.classes}
    others = dict.fromkeys((*columns, "epochs_to_reach", "seconds_to_reach", "untuned_accuracy"))
    return {**others, **scores, "diverged": True}
