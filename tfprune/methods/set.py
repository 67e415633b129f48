"""Sparse evolutionary training."""

from __future__ import annotations

import dataclasses

from tfprune.methods._rewired import Rewired


@dataclasses.dataclass(frozen=True, kw_only=True)
class Set(Rewired):
    """Sparse from the start: now and then the weights closest to zero go and others come back by lot (SET).

    Of the positive and of the negative weights the same share goes. The paper updates after every epoch but the last.

    Args:
        sparsity, fraction, until, updates: as those of `Rewired`.
    """

    paper = (
        "Mocanu et al. 2018, Scalable training of neural networks with adaptive sparse connectivity, arXiv:1707.04780"
    )
    drop = "signed"
    growth = "random"
