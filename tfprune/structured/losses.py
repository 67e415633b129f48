"""The loss whose derivatives rank channels and branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.utils.errors import ConfigError

# Inputs and class numbers, for models that return logits; or the loss of a model, for some examples.
Examples = tuple[np.ndarray, np.ndarray] | Callable[[keras.Model], tf.Tensor]


def loss_of(model: keras.Model, examples: Examples | Any) -> tf.Tensor:
    """Returns the loss of a model, a number; a `ConfigError` if there are no examples."""
    if examples is None:
        raise ConfigError("criterion taylor needs examples=(inputs, class numbers)")
    if callable(examples):
        return examples(model)
    outputs = model(examples[0], training=False)
    return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(examples[1], outputs, from_logits=True))
