"""Pruning before training, at random."""

from __future__ import annotations

import dataclasses

from tfprune.methods._at_init import AtInit


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomAtInit(AtInit):
    """Prune weights drawn at random, then train: what every method at initialisation has to beat.

    Args:
        sparsity, shuffle, reinitialise, invert: as those of `AtInit`.
    """

    paper = "Frankle et al. 2021, Pruning Neural Networks at Initialization, arXiv:2009.08576"
    granularities = ("weight", "filter", "branch")
    criterion = "random"
