"""Tables of OpenML: `openml:NAME`, `openml:NAME:VERSION` or `openml:ID`, or NAME.csv in the folder of --data-dir."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tfprune.data._base import Data
from tfprune.data._user import OPENML
from tfprune.data.objectives import AUTO
from tfprune.data.table import Table
from tfprune.utils.errors import ConfigError, DataError, choose_from
from tfprune.utils.folders import data_folder
from tfprune.utils.text import one_line

log = logging.getLogger(__name__)

NAME = re.compile(r"[\w.()+-]+", re.ASCII)
LABEL = "class"  # of the CSV files in a folder, where it is not named


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenMLTable(Table):
    """A table of OpenML (Vanschoren et al. 2014, arXiv:1407.7722), read with scikit-learn and kept in its cache.

    Args:
        label: name of the column of labels; OpenML mostly knows. In a folder of CSV files it is `class`.
        where: `openml` or `csv`, found.
    """

    found: ClassVar[tuple[str, ...]] = (*Table.found, "where")

    where: str = ""

    def described(self, path: str, data_dir: Path | None) -> OpenMLTable:
        data_dir = data_dir or data_folder()
        if file := _csv_file(path, data_dir):
            table = _as_table(self, self.label or LABEL).described(str(file), data_dir)
            found = {"fingerprint": table.fingerprint, "examples": table.examples, "task": table.task}
            return dataclasses.replace(self, label=table.label, where="csv", **found)
        bunch = _fetched(path, data_dir)
        label = self.label or bunch.details.get("default_target_attribute", "")
        names = [*bunch.feature_names, *bunch.target_names]
        for name in (label,) if isinstance(label, str) else label:
            if name not in names:
                raise ConfigError(f"{path}: --label must name the column of labels. {choose_from(name, names)}")
        content = f"{bunch.details['id']} {bunch.details['md5_checksum']}"
        digits = hashlib.sha256(content.encode()).hexdigest()[:12]
        found = dataclasses.replace(self, label=label, where="openml", fingerprint=digits, examples=len(bunch.data))
        return dataclasses.replace(found, task=found._task(_columns(bunch), path)) if self.task == AUTO else found

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        data_dir = data_dir or data_folder()
        if file := _csv_file(path, data_dir):
            return _as_table(self, self.label).load(str(file), data_dir, stream)
        return self.from_columns(_columns(_fetched(path, data_dir)), path)


def _as_table(source: OpenMLTable, label: str) -> Table:
    own = {field.name: getattr(source, field.name) for field in dataclasses.fields(Table)}
    return Table(**{**own, "label": label})


def _csv_file(path: str, data_dir: Path | None) -> Path | None:
    """Returns the file of that name in the folder, if there is one; a name never leads out of the folder."""
    name = path.removeprefix(OPENML).partition(":")[0]
    if data_dir is None or Path(name).name != name:
        return None
    file = data_dir / f"{name}.csv"
    return file if file.is_file() else None


def _fetched(path: str, data_dir: Path | None) -> Any:
    """Returns what scikit-learn reads, from the network or from its cache.

    Raises:
        DataError: it is in neither, or cannot be read as numbers and categories.
    """
    name, _, version = path.removeprefix(OPENML).partition(":")
    if not NAME.fullmatch(name) or (version and not version.isdecimal()):
        raise ConfigError(
            f"{path}: write openml:NAME, openml:NAME:VERSION with a whole number, or openml:ID; names have letters, "
            "digits and _ . ( ) + -"
        )
    try:
        from sklearn.datasets import fetch_openml
    except ModuleNotFoundError as error:
        raise DataError(
            f"{path}: OpenML needs scikit-learn ({one_line(error)}): pip install 'tfprune[openml]'"
        ) from None
    which = {"data_id": int(name)} if name.isdecimal() else {"name": name, "version": int(version or 1)}
    with _failures(path):
        return fetch_openml(
            **which,
            data_home=None if data_dir is None else str(data_dir),
            target_column=None,
            as_frame=False,
            parser="liac-arff",
            n_retries=1,
        )


@contextlib.contextmanager
def _failures(path: str) -> Iterator[None]:
    """Makes one line of what scikit-learn and urllib raise or warn of."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
        for warning in said:
            log.warning("%s: %s", path, one_line(warning.message))
    except OSError as error:  # no network, no such page, a disk that is full
        raise DataError(
            f"{path}: is not in the cache and cannot be downloaded ({one_line(error)}); without a network, put the "
            "table as NAME.csv into a folder and name that with --data-dir"
        ) from None
    except (ValueError, KeyError, RuntimeError) as error:  # texts as columns, a sparse table, a checksum, no such name
        raise DataError(f"{path}: cannot be read ({one_line(error)})") from None


def _columns(bunch: Any) -> Mapping[str, Any]:
    """Returns columns of Arrow: numbers, and the texts that numbers stand for; what is missing as null."""
    import numpy as np
    import pyarrow as pa

    columns = {}
    for place, name in enumerate(bunch.feature_names):
        cells = np.asarray(bunch.data[:, place], float)
        missing = np.isnan(cells)
        known = (bunch.categories or {}).get(name)
        if known is None:
            columns[name] = pa.chunked_array([pa.array(cells, mask=missing)])
        else:
            texts = np.array([*map(str, known), ""], object)[np.where(missing, -1, cells).astype(int)]
            columns[name] = pa.chunked_array([pa.array(texts, pa.string(), mask=missing)])
    return columns
