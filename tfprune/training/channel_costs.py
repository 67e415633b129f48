"""What a training costs in which the model becomes smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.training.costs import CostMeter
from tfprune.training.ledger import Ledger


class ChannelCosts(CostMeter):
    """Counts with models that become smaller; a multiply-add of channels that have gone is not done any more.

    Args:
        model: as it was built.
        examples: of an epoch.
        ledger: which channels have gone.
    """

    def __init__(self, model: keras.Model, examples: int, ledger: Ledger) -> None:
        self._ledger = ledger
        super().__init__(model, examples)

    @property
    def forward_masked(self) -> int:
        counts, masks = self._ledger.multiplications, self._ledger.masks()
        alive = {name: np.mean(mask, dtype=np.float64) for name, mask in masks.items()}
        return round(sum(count * alive.get(name, 1.0) for name, count in counts.items()))

    def trained(self, epochs: int) -> Any:
        return self.trained_masked
