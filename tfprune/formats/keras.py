"""Keras 3's own format, which refuses what tf_keras calls `.keras`."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

from tfprune.backend import keras, keras3
from tfprune.data._base import Data
from tfprune.formats import h5
from tfprune.formats._base import Answer, Format, softmax


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bridge = Path(folder) / "model.h5"
        h5.write(model, data, bridge, quantize)
        keras3().saving.load_model(str(bridge), compile=False).save(str(path))


def load(path: Path) -> Answer:
    model = keras3().saving.load_model(str(path), compile=False)

    def answer(inputs: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():  # of the input's name
            warnings.filterwarnings("ignore", "The structure of `inputs`", UserWarning)
            return softmax(model.predict_on_batch(inputs))

    return answer


FORMAT = Format(summary="Keras 3; returns logits", suffix=".keras", write=write, load=load)
