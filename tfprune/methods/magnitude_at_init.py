"""Pruning before training, by magnitude."""

from __future__ import annotations

import dataclasses

from tfprune.methods._at_init import AtInit


@dataclasses.dataclass(frozen=True, kw_only=True)
class MagnitudeAtInit(AtInit):
    """Prune the smallest initial weights, then train.

    Args:
        sparsity, shuffle, reinitialise, invert: as those of `AtInit`.
    """

    paper = "Frankle et al. 2021, Pruning Neural Networks at Initialization, arXiv:2009.08576"
    granularities = ("weight", "filter", "branch")
    criterion = "magnitude"
