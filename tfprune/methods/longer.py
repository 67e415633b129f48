"""A sanity check: the baseline with the training budget of a lottery ticket."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import Method, Task
from tfprune.pruning.events import PruningEvent
from tfprune.utils.checks import check_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Longer(Method):
    """Plain training for longer: what a method of several rounds has to beat.

    Args:
        factor: how many times the run's epochs it trains, at least 1; a lottery ticket of one round takes 2.
    """

    paper = "Blalock et al. 2020, What is the State of Neural Network Pruning?, arXiv:2003.03033"
    factor: int = 2

    def __post_init__(self) -> None:
        self._normalise(factor=check_whole("factor", self.factor, least=1))

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return ()

    def phase_epochs(self, epochs: int) -> int:
        return self.factor * epochs

    def run(self, task: Task) -> None:
        task.fit("longer")
