"""From splits in memory to batches for `model.fit`."""

from __future__ import annotations

from tfprune.backend import tf
from tfprune.data._base import Split


def training_batches(split: Split, batch_size: int, *, shuffle: bool, seed: int) -> tf.data.Dataset:
    """Returns endless batches, each epoch's last one smaller if need be.

    Endless because a finite set makes Keras build a new iterator in every epoch.

    Args:
        split: the examples.
        batch_size: examples a batch.
        shuffle: draw a new order for each epoch; otherwise the split's own order in every epoch.
        seed: of those orders.
    """
    examples = tf.data.Dataset.from_tensor_slices((split.x, split.y))
    if shuffle:
        examples = examples.shuffle(len(split), seed=seed, reshuffle_each_iteration=True).batch(batch_size)
    else:
        examples = examples.batch(batch_size).cache()
    return examples.repeat().prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Returns the split once, in order."""
    return tf.data.Dataset.from_tensor_slices((split.x, split.y)).batch(batch_size).cache()
