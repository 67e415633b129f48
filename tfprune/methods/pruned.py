"""Pruning after training."""

from __future__ import annotations

import dataclasses

from tfprune.checks import check_fraction
from tfprune.cuts import Cut
from tfprune.methods._base import Method, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruned(Method):
    """Train, then zero the weights of smallest magnitude; no retraining.

    Args:
        sparsity: fraction of the kernel weights that is set to zero, in [0, 1).
    """

    paper = "Han et al. 2015, Learning both Weights and Connections, arXiv:1506.02626"
    sparsity_setting = "sparsity"
    sparsity: float = 0.3

    def __post_init__(self) -> None:
        self._normalise(sparsity=check_fraction("sparsity", self.sparsity))

    @property
    def cuts(self) -> tuple[Cut, ...]:
        return (Cut(sparsity=self.sparsity),)

    def check(self, epochs: int) -> None:
        pass

    def run(self, task: Task) -> None:
        task.fit("dense")
        for cut in self.cuts:
            task.prune(cut)
