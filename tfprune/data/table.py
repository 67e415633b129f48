"""A table of a user's own: a CSV, TSV or Parquet file with a column of labels, or several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfprune.data._base import Data, DatasetSpec, Split
from tfprune.data._user import Source
from tfprune.data.objectives import AUTO, OBJECTIVES
from tfprune.utils.checks import check_choice, check_encoding, check_names, check_whole
from tfprune.utils.errors import ConfigError, DataError, choose_from
from tfprune.utils.fingerprints import fingerprint

if TYPE_CHECKING:
    import numpy as np

DECIMALS = (".", ",")
MISSING_CELLS = ("refuse", "drop", "impute")
INDEX_NAMES = ("", "Unnamed: 0", "index", "__index_level_0__")  # of row numbers, as pandas writes and reads them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table(Source):
    """Rows with a label each. Text becomes one-hot, numbers are standardised; the exported model does it too.

    Args:
        label: name of the column of labels, or of several: numbers to predict, or labels of 0 and 1.
        missing: what becomes of rows with missing cells: `refuse` them, `drop` them, or `impute` the training split's
            median or most frequent category, which the exported model then does too.
        ignore: columns to leave out.
        categories: columns of numbers that are names of something, to be read as text.
        most_categories: different texts in a column, at most.
        missing_marks: texts that stand for a missing cell, beside an empty one, NA, NaN and null.
        decimal: "." or ",": what stands before the decimals of a number.
        encoding: of a text file, as Python names it; "" is UTF-8.
        text: name of a column of texts that are read word by word; it is the only input then.
        words: different words of those that are known, at most: the most frequent ones of the training split.
        length: words of a text that are read, at most.
    """

    later: ClassVar[tuple[str, ...]] = (*Source.later, "text", "words", "length")
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression", "multilabel")

    label: str | tuple[str, ...] = ""
    missing: str = "refuse"
    ignore: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    most_categories: int = 100
    missing_marks: tuple[str, ...] = ()
    decimal: str = "."
    encoding: str = ""
    text: str = ""
    words: int = 5000
    length: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("data.missing", self.missing, MISSING_CELLS)
        self._store("ignore", check_names("data.ignore", self.ignore))
        self._store("categories", check_names("data.categories", self.categories))
        self._store("most_categories", check_whole("data.most_categories", self.most_categories, least=1))
        self._store("missing_marks", check_names("data.missing_marks", self.missing_marks))
        self._store("decimal", check_choice("data.decimal", str(self.decimal), DECIMALS))
        check_encoding("data.encoding", self.encoding)
        self._store("words", check_whole("data.words", self.words, least=3))
        self._store("length", check_whole("data.length", self.length, least=1))
        if not isinstance(self.label, str):
            self._store_labels()

    def _store_labels(self) -> None:
        """Stores several columns of labels; of one alone its name."""
        if not isinstance(self.label, (list, tuple)) or not all(isinstance(name, str) for name in self.label):
            raise ConfigError(f"label must be a column's name, or a list of some, got {self.label!r}")
        if len(set(self.label)) < len(self.label):
            raise ConfigError(f"label names a column twice: {', '.join(self.label)}")
        self._store("label", self.label[0] if len(self.label) == 1 else tuple(self.label))

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of labels."""
        return (self.label,) if isinstance(self.label, str) else self.label

    def described(self, path: str, data_dir: Path | None) -> Table:
        """Checks that the columns that the settings name are there."""
        from tfprune.data._columns import column_names, named_columns

        names = column_names(Path(path), self.encoding)
        return dataclasses.replace(self, label=named_columns(self.label_columns, names))._described(path, names)

    def _described(self, path: str, names: Sequence[str]) -> Table:
        from tfprune.data._columns import count_rows, read_table

        digits = fingerprint([Path(path)])
        if not self.label:
            raise ConfigError(f"{path}: --label must name the column of labels. {choose_from('', names)}")
        named = {"label": self.label_columns, "data.ignore": self.ignore, "data.categories": self.categories}
        named["text"] = self._words
        for setting, columns in named.items():
            for column in columns:
                if column not in names:
                    raise ConfigError(f"{path}: {setting} names no column {column!r}: {choose_from(column, names)}")
        for name in self.label_columns:
            if name in self.ignore:
                raise ConfigError(f"{path}: data.ignore names {name!r}, which is the label")
            if name in self._words:
                raise ConfigError(f"{path}: text names {name!r}, which is the label")
        task = self.task if self.task != AUTO else self._task(read_table(Path(path), self._reading), path)
        return dataclasses.replace(self, fingerprint=digits, examples=count_rows(Path(path)), task=task)

    def _task(self, columns: Mapping[str, Any], path: str) -> str:
        """Returns the task that the labels are for."""
        from tfprune.data._columns import missing_cells, texts
        from tfprune.data._targets import task_of

        try:
            cells = {name: texts(columns[name], name) for name in self.label_columns}
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        cells = {name: own[~missing_cells(own)] for name, own in cells.items()}
        if not all(map(len, cells.values())):
            return self.tasks[0]  # which `load` says more of
        return task_of(cells, path, self.decimal)

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

        from tfprune.data._columns import missing_cells, texts
        from tfprune.data._encodings import Category, Number, Words, row_inputs
        from tfprune.data._splits import three_splits
        from tfprune.data._targets import read_targets

        try:
            labels_of_rows = {name: texts(columns[name], name) for name in self.label_columns}
            cells = {name: self._cells(column, name) for name, column in columns.items() if self._is_input(name)}
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        cells, nameless = _without_nameless(cells)
        if not cells:
            raise DataError(f"{path}: there is no column beside the label {', '.join(map(repr, self.label_columns))}")
        kept, warnings = self._rows_to_keep(labels_of_rows, cells, path)
        warnings += nameless
        cells = {name: values[kept] for name, values in cells.items()}
        kept_labels = {name: own[kept] for name, own in labels_of_rows.items()}
        targets = read_targets(self.task, kept_labels, path, self.decimal)
        numbers = np.full(len(kept), -1)
        numbers[kept] = np.arange(kept.sum())
        places = {name: numbers[rows][numbers[rows] >= 0] for name, rows in (given or {}).items()}
        try:
            places = three_splits(
                targets.strata if targets.strata is not None else np.zeros(len(targets.y), np.int64),
                places or {"train": np.arange(len(targets.y))},
                targets.labels if targets.strata is not None else (),
                validation=self.validation,
                test=self.test,
                seed=self.split_seed,
            )
            impute, train = self.missing == "impute", places["train"]
            for name in (name for name, values in cells.items() if missing_cells(values[train]).all()):
                raise DataError(
                    f"column {name} has no cell in the training split; leave it out with --set data.ignore={name}"
                )
            encodings = {
                name: Words.of(values[train], self.words, self.length, impute)
                if name in self._words
                else self._number(name, Number.of(values[train], impute))
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
        objective = OBJECTIVES[self.task].fitted(targets.y[places["train"]])
        y = objective.encoded(targets.y)
        splits = {name: Split(x[own], y[own]) for name, own in places.items()}
        warnings += _repeated(splits) + _marked(encodings) + _counting(cells)
        original = np.flatnonzero(kept)
        return Data(
            **splits,
            labels=targets.labels,
            target=", ".join(self.label_columns),
            inputs={"serving_default": inputs},
            split_members={name: original[own] for name, own in places.items()},
            warnings=tuple(warnings),
            objective=objective,
            notes=(targets.note,) if targets.note else (),
        )

    @property
    def _words(self) -> tuple[str, ...]:
        """The columns that are read word by word; without `text` none, for a column may have the name ""."""
        return (self.text,) if self.text else ()

    def _is_input(self, name: str) -> bool:
        return name in self._words if self._words else name not in self.label_columns and name not in self.ignore

    def _cells(self, column: Any, name: str) -> np.ndarray:
        from tfprune.data._columns import numbers, texts

        values = None if name in (*self.categories, *self._words) else numbers(column, name, self.decimal)
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
                f"{self.most_categories}; leave it out with --set data.ignore={name}, raise that, or read the words of "
                f"that column alone with --text {name}"
            )
        return category

    def _rows_to_keep(
        self, labels: Mapping[str, np.ndarray], cells: Mapping[str, np.ndarray], path: str
    ) -> tuple[np.ndarray, list[str]]:
        import numpy as np

        from tfprune.data._columns import missing_cells

        absent = {name: missing_cells(values) for name, values in (dict(labels) | dict(cells)).items()}
        rows = len(next(iter(absent.values())))
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
                f"{path}: of {rows:,} rows these columns miss some: {listed}; drop such rows with "
                "--missing drop, or fill them with --missing impute"
            )
        needed = self.label_columns if self.missing == "impute" else absent
        dropped = np.any([absent[name] for name in needed], axis=0)
        if np.all(dropped):
            raise DataError(f"{path}: there is no row without a missing cell; use --missing impute")
        warnings = []
        if dropped.any():
            why = "without a label" if self.missing == "impute" else "with missing cells"
            warnings.append(f"{int(dropped.sum()):,} of {rows:,} rows are left out: {why}")
        if self.missing == "impute" and (filled := {n: c for n, c in missing.items() if n not in self.label_columns}):
            warnings.append(f"missing cells are filled in: {', '.join(f'{n} ({c:,})' for n, c in filled.items())}")
        return ~dropped, warnings

    def spec(self) -> DatasetSpec:
        if self.text:
            spec = rows_spec(self.examples, f"texts in {self.text!r}, labelled by {self.label!r}")
            spec = dataclasses.replace(spec, epochs=min(30, spec.epochs))
            return dataclasses.replace(spec, model="text_pool", model_settings={"words": self.words})
        return rows_spec(self.examples, f"rows of a table, labelled by {', '.join(map(repr, self.label_columns))}")


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


def _without_nameless(cells: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Returns columns but for one with neither name nor cells, of lines that end in a comma; and says so."""
    from tfprune.data._columns import missing_cells

    kept = {name: values for name, values in cells.items() if name or not missing_cells(values).all()}
    said = "a column that has no name and no cells is left out: each line ends with what separates columns"
    return kept, [said] if len(kept) < len(cells) else []


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
