"""Fingerprints of files: short, and different when the content is."""

from __future__ import annotations

import functools
import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path

from tfprune.utils.errors import DataError

CHUNK = 2**20  # bytes


@functools.lru_cache(maxsize=2**17)
def _content(path: str, size: int, changed: int) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.digest()


def fingerprint(files: Iterable[Path], relative_to: Path | None = None) -> str:
    """Returns 12 hexadecimal digits that change when a file's content, or its place below a folder, does.

    Raises:
        DataError: a file is not there or cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe or a device has no end
                raise DataError(f"{path}: this is no regular file")
            if relative_to is not None:
                digest.update(f"{path.relative_to(relative_to).as_posix()}\0".encode())
            digest.update(_content(str(path), found.st_size, found.st_mtime_ns))
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such file or folder") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()[:12]
