"""What methods that are sparse from start to end have in common."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfprune.methods._base import Method, Task, spread
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.utils.checks import check_fraction, check_whole
from tfprune.utils.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicSparseTraining(Method):
    """Base of the methods that start with random masks and move them about while they train.

    At each update a fraction of each kernel's weights goes and as many others come back, at zero and with empty
    optimizer slots. Updates fall at the ends of epochs, each at one of its own.

    Args:
        sparsity: fraction of the kernel weights that is zero all the time, in [0, 1).
        fraction: of each kernel's weights that the first update moves, in [0, 1).
        until: fraction of the run after which the masks stay, in (0, 1).
        updates: how often at most, at least 1.
    """

    scope = "erk"
    sparsity_setting = "sparsity"
    drop: ClassVar[str] = "magnitude"
    growth: ClassVar[str]
    sparsity: float = 0.3
    fraction: float = 0.3
    until: float = 0.75
    updates: int = 100

    def __post_init__(self) -> None:
        self._normalise(
            sparsity=check_fraction("sparsity", self.sparsity),
            fraction=check_fraction("fraction", self.fraction),
            until=check_fraction("until", self.until, above_zero=True),
            updates=check_whole("updates", self.updates, least=1),
        )

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        """The first one; the updates change no count."""
        return (PruningEvent(sparsity=self.sparsity, criterion=Criterion("random")),)

    def fraction_at(self, share: float) -> float:
        """Returns the fraction that moves after a share of the time until the masks stay, in [0, 1]."""
        return self.fraction

    def update_epochs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs (counted from 1) at whose ends the updates of a run of `epochs` fall."""
        end = self.until * epochs
        return tuple(epoch for epoch in spread(0, end, self.updates + 1) if epoch < end)[: self.updates]

    def check(self, epochs: int) -> None:
        if not self.update_epochs(epochs):
            raise ConfigError(
                f"no epoch ends before until={self.until:g} of {epochs} epochs, so that the masks would never move; "
                "train longer"
            )

    def run(self, task: Task) -> None:
        for event in self.pruning_events:
            task.prune(event)
        task.fit(
            "sparse", events={epoch: self._update(epoch, task.epochs) for epoch in self.update_epochs(task.epochs)}
        )

    def _update(self, epoch: int, epochs: int) -> PruningEvent:
        moved = self.fraction_at(epoch / (self.until * epochs))
        return PruningEvent(
            rate=0.0, criterion=Criterion(self.drop), regrow_fraction=moved, growth=Criterion(self.growth)
        )
