"""Learning-rate rewinding."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import Task
from tfprune.methods.lottery import Lottery


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateRewinding(Lottery):
    """Train, prune, and train the trained weights again with the learning rate put back to where it was.

    In one shot or in several rounds. Each retraining goes through the epochs after `rewind_epoch` with their
    learning rates and a fresh optimizer; only the weights are not put back.

    Args:
        sparsity: fraction of the kernel weights that is zero in the end, in [0, 1).
        rounds: number of times that weights are pruned and the rest retrained, at least 1.
        rewind_epoch: epoch at whose end the learning rate starts again; 0 is the start.
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "Renda et al. 2020, Comparing Rewinding and Fine-tuning in Neural Network Pruning, arXiv:2003.02389"

    def run(self, task: Task) -> None:
        task.fit("dense")
        for number, event in enumerate(self.pruning_events, start=1):
            task.prune(event)
            task.fit(f"retraining {number}", initial_epoch=self.rewind_epoch)
