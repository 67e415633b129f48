"""How fast exported models answer, measured in turns so that what else the machine does slows all alike."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.data._base import Split
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.exporting.formats._base import Answer
from tfprune.utils.progress import progress_bar

BATCH = 256  # in which the accuracy is taken
AT_ONCE = 6  # models that are measured together, the baseline among them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """An exported model to measure.

    Attributes:
        run: its run's id.
        file: what the file is called; those of several runs that are called alike are compared.
        path: the file or folder.
        answer: from a batch of model inputs to probabilities.
        raw, gzip: bytes.
        multiplications, nonzero_multiplications: of an example's forward pass, with and without zeros' own; None where
            they are not known.
    """

    run: str
    file: str
    path: Path
    answer: Answer
    raw: int
    gzip: int
    multiplications: int | None = None
    nonzero_multiplications: int | None = None


@dataclasses.dataclass(frozen=True)
class Latency:
    """Seconds a call took, over many calls.

    Attributes:
        batch: examples a call.
        seconds: of each call, in the order of the rounds.
    """

    batch: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def spread(self) -> tuple[float, float]:
        """The 10th and the 90th percentile."""
        low, high = np.percentile(self.seconds, (10, 90))
        return float(low), float(high)

    def ratio(self, other: Latency) -> float:
        """Returns the median of the ratios to another model's calls of the same rounds."""
        return float(np.median(np.divide(self.seconds, other.seconds)))

    @property
    def throughput(self) -> float:
        """Examples a second."""
        return self.batch / self.median


def score(model: Model, split: Split, objective: Objective = CLASSIFICATION) -> float:
    """Returns the task's metric on a split: of classes the share of examples that a model labels right, in [0, 1]."""
    parts = (np.asarray(split.x[start : start + BATCH]) for start in range(0, len(split), BATCH))
    answers = np.concatenate([model.answer(part) for part in parts])
    return objective.compared(split.y, answers)[objective.primary]


def latencies(models: Sequence[Model], examples: np.ndarray, batch: int, rounds: int) -> list[Latency]:
    """Measures how long each model takes for a batch, see `interleaved_latency`.

    Args:
        models: to measure.
        examples: model inputs to take batches from; repeated if they are fewer.
        batch: examples a call.
        rounds: calls of each that count.

    Returns:
        One for each model.
    """
    inputs = np.resize(np.asarray(examples[:batch]), (batch, *examples.shape[1:]))
    return interleaved_latency([functools.partial(model.answer, inputs) for model in models], batch, rounds)


def interleaved_latency(calls: Sequence[Callable[[], object]], batch: int, rounds: int) -> list[Latency]:
    """Measures how long calls take.

    Args:
        calls: to measure, in turns, every other round in reverse. In its turn each is made twice and the second time
            counts: the first fills the caches that the others have emptied.
        batch: examples a call, for the throughput.
        rounds: of each that count. One comes before and does not.

    Returns:
        One for each call.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(1 + rounds):
        for number in range(len(calls))[:: -1 if turn % 2 else 1]:
            calls[number]()
            started = time.perf_counter()
            calls[number]()
            seconds[number].append(time.perf_counter() - started)
    return [Latency(batch, tuple(own[1:])) for own in seconds]


def shares_of_the_first(
    models: Sequence[Any], call_of: Callable[[Any], Callable[[], object]], batch: int, rounds: int
) -> list[float]:
    """Measures each model's time as a share of the first one's, a few models at a time.

    Args:
        models: to measure.
        call_of: from a model to what is measured.
        batch: examples a call.
        rounds: see `interleaved_latency`.

    Returns:
        One for each model, 1 for the first.
    """
    whole, shares, others = call_of(models[0]), [1.0], models[1:]
    with progress_bar(total=len(others), desc="measuring", unit="model", leave=False, wanted=len(others) > 1) as bar:
        for start in range(0, len(others), AT_ONCE - 1):
            calls = [call_of(model) for model in others[start : start + AT_ONCE - 1]]
            first, *measured = interleaved_latency([whole, *calls], batch, rounds)
            shares += [own.ratio(first) for own in measured]
            bar.update(len(calls))
    return shares
