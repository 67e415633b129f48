"""A sanity check: a lottery ticket whose masks are shuffled."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import OneShot, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shuffled(OneShot):
    """A lottery ticket whose masks are shuffled within each kernel before it trains.

    If it does as well as `lottery`, it was the share of weights in each layer that counted, and not which.

    Args:
        sparsity: fraction of the kernel weights that is zero in the ticket, in [0, 1).
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "Frankle et al. 2021, Pruning Neural Networks at Initialization, arXiv:2009.08576"

    def total_epochs(self, epochs: int) -> int:
        return 2 * epochs

    def run(self, task: Task) -> None:
        rewinding = task.rewinding(0)
        task.fit("dense", callbacks=[rewinding])
        for event in self.pruning_events:
            task.prune(event)
            task.shuffle_masks()
            task.fit("shuffled ticket", callbacks=[rewinding])
