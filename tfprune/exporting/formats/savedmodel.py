"""SavedModel: raw inputs in, label out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.loading.gate import load_graph
from tfprune.data._base import Data
from tfprune.exporting.formats._base import Answer, Format, NamedAnswer, Served
from tfprune.exporting.savedmodel import ENCODED, export, module_of, save

SERVING = "serving_default"


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    export(model, data, {}, path)


def load(path: Path) -> Answer:
    loaded = load_graph(path)
    function = loaded.signatures[ENCODED]
    dtype = function.structured_input_signature[1]["inputs"].dtype
    name = next((name for name in ("values",) if name in function.structured_outputs), "probabilities")

    def answer(inputs: np.ndarray) -> np.ndarray:
        return function(inputs=tf.constant(inputs, dtype))[name].numpy()

    answer.keeps = loaded  # its variables live as long as it does
    return answer


def write_named(served: Served, path: Path, quantize: str) -> None:
    """Writes a function of named tensors as the signature `serving_default`."""
    traced = served.traced()
    save(module_of(served.model, traced), path, {SERVING: traced})


def load_named(path: Path) -> NamedAnswer:
    """Does what `load` does for a folder of any inputs and outputs."""
    loaded = load_graph(path)
    function = loaded.signatures[SERVING]
    specs = function.structured_input_signature[1]

    def answer(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        returned = function(**{name: tf.constant(given[name], spec.dtype) for name, spec in specs.items()})
        return {name: own.numpy() for name, own in returned.items()}

    answer.keeps = loaded
    answer.inputs = {name: (tuple(spec.shape), spec.dtype.name) for name, spec in specs.items()}
    return answer


FORMAT = Format(
    summary="TensorFlow and TF Serving; preprocessing and labels inside",
    suffix="",
    write=write,
    load=load,
    write_named=write_named,
    load_named=load_named,
)
