"""The lottery ticket."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import EVERY, Method, Task
from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import MAX_ROUNDS, Criterion, PruningEvent, geometric
from tfprune.utils.checks import check_choice, check_fraction, check_whole
from tfprune.utils.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lottery(Method):
    """Train, prune, put every surviving weight back to where it started, train again.

    With `rounds` above 1 this is the iterative form: each round takes the same share of the weights
    that are left, and the last one arrives at `sparsity`. With `rewind_epoch` k the weights (and
    BatchNorm statistics) go back to the end of epoch k instead of the start, and each ticket trains
    the epochs after k. Every ticket starts with a fresh optimizer.

    Args:
        sparsity: fraction of the kernel weights that is zero in the last ticket, in [0, 1).
        rounds: number of times that weights are pruned and rewound, at least 1.
        rewind_epoch: epoch whose weights are put back; 0 is initialisation.
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "Frankle & Carbin 2019, The Lottery Ticket Hypothesis, arXiv:1803.03635"
    granularities = EVERY
    sparsity_setting = "sparsity"
    fields_excluded_from_hash = ("criterion",)
    sparsity: float = 0.3
    rounds: int = 1
    rewind_epoch: int = 0
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        self._normalise(
            sparsity=check_fraction("sparsity", self.sparsity),
            rounds=check_whole("rounds", self.rounds, least=1, most=MAX_ROUNDS),
            rewind_epoch=check_whole("rewind_epoch", self.rewind_epoch, least=0),
            criterion=check_choice("criterion", self.criterion, CRITERIA),
        )

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return geometric(self.sparsity, self.rounds, Criterion(self.criterion))

    def check(self, epochs: int) -> None:
        if self.rewind_epoch >= epochs:
            raise ConfigError(f"rewind_epoch must be below the {epochs} epochs of the run, got {self.rewind_epoch}")

    def total_epochs(self, epochs: int) -> int:
        return epochs + self.rounds * (epochs - self.rewind_epoch)

    def run(self, task: Task) -> None:
        rewinding = task.rewinding(self.rewind_epoch)
        task.fit("dense", callbacks=[rewinding])
        for number, event in enumerate(self.pruning_events, start=1):
            task.prune(event)
            task.fit(f"ticket {number}", initial_epoch=self.rewind_epoch, callbacks=[rewinding])
