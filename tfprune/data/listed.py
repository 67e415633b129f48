"""A folder of a user's own images with a table `labels.csv` beside them: one row per image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfprune.data._base import Data, Split
from tfprune.data.folder import ImageFolder, is_image, names_in_splits
from tfprune.data.objectives import AUTO, OBJECTIVES
from tfprune.utils.errors import ConfigError, DataError, choose_from
from tfprune.utils.fingerprints import fingerprint

TABLE = "labels.csv"
IMAGES = "images"  # a folder beside it that may hold them
FILE_COLUMNS = ("file", "filename", "file_name", "image", "path")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListedImages(ImageFolder):
    """Images whose labels are in a table beside them: of classes, numbers, or several labels each.

    Args:
        label: name of the column of labels, or of several; "" is all columns but that of the files.
        file: name of the column of files, relative to the folder or to its `images/`; found, if it is called `file`,
            `image` or `path`.
    """

    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression", "multilabel")

    label: str | tuple[str, ...] = ""
    file: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.label, str):
            self._store("label", self.label[0] if len(self.label) == 1 else tuple(self.label))

    def described(self, path: str, data_dir: Path | None) -> ListedImages:
        from tfprune.data._columns import named_columns

        root = Path(path)
        table = self._table(root)
        name = self.file or next((own for own in table if own.lower() in FILE_COLUMNS), "")
        if name not in table:
            raise ConfigError(f"{root / TABLE}: data.file must name the column of files. {choose_from(name, table)}")
        labels = named_columns((self.label,) if isinstance(self.label, str) else self.label, table)
        labels = tuple(own for own in table if own != name) if labels == ("",) else labels
        for own in labels:
            if own not in table or own == name:
                others = [other for other in table if other != name]
                raise ConfigError(f"{root / TABLE}: label names no column {own!r}: {choose_from(own, others)}")
        own = dataclasses.replace(self, file=name, label=labels)
        files = own._files(root, table)
        side, channels = self.size_chosen(files)
        digits = fingerprint([root / TABLE, *sorted(set(files))], relative_to=root)
        task = self.task if self.task != AUTO else _task(own._cells(table, root), str(root / TABLE))
        found = {"side": side, "channels": channels, "fingerprint": digits, "examples": len(files), "task": task}
        return dataclasses.replace(own, **found)

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        from tfprune.data._splits import three_splits
        from tfprune.data._targets import read_targets
        from tfprune.data._tfds import image_inputs

        root = Path(path)
        table = self._table(root)
        files = self._files(root, table)
        targets = read_targets(self.task, self._cells(table, root), str(root / TABLE))
        x, readable, warnings = self.read(files, path, stream)
        strata = np.zeros(len(files), np.int64) if targets.strata is None else targets.strata
        labels = () if targets.strata is None else targets.labels
        how = {"validation": self.validation, "test": self.test, "seed": self.split_seed}
        try:
            places = three_splits(strata, {"train": np.flatnonzero(readable)}, labels, **how)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        objective = OBJECTIVES[self.task].fitted(targets.y[places["train"]])
        y = objective.encoded(targets.y)
        return Data(
            **{name: Split(x[own], y[own]) for name, own in places.items()},
            labels=targets.labels,
            target=self.label if isinstance(self.label, str) else ", ".join(self.label),
            inputs=image_inputs(self.side, self.channels),
            split_members=names_in_splits(files, root, places),
            warnings=warnings,
            objective=objective,
            notes=(targets.note,) if targets.note else (),
        )

    def _table(self, root: Path) -> Mapping[str, Any]:
        from tfprune.data._columns import read_table

        return read_table(root / TABLE)

    def _files(self, root: Path, table: Mapping[str, Any]) -> list[Path]:
        """Returns the files in the order of the rows."""
        from tfprune.data._columns import texts

        files = []
        for row, name in enumerate(texts(table[self.file], self.file).tolist(), start=1):
            file = _image(root, name or "")
            if file is None:
                raise DataError(
                    f"{root / TABLE}, row {row}: {name!r} is no image in this folder or its {IMAGES}/; "
                    "correct or remove it"
                )
            files.append(file)
        return files

    def _cells(self, table: Mapping[str, Any], root: Path) -> dict[str, np.ndarray]:
        """Returns the columns of labels as text."""
        from tfprune.data._columns import missing_cells, texts

        cells = {}
        for name in (self.label,) if isinstance(self.label, str) else self.label:
            cells[name] = texts(table[name], name)
            if (missing := missing_cells(cells[name])).any():
                row = int(np.argmax(missing)) + 1
                raise DataError(f"{root / TABLE}, row {row}: {name} is missing; fill it in or remove the row")
        return cells


def _image(root: Path, name: str) -> Path | None:
    """Returns the file of a row: in the folder, or else in the folder of images beside the table."""
    for file in (root / name, root / IMAGES / name):
        if name and file.resolve().is_relative_to(root.resolve()) and is_image(file):
            return file
    return None


def _task(cells: Mapping[str, np.ndarray], path: str) -> str:
    from tfprune.data._targets import task_of

    return task_of(cells, path)


def is_listed(folder: Path) -> bool:
    """Returns whether a folder has a table of labels and images that no folder of a class holds."""
    if not (folder / TABLE).is_file():
        return False
    return any(is_image(file) for own in (folder, folder / IMAGES) if own.is_dir() for file in own.iterdir())
