"""Keras 3's own format, which refuses what tf_keras calls `.keras`."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfprune.adapters.backend import keras, keras3
from tfprune.adapters.loading.gate import load_with
from tfprune.data._base import Data
from tfprune.exporting.formats import h5
from tfprune.exporting.formats._base import Answer, Format, softmax


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    with tempfile.TemporaryDirectory() as folder, _its_own_affairs():
        bridge = Path(folder) / "model.h5"
        h5.write(model, data, bridge, quantize)
        load_with(bridge, keras3()).save(str(path))


def load(path: Path) -> Answer:
    model = load_with(path, keras3())

    def answer(inputs: np.ndarray) -> np.ndarray:
        with _its_own_affairs():
            return softmax(model.predict_on_batch(inputs))

    return answer


@contextlib.contextmanager
def _its_own_affairs() -> Iterator[None]:
    """Holds back what Keras 3 warns of itself: how it converts arrays, and that an input has a name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        warnings.filterwarnings("ignore", "The structure of `inputs`", UserWarning)
        yield


FORMAT = Format(summary="Keras 3; returns logits", suffix=".keras", write=write, load=load)
