"""A sanity check: a lottery ticket with new initial weights."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import EVERY, OneShot, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reinitialised(OneShot):
    """A lottery ticket that keeps its masks and draws all its initial weights anew.

    If it does as well as `lottery`, the ticket's initial weights were nothing special.

    Args:
        sparsity: fraction of the kernel weights that is zero in the ticket, in [0, 1).
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "Frankle & Carbin 2019, The Lottery Ticket Hypothesis, arXiv:1803.03635"
    granularities = EVERY

    def total_epochs(self, epochs: int) -> int:
        return 2 * epochs

    def run(self, task: Task) -> None:
        task.fit("dense")
        for event in self.pruning_events:
            task.prune(event)
            task.reinitialise()
            task.fit("reinitialised ticket")
