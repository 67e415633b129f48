"""HDF5 as Keras 2 writes it, which tf_keras and Keras 3 both open."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters import is_keras3
from tfprune.adapters.backend import keras, keras3
from tfprune.adapters.loading.configs import check_config
from tfprune.adapters.loading.gate import library_of_file, load_model, load_with, open_hdf5
from tfprune.data._base import Data
from tfprune.data.objectives._base import softmax
from tfprune.exporting.formats._base import Answer, Format, NamedAnswer, Served, refused
from tfprune.exporting.formats._for_keras3 import REMEDY, check, without_unknown
from tfprune.exporting.named import of_graph
from tfprune.exporting.of_keras3 import save
from tfprune.utils.errors import ModelError


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    write_with(model, path, lambda config: without_unknown(config, []))


def write_with(model: keras.Model, path: Path, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Writes a model, whose configuration is changed before it is stored.

    Raises:
        ModelError: the model has parts that are code, which no such file is to hold.
    """
    if own := [layer.name for layer in model._flatten_layers() if isinstance(layer, keras.layers.TextVectorization)]:
        raise refused(
            "a file of Keras' layers", f"{own[0]!r} is a TextVectorization, whose words HDF5 does not take", REMEDY
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
            model.save(str(path), include_optimizer=False, save_format="h5")
    except NotImplementedError as error:  # a class without a configuration
        raise refused("a file of Keras' layers", error, REMEDY) from None
    with open_hdf5(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        try:
            check_config(config, "a file of Keras' layers cannot hold this model", keras)
        except ModelError as error:
            raise ModelError(f"{error}, or {REMEDY}") from None
        file.attrs["model_config"] = json.dumps(changed(config)).encode()


def write_named(served: Served, path: Path, quantize: str) -> None:
    if is_keras3(served.model):
        save(served.model, path)
        return
    write_with(served.model, path, lambda config: without_unknown(config, []))


def load(path: Path) -> Answer:
    model = load_model(path)
    return lambda inputs: softmax(model.predict_on_batch(inputs))


def load_in_keras3(path: Path) -> Answer:
    """Does what `load` does, with Keras 3."""
    return answering(_in_keras3(path))


def load_named(path: Path) -> NamedAnswer:
    """Does what `load` does for a model of any inputs and outputs."""
    return by_name(load_model(path))


def load_named_in_keras3(path: Path) -> NamedAnswer:
    """Does what `load_named` does, with Keras 3."""
    return by_name(_in_keras3(path))


def _in_keras3(path: Path) -> Any:
    if library_of_file(path) == "keras":
        return load_with(path, keras3())
    with open_hdf5(path) as file:
        problems: list[str] = []
        without_unknown(json.loads(file.attrs["model_config"]), problems)
        check(problems)
    return load_with(path, keras3())


def answering(model: Any) -> Answer:
    """Returns what answers with a model of Keras 3."""

    def answer(inputs: np.ndarray) -> np.ndarray:
        with its_own_affairs():
            return softmax(model.predict_on_batch(inputs))

    return answer


def by_name(model: Any) -> NamedAnswer:
    """Returns what answers with a functional model of either Keras."""
    named = of_graph(model)

    def answer(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with its_own_affairs():
            return {name: np.asarray(own) for name, own in named.call(given).items()}

    answer.inputs = dict(named.inputs)
    return answer


@contextlib.contextmanager
def its_own_affairs() -> Iterator[None]:
    """Holds back what Keras 3 warns of itself: how it converts arrays, and that an input has a name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        warnings.filterwarnings("ignore", "The structure of `inputs`", UserWarning)
        yield


FORMAT = Format(
    summary="tf_keras and Keras 3; returns logits",
    suffix=".h5",
    only=(".h5", ".hdf5"),
    write=write,
    load=load,
    others={"Keras 3": load_in_keras3},
    write_named=write_named,
    load_named=load_named,
    others_named={"Keras 3": load_named_in_keras3},
)
