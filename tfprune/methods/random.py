"""A sanity check: dynamic pruning of weights that are drawn at random."""

from __future__ import annotations

import dataclasses

from tfprune.methods.dynamic import Dynamic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Random(Dynamic):
    """Dynamic pruning with random masks: at the same events, as many weights of each kernel go, drawn at random.

    A criterion that does not beat it shows nothing.

    Args:
        events, rate, final_sparsity, rate_factor, criterion: as those of `Dynamic`.
    """

    paper = "Frankle et al. 2021, Pruning Neural Networks at Initialization, arXiv:2009.08576"
    criterion: str = "random"
