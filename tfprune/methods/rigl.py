"""RigL."""

from __future__ import annotations

import dataclasses
import math

from tfprune.methods._dynamic_sparse import DynamicSparseTraining


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rigl(DynamicSparseTraining):
    """Sparse from the start: now and then the smallest weights go and those of the largest gradients come back (RigL).

    The fraction that moves falls from `fraction` to 0 along half a cosine. The paper updates every 100 steps; the
    gradients are of a batch of 10 examples of each class.

    Args:
        sparsity, fraction, until, updates: as those of `DynamicSparseTraining`.
    """

    paper = "Evci et al. 2020, Rigging the Lottery: Making All Tickets Winners, arXiv:1911.11134"
    growth = "gradient"

    def fraction_at(self, share: float) -> float:
        return self.fraction * (1 + math.cos(math.pi * share)) / 2
