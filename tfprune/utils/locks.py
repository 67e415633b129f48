"""One process at a time in a run's folder.

The lock is the operating system's (`flock`): it goes when its holder ends, however that ends, so there is no such
thing as the lock of a dead process. What is written in the file only says who holds it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from tfprune.utils.errors import RunError
from tfprune.utils.files import read_text
from tfprune.utils.text import date_text

try:
    import fcntl
except ImportError:  # on Windows, where no run is started
    fcntl = None

log = logging.getLogger(__name__)

LOCK = ".lock"  # name of the file in a folder
MAX_BYTES = 10_000  # of what it says
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # what file systems answer that have none


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of a folder, which is made if need be, with those above it, and goes if it is empty afterwards.

    Args:
        folder: a run's folder.
        wait: wait for another process that holds it, and say which one; otherwise give up.

    Yields:
        Whether the lock is held. Where the file system has no locks a warning says so, and it counts as held.

    Raises:
        RunError: the folder cannot be made or written, or this is Windows.
    """
    if fcntl is None:
        raise RunError(
            "runs need Linux or macOS, or WSL 2 on Windows; tfprune.prune, callbacks and train, and the commands on "
            "model files, do without"
        )
    path = folder / LOCK
    made = [level for level in (folder, *folder.parents) if not level.exists()]
    try:
        handle = _acquired(path, wait)
    except OSError as error:
        raise RunError(f"cannot write in {folder} ({error.strerror}); choose another folder with --out") from None
    if handle is None:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):  # the folder may have gone, or have become read-only
            path.unlink(missing_ok=True)
        os.close(handle)
        with contextlib.suppress(OSError):  # there is something in it
            for level in made:
                level.rmdir()


def try_lock(path: Path) -> int | None:
    """Returns an open file, made if need be, whose lock this process holds until it is closed; None if another does.

    Where the file system has no locks it counts as held.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o644)
    if _try(handle, path):
        return handle
    os.close(handle)
    return None


def _acquired(path: Path, wait: bool) -> int | None:
    """Returns the open file whose lock is held, None if another process holds it and we do not wait."""
    told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:  # a link would have us write elsewhere
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except FileNotFoundError:  # whoever held it before has just removed the folder
            continue
        try:
            if _try(handle, path):
                if _still_there(handle, path):
                    _sign(handle)
                    return handle
            elif not wait:
                os.close(handle)
                return None
            else:
                if not told:
                    log.warning("%s is in use by %s; waiting for it", path.parent, holder(path))
                    told = True
                fcntl.flock(handle, fcntl.LOCK_EX)  # then look again: its holder has removed the file
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _try(handle: int, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        log.warning("%s cannot be locked (%s): start no run twice at the same time", path.parent, error.strerror)
    return True


def _still_there(handle: int, path: Path) -> bool:
    """Returns whether an open file is the one at `path`: whoever held its lock before us has removed it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": date_text()})
    os.ftruncate(handle, 0)
    os.pwrite(handle, text.encode(), 0)


def holder(path: Path) -> str:
    """Says who holds the lock of a file, as far as that is known."""
    try:
        values = json.loads(read_text(path, MAX_BYTES))
        return f"process {values['pid']} on {values['host']} since {values['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
