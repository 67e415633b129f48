"""What a training costs in which the model becomes smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfprune.training.channel_tracker import ChannelTracker
from tfprune.training.costs import CostMeter


class ChannelCosts(CostMeter):
    """Counts with models that become smaller; a multiply-add of channels that have gone is not done any more.

    Args:
        model: as it was built.
        examples: of an epoch.
        channel_tracker: which channels have gone.
    """

    def __init__(self, model: Any, examples: int, channel_tracker: ChannelTracker) -> None:
        self._ledger = channel_tracker
        super().__init__(model, examples)

    @property
    def forward_masked(self) -> int:
        counts, masks = self._ledger.macs, self._ledger.masks()
        alive = {name: np.mean(mask, dtype=np.float64) for name, mask in masks.items()}
        return round(sum(count * alive.get(name, 1.0) for name, count in counts.items()))

    def trained(self, epochs: int) -> Any:
        return self.trained_masked
