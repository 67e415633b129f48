"""Pruning after training."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import EVERY, OneShot, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruned(OneShot):
    """Train, then zero the weights of smallest magnitude; no retraining.

    Args:
        sparsity: fraction of the kernel weights that is set to zero, in [0, 1).
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "Han et al. 2015, Learning both Weights and Connections, arXiv:1506.02626"
    granularities = EVERY

    def run(self, task: Task) -> None:
        task.fit("dense")
        for event in self.pruning_events:
            task.prune(event)
