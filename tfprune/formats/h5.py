"""HDF5 as Keras 2 writes it, which tf_keras and Keras 3 both open."""

from __future__ import annotations

import warnings
from pathlib import Path

from tfprune.backend import keras
from tfprune.data._base import Data
from tfprune.formats._base import Answer, Format, softmax


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
        model.save(str(path), include_optimizer=False, save_format="h5")


def load(path: Path) -> Answer:
    model = keras.models.load_model(str(path), compile=False)
    return lambda inputs: softmax(model.predict_on_batch(inputs))


FORMAT = Format(summary="tf_keras and Keras 3; returns logits", suffix=".h5", write=write, load=load)
