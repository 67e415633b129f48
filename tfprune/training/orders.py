"""The orders in which trainings go through the same examples, drawn once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfprune.adapters.backend import tf
from tfprune.data._pipeline import epoch_order

MAX_BYTES = 2**28  # of orders that are kept


class EpochOrders:
    """Orders of the examples by epoch, the same as `data._pipeline.training_batches` draws.

    A draw takes about as long as an epoch of a small network, so methods that are compared share them. They are drawn
    before a training begins, and so are in nobody's time.

    Args:
        count: examples.
        seeds: of the orders, one per network.
    """

    def __init__(self, count: int, seeds: Sequence[int]) -> None:
        self.count, self.seeds = count, seeds
        kind = np.min_scalar_type(count)
        self._drawn = np.empty((0, count, len(seeds)), kind)
        self._one_epoch = tf.function(
            lambda epoch: tf.stack([epoch_order(count, seed, epoch) for seed in seeds], axis=-1), autograph=False
        )

    @property
    def epochs(self) -> int:
        """How many epochs are drawn."""
        return len(self._drawn)

    def draw(self, epochs: int) -> bool:
        """Draws those of the first `epochs` that are missing; returns False if all of them take too much memory."""
        if epochs * self._drawn.itemsize * self.count * len(self.seeds) > MAX_BYTES:
            return False
        new = [self._one_epoch(tf.constant(epoch, tf.int64)).numpy() for epoch in range(self.epochs, epochs)]
        if new:
            self._drawn = np.concatenate([self._drawn, np.asarray(new, self._drawn.dtype)])
        return True

    def between(self, first: int, end: int) -> np.ndarray:
        """Returns the orders of epochs, int64 [epochs, examples, networks]; zeros for those that are not drawn."""
        own = self._drawn[first:end].astype(np.int64)
        return np.pad(own, ((0, end - first - len(own)), (0, 0), (0, 0)))
