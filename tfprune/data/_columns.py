"""Tables: reading their columns, as numbers and as text."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tfprune.data._csv import (
    MARKS,
    MAX_COLUMNS,
    MISSING,
    NUMBER,
    UTF8,
    Column,
    check_header,
    not_text,
    read_header,
    text,
    too_many_columns,
    with_point,
)
from tfprune.utils.errors import DataError
from tfprune.utils.text import one_line

if TYPE_CHECKING:
    import pyarrow as pa

MOSTLY = 0.9  # of a column's cells: if so many are numbers, the others are mistakes
CHUNK = 2**20  # bytes
EXACT = 2.0**53  # up to it, each whole number has a float of its own
DECIMAL_COMMA = re.compile(r"[-+]?(\d{1,3}(\.\d{3})*|\d*),\d+([eE][-+]?\d+)?")
WHOLE = re.compile(r"[-+]?\d{1,3}(\.\d{3})+")
SIGN, DIGITS = r"[%‰°$€£¥]", r"[-+]?\d[\d.,\s]*"
WITH_SIGN = re.compile(rf"{SIGN}\s*{DIGITS}|{DIGITS}\s*{SIGN}")


def read_table(path: Path, reading: Mapping[str, Any] | None = None) -> dict[str, pa.ChunkedArray]:
    """Reads a CSV, TSV or Parquet file; of text files all columns are text, missing cells null.

    Args:
        path: the file.
        reading: how text is read, see `Inputs.reading`.

    Returns:
        name -> column, in the file's order.

    Raises:
        DataError: the file is no such table.
    """
    how = reading or {}
    with _readable(path, how.get("encoding", "")):
        return _with_marks(_read_parquet(path), how) if is_parquet(path) else _read_csv(path, how)


def named_columns(given: Sequence[str], columns: Collection[str]) -> tuple[str, ...]:
    """Returns the columns that are named: each on its own, or several with commas between them.

    >>> named_columns(["a, mean", "b,c"], ["a, mean", "b", "c"])
    ('a, mean', 'b', 'c')
    """
    named: list[str] = []
    for name in given:
        parts = [part.strip() for part in name.split(",")]
        named += [name] if name in columns or not set(parts) & set(columns) else parts
    return tuple(named)


def column_names(path: Path, encoding: str = "") -> list[str]:
    """Returns the names of a table's columns, and reads no more than those.

    Raises:
        DataError: the file is no such table.
    """
    with _readable(path, encoding):
        return _parquet_names(path) if is_parquet(path) else _header(path, encoding)[0]


def count_rows(path: Path) -> int:
    """Returns the number of a table's rows, of a text file that of its lines less one."""
    with _readable(path):
        if is_parquet(path):
            return _parquet().read_metadata(path).num_rows
        with open(path, "rb") as file:
            return max(0, sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b"")) - 1)


@contextlib.contextmanager
def _readable(path: Path, encoding: str = "") -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except UnicodeError as error:
        raise not_text(path, encoding, f" (byte {getattr(error, 'start', 0)})") from None
    except pa.ArrowException as error:
        if "invalid UTF8" in str(error):
            raise not_text(path, encoding) from None
        raise DataError(f"{path}: this is no table that can be read ({one_line(error)})") from None
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from None


def is_parquet(path: Path) -> bool:
    """Returns whether a file is read as Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def _parquet() -> ModuleType:
    from pyarrow import parquet

    return parquet


def _read_csv(path: Path, how: Mapping[str, Any]) -> dict[str, pa.ChunkedArray]:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    encoding = how.get("encoding", "")
    names, delimiter = _header(path, encoding)
    raw = [str(number) for number in range(len(names))]
    table = arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(column_names=raw, skip_rows=0, encoding=encoding or "utf8"),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(raw, pa.string()), strings_can_be_null=False
        ),
    ).slice(1)  # without the header
    missing = pa.array(sorted(MISSING | set(how.get("missing_marks", ()))))
    columns = {}
    for name, column in zip(names, table.columns, strict=True):
        cells = pc.utf8_trim_whitespace(column)
        columns[name] = pc.if_else(pc.is_in(cells, missing), pa.scalar(None, pa.string()), cells)
    return columns


def _with_marks(columns: dict[str, pa.ChunkedArray], how: Mapping[str, Any]) -> dict[str, pa.ChunkedArray]:
    """Returns columns whose texts that are empty, or marks of missing cells, are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    marks = ["", *how.get("missing_marks", ())]
    plain = {
        name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for name, column in columns.items()
    }
    return {
        name: pc.if_else(pc.is_in(own, pa.array(marks, own.type)), pa.scalar(None, own.type), own)
        if _is_text(own.type)
        else columns[name]
        for name, own in plain.items()
    }


def _header(path: Path, encoding: str = "") -> tuple[list[str], str]:
    with open(path, newline="", encoding=encoding or UTF8) as file:
        try:
            return read_header(file, path)
        except csv.Error as error:
            raise DataError(f"{path}: this is not a CSV file ({error})") from None


def _parquet_names(path: Path) -> list[str]:
    names = _parquet().read_schema(path).names
    if len(names) > MAX_COLUMNS:
        raise too_many_columns(path)
    return names


def _read_parquet(path: Path) -> dict[str, pa.ChunkedArray]:
    table = _parquet().read_table(path)
    return dict(zip(table.column_names, table.columns, strict=True))


def read_parquet_columns(
    path: Path,
    columns: Mapping[str, Column],
    *,
    ignore: Collection[str] = (),
    optional: Collection[str] = (),
    reading: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Does with a Parquet file what `_csv.read_columns` does with a CSV file."""
    how = reading or {}
    table = read_table(path, how)
    check_header(list(table), path, columns, ignore)
    found = {}
    for name, kind in columns.items():
        cells = texts(table[name], name) if kind is text else numbers(table[name], name, how.get("decimal", "."))
        if cells is None:
            raise DataError(f"{path}: {name} must hold numbers, got {table[name].type}")
        absent = missing_cells(cells)
        if absent.any() and name not in optional:
            raise DataError(
                f"{path}, row {int(np.argmax(absent)) + 1}: {name} is missing; fill it in or remove the row"
            )
        found[name] = np.where(absent, "", cells) if kind is text else cells
    return found


def missing_cells(cells: np.ndarray) -> np.ndarray:
    """Returns one bool per cell of `texts` or `numbers`: whether it is missing."""
    return np.isnan(cells) if cells.dtype == np.float64 else np.array([cell is None for cell in cells], bool)


def texts(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """Returns a column as text, None where a cell is missing; whole numbers have no point.

    Raises:
        DataError: it holds something else than text, numbers and truth values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float32()) if pa.types.is_float16(column.type) else column  # which Arrow cannot round
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), EXACT))
        if pc.all(whole).as_py() is not False:
            column = column.cast(pa.int64())
    elif not _is_readable(column.type):
        raise _unreadable(name, column)
    return np.array(column.cast(pa.string()).to_pylist(), object)


def numbers(column: pa.ChunkedArray, name: str, decimal: str = ".") -> np.ndarray | None:
    """Returns a column as float64, NaN where a cell is missing; None if it is text.

    Args:
        column: of a table.
        name: its name.
        decimal: what stands before the decimals in text; of "," points are thousands.

    Raises:
        DataError: most cells are numbers, and some are not, or marks of missing cells or decimal commas stand beside
            them; or it holds something else.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type) or pa.types.is_boolean(column.type):
        return None
    if not _is_readable(column.type):
        raise _unreadable(name, column)
    if not _is_text(column.type):
        return _as_floats(column.cast(pa.float64(), safe=False))  # from 2^53 on, the nearest
    written = column
    if decimal == ",":
        column = pa.chunked_array([[cell if cell is None else with_point(cell) for cell in column.to_pylist()]])
        column = column.cast(pa.string())
    try:
        return _as_floats(column.cast(pa.float64()))
    except pa.ArrowInvalid:
        cells = column.to_pylist()
    _check_marks(cells, name)
    bad = [row for row, cell in enumerate(cells, start=1) if cell is not None and not NUMBER.fullmatch(cell)]
    given = sum(cell is not None for cell in cells)
    if len(bad) <= (1 - MOSTLY) * given:
        row, cell = bad[0], written[bad[0] - 1].as_py()
        raise DataError(
            f"column {name}, row {row}: {cell!r} is no number, as most cells of the column are; correct it, or read "
            f"the column as text with --set data.categories={name}"
        )
    return None


def _check_marks(cells: Sequence[str | None], name: str) -> None:
    """Raises `DataError` if a column is numbers but for marks of missing cells, or with decimal commas."""
    others = {cell for cell in cells if cell is not None and not NUMBER.fullmatch(cell)}
    if not others:
        return
    if any(DECIMAL_COMMA.fullmatch(cell) for cell in others) and all(
        DECIMAL_COMMA.fullmatch(cell) or WHOLE.fullmatch(cell) or cell in MARKS for cell in others
    ):
        example = next(cell for cell in sorted(others) if DECIMAL_COMMA.fullmatch(cell))
        raise DataError(
            f"column {name} has numbers with a comma, such as {example!r}; if it is a decimal comma, read it with "
            f"--set data.decimal=, and otherwise remove the commas, or read the column as text with --set "
            f"data.categories={name}"
        )
    if all(WITH_SIGN.fullmatch(cell) or cell in MARKS for cell in others) and not others <= MARKS:
        example = next(cell for cell in sorted(others) if WITH_SIGN.fullmatch(cell))
        raise DataError(
            f"column {name} has numbers with a sign beside them, such as {example!r}; remove the sign, or read the "
            f"column as text with --set data.categories={name}"
        )
    if others <= MARKS and any(cell is not None and NUMBER.fullmatch(cell) for cell in cells):
        raise DataError(
            f"column {name} has {', '.join(map(repr, sorted(others)))} among its numbers; if that marks missing cells, "
            f"say so with --set data.missing_marks={','.join(sorted(others))} and --missing impute or drop"
        )


def _as_floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(column.to_numpy(), np.float64)  # nulls become NaN


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_readable(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _unreadable(name: str, column: pa.ChunkedArray) -> DataError:
    return DataError(
        f"column {name} holds {column.type}, neither numbers nor text; leave it out with --set data.ignore={name}"
    )
