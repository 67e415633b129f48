"""What a method asks of its task, in order, without any of it being done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfprune.methods._base import Method
from tfprune.pruning.events import Cut


@dataclasses.dataclass(frozen=True)
class Training:
    """A `fit` that a method asks for; see `methods._base.Task`.

    Attributes:
        rewound: epochs whose weights it remembers or, where another training has, starts from.
    """

    phase: str
    initial_epoch: int
    events: Mapping[int, Cut]
    rate_factor: float
    rate_epoch: int | None
    rewound: tuple[int, ...]


SHUFFLED, REINITIALISED = "masks are shuffled", "weights are drawn anew"
Step = Training | Cut | str  # a cut is one between trainings, a text one of the two above


class _Rehearsal:
    """A `Task` that takes down what it is asked for."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.steps: list[Step] = []

    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, Cut] | None = None,
        rate_factor: float = 1.0,
        rate_epoch: int | None = None,
        callbacks: Sequence[int] = (),
    ) -> None:
        self.steps.append(Training(phase, initial_epoch, dict(events or {}), rate_factor, rate_epoch, tuple(callbacks)))

    def prune(self, cut: Cut) -> None:
        self.steps.append(cut)

    def shuffle_masks(self) -> None:
        self.steps.append(SHUFFLED)

    def reinitialise(self) -> None:
        self.steps.append(REINITIALISED)

    def rewinding(self, epoch: int) -> int:
        return epoch


def rehearsed(method: Method, epochs: int) -> list[Step]:
    """Returns what a method does in trainings up to `epochs`.

    >>> from tfprune.methods.lottery import Lottery
    >>> [type(step).__name__ for step in rehearsed(Lottery(), 6)]
    ['Training', 'Cut', 'Training']
    """
    task = _Rehearsal(epochs)
    method.run(task)
    return task.steps
