"""Checksums of a run's files, which tell when one was altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfprune.utils.errors import RunError
from tfprune.utils.files import sha256

MAX_MODEL = 2**40
CHECKSUM = "checksum"  # the key of a table's SHA-256 over all others


def with_checksum(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table with a checksum of all that it holds, see `verify_checksum`."""
    return {**values, CHECKSUM: digest_of({key: value for key, value in values.items() if key != CHECKSUM})}


def verify_checksum(values: Mapping[str, Any], path: Path) -> None:
    """Raises a `RunError` if a table has been altered since it was sealed. Those of earlier versions were not."""
    if CHECKSUM in values and with_checksum(values)[CHECKSUM] != values[CHECKSUM]:
        raise altered(path)


def digest_of(values: object) -> str:
    """Returns the SHA-256 of plain JSON values, however they are laid out in a file."""
    # By Python's `json`, whose numbers are spelled the same in all versions; in the order in which they stand.
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns the SHA-256 of the files of a run that are there, by their path in its folder.

    Args:
        folder: the run's.
        names: of files and of folders, of which all files count.
    """
    found = {}
    for name in names:
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found[file.relative_to(folder).as_posix()] = sha256(file, MAX_MODEL)
    return found


def altered(path: Path) -> RunError:
    """Returns what is raised of a file that does not fit its checksum."""
    return RunError(f"{path}: was altered after it was written: its checksum is another one; make it anew")
