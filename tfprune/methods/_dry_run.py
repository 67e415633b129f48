"""What a method asks of its task, in order, without any of it being done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfprune.methods._base import Method
from tfprune.pruning.events import PruningEvent


@dataclasses.dataclass(frozen=True)
class Training:
    """A `fit` that a method asks for; see `methods._base.Task`.

    Attributes:
        rewound: epochs whose weights it remembers or, where another training has, starts from.
    """

    phase: str
    initial_epoch: int
    events: Mapping[int, PruningEvent]
    lr_factor: float
    freeze_lr_epoch: int | None
    rewound: tuple[int, ...]


SHUFFLED, REINITIALISED = "masks are shuffled", "weights are drawn anew"
Step = Training | PruningEvent | str  # a cut is one between trainings, a text one of the two above


class _StepRecorder:
    """A `Task` that takes down what it is asked for."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.steps: list[Step] = []

    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, PruningEvent] | None = None,
        lr_factor: float = 1.0,
        freeze_lr_epoch: int | None = None,
        callbacks: Sequence[int] = (),
    ) -> None:
        self.steps.append(
            Training(phase, initial_epoch, dict(events or {}), lr_factor, freeze_lr_epoch, tuple(callbacks))
        )

    def prune(self, event: PruningEvent) -> None:
        self.steps.append(event)

    def shuffle_masks(self) -> None:
        self.steps.append(SHUFFLED)

    def reinitialise(self) -> None:
        self.steps.append(REINITIALISED)

    def rewinding(self, epoch: int) -> int:
        return epoch


def record_steps(method: Method, epochs: int) -> list[Step]:
    """Returns what a method does in trainings up to `epochs`.

    >>> from tfprune.methods.lottery import Lottery
    >>> [type(step).__name__ for step in record_steps(Lottery(), 6)]
    ['Training', 'PruningEvent', 'Training']
    """
    task = _StepRecorder(epochs)
    method.run(task)
    return task.steps
