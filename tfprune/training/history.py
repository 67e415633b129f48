"""The rows of a run's history, and what shows it on the terminal. Knows of no framework."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.training.listeners import Listener, Logs
from tfprune.utils.files import atomic_write
from tfprune.utils.progress import progress_bar
from tfprune.utils.text import percent

log = logging.getLogger(__name__)

SCORES = ("loss", "accuracy", "val_loss", "val_accuracy")
KEYS = ("phase", "epoch", "step")
COLUMNS = (*KEYS, *SCORES, "sparsity")
LOGGED_EPOCHS = 100  # of a phase, about; a shorter one logs every epoch


def logged_epochs(initial: int, epochs: int, events: Collection[int], every: int | None = None) -> list[int]:
    """Returns the epochs (counted from 1) to log: evenly spread ones, those with an event and the last."""
    every = every or max(1, (epochs - initial) // LOGGED_EPOCHS)
    return sorted({*range(initial + every, epochs + 1, every), *events, epochs})


class PhaseRows(Listener):
    """Collects one row per epoch that is logged, see `callbacks.History`.

    Args:
        rows: those so far; new ones are added to them.
        phase: name of this training.
        steps: returns the optimizer steps of the run after so many epochs of it.
        epochs: epochs (counted from 1) to log.
        sparsity: returns the share that is pruned, in [0, 1].
    """

    def __init__(
        self,
        rows: list[dict[str, Any]],
        phase: str,
        steps: Callable[[int], int],
        epochs: Collection[int],
        sparsity: Callable[[], float],
    ) -> None:
        self.rows = rows
        self.phase = phase
        self.steps = steps
        self.epochs = set(epochs)
        self.sparsity = sparsity

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        done = epoch + 1
        if done in self.epochs:
            row = {"phase": self.phase, "epoch": done, "step": self.steps(done)}
            self.rows.append(row | {k: float(v) for k, v in (logs or {}).items()} | {"sparsity": self.sparsity()})


def scores_of(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns the columns of scores that rows have, those of classes where they have no others.

    >>> scores_of([{"epoch": 1, "loss": 0.5, "mae": 2.0, "val_loss": 0.7, "val_mae": 3.0}])
    ('loss', 'mae', 'val_loss', 'val_mae')
    """
    found = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS or name in SCORES)
    if set(found) <= set(SCORES):
        return SCORES
    return tuple(sorted(found, key=lambda name: name.startswith("val_")))


def columns_of(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns the columns of a history."""
    return (*KEYS, *scores_of(rows), "sparsity")


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the rows of a `History` as CSV; numbers keep all their digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns_of(rows), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")


class Progress(Listener):
    """A bar with epochs, time left, loss, accuracy and sparsity, and a line on each pruning.

    There is none where stderr is not a terminal.

    Args:
        named: the training: its method, seed and phase.
        initial_epoch, epochs: where it begins and ends.
        sparsity: returns the share that is pruned, in [0, 1]; of a stack one number per network.
    """

    def __init__(self, named: str, initial_epoch: int, epochs: int, sparsity: Callable[[], Any]) -> None:
        self.named = named
        self.sparsity = sparsity
        self.epochs = epochs
        self._share = float(np.mean(sparsity()))
        self.bar = progress_bar(desc=named, total=epochs, initial=initial_epoch, unit="epoch")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        before, self._share = self._share, float(np.mean(self.sparsity()))
        if self._share != before:
            log.info("%s, epoch %d/%d: pruned to %s", self.named, epoch + 1, self.epochs, percent(self._share))
        if self.bar.update(epoch + 1 - self.bar.n):  # true when the bar was drawn anew
            others = [name for name in logs or {} if name.startswith("val_") and name != "val_loss"]
            shown = {name: f"{np.mean(logs[name]):.4g}" for name in ("loss", *others[:1]) if name in (logs or {})}
            self.bar.set_postfix(shown | {"sparsity": percent(self._share)}, refresh=False)

    def close(self) -> None:
        """Leaves the bar as it is; to be called however the training ended."""
        self.bar.close()
