"""Checkpoints on disk: written whole or not at all, with a checksum, the last two kept. Nothing is ever unpickled.

A file is a line that says what it is, a line with the SHA-256 of the rest, and the rest: a NumPy archive of the
arrays and, as the bytes of `STATE`, JSON. It counts once it is moved into place, and only while its checksum fits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.utils.archives import check_archive
from tfprune.utils.checks import as_number
from tfprune.utils.errors import BROKEN_ARCHIVE, ConfigError, RunError
from tfprune.utils.files import MEGABYTE, open_regular, sync_folder

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

KIND = b"tfprune checkpoint "
MAGIC = KIND + b"1\n"
STATE = "state.json"  # the name of the JSON among the arrays
KEPT = 2
SUFFIX = ".ckpt"
BROKEN = ".broken"  # is added to the name of one that is torn or altered
MAX_BYTES = 2**40  # of a checkpoint


@dataclasses.dataclass(frozen=True)
class Interval:
    """How often a training is saved: whenever so many epochs or seconds have passed."""

    epochs: int | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, value: object) -> Interval:
        """Reads `5` or `"5"` (epochs) and `"30s"` (seconds).

        Raises:
            ConfigError: it is neither, or not above zero.
        """
        text = str(value).strip()
        kind = "seconds" if text.endswith("s") else "epochs"
        try:
            number = as_number("checkpoint_every", text.removesuffix("s"))
        except ConfigError:
            number = 0.0
        if isinstance(value, bool) or not 0.0 < number < float("inf") or (kind == "epochs" and number != int(number)):
            raise ConfigError(f"checkpoint_every must be epochs like 5 or seconds like 30s, above 0, got {value!r}")
        return cls(epochs=int(number)) if kind == "epochs" else cls(seconds=float(number))

    def __str__(self) -> str:
        return f"{self.epochs}" if self.epochs is not None else f"{self.seconds:g}s"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on.

    Args:
        state: plain JSON values.
        arrays: everything with many numbers.
    """

    state: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """The checkpoints in a folder, which belongs to one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Path:
        """Writes the next checkpoint, and removes all but the last `KEPT`.

        Raises:
            OSError: it cannot be written; those before are as they were.
        """
        self.folder.mkdir(exist_ok=True)
        self._tidy()
        before = self._files()
        path = self.folder / f"{self._number(before[-1]) + 1 if before else 1:06}{SUFFIX}"
        content = _packed(state, arrays)
        draft = path.with_name(f".{path.name}")
        try:
            with open(draft, "wb") as file:
                file.write(MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n")
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_folder(self.folder)
        for old in before[: -KEPT + 1]:
            old.unlink(missing_ok=True)
        return path

    def latest(self) -> Checkpoint | None:
        """Returns the last checkpoint that is whole; each one after it is named in a warning, and set aside.

        Raises:
            OSError, MemoryError: it cannot be read now, whatever it is.
            RunError: it is of another version.
        """
        self._tidy()
        for path in reversed(self._files()):
            try:
                return _read(path)
            except (OSError, MemoryError):
                raise
            except (*BROKEN_ARCHIVE, KeyError, RecursionError) as error:
                log.warning("%s is torn or altered (%s); the checkpoint before it is used", path, error)
                path.replace(path.with_name(f"{path.name}{BROKEN}"))
        return None

    def _files(self) -> list[Path]:
        files = self.folder.glob(f"[0-9]*{SUFFIX}") if self.folder.is_dir() else ()
        return sorted((path for path in files if path.name.removesuffix(SUFFIX).isdecimal()), key=self._number)

    @staticmethod
    def _number(path: Path) -> int:
        return int(path.name.removesuffix(SUFFIX))

    def _tidy(self) -> None:
        """Removes what a process that was killed in the middle of writing left."""
        for draft in self.folder.glob(f".*{SUFFIX}") if self.folder.is_dir() else ():
            draft.unlink(missing_ok=True)


def _packed(state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    import numpy as np  # here, so that `tfprune --help` does without

    for name, array in arrays.items():
        if array.dtype.kind not in "biufc":  # NumPy would pickle objects, and forgets what bfloat16 was
            raise TypeError(f"{name} cannot be stored as {array.dtype}")
    content = io.BytesIO()
    np.savez(content, **{STATE: np.frombuffer(json.dumps(state).encode(), np.uint8)}, **arrays)
    return content.getvalue()


def _read(path: Path) -> Checkpoint:
    import numpy as np

    with open_regular(path, MAX_BYTES) as file:
        if (first := file.read(len(MAGIC))) != MAGIC:
            if first.startswith(KIND) and first[len(KIND) :].strip().isdigit():
                raise RunError(f"{path} is of another version of tfprune; go on with that one, or use --force")
            raise ValueError("it is no checkpoint")
        digest, found = file.read(2 * hashlib.sha256().digest_size + 1), hashlib.sha256()
        start = file.tell()
        while chunk := file.read(MEGABYTE):
            found.update(chunk)
        if f"{found.hexdigest()}\n".encode() != digest:
            raise ValueError("its checksum does not fit")
        with zipfile.ZipFile(file) as archive:  # which knows of what stands before it
            check_archive(archive, os.fstat(file.fileno()).st_size)
        file.seek(start)
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
    state = json.loads(arrays.pop(STATE).tobytes())
    if not isinstance(state, dict):
        raise ValueError("its state is no table")
    return Checkpoint(state, arrays)
