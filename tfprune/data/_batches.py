"""From a split in memory to batches in NumPy. A batch is a function of the seed and of its number, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfprune.data._base import Split


class Batches:
    """The batches of a split in memory, in an order that is drawn anew for each epoch.

    Args:
        split: the examples.
        batch_size: examples per batch; the last one of an epoch has fewer if need be.
        shuffle: draw a new order for each epoch; otherwise the split's own order in every epoch.
        seed: of those orders.

    >>> batches = Batches(Split(np.arange(5), np.arange(5)), 2, shuffle=False, seed=0)
    >>> len(batches), batches.batch(3, 2)[0].tolist()
    (3, [4])
    """

    def __init__(self, split: Split, batch_size: int, *, shuffle: bool, seed: int) -> None:
        self.split = split
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self._known: tuple[int, np.ndarray] = (-1, np.array([], np.int64))

    def __len__(self) -> int:
        """Returns how many there are in an epoch."""
        return math.ceil(len(self.split) / self.batch_size)

    def batch(self, epoch: int, number: int) -> tuple[Any, Any]:
        """Returns the inputs and classes of a batch of an epoch, both counted from 0."""
        chosen = self.order(epoch)[number * self.batch_size : (number + 1) * self.batch_size]
        return self.split.x[chosen], self.split.y[chosen]

    def order(self, epoch: int) -> np.ndarray:
        """Returns the numbers of all examples in the order in which an epoch goes through them."""
        if not self.shuffle:
            return np.arange(len(self.split))
        known, order = self._known
        if known != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.split))
            self._known = epoch, order
        return order
