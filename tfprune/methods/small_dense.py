"""A sanity check: a narrower network instead of a pruned one."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import Method, Task
from tfprune.pruning.events import PruningEvent
from tfprune.utils.checks import check_fraction, check_least, check_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallDense(Method):
    """A dense network of no more parameters than a pruned one has left, trained from scratch.

    It is the run's model with all its widths scaled down alike, as far as whole numbers allow; of granularity `filter`
    it has the very widths that removing a share `sparsity` of the channels leaves, of `branch` the model's own without
    the branches that `channels.order` names, and then the last ones.

    Args:
        sparsity: that of the pruned network which it is the counterpart of, in [0, 1).
        longer: how many times the run's epochs it trains, at least 1: its epochs take less time, and a fair comparison
            may give it the rest of it.
        multiple: what scaled widths are rounded to a multiple of, at least 1. Kernels of processors are made for
            multiples of 8 or 16: other widths may take several times the time. Widths of granularity `filter` are
            those of `channels.multiple`.
    """

    paper = "Liu et al. 2019, Rethinking the Value of Network Pruning, arXiv:1810.05270"
    granularities = ("weight", "filter", "branch")
    sparsity_setting = "sparsity"
    fields_excluded_from_hash = ("longer", "multiple")
    sparsity: float = 0.3
    longer: float = 1.0
    multiple: int = 1

    def __post_init__(self) -> None:
        self._normalise(sparsity=check_fraction("sparsity", self.sparsity))
        self._normalise(longer=check_least("longer", self.longer, 1.0))
        self._normalise(multiple=check_whole("multiple", self.multiple, least=1))

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return ()

    @property
    def requested_sparsity(self) -> float:
        return self.sparsity

    @property
    def width_reduction(self) -> float:
        return self.sparsity

    @property
    def width_multiple(self) -> int:
        return self.multiple

    def phase_epochs(self, epochs: int) -> int:
        """Returns the epochs that it trains.

        >>> SmallDense(longer=1.25).phase_epochs(10)
        12
        """
        return round(self.longer * epochs)

    def run(self, task: Task) -> None:
        task.fit("small dense")
