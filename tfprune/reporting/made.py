"""Who made a report, when and with what; and how its files are written."""

from __future__ import annotations

import dataclasses
import os
from importlib.metadata import version
from pathlib import Path

from tfprune.utils.checks import check_whole
from tfprune.utils.files import atomic_write, written_to
from tfprune.utils.text import date_text

TITLE = "Pruning report"
EPOCH = "SOURCE_DATE_EPOCH"  # the variable of the environment for files that are the same at any time
LATEST = 253_402_300_799  # seconds from 1970 to the end of the year 9999


@dataclasses.dataclass(frozen=True)
class Made:
    """What a report says of itself.

    Attributes:
        command: that made it.
        date: when, in UTC.
        version: of tfprune.
    """

    command: str
    date: str
    version: str

    @classmethod
    def now(cls, command: str) -> Made:
        """Returns it for a command that runs now, or when `source_date` says."""
        return cls(command, date_text(source_date()), version("tfprune"))


def source_date() -> int | None:
    """Returns the seconds since 1970 that `SOURCE_DATE_EPOCH` says, if it is set.

    Raises:
        ConfigError: the variable holds something else.
    """
    seconds = os.environ.get(EPOCH)
    return None if seconds is None else check_whole(EPOCH, seconds, least=0, most=LATEST)


def write_text(path: Path, text: str) -> Path:
    """Writes a text file in one go; returns its path.

    Raises:
        RunError: it cannot be written.
    """
    with written_to(path), atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
    return path
