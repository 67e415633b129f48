"""From run folders to rows. No TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import html
import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from tfprune.data._base import SPLITS
from tfprune.experiments.checksums import MAX_MODEL, altered, digest_of, digests, verify_checksum, with_checksum
from tfprune.experiments.run_files import (
    MAX_ARRAYS,
    MAX_COMPARISON,
    MAX_CSV,
    MAX_JSON,
    check,
    decode_json,
    read_file,
    read_history,
    read_json,
    read_masks,
)
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.schemas import Comparison, Metrics, RemovedChannels
from tfprune.training.config import NON_IDENTITY_FIELDS, Config
from tfprune.utils.errors import RunError, TfpruneError
from tfprune.utils.files import sha256
from tfprune.utils.locks import LOCK, locked
from tfprune.utils.notebook import curves, html_image, html_table
from tfprune.utils.text import LONGEST, one_line, printable, shortened

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

SCHEMA = 2  # of metrics.json; raised when a key that is read is new, changes its meaning or goes
FILES = (  # with checksums
    *("history.csv", "masks.npz", "channels.json", "splits.csv", "architecture.json"),
    *("model", "model.keras"),
)
SETTINGS = "config.json"  # has one too, of the settings that `NON_IDENTITY_FIELDS` does not name
FINISHED = "pruned"  # the phase of a history's last row where that is the model as it was finished
COMPARISON_SCHEMA = 2  # the same of what `tfprune compare --json` writes


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished run, as `tfprune.train(config)` returns it.

    Attributes:
        folder: the run's folder.
        config: its settings.
        metrics: what `metrics.json` holds.

    >>> config = Config(dataset="penguins")
    >>> result = Result(RunDir(Path("saved_models") / config.run_id), config, {"test": {"accuracy": 0.97}})
    >>> result.metrics["test"]["accuracy"], result.model.as_posix()
    (0.97, 'saved_models/penguins-dynamic-seed0/model')
    """

    folder: RunDir
    config: Config
    metrics: dict[str, Any]

    @property
    def model(self) -> Path:
        """Folder of the SavedModel. A run whose model is of Keras 3 has one if it was trained on TensorFlow."""
        return self.folder.model

    @property
    def of_keras3(self) -> bool:
        """Whether the run's model is of Keras 3."""
        return "backend" in self.metrics

    @property
    def keras_model(self) -> Path:
        """The `.keras` file of a run whose model is of Keras 3: that model, trained and pruned."""
        return self.folder.keras_model

    @property
    def sparsity(self) -> float:
        """Fraction of what can be pruned that is gone, in the exported model."""
        return self.metrics["sparsity"]["achieved"]

    @property
    def constant(self) -> dict[str, dict[str, float]]:
        """What a network that guesses comes to: split -> score -> number; {} where earlier versions do not say it.

        Of classes that is equal probabilities for all, of other tasks the best answer that all examples share.
        """
        data = self.metrics.get("data", {})
        if "constant" in data or "classes" not in data:
            return data.get("constant", {})
        classes = len(data["classes"]["test"])
        return {"test": {"loss": math.log(classes), "accuracy": 1 / classes}}

    @property
    def total_sparsity(self) -> float:
        """Fraction of all numbers of the exported model that is zero: kernels, biases, statistics, all else."""
        return 1 - self.metrics["nonzero_parameters"] / self.metrics["parameters"]

    def plot(self) -> Figure:
        """Returns a matplotlib figure of loss and sparsity over the epochs.

        Raises:
            RunError: the history cannot be read.
        """
        from tfprune.utils.curves import curves_figure

        return curves_figure(self.history())

    def _repr_html_(self) -> str:
        pruned = "channels" if "channels" in self.metrics else "kernel weights"
        share = f"{100 * self.sparsity:.1f} % of the {pruned} are gone"
        share += f"; {100 * self.total_sparsity:.1f} % of all weights are zero"
        try:
            figure = html_image(curves(self.history()), "loss and sparsity over epochs")
        except RunError as error:  # the folder has been removed since, or altered
            figure = f"<p>{html.escape(str(error))}</p>"
        known = {name: metric for name, metric in self.config.objective.metrics.items() if name in self.metrics["test"]}
        scores = [
            (n, f"{self.metrics[n]['loss']:.4f}", *(known[name].text(self.metrics[n][name]) for name in known))
            for n in SPLITS
        ]
        layers = self.metrics["sparsity"]["layers"].items()
        rows = [(n, f"{c['zeros']:,}", f"{c['size']:,}", f"{100 * c['zeros'] / c['size']:.1f} %") for n, c in layers]
        tables = (
            html_table(scores, ("split", "loss", *(metric.label for metric in known.values()))),
            html_table(rows, ("kernel", "gone", "of", "sparsity")),
        )
        return f"<p>{html.escape(printable(self.config.run_id))}: {share}</p>{figure}{''.join(tables)}"

    def history(self) -> list[dict[str, Any]]:
        """Returns the rows of `history.csv`, numbers as numbers, missing ones as None."""
        columns = self.history_columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def history_columns(self, *names: str) -> dict[str, Sequence[Any]]:
        """Returns columns of `history.csv` by name, all if none is named. Comparisons read those of thousands of runs.

        Raises:
            RunError: there is no such file, it is no history, or it was altered.
        """
        path = self.folder.history
        columns = read_history(self._content(path, MAX_CSV), path, names)
        steps, phases = columns.get("step"), columns.get("phase")
        if steps is not None and any(one > next_one for one, next_one in itertools.pairwise(steps)):
            raise RunError(f"{path}: step: each is at least the one before, or rows have been moved")
        if phases is not None:
            self._check_phases(phases)
        return columns

    def _check_phases(self, phases: Sequence[str]) -> None:
        """Raises a `RunError` if trainings of a history took no time, or come after the model was finished."""
        timed = self.metrics["seconds"].keys() & self.metrics["cpu_seconds"].keys()
        for phase in set(phases[:-1] if phases[-1] == FINISHED else phases):
            if phase not in timed:
                known = self.folder.metrics.name
                raise RunError(f"{self.folder.history}: phase: {known} has no seconds and cpu_seconds of {phase!r}")

    def masks(self) -> dict[str, np.ndarray]:
        """Returns the masks by kernel name, uint8.

        Raises:
            RunError: there is no such file, it holds no masks of the run's kernels, or it was altered.
        """
        kernels = {name: counts["size"] for name, counts in self.metrics["sparsity"]["layers"].items()}
        path = self.folder.masks
        return read_masks(self._content(path, MAX_ARRAYS), path, kernels)

    def removed_channels(self) -> dict[str, list[int]] | dict[str, list[str]]:
        """Returns which channels of the model went, by group, as `surgery.remove_groups` takes them; empty if none did.

        Raises:
            RunError: the file cannot be read, or was altered.
        """
        path = self.folder.channels
        if not path.exists() and path.name not in self._digests:
            return {}
        removed = check(decode_json(self._content(path, MAX_JSON), path), RemovedChannels, path)
        groups = self.metrics["channels"]["groups"] if "channels" in self.metrics else {}
        for name in removed.keys() - groups.keys():
            raise RunError(f"{path}: {name}: {self.folder.metrics.name} knows no such group")
        for name, group in groups.items():
            channels, known = removed.get(name, []), group.get("gone", range(group["before"]))
            if len({*channels} & {*known}) < len(channels) or len(channels) != group["before"] - group["after"]:
                raise RunError(f"{path}: {name}: these are not those that {self.folder.metrics.name} says are gone")
        return removed

    def architecture(self) -> str | None:
        """Returns the layers of a user's own model as JSON; None where they could not be written down.

        Raises:
            RunError: the file cannot be read, or was altered.
        """
        path = self.folder.architecture
        if not path.exists() and path.name not in self._digests:
            return None
        return json.dumps(decode_json(self._content(path, MAX_CSV), path))

    @property
    def _digests(self) -> Mapping[str, str]:
        return self.metrics.get("files", {})  # which runs of earlier versions do not have

    def _content(self, path: Path, most: int) -> bytes:
        """Returns what a file of the run holds, as it was when the run finished."""
        content = read_file(path, most)
        digest = self._digests.get(path.name)
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise altered(path)
        return content


def read_result(folder: RunDir) -> Result:
    """Reads a finished run.

    Raises:
        RunError: the folder is no finished run of this version.
    """
    if not folder.root.is_dir():
        inside = folder.root.is_file() and RunDir(folder.root.parent).config.is_file()
        hint = f"; this is a file of the run {folder.root.parent}" if inside else ""
        raise RunError(f"{folder.root}: there is no such run folder{hint}")
    if not folder.config.is_file():
        hint = f"; `tfprune runs {folder.root}` lists those in it" if any(folder.root.glob("*/config.json")) else ""
        raise RunError(f"{folder.root}: this is no run folder (it has no {folder.config.name}){hint}")
    if not folder.finished:
        if folder.diverged:
            raise RunError(f"{folder.root}: this run diverged: its loss was no number any more")
        raise RunError(f"{folder.root}: this run is not finished; run its command again")
    metrics = read_metrics(folder.metrics)
    stored = read_json(folder.config)
    config = _as_config(stored, folder.config)
    if metrics.get("files", {}).get(SETTINGS, digest := settings_digest(stored)) != digest:
        raise altered(folder.config)
    of_config = {"seed": config.seed, "channels": config.removes, "pattern": config.units is not None}
    of_metrics = {"seed": metrics["seed"], **{name: name in metrics for name in ("channels", "pattern")}}
    for name, value in of_config.items():
        if of_metrics[name] != value:
            raise RunError(f"{folder.metrics}: {name}: this is of another run than {folder.config.name}")
    return Result(folder, config, metrics)


def read_metrics(path: Path) -> dict[str, Any]:
    """Reads `metrics.json`.

    Raises:
        RunError: it is of another version, lacks something that is read or has it otherwise, or was altered.
    """
    metrics = read_json(path)
    if metrics.get("schema") != SCHEMA:
        wrong = f"schema {_shown(metrics.get('schema'))} is not {SCHEMA}, which this version reads"
        raise RunError(f"{path}: {wrong}; remove the folder or choose another --out")
    check(metrics, Metrics, path)
    verify_checksum(metrics, path)
    return metrics


def metrics_with_checksum(folder: RunDir, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Returns metrics with the checksums of all that a run's folder holds and of themselves, to be written last."""
    files = {SETTINGS: settings_digest(read_json(folder.config)), **digests(folder.root, FILES)}
    return with_checksum({**metrics, "files": files})


def settings_digest(stored: Mapping[str, Any]) -> str:
    """Returns the checksum of settings as they are stored; of what lies elsewhere on another machine, the names."""
    named = {key: Path(stored[key]).name for key in ("dataset", "model") if os.path.isabs(str(stored.get(key)))}
    return digest_of({key: value for key, value in (stored | named).items() if key not in NON_IDENTITY_FIELDS})


def check_model(folder: RunDir) -> None:
    """Raises a `RunError` if the model of a finished run was altered; those of earlier versions go unchecked."""
    files = read_json(folder.metrics).get("files", {})
    for name, digest in check(files, dict[str, str], folder.metrics).items():
        if name.split("/")[0] not in (folder.model.name, folder.keras_model.name):
            continue
        path = folder.root / name
        try:
            if sha256(path, MAX_MODEL) != digest:
                raise altered(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror})") from None


def _shown(value: object) -> str:
    """Returns a value of a foreign file, as short as a line."""
    return shortened(one_line(value), 30)


def why_no_model(folder: RunDir) -> str:
    """Says why a finished run has no model, and how it gets one."""
    beside_others = "networks" in read_json(folder.metrics)
    why = "was trained side by side with others and left no model" if beside_others else "has lost its model"
    return f"{folder.root}: this run {why}; tfprune train --config {folder.config}"


def read_config(folder: RunDir) -> Config:
    """Reads the settings of a run, finished or not.

    Raises:
        RunError: there are none, or this version does not take them.
    """
    return _as_config(read_json(folder.config), folder.config)


def _as_config(stored: Mapping[str, Any], path: Path) -> Config:
    try:
        return Config.stored(stored)
    except TfpruneError as error:
        raise RunError(f"{path}: {one_line(error, LONGEST)}") from None


def find_result(config: Config) -> Result | None:
    """Reads the finished run with these settings; None if there is none.

    Raises:
        RunError: what is there cannot be read, or has the same name and other settings.
    """
    folder = RunDir(Path(config.out) / config.run_id)
    if not folder.finished:
        return None
    result = read_result(folder)
    check_same(result.config, config, folder)
    return result


def tidy(folder: RunDir) -> None:
    """Removes what is left in a finished run's folder by a process that was killed at its very end."""
    if folder.checkpoints.exists() or (folder.root / LOCK).exists():
        with contextlib.suppress(RunError), locked(folder.root, wait=False) as alone:  # else it is ending right now
            if alone:
                folder.close()


def check_same(stored: Config, asked: Config, folder: RunDir) -> None:
    """Raises a `RunError` if a run has other settings than those that are asked for."""
    before, now = stored.identity(), asked.identity()
    for key in now:
        if before[key] != now[key]:
            raise RunError(
                f"{folder.root}: was run with {key}={before[key]}, not {now[key]}; use --force to run it anew"
            )


def find_results(paths: Iterable[Path]) -> tuple[list[Result], list[str]]:
    """Reads the finished runs in folders.

    Args:
        paths: run folders, or folders that hold run folders.

    Returns:
        The runs, each once, and a line on each run that is left out: not finished, of another version, or without its
        history.

    Raises:
        RunError: a folder is missing or holds no runs, or no run can be read.
    """
    found: dict[str, Result] = {}
    left_out = []
    for folder in dict.fromkeys(folder for path in paths for folder in run_folders(path)):
        try:
            result = read_result(RunDir(folder))
        except RunError as error:
            left_out.append(str(error))
            continue
        if not (history := result.folder.history).is_file():  # one file of one run, which the others can do without
            left_out.append(f"{history}: there is no such file")
            continue
        first = found.setdefault(result.config.run_id, result)
        if first.folder.root.resolve() != folder.resolve():
            left_out.append(f"{folder}: this is the same run as {first.folder.root}")
    if not found:
        more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
        raise RunError(f"there is no run to report. {left_out[0]}{more}")
    return list(found.values()), left_out


def run_folders(path: Path) -> list[Path]:
    """Returns a path that is a run folder, or the run folders in it, sorted.

    Raises:
        RunError: there is none.
    """
    if RunDir(path).config.is_file():
        return [path]
    if not path.is_dir():
        raise RunError(f"{path}: there is no such folder")
    folders = sorted(folder for folder in path.iterdir() if RunDir(folder).config.is_file())
    if not folders:
        raise RunError(f"{path}: this is no run folder, and there is none in it")
    return folders


def read_comparisons(path: Path) -> list[dict[str, Any]]:
    """Reads what `tfprune compare --json` wrote, or `tfprune report`, which may hold several.

    Raises:
        RunError: the file is something else.
    """
    content = read_json(path, MAX_COMPARISON)
    comparisons = content.get("comparisons", [content])
    check(comparisons, Annotated[list[dict[str, Any]], Meta(min_length=1)], path)
    for values in comparisons:
        if not {"dataset", "settings", "methods"} <= set(values) or values.get("schema") != COMPARISON_SCHEMA:
            raise RunError(
                f"{path}: this is no comparison of schema {COMPARISON_SCHEMA}; `tfprune compare --json` writes them"
            )
        check(values, Comparison, path)
        verify_checksum(values, path)
    return comparisons
