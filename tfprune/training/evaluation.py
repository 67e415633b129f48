"""Scores of a model over a whole split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.batches import Batch
from tfprune.data._base import Split
from tfprune.data._pipeline import evaluation_batches
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.pruning.events import Criterion

EVALUATION_BATCH = 256


def evaluate(model: keras.Model, split: Split, objective: Objective = CLASSIFICATION) -> dict[str, Any]:
    """Returns `loss` (without penalties) and the metrics of a model over a whole split; classes: one per network."""
    outputs = model.predict(evaluation_batches(split, EVALUATION_BATCH), verbose=0)
    return objective.evaluate(keras, split.y, outputs)


def criterion_loss(objective: Objective) -> Callable[[Any, Batch, Criterion], Any]:
    """Returns the mean loss that criteria derive; the sum over the networks of a stack leaves their slopes apart."""

    def loss(outputs: tf.Tensor, batch: Batch, criterion: Criterion) -> tf.Tensor:
        outputs = outputs / criterion.temperature if objective.of_logits else outputs
        return tf.reduce_sum(tf.reduce_mean(objective.trained_losses(keras, batch.y, outputs), axis=0))

    return loss
