"""The one place that spells the paths of a run, and writes so that no reader sees half a file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfprune.utils.errors import DivergedError, RunError, TfpruneError
from tfprune.utils.files import DRAFT, MEGABYTE, atomic_write, read_bytes, read_text, write_json
from tfprune.utils.text import LONGEST, one_line

MAX_LINE = MEGABYTE  # bytes of what ended a run
DIVERGED = "diverged: "  # begins the line on a run whose loss was no number any more
MAX_FILE = 2**36  # bytes of a file of a run that travels


class RunDir:
    """The folder of one run.

    A run is finished when it has a `metrics.json`, which is written last.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def history(self) -> Path:
        return self.root / "history.csv"

    @property
    def masks(self) -> Path:
        return self.root / "masks.npz"

    @property
    def architecture(self) -> Path:
        return self.root / "architecture.json"

    @property
    def splits(self) -> Path:
        return self.root / "splits.csv"

    @property
    def channels(self) -> Path:
        return self.root / "channels.json"

    @property
    def curves(self) -> Path:
        return self.root / "curves.png"

    @property
    def sparsity(self) -> Path:
        return self.root / "sparsity.png"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def keras_model(self) -> Path:
        return self.root / "model.keras"

    @property
    def card(self) -> Path:
        return self.root / "model_card.md"

    @property
    def latency(self) -> Path:
        return self.root / "latency.json"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def exported_files(self) -> list[Path]:
        """What is in `exports`, sorted, without the half of a file that a process was killed over."""
        found = sorted(self.exports.iterdir()) if self.exports.is_dir() else []
        return [path for path in found if not path.name.startswith(DRAFT)]

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def failure(self) -> Path:
        return self.root / "failure.txt"

    @property
    def finished(self) -> bool:
        return self.metrics.is_file()

    @property
    def exported(self) -> bool:
        """Whether the run is finished and left a model: many runs that were trained side by side do not."""
        return self.finished and (self.model.is_dir() or self.keras_model.is_file())

    def check_ownership(self) -> None:
        """Raises `RunError` if a part of the folder is a symbolic link: what a run writes and removes stays inside."""
        for path in self.root.rglob("*"):
            if path.is_symlink():
                raise RunError(f"{path}: this is a symbolic link, through which no run writes or removes; remove it")

    def create(self) -> None:
        """Makes the folder, or empties what an earlier, unfinished run left in it.

        Raises:
            RunError: the folder cannot be written.
        """
        with self._writable():
            self.metrics.unlink(missing_ok=True)  # first: from here on the run does not count as finished
            for folder in (self.checkpoints, self.tensorboard, self.model, self.exports):
                if folder.exists():
                    shutil.rmtree(folder)
            self._clear()

    def resume(self) -> None:
        """Empties the folder of what the run's last process made after its training, and of halves of files.

        Raises:
            RunError: the folder cannot be written.
        """
        with self._writable():
            if self.model.exists():
                shutil.rmtree(self.model)
            self._clear()

    def close(self) -> None:
        """Removes what a run needs only until it is finished."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Keeps a line on the error that ends a run, for those who find it unfinished."""
        try:
            yield
        except Exception as error:
            if self.config.is_file() and not self.finished:
                kind = "" if isinstance(error, TfpruneError) else f"{type(error).__name__}: "
                kind = DIVERGED if isinstance(error, DivergedError) else kind
                with contextlib.suppress(OSError), atomic_write(self.failure) as draft:
                    draft.write_text(f"{kind}{one_line(error, LONGEST)}\n", encoding="utf-8")
            raise

    def read_failure(self) -> str | None:
        """Returns the line on the error that ended the run, None if none did."""
        try:
            return " ".join(read_text(self.failure, MAX_LINE).split())
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise RunError(f"{self.failure}: cannot be read ({error})") from None
        except OSError as error:
            raise RunError(f"{self.failure}: cannot be read ({error.strerror})") from None

    @property
    def diverged(self) -> bool:
        """Whether the run ended because its loss was no number any more."""
        return not self.finished and (self.read_failure() or "").startswith(DIVERGED)

    def _clear(self) -> None:
        arrays = (self.history, self.masks, self.channels, self.splits, self.architecture, self.failure)
        for path in (*arrays, self.keras_model, self.curves, self.sparsity, self.card, self.latency):
            path.unlink(missing_ok=True)
        for draft in self.root.glob(f"{DRAFT}*"):  # a process was killed while it wrote
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink()

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.check_ownership()
            yield
            with atomic_write(self.root / "writable") as probe:
                probe.touch()
            (self.root / "writable").unlink()
        except OSError as error:
            raise RunError(
                f"cannot write in {self.root} ({error.strerror}); choose another folder with --out"
            ) from None


def pack(folder: RunDir) -> dict[str, bytes]:
    """Returns the files of a run, by their path in its folder."""
    files = sorted(path for path in folder.root.rglob("*") if path.is_file())
    return {path.relative_to(folder.root).as_posix(): read_bytes(path, MAX_FILE) for path in files}


def unpack(files: Mapping[str, bytes], folder: RunDir, config: Mapping[str, Any] | None = None) -> None:
    """Writes what `pack` returned, at once: nobody sees a part of it.

    Args:
        files: path -> content.
        folder: where they go; what is there is replaced.
        config: settings to write in the place of those that came along.

    Raises:
        RunError: the folder cannot be written, or a file would come to lie outside of it.
    """
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise RunError(f"{folder.root}: a file of the run is called {name!r}, which lies outside of its folder")
    try:
        folder.root.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder.root) as draft:
            for name, content in files.items():
                path = draft / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            if config is not None:
                write_json(RunDir(draft).config, config)
    except OSError as error:
        raise RunError(f"cannot write in {folder.root} ({error.strerror}); choose another folder with --out") from None
