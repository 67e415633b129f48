"""The first examples of what `model.fit` takes, for criteria that look at some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tfprune.adapters.batches import Batch, balanced_indices, joined
from tfprune.utils.errors import ConfigError
from tfprune.utils.trees import as_numpy, leaves

CLASSES = 10  # that data without classes are taken to have: how many examples that are
MAX_CLASSES = 1000  # whole numbers of more kinds are no classes
EMPTY = "this method ranks weights by gradients for some of the data, and there are no examples"


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
        ConfigError: the data can be read only once, are none, or are not to be taken apart into examples.
    """
    if isinstance(data, Iterator):
        raise ConfigError(
            "this method ranks weights by gradients for some of the data, and what it took from a generator would be "
            "missing in training: give a tf.data.Dataset, a sequence of Keras or arrays"
        )
    if in_memory(data):
        batch = _checked(data)
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
        batch = _checked(data)
        return batch.select(random.permutation(len(batch))[:count])
    batch = _first(data, count)
    return batch.select(np.arange(min(len(batch), count)))


def in_memory(data: Any) -> bool:
    """Returns whether data are arrays, or structures of them, and not batches one after the other."""
    return isinstance(data, (tuple, list, dict)) or hasattr(data, "shape")


def _array(part: Any) -> Any:
    """Returns nested lists of numbers as an array, and what else x, y or weights may be as it is."""
    plain = isinstance(part, list) and all(isinstance(own, (int, float, str)) for own in leaves(part))
    return np.asarray(part) if plain else part


def _classes(y: Any) -> np.ndarray | None:
    """Returns the class of each example, None if y says none."""
    if isinstance(y, (dict, list, tuple)) or y is None:
        return None
    values = as_numpy(y)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    known = values.ndim == 1 and values.dtype.kind in "iu" and len(np.unique(values)) <= MAX_CLASSES
    return values if known else None


def _first(batches: Any, count: int) -> Batch:
    """Returns as many batches as have `count` examples, as one."""
    found: list[Batch] = []
    for own in _each(batches):
        found.append(_checked(own))
        if sum(map(len, found)) >= count:
            break
    if not found:
        raise ConfigError(EMPTY)
    return joined(found)


def _checked(data: Any) -> Batch:
    """Returns x, y and weights as a batch; a `ConfigError` if it has no examples, or none that are rows of arrays."""
    batch = Batch(*map(_array, data)) if isinstance(data, (tuple, list)) else Batch(data)
    for own in leaves([part for part in (batch.x, batch.y, batch.weights) if part is not None]):
        if np.ndim(own) == 0:
            raise ConfigError(
                f"this method ranks weights by gradients for some examples, which it cannot take out of a "
                f"{type(own).__name__}: give dense arrays, or take a method that ranks by magnitude"
            )
    if not len(batch):
        raise ConfigError(EMPTY)
    return batch


def _each(batches: Any) -> Iterable[Any]:
    """Returns the batches of a data set or, from their first to their last, those of a sequence."""
    if hasattr(batches, "__getitem__") and hasattr(batches, "__len__"):  # one of Keras, which may have no end
        return (batches[index] for index in range(len(batches)))
    return batches
