"""Scores of a model over a whole split."""

from __future__ import annotations

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.data._base import Split
from tfprune.data._pipeline import evaluation_batches

EVALUATION_BATCH = 256


def evaluate(model: keras.Model, split: Split) -> dict[str, np.ndarray]:
    """Returns `loss` (cross-entropy alone) and `accuracy` of a model over a whole split, one number per network."""
    logits = model.predict(evaluation_batches(split, EVALUATION_BATCH), verbose=0)
    losses = keras.losses.sparse_categorical_crossentropy(split.y, logits, from_logits=True)
    return {"loss": np.mean(losses, axis=0), "accuracy": np.mean(np.argmax(logits, axis=-1) == split.y, axis=0)}
