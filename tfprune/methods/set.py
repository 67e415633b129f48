"""Sparse evolutionary training."""

from __future__ import annotations

import dataclasses

from tfprune.methods._dynamic_sparse import DynamicSparseTraining


@dataclasses.dataclass(frozen=True, kw_only=True)
class Set(DynamicSparseTraining):
    """Sparse from the start: now and then the weights closest to zero go and others come back at random (SET).

    Of the positive and of the negative weights the same share goes. The paper updates after every epoch but the last.

    Args:
        sparsity, fraction, until, updates: as those of `DynamicSparseTraining`.
    """

    paper = (
        "Mocanu et al. 2018, Scalable training of neural networks with adaptive sparse connectivity, arXiv:1707.04780"
    )
    drop = "signed"
    growth = "random"
