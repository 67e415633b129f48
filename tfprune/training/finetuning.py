"""A trained model of either Keras on a data set: its accuracy, and training what pruning has left of it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of, is_keras3
from tfprune.adapters.backend import keras, keras3
from tfprune.adapters.tf_keras.optimizers import OPTIMIZERS
from tfprune.data._base import Data, Split
from tfprune.data.objectives import DEFAULT
from tfprune.utils.errors import ModelError, TrainingError

log = logging.getLogger(__name__)

SCALES = {"none": (1.0, 0.0), "unit": (1 / 255, 0.0), "signed": (1 / 127.5, -1.0)}  # of images, 0 to 255
NORMALISING = ("Rescaling", "Normalization", "BatchNormalization")
FIRST_LAYERS = 4  # among which a layer of those shows that a model scales its images itself
ROUNDING = 2e-2  # of sums of probabilities, which half precision rounds too
BATCH = 256


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A data set as a trained model takes it.

    Attributes:
        data: its splits.
        rescale: how images are scaled, of `SCALES`.
        probabilities: whether the model returns those, and no logits.
        binary: whether it returns one number, for two classes.
        clear: whether it is one of the two; several sigmoids, for one, are neither.
    """

    data: Data
    rescale: str
    probabilities: bool
    binary: bool
    clear: bool = True

    def inputs(self, split: Split) -> np.ndarray:
        """Returns the inputs of a split as the model takes them."""
        factor, offset = SCALES[self.rescale]
        x = np.asarray(split.x)
        return x if self.rescale == "none" else x.astype(np.float32) * np.float32(factor) + np.float32(offset)

    def loss(self, library: Any) -> Any:
        """Returns the cross-entropy for what the model returns."""
        kind = library.losses.BinaryCrossentropy if self.binary else library.losses.SparseCategoricalCrossentropy
        return kind(from_logits=not self.probabilities)


def library_of(model: Any) -> Any:
    """Returns the Keras that a model is of."""
    return keras3() if is_keras3(model) else keras


def fitted(model: Any, data: Data, rescale: str = "auto") -> Fitted:
    """Finds out how a trained model takes a data set, and what it returns.

    Args:
        model: functional or sequential, of either Keras, with one input and one output.
        data: with as many classes as it tells apart.
        rescale: of `SCALES`, or `auto`: images are scaled to [0, 1] unless the model takes integers or one of its first
            layers normalises.

    Raises:
        ModelError: the model takes or returns something else.
    """
    if data.objective.name != DEFAULT:
        raise ModelError(
            f"model files are measured and trained on classes, and the labels are of task {data.objective.name}: take "
            "--set data.task=classification, or tfprune train --model for the task"
        )
    inputs, outputs = list(getattr(model, "inputs", None) or ()), list(getattr(model, "outputs", None) or ())
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"model {model.name} has {len(inputs)} inputs and {len(outputs)} outputs; with a data set it must have one "
            "each. tfprune.train trains any in Python"
        )
    wanted, returned = tuple(inputs[0].shape)[1:], tuple(outputs[0].shape)[1:]
    shape, classes = data.input_shape, len(data.labels)
    if len(wanted) != len(shape) or any(side not in (None, own) for side, own in zip(wanted, shape, strict=True)):
        raise ModelError(f"model {model.name} takes examples of shape {wanted}, the data's are {shape}")
    binary = returned == (1,) and classes == 2
    if returned != (classes,) and not binary:
        raise ModelError(f"model {model.name} returns {returned} an example, the data have {classes} classes")
    images = str(np.asarray(data.train.x[:1]).dtype) == "uint8" and len(shape) == 3
    if rescale == "auto":
        names = [type(layer).__name__ for layer in model.layers[:FIRST_LAYERS]]
        itself = "int" in str(inputs[0].dtype) or any(name in NORMALISING for name in names)
        rescale = "none" if itself or not images else "unit"
    found = Fitted(data, rescale if images else "none", False, binary)
    answers = _answers(model, found.inputs(data.validation.first(BATCH)))
    sums = answers if binary else answers.sum(axis=-1)
    inside = bool(np.all((answers >= 0) & (answers <= 1)))
    probabilities = inside and (binary or bool(np.all(abs(sums - 1) < ROUNDING)))
    return dataclasses.replace(found, probabilities=probabilities, clear=probabilities or not inside)


def accuracy(model: Any, found: Fitted, split: Split) -> float:
    """Returns the share of a split that a model labels right, in [0, 1]."""
    right = 0
    for start in range(0, len(split), BATCH):
        part = Split(split.x[start : start + BATCH], split.y[start : start + BATCH])
        answers = _answers(model, found.inputs(part))
        chosen = answers[:, 0] > (0.5 if found.probabilities else 0.0) if found.binary else answers.argmax(axis=-1)
        right += int(np.sum(chosen == part.y))
    return right / len(split)


def finetune(
    model: Any,
    found: Fitted,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Trains a model in place; masks that it has stay as they are.

    Args:
        model: with masks of its adapter, or none.
        found: the data set as it takes it.
        epochs: passes over the training split.
        batch_size: examples a step.
        optimizer: of `OPTIMIZERS`.
        settings: of the optimizer, its learning rate among them.
        seed: of the order of the examples and of dropout.

    Raises:
        ModelError: the model returns numbers in [0, 1] that are no probabilities of one class.
        TrainingError: the loss is no number any more.
    """
    if not found.clear:
        raise ModelError(
            f"model {model.name} returns numbers in [0, 1] that do not add up to 1, as sigmoids do: what loss it is to "
            "have cannot be told; tfprune.train trains it with yours in Python"
        )
    library = library_of(model)
    adapter = adapter_of(model)
    library.utils.set_random_seed(seed)
    made = getattr(library.optimizers, OPTIMIZERS[optimizer][0])(**settings)
    arguments = {"optimizer": made, "loss": found.loss(library)}
    model.compile(**arguments)
    adapter.compile(model, {**adapter.compiled(model), **arguments})
    validation = found.inputs(found.data.validation), found.data.validation.y
    model.fit(
        *(found.inputs(found.data.train), found.data.train.y),
        validation_data=validation,
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
        callbacks=[adapter.callback(_Told(epochs))],
    )
    adapter.sync(model)


class _Told:
    """Says what each epoch came to, and stops at a loss that is no number."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.model: Any = None
        self.params: Mapping[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        told = dict(logs or {})
        if not np.isfinite(told.get("loss", 0.0)):
            raise TrainingError(
                f"the loss is no number after epoch {epoch + 1}; nothing was written. Try a lower --learning-rate"
            )
        log.info(
            "epoch %d/%d: loss %.4f, val_loss %.4f",
            epoch + 1,
            self.epochs,
            *(told.get(name, np.nan) for name in ("loss", "val_loss")),
        )


def _answers(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_on_batch(x), np.float64)
