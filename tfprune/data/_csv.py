"""Reads small CSV files column by column, and says in one line what is wrong with a bad one."""

from __future__ import annotations

import collections
import csv
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from tfprune.utils.errors import DataError, choose_from

MISSING = frozenset({"", "NA", "NaN", "nan", "null"})
MARKS = frozenset(  # that files have for missing cells, and that could be a word too: read as one unless they are set
    {"?", "-", "--", ".", "N/A", "n/a", "#N/A", "na", "None", "none", "NULL", "Null", "NAN", "missing", "unknown"}
)
NUMBER = re.compile(  # as Arrow reads it; Python's `float` also takes digits of all scripts, and _ between them
    r"[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE
)
UTF8 = "utf-8-sig"  # with or without a byte-order mark
Column = Callable[[str], Any]


def text(cell: str) -> str:
    """A column of words."""
    return cell


def as_float(cell: str) -> float:
    """Reads a number as Arrow does; raises `ValueError` if a cell holds none."""
    if not NUMBER.fullmatch(cell):
        raise ValueError(cell)
    return float(cell)


def number(cell: str) -> float:
    """A column of finite numbers."""
    value = as_float(cell)
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def whole(cell: str) -> int:
    """A column of whole numbers."""
    return int(cell)


DELIMITERS = ",;\t|"
QUOTED = re.compile(r'"[^"]*"')
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(\.\d{3})+(?!\d|.*\.)", re.ASCII)  # of a number with a decimal comma
MAX_COLUMNS = 10_000  # each becomes an argument of the exported model
LONGEST_LINE = 2**20  # characters
_ABSENT: dict[Column, Any] = {text: "", number: math.nan}  # what a missing cell is read as where it may be missing
_KINDS = {text: "text", number: "a number", whole: "a whole number"}


def delimiter_of(line: str) -> str:
    """Returns what stands between the cells of a header: what is there most often of `DELIMITERS`.

    >>> delimiter_of("a;b;c"), delimiter_of("a"), delimiter_of('"size, weight, age";kind')
    (';', ',', ';')
    """
    return max(DELIMITERS, key=QUOTED.sub("", line).count)  # of equals the first


def not_text(path: Path, encoding: str, where: str = "") -> DataError:
    """Says that a file is not in an encoding, and which it may be in."""
    try:
        with open(path, "rb") as file:
            start = file.read(200)
    except OSError:
        start = b""
    likely = "utf-16" if b"\0" in start else "cp1252"
    given = encoding or "UTF-8"
    return DataError(
        f"{path}: this is not {given} text{where}; name it, such as --set data.encoding={likely}, or save it as UTF-8"
    )


def lines_of(file: TextIO) -> Iterator[str]:
    """Yields a file's lines; those above `LONGEST_LINE` come in pieces, so that none fills the memory."""
    return iter(lambda: file.readline(LONGEST_LINE), "")


def read_header(file: TextIO, path: Path, needed: str = "the columns") -> tuple[list[str], str]:
    """Returns the names in a CSV file's first line, and the character between them.

    Args:
        file: opened with `newline=""`, at its start.
        path: for messages.
        needed: what should be named there.

    Raises:
        DataError: there are none, one is there twice, or there are too many.
    """
    first = file.readline(LONGEST_LINE)
    if 4 * first.count("\0") > len(first):  # every other character of UTF-16, and none of most texts
        raise not_text(path, "")
    delimiter = "\t" if path.suffix.lower() == ".tsv" and "\t" in first else delimiter_of(first)
    if first.count(delimiter) >= MAX_COLUMNS or (len(first) == LONGEST_LINE and not first.endswith("\n")):
        raise too_many_columns(path)
    file.seek(0)
    names = [name.strip() for name in next(csv.reader(lines_of(file), delimiter=delimiter), [])]
    if not any(names):
        raise DataError(f"{path}: there is no header; the first line must name {needed}")
    check_unique(names, path)
    return names, delimiter


def with_point(cell: str) -> str:
    """Returns a number that is written with a decimal comma as Python writes it.

    Points that are not between thousands, as in a date, are doubled: that is no number.

    >>> with_point("1.234,5"), with_point("-0,25"), with_point("01.02.2024")
    ('1234.5', '-0.25', '01..02..2024')
    """
    return cell.replace(".", "" if THOUSANDS.match(cell) else "..").replace(",", ".")


def too_many_columns(path: Path) -> DataError:
    """Says that a table is too wide."""
    return DataError(
        f"{path}: its first line names more than {MAX_COLUMNS:,} columns, or is longer than {LONGEST_LINE:,} "
        "characters; rows of so many numbers belong into arrays: a .npz file of x and y"
    )


def check_unique(names: list[str], path: Path) -> None:
    """Raises `DataError` if a column is there twice."""
    if len(set(names)) < len(names):
        twice = next(name for name, count in collections.Counter(names).items() if count > 1)
        raise DataError(f"{path}: column {twice!r} is there more than once; give each column its own name")


def read_columns(
    path: Path,
    columns: Mapping[str, Column],
    *,
    ignore: Collection[str] = (),
    optional: Collection[str] = (),
    drop_incomplete: bool = False,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, list]:
    """Reads a CSV file with a header.

    Args:
        path: the file.
        columns: name -> how a cell is read; the header must have exactly these, in any order.
        ignore: columns that may be there too and are not read.
        optional: columns of text and numbers whose cells may be missing; they are read as "" and NaN.
        drop_incomplete: leave out rows with a missing field instead of refusing them.
        reading: how text is read, see `Inputs.reading`.

    Returns:
        name -> cells of the rows that were kept, in the file's order.

    Raises:
        DataError: the file, its header or a cell is not as it should be; the line is named.
    """
    how = reading or {}
    missing, decimal = MISSING | set(how.get("missing_marks", ())), how.get("decimal", ".")
    encoding = how.get("encoding") or UTF8
    try:
        with open(path, newline="", encoding=encoding) as file:
            names, delimiter = read_header(file, path, ", ".join(columns))
            if decimal == "," and len(names) == 1:
                delimiter = ";"  # the commas of a column alone are those of its numbers
            file.seek(0)
            rows = csv.reader(lines_of(file), delimiter=delimiter, strict=True)
            return _parse(rows, path, columns, ignore, optional, drop_incomplete, missing, decimal)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: this is a folder, a CSV file is needed") from None
    except UnicodeError as error:
        raise not_text(path, how.get("encoding", ""), f" (byte {getattr(error, 'start', 0)})") from None
    except csv.Error as error:
        raise DataError(f"{path}: this is not a CSV file ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _parse(
    rows: Any,
    path: Path,
    columns: Mapping[str, Column],
    ignore: Collection[str],
    optional: Collection[str],
    drop_incomplete: bool,
    absent: Collection[str],
    decimal: str,
) -> dict[str, list]:
    header = [name.strip() for name in next(rows, [])]
    check_header(header, path, columns, ignore)
    table: dict[str, list] = {name: [] for name in columns}
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(f"{path}, line {rows.line_num}: {len(row)} cells where the header has {len(header)}")
        cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if name in columns}
        missing = [name for name, cell in cells.items() if cell in absent and name not in optional]
        if missing and drop_incomplete:
            continue
        if missing:
            raise DataError(f"{path}, line {rows.line_num}: {missing[0]} is missing; fill it in or remove the row")
        for name, read in columns.items():
            if cells[name] in absent:
                table[name].append(_ABSENT[read])
                continue
            try:
                plain = cells[name] if read is text or decimal == "." else with_point(cells[name])
                table[name].append(read(plain))
            except ValueError:
                raise DataError(
                    f"{path}, line {rows.line_num}: {name} must be {_KINDS.get(read, 'readable')}, got {cells[name]!r}"
                ) from None
    if not next(iter(table.values())):
        raise DataError(f"{path}: there are no rows below the header")
    return table


def check_header(header: list[str], path: Path, columns: Collection[str], ignore: Collection[str]) -> None:
    """Raises `DataError` unless a header has all columns, once, and no others but those to ignore."""
    check_unique(header, path)
    extra = [name for name in header if name not in columns and name not in ignore]
    absent = [name for name in columns if name not in header]
    if absent:
        near = f" (is it {extra[0]!r}?)" if len(extra) == len(absent) == 1 else ""
        raise DataError(f"{path}: column {absent[0]} is missing{near}; needed are {', '.join(columns)}")
    if extra:
        raise DataError(f"{path}: unknown column {extra[0]!r}: {choose_from(extra[0], columns)}")
