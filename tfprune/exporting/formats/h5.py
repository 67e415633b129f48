"""HDF5 as Keras 2 writes it, which tf_keras and Keras 3 both open."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from tfprune.adapters.backend import keras
from tfprune.adapters.loading.gate import load_model, open_hdf5
from tfprune.data._base import Data
from tfprune.exporting.formats._base import Answer, Format, softmax

_OF_NO_KERNEL = ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")
SAYS_NOTHING = {  # settings that these layers inherit and do not use; Keras 3 refuses them
    "DepthwiseConv1D": ("groups",),
    "DepthwiseConv2D": ("groups",),
    "SeparableConv1D": _OF_NO_KERNEL,
    "SeparableConv2D": _OF_NO_KERNEL,
}


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
        model.save(str(path), include_optimizer=False, save_format="h5")
    with open_hdf5(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in _layers(config):
            for word in SAYS_NOTHING.get(layer["class_name"], ()):
                layer["config"].pop(word, None)
        file.attrs["model_config"] = json.dumps(config).encode()


def load(path: Path) -> Answer:
    model = load_model(path)
    return lambda inputs: softmax(model.predict_on_batch(inputs))


def _layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the configurations of all layers, those of nested models too."""
    return [config, *(inner for layer in config["config"].get("layers", ()) for inner in _layers(layer))]


FORMAT = Format(summary="tf_keras and Keras 3; returns logits", suffix=".h5", write=write, load=load)
