"""The first examples of what `model.fit` takes, for criteria that look at some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tfprune.adapters.batches import Batch, balanced_indices, joined
from tfprune.utils.errors import ConfigError

CLASSES = 10  # that data without classes are taken to have: how many examples that are
MAX_CLASSES = 1000  # whole numbers of more kinds are no classes


def first_examples(data: Any, per_class: int, random: np.random.Generator) -> Batch:
    """Returns some training examples.

    Args:
        data: a tuple of arrays (or structures of them) `(x, y)` or `(x, y, weights)`, the array x alone, or batches of
            such: a `tf.data.Dataset`, a sequence of Keras, a `DataLoader`.
        per_class: examples of each class, at least 1.
        random: draws them where all are in memory and have classes (y is one whole number an example).

    Returns:
        `per_class` examples of each class or, where there are no classes to be seen, the first `per_class * CLASSES`.

    Raises:
        ConfigError: the data can be read only once.
    """
    if isinstance(data, Iterator):
        raise ConfigError(
            "this method ranks weights by gradients for some of the data, and what it took from a generator would be "
            "missing in training: give a tf.data.Dataset, a sequence of Keras or arrays"
        )
    if in_memory(data):
        batch = Batch(*data) if isinstance(data, (tuple, list)) else Batch(data)
        classes = _classes(batch.y)
        if classes is not None:
            return batch.select(balanced_indices(classes, per_class, random))
    else:
        batch = _first(data, per_class * CLASSES)
    return batch.select(np.arange(min(len(batch), per_class * CLASSES)))


def some_examples(data: Any, count: int, random: np.random.Generator) -> Batch:
    """Returns `count` training examples, drawn at random where all are in memory and the first ones elsewhere.

    Args:
        data: as for `first_examples`.
        count: of all, where there are fewer.
        random: draws them.
    """
    if in_memory(data):
        batch = Batch(*data) if isinstance(data, (tuple, list)) else Batch(data)
        return batch.select(random.permutation(len(batch))[:count])
    batch = _first(data, count)
    return batch.select(np.arange(min(len(batch), count)))


def in_memory(data: Any) -> bool:
    """Returns whether data are arrays, or structures of them, and not batches one after the other."""
    return isinstance(data, (tuple, list, dict)) or hasattr(data, "shape")


def _classes(y: Any) -> np.ndarray | None:
    """Returns the class of each example, None if y says none."""
    if isinstance(y, (dict, list, tuple)) or y is None:
        return None
    values = np.asarray(y)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    known = values.ndim == 1 and values.dtype.kind in "iu" and len(np.unique(values)) <= MAX_CLASSES
    return values if known else None


def _first(batches: Any, count: int) -> Batch:
    """Returns as many batches as have `count` examples, as one."""
    found: list[Batch] = []
    for own in _each(batches):
        found.append(Batch(*own) if isinstance(own, (tuple, list)) else Batch(own))
        if sum(map(len, found)) >= count:
            break
    return joined(found)


def _each(batches: Any) -> Iterable[Any]:
    """Returns the batches of a data set or, from their first to their last, those of a sequence."""
    if hasattr(batches, "__getitem__") and hasattr(batches, "__len__"):  # one of Keras, which may have no end
        return (batches[index] for index in range(len(batches)))
    return batches
