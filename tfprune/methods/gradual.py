"""Gradual pruning."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import EVERY, Method, Task, spread
from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.utils.checks import check_choice, check_fraction, check_whole
from tfprune.utils.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gradual(Method):
    """Prune a little at a time while training goes on: much at first, less and less towards the end.

    At a share x of the way from `begin` to `end` the sparsity is s (1 - (1 - x)^3). Each update falls at the end of an
    epoch of its own, so that short runs have fewer of them.

    Args:
        sparsity: s, fraction of the kernel weights that is zero from `end` on, in [0, 1).
        begin, end: fractions of the run between which it prunes, in [0, 1); `end` is the greater.
        updates: how often at most, at least 1.
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "Zhu & Gupta 2017, To prune, or not to prune, arXiv:1710.01878"
    granularities = EVERY
    sparsity_setting = "sparsity"
    sparsity: float = 0.3
    begin: float = 0.0
    end: float = 0.75
    updates: int = 100
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        self._normalise(
            sparsity=check_fraction("sparsity", self.sparsity),
            begin=check_fraction("begin", self.begin),
            end=check_fraction("end", self.end),
            updates=check_whole("updates", self.updates, least=1),
            criterion=check_choice("criterion", self.criterion, CRITERIA),
        )
        if self.begin >= self.end:
            raise ConfigError(f"begin must be below end, which is {self.end:g}, got {self.begin:g}")

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        """The last one; those before it lead up to it."""
        return (self._event(self.sparsity),)

    def _event(self, sparsity: float) -> PruningEvent:
        return PruningEvent(sparsity=sparsity, criterion=Criterion(self.criterion))

    def update_epochs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs (counted from 1) at whose ends the updates of a run of `epochs` fall.

        >>> Gradual(updates=4).update_epochs(400)
        (75, 150, 225, 300)
        """
        return spread(self.begin * epochs, self.end * epochs, self.updates)

    def check(self, epochs: int) -> None:
        if not self.update_epochs(epochs):
            raise ConfigError(
                f"between {self.begin:g} and {self.end:g} of {epochs} epochs no epoch ends, so that nothing would be "
                "pruned; train longer or move begin and end"
            )

    def run(self, task: Task) -> None:
        at = self.update_epochs(task.epochs)
        first, last = self.begin * task.epochs, at[-1]
        levels = (self.sparsity * (1 - ((last - epoch) / (last - first)) ** 3) for epoch in at)
        task.fit("train", events={epoch: self._event(level) for epoch, level in zip(at, levels, strict=True)})
