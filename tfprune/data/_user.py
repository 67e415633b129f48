"""Data that a person brings: a path, or the name of a data set of TFDS or OpenML, instead of a name of `DATASETS`.

What a path holds is looked at once, when a run's settings are made. What is found (the kind, the size of images, a
fingerprint of the content) is kept among the settings: a finished run can be read where its data are not, and data
that have changed since are noticed.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tfprune.data import DATASETS
from tfprune.data._base import Data, DatasetSpec
from tfprune.data.objectives import AUTO, DEFAULT, OBJECTIVES
from tfprune.utils.checks import check_fraction, check_text, check_whole
from tfprune.utils.errors import ConfigError, DataError, choose_from
from tfprune.utils.registry import Registry

KINDS = Registry(
    "kind of data",
    {
        "table": "tfprune.data.table:Table",
        "images": "tfprune.data.folder:ImageFolder",
        "listed": "tfprune.data.listed:ListedImages",
        "masks": "tfprune.data.masks:MaskFolder",
        "arrays": "tfprune.data.arrays:Arrays",
        "tfds": "tfprune.data.any_tfds:AnyTfds",
        "openml": "tfprune.data.openml:OpenMLTable",
    },
)
TFDS, OPENML = "tfds:", "openml:"
COLLECTIONS = {TFDS: "tfds", OPENML: "openml"}  # how a name in one begins -> kind
SUFFIXES = {".csv": "table", ".tsv": "table", ".parquet": "table", ".pq": "table", ".npz": "arrays"}
ACCEPTED = "a folder of images, a .csv, .tsv, .parquet or .npz file, tfds:NAME or openml:NAME"
KIND = "kind"  # the key of a run's `data_settings` beside those of the kind
MAX_HELD_OUT = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(abc.ABC):
    """Base of the kinds of data. Fields of a subclass are its settings (`--set data.KEY=VALUE`).

    Args:
        validation, test: shares of the examples to hold out, in (0, 1), no more than half of them together; not used
            where the data come with such a split.
        split_seed: of the draw of the splits. The run's seed does not change them.
        task: what is learnt from the labels: `classification`, `regression`, `multilabel` or `segmentation`; or `auto`,
            which looks at them.
        examples: how many there are, about; found.
        fingerprint: of the content; found.
    """

    found: ClassVar[tuple[str, ...]] = ("examples", "fingerprint")  # settings that are not asked for but looked up
    tasks: ClassVar[tuple[str, ...]] = (DEFAULT,)  # that such data can have, the usual one first
    later: ClassVar[tuple[str, ...]] = ("task",)  # settings that ids of runs leave out where they are default

    validation: float = 0.15
    test: float = 0.15
    split_seed: int = 0
    task: str = DEFAULT
    examples: int = 0
    fingerprint: str = ""

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            self._store(name, check_fraction(f"data.{name}", getattr(self, name), above_zero=True))
        if self.validation + self.test > MAX_HELD_OUT:
            raise ConfigError(
                f"data.validation and data.test must be no more than {MAX_HELD_OUT:g} together, "
                f"got {self.validation:g} and {self.test:g}"
            )
        if self.task not in (AUTO, *self.tasks):
            if self.task in OBJECTIVES:
                raise ConfigError(f"task {self.task} is not one of such data, which have {', '.join(self.tasks)}")
            raise ConfigError(f"unknown task {self.task!r}: {choose_from(str(self.task), (AUTO, *OBJECTIVES))}")
        self._store("split_seed", check_whole("data.split_seed", self.split_seed, least=0))
        self._store("examples", check_whole("data.examples", self.examples, least=0))
        check_text("data.fingerprint", self.fingerprint)

    def _store(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @abc.abstractmethod
    def described(self, path: str, data_dir: Path | None) -> Source:
        """Looks at what is at the path; returns these settings with what was found.

        Raises:
            TfpruneError: nothing that can be read is there, or it does not fit the settings.
        """

    @abc.abstractmethod
    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        """Reads and splits the data; `stream` is one of `STREAMS`, for those that can stay in their files."""

    @abc.abstractmethod
    def spec(self) -> DatasetSpec:
        """Returns what such data are trained with unless other settings are asked for; needs no files."""

    @staticmethod
    def unresolved(data_dir: Path | None, seed: int, stream: str) -> Data:
        """Stands for `DatasetSpec.load` until `own_spec` has put the source's own there."""
        raise AssertionError("a spec of own data is made by own_spec")

    def loaded(self, path: str, data_dir: Path | None, stream: str) -> Data:
        """Reads the data if they still are what they were when the settings were made.

        Raises:
            DataError: they are not.
        """
        now = type(self)(**{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}).described(path, data_dir)
        if now.fingerprint != self.fingerprint:
            raise DataError(
                f"{path}: the content has changed since these settings were made (its fingerprint is "
                f"{now.fingerprint}, not {self.fingerprint}); name the path with --dataset to start anew"
            )
        return self.load(path, data_dir, stream)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns the settings and their defaults."""
        return {field.name: field.default for field in dataclasses.fields(cls)}


def is_in_a_collection(dataset: str) -> bool:
    """Returns whether a data set is a name in TFDS or OpenML, and no path."""
    return dataset.startswith(tuple(COLLECTIONS))


def is_user_data(dataset: str) -> bool:
    """Returns whether a data set is a user's own, and no name of `DATASETS`."""
    return (
        isinstance(dataset, str) and dataset not in DATASETS and (_looks_like_a_path(dataset) or bool(_kind(dataset)))
    )


def user_data_name(dataset: str) -> str:
    """Returns a short name of a user's own data, for run ids and titles.

    >>> user_data_name("/home/me/My flowers.csv"), user_data_name("tfds:imagenet_v2/topimages:3.0.0")
    ('My_flowers', 'imagenet_v2_topimages')
    >>> user_data_name("openml:credit-g:1"), user_data_name("openml:61")
    ('credit_g', '61')
    """
    if is_in_a_collection(dataset):
        stem = dataset.partition(":")[2].partition(":")[0]
    else:
        path = Path(dataset)
        stem = path.stem if path.suffix in SUFFIXES else path.name
    return re.sub(r"[^\w.+]+", "_", stem).strip("._") or "data"


def user_data_spec(
    dataset: str, settings: Mapping[str, Any], data_dir: str | None = None
) -> tuple[str, dict[str, Any], DatasetSpec]:
    """Returns a user's own data as runs know them.

    Args:
        dataset: a path, `tfds:NAME[/CONFIG][:VERSION]`, `openml:NAME[:VERSION]` or `openml:ID`.
        settings: of the kind of data; those with a `fingerprint` have been completed before, and nothing is read.
        data_dir: folder of prepared data sets of TFDS; for OpenML of CSV files, or its cache.

    Returns:
        The data set's path made absolute, the settings completed, and the spec.

    Raises:
        TfpruneError: there are no such data, or a setting is wrong.
    """
    given = dict(settings)
    kind = given.pop(KIND, None) or _kind(dataset)
    if kind is None:
        raise _nothing_there(dataset)
    known = KINDS[kind].defaults()
    for key in given:
        if key not in known:
            raise ConfigError(f"{dataset}: data of the kind {kind} have no setting {key!r}: {choose_from(key, known)}")
    folder = Path(data_dir) if data_dir else None
    stored = bool(given.get("fingerprint"))
    source = KINDS[kind](**given if stored else {"task": AUTO, **given})
    if not is_in_a_collection(dataset):
        dataset = os.path.abspath(dataset)
    if not source.fingerprint:
        source = source.described(dataset, folder)
    if source.task == AUTO:
        source = dataclasses.replace(source, task=source.tasks[0])
    completed = {KIND: kind} | {name: getattr(source, name) for name in known}
    kept = given if stored else _against_the_labels(source, given, dataset, folder)
    completed = {k: v for k, v in completed.items() if k not in source.later or v != known[k] or k in kept}
    load = functools.partial(_load, source, dataset)
    return dataset, completed, dataclasses.replace(source.spec(), load=load)


def _against_the_labels(source: Source, given: Mapping[str, Any], dataset: str, folder: Path | None) -> tuple[str, ...]:
    """Returns `task` if the usual one was asked for, and the labels look like those of another."""
    if given.get("task") != DEFAULT or len(source.tasks) < 2:
        return ()
    return ("task",) if dataclasses.replace(source, task=AUTO).described(dataset, folder).task != DEFAULT else ()


def asked_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the completed settings of own data that were asked for: neither default nor found."""
    kind = KINDS[settings[KIND]]
    known = kind.defaults()
    return {
        key: value
        for key, value in settings.items()
        if key != KIND
        and key not in kind.found
        and (key == "task" or value != (list(d) if isinstance(d := known[key], tuple) else d))
    }


def _load(source: Source, dataset: str, data_dir: Path | None, seed: int, stream: str = "auto") -> Data:
    return source.loaded(dataset, data_dir, stream)


def _kind(dataset: str) -> str | None:
    if is_in_a_collection(dataset):
        return COLLECTIONS[f"{dataset.partition(':')[0]}:"]
    path = Path(dataset)
    return _kind_of_folder(path) if path.is_dir() else SUFFIXES.get(path.suffix.lower())


def _kind_of_folder(path: Path) -> str:
    from tfprune.data.listed import is_listed
    from tfprune.data.masks import are_masks

    return "masks" if are_masks(path) else "listed" if is_listed(path) else "images"


def _looks_like_a_path(dataset: str) -> bool:
    return os.sep in dataset or "/" in dataset or Path(dataset).exists()


def _nothing_there(dataset: str) -> DataError:
    if not Path(dataset).exists():
        return DataError(f"{dataset}: there is no such file or folder")
    return DataError(f"{dataset}: data must be {ACCEPTED}")
