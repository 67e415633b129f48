"""Examples that derivatives are taken from, as NumPy arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfprune.utils.trees import as_numpy, leaves, map_tree


@dataclasses.dataclass(frozen=True)
class Batch:
    """Examples that derivatives are taken from.

    Args:
        x: what the model takes: an array or a structure of arrays, examples first.
        y: what its loss takes, likewise; None: nothing.
        weights: of the examples; None: all count alike.
    """

    x: Any
    y: Any = None
    weights: Any = None

    def __len__(self) -> int:
        first = next(leaves(self.x))
        return int(first.shape[0]) if hasattr(first, "shape") else len(first)

    def parts(self, count: int) -> list[Batch]:
        """Returns batches of the examples in their order, as equally large as can be."""
        rows = np.array_split(np.arange(len(self)), min(count, len(self)))
        return [self.select(own) for own in rows]

    def select(self, rows: np.ndarray) -> Batch:
        """Returns some of the examples."""
        return Batch(*(own if own is None else map_tree(lambda a: as_numpy(a)[rows], own) for own in self._all))

    @property
    def _all(self) -> tuple[Any, Any, Any]:
        return self.x, self.y, self.weights


def joined(batches: Sequence[Batch]) -> Batch:
    """Returns several batches as one."""
    parts = zip(*(own._all for own in batches), strict=True)
    join = lambda *arrays: np.concatenate([as_numpy(own) for own in arrays])  # noqa: E731 - named for its one use
    return Batch(*(None if own[0] is None else map_tree(join, *own) for own in parts))


def balanced_indices(classes: np.ndarray, per_class: int, random: np.random.Generator) -> np.ndarray:
    """Draws the numbers of `per_class` examples of each class, in turn one of every class.

    Args:
        classes: class of each example.
        per_class: at least 1; where a class has fewer examples they come again and again.
        random: draws them.
    """
    found = [random.permutation(np.flatnonzero(classes == one)) for one in np.unique(classes)]
    return np.stack([np.resize(rows, per_class) for rows in found], axis=-1).reshape(-1)
