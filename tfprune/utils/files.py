"""Files that others may have written are read if they are regular and of a size; nobody sees half of a written one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tfprune.utils.errors import RunError

MEGABYTE = 2**20
DRAFT = ".draft."  # how the names of files begin that are not yet in their place
_CHUNK = MEGABYTE
# A FIFO that is put in a file's place after it was looked at does not block.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def open_regular(path: str | Path, most: int) -> Iterator[BinaryIO]:
    """Opens a regular file of at most `most` bytes; a link to one counts.

    Raises:
        OSError: it is missing, cannot be opened, is a folder, a FIFO, a socket or a device, or is too large. None of
            those blocks, and `strerror` always says what is wrong.
    """
    _check_regular(os.stat(path), most)  # before it is opened, which some devices take for a command
    handle = os.open(path, _FLAGS)
    with os.fdopen(handle, "rb") as file:
        _check_regular(os.fstat(handle), most)
        yield file


def read_bytes(path: str | Path, most: int) -> bytes:
    """Returns what a regular file holds.

    Raises:
        OSError: see `open_regular`.
    """
    with open_regular(path, most) as file:
        content = file.read(os.fstat(file.fileno()).st_size + 1)
        while chunk := file.read(_CHUNK):  # it has grown, or lies in a file system that knows no sizes
            content += chunk
            if len(content) > most:
                raise _too_large(most)
    return content


def read_text(path: str | Path, most: int, encoding: str = "utf-8") -> str:
    """Returns what a regular file holds, as text.

    Raises:
        OSError: see `open_regular`.
        UnicodeDecodeError: it is no text in that encoding.
    """
    return read_bytes(path, most).decode(encoding)


def sha256(path: str | Path, most: int) -> str:
    """Returns the SHA-256 of a regular file, in hexadecimal digits.

    Raises:
        OSError: see `open_regular`.
    """
    digest = hashlib.sha256()
    with open_regular(path, most) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check_regular(status: os.stat_result, most: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if status.st_size > most:
        raise _too_large(most)


def _too_large(most: int) -> OSError:
    return OSError(errno.EFBIG, f"it has more than {most:,} bytes")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write a file or a folder to, and moves it into place when all went well."""
    draft = path.with_name(f"{DRAFT}{os.getpid()}.{path.name}")
    try:
        yield draft
        if path.is_dir() and draft.is_dir():
            old = path.with_name(f"{DRAFT}{os.getpid()}.old.{path.name}")
            os.replace(path, old)
            os.replace(draft, path)
            shutil.rmtree(old)
        else:
            os.replace(draft, path)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        else:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def written_to(path: Path) -> Iterator[None]:
    """Makes the folder of a file that a person has named, and says in one line why it cannot be written.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror})") from None


def write_json(path: Path, value: Any, *, synced: bool = False) -> None:
    """Writes JSON with one line per setting.

    Args:
        path: of the file.
        value: what it will hold.
        synced: whether it has to outlive a loss of power from then on.
    """
    with atomic_write(path) as draft, open(draft, "w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
        if synced:
            file.flush()
            os.fsync(file.fileno())
    if synced:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes sure that a name in a folder outlives a loss of power; some systems cannot open folders for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
