"""Makes models that people bring fit for a run: functional, images scaled as they expect."""

from __future__ import annotations

from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.models._scales import FIRST_LAYERS, NORMALISING, SCALES
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line


def functional(model: Any, input_shape: tuple[int, ...], name: str) -> keras.Model:
    """Returns a model whose graph is known; a subclassed one as the only layer of such a model.

    Raises:
        ModelError: it is no model of Keras, or a subclassed one that does not take such examples.
    """
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise ModelError(f"model {name}: a Keras model is needed, got {kind}")
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *input_shape))
    if isinstance(model, keras.Sequential) or model._is_graph_network:
        return model
    inputs = keras.layers.Input(input_shape, name="inputs")
    try:
        return keras.Model(inputs, model(inputs), name=f"{model.name}_on_{'x'.join(map(str, input_shape))}")
    except (TypeError, ValueError, tf.errors.OpError, NotImplementedError) as error:
        reason = one_line(error)
        raise ModelError(f"model {name} is subclassed and cannot be called on {input_shape} ({reason})") from None


def rescaled(model: keras.Model, input_shape: tuple[int, ...], dtype: str, rescale: str) -> keras.Model:
    """Returns a model that takes images of uint8, scaled for what it was.

    Args:
        model: functional or sequential.
        input_shape: of an example.
        dtype: of the examples; others than uint8 are taken as they are.
        rescale: `unit` to [0, 1], `signed` to [-1, 1], `none`, or `auto`: `unit` unless the model takes uint8 or one of
            its first layers normalises.
    """
    if dtype != "uint8" or len(input_shape) != 3 or rescale == "none":
        return model
    if rescale == "auto":
        names = [type(layer).__name__ for layer in model.layers[:FIRST_LAYERS]]
        if model.inputs[0].dtype == "uint8" or any(name in NORMALISING for name in names):
            return model
    scale, offset = SCALES["unit" if rescale == "auto" else rescale]
    inputs = keras.layers.Input(input_shape, dtype="uint8", name="images")
    x = keras.layers.Rescaling(scale, offset, name="rescale")(inputs)
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            x = layer(x)
        return keras.Model(inputs, x, name=model.name)
    copy = keras.models.clone_model(model, input_tensors=x, clone_function=lambda layer: layer)
    return keras.Model(inputs, copy.outputs[0], name=model.name)
