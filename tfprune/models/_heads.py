"""What the end of a person's model returns, as the logits that a run's loss takes.

A run is trained with the cross-entropy of a choice of one class, so a softmax or sigmoid at the end is left to the
loss: what the model returned before stays what the run exports.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.models._user import check_end
from tfprune.utils.errors import ModelError

log = logging.getLogger(__name__)

PROBED = 16  # random examples by which probabilities that no layer names are recognised
SMALLEST = 1e-7  # probability, as Keras has it in its own losses
ROUNDING = 2e-2  # of sums of probabilities, which half precision rounds too
OTHERS = ("relu", "elu", "selu", "gelu", "swish", "mish", "tanh", "softplus", "softsign", "exponential")
LOOKS_ALIKE = ("Flatten", "Reshape", "Dropout")  # return what they get, in another shape


def as_trained(model: keras.Model, name: str, classes: int, objective: Objective) -> keras.Model:
    """Returns a model that returns what a task is trained on: logits, or numbers.

    Raises:
        ModelError: the model ends with an activation that is not the task's.
    """
    if objective.name == CLASSIFICATION.name:
        return as_logits(model, name, classes)
    if len(model.outputs) != 1 or len(model.inputs) != 1:
        return model  # is refused later
    ends = _ends_with(model)
    check_end(ends, name, objective)
    return _without_end(model) if ends == objective.activation != "linear" else model


def as_logits(model: keras.Model, name: str, classes: int) -> keras.Model:
    """Returns a model that returns a logit for each class.

    A softmax is left out. One number for two classes, with a sigmoid or as a logit, becomes the logits 0 and that. Of
    several sigmoids, what they are given is taken as logits, and a line says so. Probabilities of which no layer shows
    where they come from are followed by their logarithm.

    Raises:
        ModelError: the model returns numbers in [0, 1], of which it cannot be said what they are.
    """
    if len(model.outputs) != 1 or len(model.inputs) != 1:
        return model  # is refused later
    numbers = tuple(model.outputs[0].shape[1:])
    ends = _ends_with(model)
    if ends in ("softmax", "sigmoid") and numbers == (1,):
        if ends == "softmax":
            raise ModelError(f"model {name} ends with a softmax of one number, which is always 1; use a sigmoid")
        return _two_logits(_without_end(model)) if classes == 2 else model
    if ends == "linear" and numbers == (1,) and classes == 2:
        return _two_logits(model)
    if ends == "softmax":
        return _without_end(model)
    if ends == "sigmoid":
        log.warning(
            "model %s ends with %d sigmoids: an example has one class here, so what they are given is trained and "
            "exported as the logits of a softmax",
            name,
            numbers[-1],
        )
        return _without_end(model)
    return model if ends in ("linear", "other") else _judged(model, name)


def _activation_of(layer: keras.layers.Layer) -> str:
    """Returns `softmax`, `sigmoid`, `linear`, `other`, or "" if a layer does not say what it returns."""
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    activation = getattr(layer, "activation", None)
    known = {
        "softmax": (keras.activations.softmax, tf.nn.softmax),
        "sigmoid": (keras.activations.sigmoid, tf.nn.sigmoid),
        "linear": (keras.activations.linear,),
    }
    name = next((name for name, functions in known.items() if any(activation is own for own in functions)), "")
    return name or ("other" if activation in (getattr(keras.activations, own) for own in OTHERS) else "")


def _last(model: keras.Model) -> keras.layers.Layer:
    return model.layers[-1] if isinstance(model, keras.Sequential) else model._output_layers[0]


def _ends_with(model: keras.Model) -> str:
    """Returns `_activation_of` what the model's answer comes out of, in nested models too."""
    return _activation_of(_end(model)[-1])


def _end(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layer that the answer comes out of, and before it the models that contain it, outermost first."""
    last = _last(model)
    while len(last._inbound_nodes) == 1 and _passes_on(last):
        before = last.input._keras_history.layer
        if isinstance(before, keras.layers.InputLayer):
            break
        last = before
    return [last, *_end(last)] if has_graph(last) else [last]


def _passes_on(layer: keras.layers.Layer) -> bool:
    named = type(layer).__name__ in LOOKS_ALIKE and layer.input_shape[-1] == layer.output_shape[-1]
    return named or (isinstance(layer, keras.layers.Activation) and _activation_of(layer) == "linear")


def _without_end(model: keras.Model) -> keras.Model:
    """Returns a copy of a model with its weights, without the activation that its answer comes out of."""
    chain = _end(model)
    end = chain[-1]

    def changed(layer: keras.layers.Layer) -> Any:
        if layer is not chain[0]:
            return None
        if layer is not end:
            return _without_end(layer)
        if isinstance(layer, keras.layers.Softmax):
            return keras.layers.Activation("linear", name=layer.name, dtype=layer.dtype_policy)
        return rebuilt(layer, activation="linear")

    if len(chain) == 1 and _last(model) is end and isinstance(end, (keras.layers.Softmax, keras.layers.Activation)):
        return keras.Model(model.inputs, end.input, name=model.name)
    return cloned(model, changed)


def cloned(model: keras.Model, changed: Callable[[keras.layers.Layer], Any], **kwargs: Any) -> keras.Model:
    """Returns a copy of a model with its weights, some layers changed; the others are copied too."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if (other := changed(layer)) is not None:
            return other
        return rebuilt(layer) if not isinstance(layer, keras.Model) or has_graph(layer) else layer

    copy = keras.models.clone_model(model, clone_function=clone, **kwargs)
    copy.set_weights(model.get_weights())
    return copy


def _two_logits(model: keras.Model) -> keras.Model:
    """Returns the logits 0 and z of a model that returns z: their softmax is 1 - sigmoid(z) and sigmoid(z)."""
    layers = keras.layers
    x = layers.Reshape((1, 1), name="one_logit")(model.outputs[0])
    x = layers.ZeroPadding1D((1, 0), name="zero_and_logit")(x)
    return keras.Model(model.inputs, layers.Reshape((2,), name="two_logits")(x), name=model.name)


def _judged(model: keras.Model, name: str) -> keras.Model:
    """Looks at what a model answers whose end says nothing, such as a subclassed one."""
    answers = _probe(model)
    if answers is None or answers.min() < 0 or answers.max() > 1 + ROUNDING:
        return model
    if np.all(np.abs(answers.sum(axis=-1) - 1) < ROUNDING) and answers.shape[-1] > 1:
        logits = tf.math.log(tf.maximum(tf.cast(model.outputs[0], tf.float32), SMALLEST))
        return keras.Model(model.inputs, logits, name=model.name)
    raise ModelError(
        f"model {name} returns numbers in [0, 1] that do not add up to 1, and its last layer does not say what they "
        "are; let it return logits, or end with a Dense layer whose activation is softmax or sigmoid"
    )


def _probe(model: keras.Model) -> np.ndarray | None:
    """Returns what a model answers to random examples of several sizes; None if that tells nothing."""
    tensor, random = model.inputs[0], np.random.default_rng(0)
    dtype, shape = tf.as_dtype(tensor.dtype), (PROBED, *(side or 8 for side in tensor.shape[1:]))
    if not (dtype.is_floating or dtype.is_integer) or len(model.outputs[0].shape) != 2:
        return None
    x = random.normal(size=shape) * np.geomspace(1, 100, PROBED).reshape(-1, *[1] * (len(shape) - 1))
    try:
        answers = np.asarray(model(tf.cast(np.abs(x) if dtype.is_integer else x, dtype), training=False), np.float32)
    except tf.errors.OpError:  # numbers that are none of an Embedding
        return None
    return answers if np.all(np.isfinite(answers)) and np.ptp(answers) > 0 else None
