"""Errors of the machine under a program, told apart from errors of the program."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from tfprune.utils.text import printable, shortened

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
# What no name of ours is: too long, links in a circle, a file where a folder should be and the other way round.
_MISNAMED = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)
_TENSORFLOW_TEXT = "Error converting unicode string"
_PRINTING = ("click", "tqdm")  # who writes to the terminal


def is_output_error(error: BaseException) -> bool:
    """Returns whether an error came of writing to the terminal, or to the file or pipe in its place."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__", "").partition(".")[0] in _PRINTING


def explain_error(error: Exception) -> str | None:
    """Returns a line on an error that no change of a program would fix; None of one that may be a bug.

    Such are paths that the system refuses whatever is done with them, full disks, a working directory that is gone and
    names that the locale has no letters for. That a file is missing is no such error: a program has to look first.
    """
    if isinstance(error, UnicodeEncodeError):
        return _explain_name(error)
    if isinstance(error, ValueError) and _TENSORFLOW_TEXT in str(error):
        return f"a name cannot be used here: {_reason()}"
    if not isinstance(error, OSError):
        return None
    if error.errno in FULL and is_output_error(error):
        return f"the output cannot be written ({error.strerror})"
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        return "the working directory has been removed; change to another one"
    if error.errno in FULL:
        return f"the disk is full ({error.strerror}); make room"
    if error.filename is not None and error.errno in (*REFUSED, *_MISNAMED):
        return f"{_name(error.filename)}: {error.strerror}"
    return None


def _name(path: object) -> str:
    return shortened(printable(os.fsdecode(path) if isinstance(path, (bytes, os.PathLike)) else str(path)))


def explain_bad_name(name: str) -> str | None:
    """Returns a line on a name that is no text, as those are whose bytes the locale cannot read; None of any other."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"{_name(name)}: this name cannot be used here: {_reason()}"
    return None


def _explain_name(error: UnicodeEncodeError) -> str | None:
    """Tells a path that cannot be spelled here from a text that someone wrote with the wrong encoding."""
    if "\n" in error.object:
        return None
    if error.encoding == sys.getfilesystemencoding() != "utf-8":
        return f"{_name(error.object)}: this name cannot be used here: {_reason()}"
    return explain_bad_name(error.object)


def _reason() -> str:
    utf8 = sys.getfilesystemencoding() == "utf-8"
    return "it is no text" if utf8 else "the locale is not of UTF-8; set LC_ALL=C.UTF-8"


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
