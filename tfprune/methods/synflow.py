"""SynFlow."""

from __future__ import annotations

import dataclasses

from tfprune.methods._at_init import AtInit
from tfprune.pruning.events import MAX_ROUNDS, PruningEvent, geometric
from tfprune.utils.checks import check_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synflow(AtInit):
    """Prune the weights that carry least synaptic flow, in many small rounds and without data (SynFlow), then train.

    Activations, biases and shifts are left out of the flow, and BatchNorm scales by its moving statistics.

    Args:
        sparsity, shuffle, reinitialise, invert: as those of `AtInit`.
        rounds: number of times that weights are ranked and the same share of the rest pruned, at least 1.
    """

    paper = "Tanaka et al. 2020, Pruning neural networks without any data, arXiv:2006.05467"
    criterion = "synflow"
    rounds: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        self._normalise(rounds=check_whole("rounds", self.rounds, least=1, most=MAX_ROUNDS))

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return geometric(self.sparsity, self.rounds, self.ranking)
