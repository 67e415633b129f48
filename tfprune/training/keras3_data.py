"""The run's examples as Keras 3 takes them: NumPy from memory, `tf.data` where images are augmented or in files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.data._base import Split
from tfprune.data._batches import Batches
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.training.config import Config
from tfprune.training.evaluation import EVALUATION_BATCH
from tfprune.training.resuming import TrainingPosition
from tfprune.utils.seeds import derive


class Examples:
    """What a call of `fit` goes through.

    Args:
        x: what it is given.
        steps: in an epoch; None: as many as `x` says it has.
        begin: is told the epoch that begins, counted from 0.
    """

    def __init__(self, x: Any, steps: int | None, begin: Callable[[int], None] = lambda epoch: None) -> None:
        self.x = x
        self.steps = steps
        self.begin = begin


def training_data(split: Split, config: Config, start: TrainingPosition, steps_per_epoch: int) -> Examples:
    """Returns what comes in a training after a position; from the middle of an epoch the rest of that alone."""
    seed = derive(config.seed, "order")
    if split.stored or config.augment:
        from tfprune.data._pipeline import training_batches  # TensorFlow, which reads and augments images

        batches = training_batches(
            split,
            config.batch_size,
            shuffle=config.shuffle,
            seed=seed,
            augment=config.augment,
            first_step=start.epoch * steps_per_epoch + start.step,
        )
        return Examples(batches, steps_per_epoch - start.step)
    return _in_memory(Batches(split, config.batch_size, shuffle=config.shuffle, seed=seed), start)


def _in_memory(batches: Batches, start: TrainingPosition) -> Examples:
    epoch = [start.epoch]

    class Sequence(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(batches) - start.step

        def __getitem__(self, number: int) -> tuple[Any, Any]:
            return batches.batch(epoch[0], start.step + number)

    def begin(number: int) -> None:
        epoch[0] = number

    return Examples(Sequence(), None, begin)


def validation_data(split: Split, batch_size: int) -> dict[str, Any]:
    """Returns the arguments of `fit` that say what it is validated on."""
    if split.stored:
        from tfprune.data._pipeline import evaluation_batches

        return {"validation_data": evaluation_batches(split, batch_size)}
    return {"validation_data": (split.x, split.y), "validation_batch_size": batch_size}


def outputs_of(model: Any, split: Split) -> np.ndarray:
    """Returns what a model returns for all examples of a split, float32 [examples, ...]."""
    if split.stored:
        from tfprune.data._pipeline import evaluation_batches

        answers = model.predict(evaluation_batches(split, EVALUATION_BATCH), verbose=0)
    else:
        answers = model.predict(split.x, batch_size=EVALUATION_BATCH, verbose=0)
    return np.asarray(answers, np.float32)


def evaluated(model: Any, split: Split, objective: Objective = CLASSIFICATION) -> dict[str, float]:
    """Returns `loss` (without penalties) and the metrics of a model over a whole split."""
    scores = objective.evaluate(keras, split.y, outputs_of(model, split))
    return {name: float(value) for name, value in scores.items()}
