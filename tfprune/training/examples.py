"""The first examples of what `model.fit` takes, for criteria that look at some."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.gradients import Batch, balanced_indices

CLASSES = 10  # that data without classes are taken to have: how many examples that are
MAX_CLASSES = 1000  # whole numbers of more kinds are no classes


def first_examples(data: Any, per_class: int, random: np.random.Generator) -> Batch:
    """Returns some training examples.

    Args:
        data: a tuple of arrays (or structures of them) `(x, y)` or `(x, y, weights)`, or batches of such: a
            `tf.data.Dataset` or a `keras.utils.Sequence`.
        per_class: examples of each class, at least 1.
        random: draws them where all are in memory and have classes (y is one whole number an example).

    Returns:
        `per_class` examples of each class or, where there are no classes to be seen, the first `per_class * CLASSES`.
    """
    if isinstance(data, (tuple, list)):
        batch = Batch(*data)
        classes = _classes(batch.y)
        if classes is not None:
            return batch.select(balanced_indices(classes, per_class, random))
    else:
        batch = _joined(data, per_class * CLASSES)
    return batch.select(np.arange(min(len(batch), per_class * CLASSES)))


def _classes(y: Any) -> np.ndarray | None:
    """Returns the class of each example, None if y says none."""
    if isinstance(y, (dict, list, tuple)) or y is None:
        return None
    values = np.asarray(y)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    known = values.ndim == 1 and values.dtype.kind in "iu" and len(np.unique(values)) <= MAX_CLASSES
    return values if known else None


def _joined(batches: Any, count: int) -> Batch:
    """Returns as many batches as have `count` examples, as one."""
    found: list[Batch] = []
    for own in _each(batches):
        found.append(Batch(*keras.utils.unpack_x_y_sample_weight(own)))
        if sum(map(len, found)) >= count:
            break
    parts = zip(*((own.x, own.y, own.weights) for own in found), strict=True)
    return Batch(
        *(
            None if own[0] is None else tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *own)
            for own in parts
        )
    )


def _each(batches: Any) -> Iterable[Any]:
    """Returns the batches of a data set or, from their first to their last, those of a sequence."""
    if isinstance(batches, keras.utils.Sequence):
        return map(batches.__getitem__, itertools.islice(itertools.count(), len(batches)))
    return batches
