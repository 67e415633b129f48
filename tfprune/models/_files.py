"""Models from files: what tf_keras and Keras 3 save. Nothing that a file brings is executed unless it is trusted."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from tfprune.backend import keras, saved_metadata, saved_model, tf
from tfprune.errors import BROKEN_ARCHIVE, ModelError
from tfprune.models._keras3 import from_keras3
from tfprune.models._safe import check_graph, check_safe, trusted


def load_model(path: Path) -> keras.Model:
    """Opens a model with its weights, not compiled.

    Args:
        path: an HDF5 file, a `.keras` file of tf_keras or of Keras 3, or the folder of a SavedModel with Keras' layers.

    Raises:
        ModelError: there is no such model, it cannot be opened, or it would execute code.
    """
    if path.is_dir():
        return _from_saved_model(path)
    return from_keras3(path) if check_file(path).startswith("3") else _loaded(path)


def check_file(path: Path) -> str:
    """Looks through an HDF5 or `.keras` file for what would execute code; returns the version of Keras that wrote it.

    Raises:
        ModelError: there is no such model, it cannot be opened, or it would execute code.
    """
    try:
        config, version = _described_zip(path) if zipfile.is_zipfile(path) else _described_h5(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file") from None
    except (*BROKEN_ARCHIVE, KeyError, TypeError) as error:
        raise ModelError(f"{path}: this is no Keras model that can be opened ({_one_line(error)})") from None
    check_safe(config, path, _known_classes())
    return version


def load_graph(path: Path) -> Any:
    """Loads what plain TensorFlow does from the folder of a SavedModel, whose graph must keep to itself.

    Raises:
        ModelError: it cannot be loaded, or would read or write files or call Python, see `_safe.check_graph`.
    """
    check_graph(_parsed(path / "saved_model.pb", saved_model.SavedModel()), path)
    try:
        return tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises whatever a broken file makes it meet
        raise ModelError(f"{path}: the model cannot be loaded ({_one_line(error)})") from None


def from_json(text: str, source: object) -> keras.Model:
    """Returns a tf_keras model from what its `to_json` wrote, with fresh weights.

    Raises:
        ModelError: it would execute code, or cannot be made.
    """
    described = json.loads(text, object_hook=_without_rng_type)
    check_safe(described, source, _known_classes())
    try:
        return keras.models.model_from_json(json.dumps(described))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"{source}: this model cannot be made again ({_one_line(error)})") from None


def _without_rng_type(own: dict[str, Any]) -> dict[str, Any]:
    """Drops what `randomness` has set in a training, and Keras 3 does not know."""
    return {key: value for key, value in own.items() if key != "rng_type"}


def _loaded(path: Path) -> keras.Model:
    try:
        return keras.models.load_model(str(path), compile=False, safe_mode=not trusted())
    except Exception as error:  # Keras raises whatever a broken file makes it meet
        raise ModelError(f"{path}: this model cannot be opened ({_one_line(error)})") from None


def _described_h5(path: Path) -> tuple[Any, str]:
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds weights alone, without the model")
        version = file.attrs.get("keras_version", "2")
        return json.loads(file.attrs["model_config"]), _text(version)


def _described_zip(path: Path) -> tuple[Any, str]:
    with zipfile.ZipFile(path) as file:
        metadata = json.loads(file.read("metadata.json"))
        return json.loads(file.read("config.json")), str(metadata.get("keras_version", "2"))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _from_saved_model(path: Path) -> keras.Model:
    if not (path / "saved_model.pb").is_file():
        raise ModelError(f"{path}: this is no SavedModel (it has no saved_model.pb)")
    if not (path / "keras_metadata.pb").is_file():
        raise ModelError(
            f"{path}: this SavedModel has a graph and no layers of Keras, so there is nothing to prune; save the model "
            "with model.save"
        )
    metadata = _parsed(path / "keras_metadata.pb", saved_metadata.SavedMetadata())
    try:
        nodes = [json.loads(node.metadata) for node in metadata.nodes if node.metadata]
    except ValueError as error:
        raise ModelError(f"{path}: this SavedModel cannot be read ({_one_line(error)})") from None
    check_safe(nodes, path, _known_classes())
    check_graph(_parsed(path / "saved_model.pb", saved_model.SavedModel()), path)
    return _loaded(path)


def _parsed(path: Path, message: Any) -> Any:
    """Returns a protocol buffer with what a file holds."""
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path.parent}: this SavedModel cannot be read ({_one_line(error)})") from None
    return message


def _known_classes() -> set[str]:
    homes = (
        *(keras.layers, keras.initializers, keras.regularizers, keras.constraints, keras.optimizers),
        *(keras.losses, keras.metrics, keras.optimizers.schedules, keras.mixed_precision, keras.layers.experimental),
    )
    names = {name for home in homes for name in dir(home) if name[0].isupper()}
    return names | {
        "Model",
        "Functional",
        "Sequential",
        "TFOpLambda",
        "SlicingOpLambda",
        "DTypePolicy",
        "Policy",
        "TensorShape",
        "TypeSpec",
        "__tensor__",
        "__keras_tensor__",
    }


def _one_line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
