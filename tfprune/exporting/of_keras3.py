"""What exports need of a model of Keras 3: float32, on TensorFlow where it is written as a graph, and saved alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from tfprune.adapters.backend import keras3
from tfprune.utils.errors import ConfigError, ModelError
from tfprune.utils.text import one_line

OF_GRAPHS = ("savedmodel", "tflite", "onnx")  # formats of what TensorFlow computes, whichever Keras made it


def check_backend(name: str) -> None:
    """Raises `ConfigError` if a format needs another backend than this process has Keras 3 on."""
    if name in OF_GRAPHS and (backend := keras3().backend.backend()) != "tensorflow":
        raise ConfigError(
            f"format {name} is written by TensorFlow, and this process has Keras on {backend}: save the model with "
            "model.save and export the file, or start with KERAS_BACKEND=tensorflow"
        )


def ready(model: Any) -> Any:
    """Returns a model that computes in float32: itself, or a copy of a functional one that does not.

    Raises:
        ModelError: it has no shape of inputs yet, or is stateful.
    """
    from tfprune.adapters.keras3.copies import uncompiled_copy_of
    from tfprune.adapters.keras3.layers import has_graph, leaf_layers

    if isinstance(model, keras3().Sequential) and not model.built:
        raise ModelError("the model has no shape of inputs yet; begin it with keras.layers.Input(shape)")
    if any(getattr(own, "stateful", False) and isinstance(own, keras3().layers.RNN) for own in leaf_layers(model)):
        raise ModelError("the model is stateful: it answers by what it was asked before, which no format holds")
    if not has_graph(model) or not any(map(_is_mixed, model._flatten_layers())):
        return model
    copy = uncompiled_copy_of(model)
    for layer in filter(_is_mixed, copy._flatten_layers()):
        layer.dtype_policy = layer.variable_dtype
        if isinstance(layer, keras3().layers.Normalization):  # which holds its numbers as it computes
            if layer.input_mean is None:
                layer.finalize_state()
            else:
                layer.build(layer._build_input_shape)
    return copy


def _is_mixed(layer: Any) -> bool:
    return layer.compute_dtype != layer.variable_dtype


def save(model: Any, path: Path) -> None:
    """Saves a model without its optimizer, as the end of the path says.

    Raises:
        ModelError: Keras cannot.
    """
    from tfprune.adapters.keras3.layers import not_compiled

    try:
        with not_compiled(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras says of its own affairs
            model.save(str(path))
    except (NotImplementedError, TypeError, ValueError) as error:  # a class without a configuration, and the like
        raise ModelError(f"{path}: Keras cannot save this model ({one_line(error)})") from None
