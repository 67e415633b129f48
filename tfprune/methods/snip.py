"""SNIP."""

from __future__ import annotations

import dataclasses

from tfprune.methods._at_init import FromData


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snip(FromData):
    """Prune the weights whose removal changes the loss of the untrained network least (SNIP), then train.

    BatchNorm takes the statistics of the one batch that is looked at.

    Args:
        sparsity, shuffle, reinitialise, invert: as those of `AtInit`.
        per_class: examples of each class that it looks at; the paper takes a batch of 100 or 128 in all.
    """

    paper = "Lee et al. 2019, SNIP: Single-shot Network Pruning based on Connection Sensitivity, arXiv:1810.02340"
    granularities = ("weight", "filter", "branch")
    criterion = "snip"
