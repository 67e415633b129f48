"""Readers of a run's files, one for each; what they hold is checked by its schema. No TensorFlow."""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tfprune.experiments.schemas import COMPLETE, HISTORY, LONGEST_NAME, SCORES
from tfprune.utils.archives import check_archive
from tfprune.utils.errors import BROKEN_ARCHIVE, RunError
from tfprune.utils.files import MEGABYTE, read_bytes
from tfprune.utils.text import one_line

if TYPE_CHECKING:
    import numpy as np

MAX_JSON = 32 * MEGABYTE  # bytes of config.json, metrics.json and the like
MAX_COMPARISON = 512 * MEGABYTE  # one row per run: a thousand runs take one
MAX_CSV = 256 * MEGABYTE
MAX_LINE = MEGABYTE  # of what ended a run, of who holds a lock
MAX_ARRAYS = 4096 * MEGABYTE  # of masks, one byte per weight, also once they are unpacked

_OF_NUMBERS = "0123456789+-.einfa"

Schema = TypeVar("Schema")


def read_json(path: Path, most: int = MAX_JSON) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        RunError: the file is missing, no regular file or too large, or holds something else.
    """
    return decode_json(read_file(path, most), path)


def read_file(path: Path, most: int) -> bytes:
    """Returns what a file of a run holds.

    Raises:
        RunError: the file is missing, no regular file or too large.
    """
    try:
        return read_bytes(path, most)
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such file") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None


def decode_json(content: bytes, path: Path) -> dict[str, Any]:
    """Returns the JSON object that a file holds.

    Raises:
        RunError: it holds something else.
    """
    try:
        value = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({one_line(error)})") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: a JSON object is needed, got {type(value).__name__}")
    return value


def check(value: object, schema: type[Schema], path: Path) -> Schema:
    """Returns what a file holds as its schema has it.

    Raises:
        RunError: a field is missing, or is not what it should be.

    >>> from tfprune.experiments.schemas import Scores
    >>> check({"loss": 0.5, "accuracy": 2}, Scores, Path("metrics.json"))
    Traceback (most recent call last):
    tfprune.utils.errors.RunError: metrics.json: accuracy: expected `float` <= 1.0
    """
    try:
        return msgspec.convert(value, schema)
    except (msgspec.ValidationError, RecursionError, UnicodeEncodeError) as error:  # half of a letter
        reason, _, place = str(error).rpartition(" - at ")
        reason, place = (reason, place.strip("`").removeprefix("$").lstrip(".")) if reason else (str(error), "")
        raise RunError(f"{path}: {f'{place}: ' * bool(place)}{reason[:1].lower()}{reason[1:]}") from None


def read_history(content: bytes, path: Path, names: Sequence[str] = ()) -> dict[str, Sequence[Any]]:
    """Reads columns of `history.csv`, of which thousands are read when runs are compared.

    Args:
        content: of the file.
        path: of the file, for errors.
        names: of the columns; all that are known if none is named.

    Returns:
        Column -> its cells, numbers as numbers; None is a number that was not measured, or is not finite.

    Raises:
        RunError: it is no history of a run.
    """
    try:
        header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    except (ValueError, csv.Error) as error:  # cut short or altered
        raise RunError(f"{path}: cannot be read ({error})") from None
    if len(set(header)) < len(header):
        raise RunError(f"{path}: cannot be read (a column is there twice)")
    scores = [name for name in header if name in SCORES and not name.startswith("val_")] or ["accuracy"]
    for name in (*HISTORY, *scores, *(f"val_{name}" for name in scores)):
        if name not in header:
            raise RunError(f"{path}: this is no history of a run (it has no {name!r})")
    if not rows or set(map(len, rows)) != {len(header)}:
        raise RunError(f"{path}: cannot be read ({'its rows are not of one length' if rows else 'it has no rows'})")
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    known = [name for name in header if name in HISTORY or name in SCORES]
    return {name: _column(name, cells[name], path) for name in names or known}


def _column(name: str, cells: Sequence[str], path: Path) -> Sequence[Any]:
    """Returns a column of a history."""
    kind, low, high = HISTORY.get(name) or SCORES[name]
    if kind is str:
        if max(map(len, cells)) > LONGEST_NAME:
            raise RunError(f"{path}: {name}: a name of more than {LONGEST_NAME} characters")
        return cells
    try:
        if "".join(cells).strip(_OF_NUMBERS):  # what `int` and `float` take beyond what is written: 1_0, spaces
            raise ValueError("there is a cell that is no number")
        numbers = [kind(cell) if cell else None for cell in cells]
    except ValueError as error:
        raise RunError(f"{path}: {name}: cannot be read ({error})") from None
    if kind is float:
        numbers = [number if number is not None and math.isfinite(number) else None for number in numbers]
    known = [number for number in numbers if number is not None]
    if name in COMPLETE and len(known) < len(cells):
        raise RunError(f"{path}: {name}: a cell is empty, or no finite number")
    if known and not low <= min(known) <= max(known) <= high:
        raise RunError(f"{path}: {name}: numbers from {low} to {high:g} are expected, got {min(known)} to {max(known)}")
    return numbers


def read_masks(content: bytes, path: Path, kernels: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Reads `masks.npz`.

    Args:
        content: of the file.
        path: of the file, for errors.
        kernels: kernel -> its weights, as `metrics.json` has it.

    Raises:
        RunError: these are no masks of these kernels. Nothing is unpickled, and nothing is made that is larger than the
            file says and `MAX_ARRAYS` allows.
    """
    import numpy as np  # here, so that `tfprune --help` does without

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_archive(archive, MAX_ARRAYS)
        masks = dict(np.load(io.BytesIO(content), allow_pickle=False))
    except (*BROKEN_ARCHIVE, TypeError) as error:  # an array alone is no archive of some
        raise RunError(f"{path}: cannot be read ({error})") from None
    for name, mask in masks.items():
        if mask.dtype != np.uint8 or (mask.size and mask.max() > 1):
            raise RunError(f"{path}: {name}: a mask is of 0 and 1 in uint8, this is of {mask.dtype}")
    for name, size in kernels.items():
        if name not in masks or masks[name].size != size:
            found = f"one of {masks[name].size:,}" if name in masks else "none"
            raise RunError(f"{path}: {name}: a mask of {size:,} weights is needed, there is {found}")
    return masks
