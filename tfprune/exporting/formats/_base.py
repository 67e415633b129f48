"""What a file format of trained models is."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line

if TYPE_CHECKING:
    from tfprune.data._base import Data

CALIBRATION = 256  # training examples from which the ranges of activations are taken for int8

Answer = Callable[[np.ndarray], np.ndarray]  # a batch of model inputs to probabilities


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A file format.

    Args:
        summary: one line for people: what it is for and what reads it.
        suffix: how its files end; "" if it is a folder.
        quantize: what its numbers can be stored as, `"none"` first.
        write: from a stripped float32 model that returns logits, the data that it was trained on and one of
            `quantize` to a file or folder at the path.
        load: from such a file to what answers, with nothing of tfprune between.
        others: what else the summary says reads such files -> its `load`. Where one does not, the file still counts and
            the person is told.
    """

    summary: str
    suffix: str
    quantize: tuple[str, ...] = ("none",)
    write: Callable[[keras.Model, Data, Path, str], None]
    load: Callable[[Path], Answer]
    others: Mapping[str, Callable[[Path], Answer]] = dataclasses.field(default_factory=dict)


def probabilities(model: keras.Model) -> tf.types.experimental.ConcreteFunction:
    """Returns a model that returns logits as a function of `inputs`, of any batch, to `probabilities`."""

    @tf.function(input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], model.input.dtype, name="inputs")])
    def answer(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(tf.cast(model(inputs, training=False), tf.float32))}

    return answer


def calibration(data: Data, dtype: np.dtype) -> np.ndarray:
    """Returns training examples to calibrate with, in the dtype of the model: a draw that is always the same."""
    chosen = np.random.default_rng(0).permutation(len(data.train))[:CALIBRATION]
    return np.asarray(data.train.x[np.sort(chosen)]).astype(dtype)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits, row by row, in float32 whatever the logits are."""
    logits = np.asarray(logits, np.float32)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def refused(what: str, error: object, remedy: str) -> ModelError:
    """Says that a converter, which raises whatever it meets first, cannot express a model in its format."""
    return ModelError(f"{what} cannot hold this model ({one_line(error)}); {remedy}")


def extra(module: str) -> ModuleType:
    """Imports a package of the extra `export`.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        raise ModelError(f"the package {missing} is missing; pip install 'tfprune[export]'") from None
