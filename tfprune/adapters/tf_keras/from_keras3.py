"""Models of Keras 3 as models of tf_keras, by their configuration and weights."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters import is_keras3
from tfprune.adapters.backend import keras, keras3, tf
from tfprune.adapters.rebuilding import rebuilt
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line

TOLERANCE = 1e-4  # largest difference of an output, relative to the largest output
COMPARED = 4  # examples
OPERATIONS: dict[str, Callable[..., Any]] = {  # what `x + y` and the like leave in a functional model of Keras 3
    "Add": operator.add,
    "Subtract": operator.sub,
    "Multiply": operator.mul,
    "Divide": operator.truediv,
    "TrueDivide": operator.truediv,
    "Negative": operator.neg,
    "Matmul": operator.matmul,
    "Relu": lambda x: tf.nn.relu(x),
    "Sigmoid": lambda x: tf.math.sigmoid(x),
    "Tanh": lambda x: tf.math.tanh(x),
}
WITHOUT_SHAPES = {"MultiHeadAttention"}  # whose `from_config` asks for what Keras 3 does not store
BY_KEYWORD = {"zero_output_for_mask"}  # what recurrent layers take and do not name
PARTS = ("layers", "initializers", "regularizers", "constraints", "activations")


def as_tf_keras(source: Any, path: object) -> Any:
    """Returns a model of Keras 3 as one of tf_keras, after comparing what both answer; anything else as it is.

    Args:
        source: what was loaded.
        path: where it is from, for messages.

    Raises:
        ModelError: it has layers that tf_keras lacks (each is named), or answers differently.
    """
    if not is_keras3(source):
        return source
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras 3 says of its own affairs
        model = converted(source, path)
        _check_answers(source, model, path)
    return model


def converted(source: Any, path: object) -> keras.Model:
    """Returns a tf_keras model with the layers and weights of a model of Keras 3.

    Raises:
        ModelError: parts of it have no counterpart; each is named with the reason.
    """
    problems: list[str] = []
    model = _rebuilt(source, problems)
    if problems or model is None:
        raise ModelError(f"{path}: tf_keras has no counterpart of {'; '.join(dict.fromkeys(problems))}")
    return model


def _rebuilt(source: Any, problems: list[str]) -> keras.Model | None:
    graph = getattr(source, "_functional", None) or source
    if not hasattr(graph, "_nodes_by_depth"):
        problems.append(f"{source.name} ({type(source).__name__}: a subclassed model)")
        return None
    tensors = {}
    for tensor in graph.inputs:
        shape = tuple(tensor.shape)
        tensors[id(tensor)] = keras.Input(batch_shape=shape, dtype=tensor.dtype, name=_input_name(tensor))
    layers: dict[int, Any] = {}
    lacking: dict[int, str] = {}  # tensors of operations without a counterpart; many are masks, which layers find again
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if not node.is_input:
                _call(node, tensors, layers, lacking, problems)
    problems += [lacking[id(tensor)] for tensor in graph.outputs if id(tensor) in lacking]
    if problems:
        return None
    inputs, outputs = ([tensors[id(tensor)] for tensor in ends] for ends in (graph.inputs, graph.outputs))
    return keras.Model(_alone(inputs), _alone(outputs), name=source.name)


def _alone(items: list) -> Any:
    return items[0] if len(items) == 1 else items


def _input_name(tensor: Any) -> str:
    return tensor._keras_history.operation.name


def _call(
    node: Any, tensors: dict[int, Any], layers: dict[int, Any], lacking: dict[int, str], problems: list[str]
) -> None:
    """Calls a node's counterpart on the counterparts of its inputs; takes down why not if there is none."""
    operation = node.operation
    if id(operation) not in layers:
        layers[id(operation)] = _counterpart(operation, problems)
    layer = layers[id(operation)]
    kerasish = keras3().KerasTensor
    arguments = dict(node.arguments.kwargs)
    if id(arguments.get("mask")) in lacking:
        del arguments["mask"]
    needed = [t for t in keras3().tree.flatten((node.arguments.args, arguments)) if isinstance(t, kerasish)]
    if layer is None and not isinstance(operation, keras3().layers.Layer):
        lacking |= {id(t): f"{operation.name} (the operation {type(operation).__name__})" for t in node.output_tensors}
        return
    problems += [lacking[id(tensor)] for tensor in needed if id(tensor) in lacking]
    if layer is None or any(id(tensor) not in tensors for tensor in needed):
        return  # that is a consequence of a problem that is known already

    def known(value: Any) -> Any:
        return tensors[id(value)] if isinstance(value, kerasish) else value

    args, kwargs = keras3().tree.map_structure(known, (node.arguments.args, arguments))
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    fresh = isinstance(layer, keras.layers.Layer) and not layer.built
    outputs = layer(*args, **kwargs)
    if fresh and isinstance(layer, keras.layers.Layer):
        _take_weights(operation, layer, problems)
    for old, new in zip(node.output_tensors, tf.nest.flatten(outputs), strict=True):
        tensors[id(old)] = new


def _counterpart(operation: Any, problems: list[str]) -> Any:
    kind = type(operation).__name__
    if hasattr(operation, "_functional") or hasattr(operation, "_nodes_by_depth"):
        return _rebuilt(operation, problems)
    if not isinstance(operation, keras3().layers.Layer):
        return OPERATIONS.get(kind)
    try:
        config = _config(type(operation), operation.get_config(), keras.layers)
        layer = getattr(keras.layers, kind)
        return layer(**config) if kind in WITHOUT_SHAPES else rebuilt(operation, kind=layer, config=config)
    except _NoCounterpart as error:
        problems.append(f"{operation.name} ({kind}: {error})")
    except AttributeError:
        problems.append(f"{operation.name} ({kind})")
    except (TypeError, ValueError) as error:
        problems.append(f"{operation.name} ({kind}: {one_line(error)})")
    return None


class _NoCounterpart(Exception):
    """A part of a layer's configuration that tf_keras does not have."""


def _config(source: type, config: dict[str, Any], home: Any) -> dict[str, Any]:
    """Returns a configuration with the settings that tf_keras has; one more is a problem unless at its default."""
    target = getattr(home, source.__name__)
    taken = _parameters(target) | {"name", "trainable", "dtype"}
    defaults = {
        name: parameter.default
        for base in source.__mro__
        for name, parameter in inspect.signature(base.__init__).parameters.items()
    }
    kept = {}
    for name, value in config.items():
        if name in taken:
            kept[name] = _translated(value)
        elif value != defaults.get(name) and value not in (None, False):
            raise _NoCounterpart(f"{name}={value}")
    return kept


def _parameters(target: Any) -> set[str]:
    names: set[str] = set()
    for base in target.__mro__:
        if base is not object and "__init__" in vars(base):
            names |= set(inspect.signature(base.__init__).parameters)
    return (names | BY_KEYWORD if "return_sequences" in names else names) - {"self", "args", "kwargs"}


def _translated(value: Any) -> Any:
    """Translates a setting: a policy to its name, a part of a layer to tf_keras' own, lists one by one."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_translated, value))
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    name, config = value["class_name"], value.get("config")
    if name == "DTypePolicy":
        return config["name"]
    for part in PARTS:
        ours, theirs = getattr(getattr(keras, part), name, None), getattr(getattr(keras3(), part), name, None)
        if isinstance(ours, type) and isinstance(theirs, type):
            return {"class_name": name, "config": _config(theirs, config, getattr(keras, part))} | (
                {"module": f"keras.{part}", "registered_name": None}
            )
    raise _NoCounterpart(name)


def _take_weights(source: Any, layer: keras.layers.Layer, problems: list[str]) -> None:
    if isinstance(layer, keras.Model):
        return  # its layers have theirs
    values = source.get_weights()
    wanted = layer.get_weights()
    if isinstance(layer, keras.layers.Normalization):
        wanted = wanted[:2]  # mean and variance; tf_keras counts too what they were taken from
        values = [*values[:2], *layer.get_weights()[2:]]
    if [value.shape for value in values[: len(wanted)]] != [value.shape for value in wanted]:
        problems.append(
            f"{source.name} ({type(source).__name__}: weights of {[v.shape for v in values]} instead of "
            f"{[v.shape for v in wanted]})"
        )
        return
    layer.set_weights(values)
    layer.trainable = source.trainable


def _check_answers(source: Any, model: keras.Model, path: object) -> None:
    inputs = [_examples(tensor, model) for tensor in model.inputs]
    expected = tf.nest.flatten(source(_alone(inputs), training=False))
    answers = tf.nest.flatten(model(_alone(inputs), training=False))
    for own, other in zip(expected, answers, strict=True):
        own, other = np.asarray(own, np.float64), np.asarray(other, np.float64)
        difference = float(np.max(np.abs(own - other))) if own.size else 0.0
        if not difference <= TOLERANCE * max(1.0, float(np.max(np.abs(own)))):
            raise ModelError(f"{path}: as a tf_keras model it answers otherwise than in Keras 3, by {difference:.2g}")


def _examples(tensor: Any, model: keras.Model) -> np.ndarray:
    random = np.random.default_rng(0)
    shape = (COMPARED, *(side or 8 for side in tensor.shape[1:]))
    sizes = [layer.input_dim for layer in model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    if sizes or not tf.as_dtype(tensor.dtype).is_floating:
        return random.integers(0, min([*sizes, 256]), shape).astype(tensor.dtype.name)
    return random.normal(size=shape).astype(tensor.dtype.name)
