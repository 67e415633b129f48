"""A sanity check: a narrower network instead of a pruned one."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import Method, Task
from tfprune.pruning.events import PruningEvent
from tfprune.utils.checks import check_fraction


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallDense(Method):
    """A dense network of no more parameters than a pruned one has left, trained from scratch.

    It is the run's model with all its widths scaled down alike, as far as whole numbers allow; of granularity `filter`
    it has the very widths that removing a share `sparsity` of the channels leaves, of `branch` the model's own without
    the branches that `channels.order` names, and then the last ones.

    Args:
        sparsity: that of the pruned network which it is the counterpart of, in [0, 1).
    """

    paper = "Liu et al. 2019, Rethinking the Value of Network Pruning, arXiv:1810.05270"
    granularities = ("weight", "filter", "branch")
    sparsity_setting = "sparsity"
    sparsity: float = 0.3

    def __post_init__(self) -> None:
        self._normalise(sparsity=check_fraction("sparsity", self.sparsity))

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return ()

    @property
    def requested_sparsity(self) -> float:
        return self.sparsity

    @property
    def width_reduction(self) -> float:
        return self.sparsity

    def run(self, task: Task) -> None:
        task.fit("small dense")
