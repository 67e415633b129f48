"""What a machine does to a run: full disks, folders that go, memory that ends. Each becomes one line for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tfprune.adapters.backend import tf
from tfprune.utils.errors import DataError, RunError, TrainingError
from tfprune.utils.system_errors import FULL, REFUSED

NO_SPACE = "No space left on device"  # as TensorFlow has it in its own errors


@contextlib.contextmanager
def translate_errors(folder: Path) -> Iterator[None]:
    """Turns errors of the system, while a run writes in a folder, into errors that users can fix.

    Raises:
        DataError: an example cannot be read any more.
        RunError: the disk is full, the folder is gone or cannot be written.
        TrainingError: there is no memory left, or an operation has no deterministic form.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        if NO_SPACE in str(error):
            raise _full(folder) from error
        raise TrainingError("out of memory; try a lower --batch-size or a smaller --model") from error
    except tf.errors.UnimplementedError as error:
        if "deterministic" not in str(error):
            raise
        raise TrainingError(f"{_reason(error)}; leave --deterministic out, or choose another --model") from error
    except tf.errors.OpError as error:
        if NO_SPACE in str(error):
            raise _full(folder) from error
        if not folder.is_dir():
            raise run_folder_missing(folder) from error
        if isinstance(error, (tf.errors.NotFoundError, tf.errors.DataLossError)):  # images that are read in training
            reason = str(error).splitlines()[0].rpartition(": ")[2].removesuffix(" name:")
            raise DataError(f"an example cannot be read any more ({reason}); put it back, and {_AGAIN}") from error
        raise
    except OSError as error:
        if error.errno in FULL:
            raise _full(folder) from error
        if not folder.is_dir():
            raise run_folder_missing(folder) from error
        if error.errno in REFUSED:
            raise RunError(f"{error.filename or folder}: {error.strerror}; {_AGAIN}") from error
        raise


def _reason(error: tf.errors.OpError) -> str:
    """Finds the sentence on determinism in TensorFlow's long message."""
    line = next(line for line in error.message.splitlines() if "deterministic" in line)
    return line.strip().rstrip(".")


_AGAIN = "the same command goes on from the last checkpoint"


def _full(folder: Path) -> RunError:
    return RunError(f"{folder}: the disk is full; make room, and {_AGAIN}")


def run_folder_missing(folder: Path) -> RunError:
    """Says that a run's folder is not there any more."""
    return RunError(f"{folder}: the run's folder has been removed while it was written; start the run again")
