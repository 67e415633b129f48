"""SavedModel: raw inputs in, label out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.loading.gate import load_graph
from tfprune.data._base import Data
from tfprune.exporting.formats._base import Answer, Format
from tfprune.exporting.savedmodel import ENCODED, export


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    export(model, data, {}, path)


def load(path: Path) -> Answer:
    loaded = load_graph(path)
    function = loaded.signatures[ENCODED]
    dtype = function.structured_input_signature[1]["inputs"].dtype

    def answer(inputs: np.ndarray) -> np.ndarray:
        return function(inputs=tf.constant(inputs, dtype))["probabilities"].numpy()

    answer.keeps = loaded  # its variables live as long as it does
    return answer


FORMAT = Format(summary="TensorFlow and TF Serving; preprocessing and labels inside", suffix="", write=write, load=load)
