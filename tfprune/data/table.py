"""A table of a user's own: a CSV, TSV or Parquet file with a column of labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.data._base import Data, DatasetSpec, Split
from tfprune.data._user import Source
from tfprune.utils.checks import check_choice, check_encoding, check_names, check_whole
from tfprune.utils.errors import ConfigError, DataError, choose_from
from tfprune.utils.fingerprints import fingerprint

if TYPE_CHECKING:
    import numpy as np

DECIMALS = (".", ",")
MISSING_CELLS = ("refuse", "drop", "impute")
MAX_CLASSES = 1000
INDEX_NAMES = ("", "Unnamed: 0", "index", "__index_level_0__")  # of row numbers, as pandas writes and reads them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(Source):
    """Rows with a label each. Text becomes one-hot, numbers are standardised; the exported model does it too.

    Args:
        label: name of the column of labels.
        missing: what becomes of rows with missing cells: `refuse` them, `drop` them, or `impute` the training split's
            median or most frequent category, which the exported model then does too.
        ignore: columns to leave out.
        categories: columns of numbers that are names of something, to be read as text.
        most_categories: different texts in a column, at most.
        missing_marks: texts that stand for a missing cell, beside an empty one, NA, NaN and null.
        decimal: "." or ",": what stands before the decimals of a number.
        encoding: of a text file, as Python names it; "" is UTF-8.
    """

    label: str = ""
    missing: str = "refuse"
    ignore: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    most_categories: int = 100
    missing_marks: tuple[str, ...] = ()
    decimal: str = "."
    encoding: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("data.missing", self.missing, MISSING_CELLS)
        self._store("ignore", check_names("data.ignore", self.ignore))
        self._store("categories", check_names("data.categories", self.categories))
        self._store("most_categories", check_whole("data.most_categories", self.most_categories, least=1))
        self._store("missing_marks", check_names("data.missing_marks", self.missing_marks))
        self._store("decimal", check_choice("data.decimal", str(self.decimal), DECIMALS))
        check_encoding("data.encoding", self.encoding)
        if not isinstance(self.label, str):
            raise ConfigError(f"label must be a column's name, got {self.label!r}")

    def described(self, path: str, data_dir: Path | None) -> Table:
        """Checks that the columns that the settings name are there."""
        from tfprune.data._columns import column_names, count_rows

        digits = fingerprint([Path(path)])
        names = column_names(Path(path), self.encoding)
        if not self.label:
            raise ConfigError(f"{path}: --label must name the column of labels. {choose_from('', names)}")
        named = {"label": (self.label,), "data.ignore": self.ignore, "data.categories": self.categories}
        for setting, columns in named.items():
            for column in columns:
                if column not in names:
                    raise ConfigError(f"{path}: {setting} names no column {column!r}: {choose_from(column, names)}")
        if self.label in self.ignore:
            raise ConfigError(f"{path}: data.ignore names {self.label!r}, which is the label")
        return dataclasses.replace(self, fingerprint=digits, examples=count_rows(Path(path)))

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        from tfprune.data._columns import read_table

        return self.from_columns(read_table(Path(path), self._reading), path)

    @property
    def _reading(self) -> dict[str, Any]:
        """Returns how the file is read where that is not as usual, see `Inputs.reading`."""
        marks = {"missing_marks": list(self.missing_marks)} if self.missing_marks else {}
        decimal = {"decimal": self.decimal} if self.decimal != "." else {}
        return marks | decimal | ({"encoding": self.encoding} if self.encoding else {})

    def from_columns(
        self, columns: Mapping[str, Any], path: str, given: Mapping[str, np.ndarray] | None = None
    ) -> Data:
        """Makes data of columns that have been read.

        Args:
            columns: name -> Arrow column.
            path: where they are from, for messages.
            given: split -> the numbers of its rows, if the data come with splits.
        """
        import numpy as np

        from tfprune.data._columns import texts
        from tfprune.data._encodings import Category, Number, row_inputs
        from tfprune.data._splits import three_splits

        try:
            labels_of_rows = texts(columns[self.label], self.label)
            cells = {name: self._cells(column, name) for name, column in columns.items() if self._is_input(name)}
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        if not cells:
            raise DataError(f"{path}: there is no column beside the label {self.label!r}")
        kept, warnings = self._rows_to_keep(labels_of_rows, cells, path)
        cells = {name: values[kept] for name, values in cells.items()}
        labels, y = classes_of(_by_size(labels_of_rows[kept]), self.label, path)
        numbers = np.full(len(kept), -1)
        numbers[kept] = np.arange(kept.sum())
        places = {name: numbers[rows][numbers[rows] >= 0] for name, rows in (given or {}).items()}
        try:
            places = three_splits(
                y,
                places or {"train": np.arange(len(y))},
                labels,
                validation=self.validation,
                test=self.test,
                seed=self.split_seed,
            )
            impute, train = self.missing == "impute", places["train"]
            encodings = {
                name: self._number(name, Number.of(values[train], impute))
                if values.dtype == np.float64
                else self._category(name, Category.of(values, values[train], impute))
                for name, values in cells.items()
            }
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        inputs = row_inputs(
            encodings, [name for name in columns if name not in cells and name != self.label], self._reading
        )
        x = _encoded(inputs, cells)
        splits = {name: Split(x[own], y[own]) for name, own in places.items()}
        warnings += _repeated(splits) + _marked(encodings) + _counting(cells)
        original = np.flatnonzero(kept)
        return Data(
            **splits,
            labels=labels,
            target=self.label,
            inputs={"serving_default": inputs},
            split_members={name: original[own] for name, own in places.items()},
            warnings=tuple(warnings),
        )

    def _is_input(self, name: str) -> bool:
        return name != self.label and name not in self.ignore

    def _cells(self, column: Any, name: str) -> np.ndarray:
        from tfprune.data._columns import numbers, texts

        values = None if name in self.categories else numbers(column, name, self.decimal)
        return texts(column, name) if values is None else values

    def _number(self, name: str, number: Any) -> Any:
        if not number.finite:
            raise DataError(
                f"column {name} holds numbers that are too large; divide it, or leave it out with "
                f"--set data.ignore={name}"
            )
        return number

    def _category(self, name: str, category: Any) -> Any:
        if len(category.known) > self.most_categories:
            raise DataError(
                f"column {name} has {len(category.known):,} different texts, more than data.most_categories="
                f"{self.most_categories}; leave it out with --set data.ignore={name}, or raise that"
            )
        return category

    def _rows_to_keep(
        self, labels: np.ndarray, cells: Mapping[str, np.ndarray], path: str
    ) -> tuple[np.ndarray, list[str]]:
        import numpy as np

        from tfprune.data._columns import missing_cells

        absent = {name: missing_cells(values) for name, values in ({self.label: labels} | dict(cells)).items()}
        for name, values in cells.items():
            if np.all(absent[name]):
                raise DataError(f"{path}: column {name} is empty; leave it out with --set data.ignore={name}")
            if values.dtype == np.float64 and np.any(np.isinf(values)):
                row = int(np.argmax(np.isinf(values))) + 1
                raise DataError(f"{path}: column {name}, row {row}: it must be a finite number")
        missing = {name: int(own.sum()) for name, own in absent.items() if own.any()}
        if missing and self.missing == "refuse":
            listed = ", ".join(f"{name} ({count:,})" for name, count in missing.items())
            raise DataError(
                f"{path}: of {len(labels):,} rows these columns miss some: {listed}; drop such rows with "
                "--missing drop, or fill them with --missing impute"
            )
        dropped = absent[self.label] if self.missing == "impute" else np.any(list(absent.values()), axis=0)
        if np.all(dropped):
            raise DataError(f"{path}: there is no row without a missing cell; use --missing impute")
        warnings = []
        if dropped.any():
            why = "without a label" if self.missing == "impute" else "with missing cells"
            warnings.append(f"{int(dropped.sum()):,} of {len(labels):,} rows are left out: {why}")
        if self.missing == "impute" and (filled := {n: c for n, c in missing.items() if n != self.label}):
            warnings.append(f"missing cells are filled in: {', '.join(f'{n} ({c:,})' for n, c in filled.items())}")
        return ~dropped, warnings

    def spec(self) -> DatasetSpec:
        return rows_spec(self.examples, f"rows of a table, labelled by {self.label!r}")


def rows_spec(examples: int, summary: str) -> DatasetSpec:
    """Returns what rows of numbers are trained with."""
    large = examples > 10_000
    return DatasetSpec(
        summary=summary,
        source="your own",
        load=Source.unresolved,
        model="mlp",
        model_settings={"hidden": (128, 64) if large else (32, 16)},
        epochs=min(200, max(10, 500_000 // max(1, examples))),
        batch_size=256 if large else 32,
        learning_rate=1e-3,
        optimizer="adam",
    )


def classes_of(cells: np.ndarray, label: str, path: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the names of the classes, sorted (numbers by their size), and each example's class number.

    Raises:
        DataError: there are too few classes, or so many that they are none.
    """
    import numpy as np

    labels, y = np.unique(cells, return_inverse=True)
    if len(labels) < 2:
        raise DataError(f"{path}: all labels in {label} are {str(labels[0])!r}; two classes or more are needed")
    if len(labels) > min(MAX_CLASSES, len(cells) / 2):
        raise DataError(
            f"{path}: {label} has {len(labels):,} different values in {len(cells):,} examples; labels must be "
            "classes (numbers are not predicted)"
        )
    return tuple(map(str, labels)), y.reshape(-1).astype(np.int64)


def _by_size(cells: np.ndarray) -> np.ndarray:
    """Returns whole numbers for text that spells them, so that class 10 comes after class 2."""
    import numpy as np

    try:
        whole = np.array([int(cell) for cell in cells])
    except (ValueError, OverflowError):
        return cells.astype(str)
    return whole if all(str(number) == cell for number, cell in zip(whole, cells, strict=True)) else cells.astype(str)


def _encoded(inputs: Any, cells: Mapping[str, np.ndarray]) -> np.ndarray:
    import numpy as np

    from tfprune.adapters.backend import tf

    raw = {}
    for argument, (dtype, _) in inputs.signature.items():
        values = cells[inputs.columns.get(argument, argument)]
        if dtype == "string":
            values = np.array(["" if cell is None else cell for cell in values], object)
        raw[argument] = tf.constant(values, dtype)
    return inputs.encode(raw).numpy()


def _marked(encodings: Mapping[str, Any]) -> list[str]:
    """Says which categories look like marks of missing cells."""
    from tfprune.data._csv import MARKS

    found = {name: sorted(MARKS & set(getattr(own, "known", ()))) for name, own in encodings.items()}
    return [
        f"column {name} has {', '.join(map(repr, marks))} as a category; if that marks a missing cell, say so with "
        f"--set data.missing_marks={','.join(marks)}"
        for name, marks in found.items()
        if marks
    ]


def _counting(cells: Mapping[str, np.ndarray]) -> list[str]:
    """Says which inputs look like the row numbers that pandas writes beside a table."""
    import numpy as np

    return [
        f"column {name!r} numbers the rows, as pandas writes it, and is an input of the model; leave it out "
        + (f"with --set data.ignore='{name}'" if name else "of the file (to_csv with index=False)")
        for name, own in cells.items()
        if name in INDEX_NAMES
        and own.dtype == np.float64
        and np.array_equal(own, np.round(own))
        and len(np.unique(own)) == len(own)
    ]


def _repeated(splits: Mapping[str, Split]) -> list[str]:
    """Says how many rows of the test split are in the training split too: they are no test."""
    seen = {row.tobytes() for row in splits["train"].x}
    count = sum(row.tobytes() in seen for row in splits["test"].x)
    return [f"{count:,} of {len(splits['test']):,} rows of the test split equal a training row"] if count else []
