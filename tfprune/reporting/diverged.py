"""Seeds whose training diverged: they count, at chance, or a method that fails at times would look better for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tfprune.experiments.results import Result, read_config
from tfprune.experiments.rundir import RunDir
from tfprune.reporting.measures import measure
from tfprune.training.config import Config
from tfprune.utils.errors import RunError


class Diverged(NamedTuple):
    """A run whose loss was no number any more.

    Attributes:
        folder: its folder.
        config: its settings.
        constant: what a network that guesses comes to: split -> score -> number.
    """

    folder: RunDir
    config: Config
    constant: Mapping[str, Mapping[str, float]]


def find_diverged(folders: Iterable[RunDir], results: Iterable[Result]) -> list[Diverged]:
    """Returns the runs in folders that diverged, each once, of data sets of which `results` has a finished run."""
    results = list(results)
    chance = {data_of(run.config): run.constant for run in results if run.constant}
    known = {run.config.run_id for run in results}  # in another folder the same run may have finished
    found = []
    for folder in folders:
        try:
            config = read_config(folder) if folder.config.is_file() and folder.diverged else None
        except RunError:  # of another version, as `find_results` says of it
            continue
        if config is not None and data_of(config) in chance and config.run_id not in known:
            known.add(config.run_id)
            found.append(Diverged(folder, config, chance[data_of(config)]))
    return found


def with_finished_runs(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the trials of a comparison of which not all runs diverged: figures have a place for no others."""
    return {
        trial: values
        for trial, values in summary.items()
        if not all(row.get("diverged") for row in values["seeds"].values())
    }


def data_of(config: Config) -> str:
    """Returns what names a run's data set: of a file its content, wherever it lies."""
    return f"{config.data_name} {sorted(config.data_settings.items())}"


def chance_row(run: Diverged, columns: Sequence[str]) -> dict[str, Any]:
    """Returns a row of a comparison: metric and loss of a network that guesses, and nothing else.

    >>> config, guess = Config(dataset="penguins"), {"test": {"loss": 1.39, "accuracy": 0.25}}
    >>> row = chance_row(Diverged(RunDir(config.run_id), config, guess), ("epochs",))
    >>> row["test_accuracy"], row["epochs"], row["diverged"]
    (0.25, None, True)
    """
    found, test = measure(run.config.task), run.constant["test"]
    scores = {"test_loss": test["loss"], found.column: test[found.name]}
    others = dict.fromkeys((*columns, "epochs_to_reach", "seconds_to_reach", found.untuned))
    return {**others, **scores, "diverged": True}
