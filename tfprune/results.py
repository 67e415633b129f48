"""From run folders to rows. No TensorFlow."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.config import Config
from tfprune.data._base import SPLITS
from tfprune.errors import BROKEN_ARCHIVE, ConfigError, RunError
from tfprune.locks import LOCK, locked
from tfprune.notebook import curves, html_image, html_table
from tfprune.rundir import RunDir, read_json
from tfprune.utils.text import showable

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 2  # of metrics.json; raised when a key that is read is new, changes its meaning or goes
READ = (  # numbers of metrics.json that this version reads; `*` stands for any name
    *(f"{split}.{score}" for split in ("train", "validation", "test") for score in ("loss", "accuracy")),
    *("sparsity.achieved", "sparsity.layers.*.zeros", "sparsity.layers.*.size", "parameters", "nonzero_parameters"),
    *("bytes.weights.raw", "bytes.weights.gzip", "epochs", "seconds.total", "cpu_seconds.total", "machine.cores"),
    *(f"cost.{name}" for name in ("examples", "forward_flops_masked", "training_flops", "training_flops_masked")),
)
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
        """Folder of the SavedModel."""
        return self.folder.model

    @property
    def sparsity(self) -> float:
        """Fraction of what can be pruned that is gone, in the exported model."""
        return self.metrics["sparsity"]["achieved"]

    def _repr_html_(self) -> str:
        pruned = "channels" if "channels" in self.metrics else "kernel weights"
        share = f"{100 * self.sparsity:.1f} % of the {pruned} are gone"
        try:
            figure = html_image(curves(self.history()), "loss and sparsity over epochs")
        except RunError:  # the folder has been removed since
            figure = ""
        scores = [(n, f"{self.metrics[n]['loss']:.4f}", f"{100 * self.metrics[n]['accuracy']:.1f} %") for n in SPLITS]
        layers = self.metrics["sparsity"]["layers"].items()
        rows = [(n, f"{c['zeros']:,}", f"{c['size']:,}", f"{100 * c['zeros'] / c['size']:.1f} %") for n, c in layers]
        tables = (
            html_table(scores, ("split", "loss", "accuracy")),
            html_table(rows, ("kernel", "gone", "of", "sparsity")),
        )
        return f"<p>{html.escape(showable(self.config.run_id))}: {share}</p>{figure}{''.join(tables)}"

    def history(self) -> list[dict[str, Any]]:
        """Returns the rows of `history.csv`, numbers as numbers, missing ones as None."""
        columns = self.history_columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def history_columns(self, *names: str) -> dict[str, Sequence[Any]]:
        """Returns columns of `history.csv` by name, all if none is named. Comparisons read those of thousands of runs.

        Raises:
            RunError: there is no such file, or it is no history.
        """
        try:
            with open(self.folder.history, newline="", encoding="utf-8") as file:
                header, *rows = csv.reader(file, strict=True)
            cells = dict(zip(header, zip(*rows, strict=True), strict=True))
            return {name: _column(name, cells[name]) for name in names or header}
        except OSError as error:
            raise RunError(f"{self.folder.history}: cannot be read ({error.strerror})") from None
        except (ValueError, csv.Error) as error:  # cut short or altered
            raise RunError(f"{self.folder.history}: cannot be read ({error})") from None
        except KeyError as error:
            raise RunError(f"{self.folder.history}: this is no history of a run (it has no {error})") from None

    def masks(self) -> dict[str, np.ndarray]:
        """Returns the masks by kernel name, uint8."""
        import numpy as np  # here, so that `tfprune --help` does without

        try:
            with open(self.folder.masks, "rb") as file:
                return dict(np.load(file, allow_pickle=False))
        except (*BROKEN_ARCHIVE, TypeError) as error:  # an array alone is no archive of some
            raise RunError(f"{self.folder.masks}: cannot be read ({error})") from None

    def removed_channels(self) -> dict[str, list[int]]:
        """Returns which channels of the model went, by group, as `surgery.without` takes them; empty if none did."""
        return read_json(self.folder.channels) if self.folder.channels.is_file() else {}


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
    if absent := [name for name in READ if not _has(metrics, name.split("."))]:
        raise RunError(f"{folder.metrics}: {absent[0]} is missing, or is not what it should be")
    return Result(folder, read_config(folder), metrics)


def _has(metrics: Any, path: Sequence[str]) -> bool:
    """Says whether metrics have what is read of them: numbers, or at the end of a path with a `*` a table of those."""
    for place, key in enumerate(path):
        if not isinstance(metrics, dict):
            return False
        if key == "*":
            return all(_has(value, path[place + 1 :]) for value in metrics.values())
        if key not in metrics:
            return False
        metrics = metrics[key]
    return isinstance(metrics, (int, float))


def read_config(folder: RunDir) -> Config:
    """Reads the settings of a run, finished or not.

    Raises:
        RunError: there are none, or this version does not take them.
    """
    try:
        return Config.stored(read_json(folder.config))
    except ConfigError as error:
        raise RunError(f"{folder.config}: {error}") from None


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
        The runs, each once, and a line on each run that is left out: not finished, or of another version.

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
    content = read_json(path)
    comparisons = content.get("comparisons", [content])
    for values in comparisons:
        if not {"dataset", "settings", "methods"} <= set(values) or values.get("schema") != COMPARISON_SCHEMA:
            raise RunError(
                f"{path}: this is no comparison of schema {COMPARISON_SCHEMA}; `tfprune compare --json` writes them"
            )
    return comparisons


def _column(name: str, cells: Sequence[str]) -> Sequence[Any]:
    """Returns a column of a history, of which thousands are read: numbers as numbers, missing ones as None."""
    if name == "phase":
        return cells
    kind = int if name in ("epoch", "step") else float
    return [kind(cell) if cell else None for cell in cells]
