"""What tf_keras stores of a model as Keras 3 takes it: without settings that say nothing, and nodes counted its way."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from typing import Any

from tfprune.adapters.backend import keras, keras3
from tfprune.utils.errors import ModelError

SAYS_NOTHING = {  # settings of no effect on what a layer answers: how it computes, draws, and which shape it expects
    *("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint", "implementation", "input_length"),
    *("rng_type", "experimental_compute_type", "experimental_autocast"),
}
OF_ANY = {"name", "trainable", "dtype", "dynamic", "batch_input_shape", "activity_regularizer"}
STORED = {
    "query_shape",
    "key_shape",
    "value_shape",
    "zero_output_for_mask",
    "vocabulary_size",
}  # what Keras 3 stores and does not name
FINDS_ITSELF = ("MultiHeadAttention", "StringLookup", "IntegerLookup")  # shapes and sizes, which tf_keras stores
RENAMED = {("LeakyReLU", "alpha"): "negative_slope"}
FUNCTIONAL = ("Functional", "Model", "Sequential")
REMEDY = "use the format savedmodel, which holds the graph alone"


def without_unknown(config: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Returns a model's configuration without the settings that Keras 3 lacks, where they say nothing.

    tf_keras makes the same model of both.

    Args:
        config: of the model, as `to_json` and HDF5 files have it.
        problems: gets a text on each part that Keras 3 has no counterpart of.
    """
    config = copy.deepcopy(config)
    for part in _objects(config):
        ours = getattr(keras.layers, part["class_name"], None)
        if not isinstance(part.get("config"), dict) or not isinstance(ours, type) or issubclass(ours, keras.Model):
            if part["class_name"].endswith("OpLambda"):
                problems.append(f"{part['config'].get('function', part['class_name'])} outside of a layer")
            continue
        theirs = getattr(keras3().layers, part["class_name"], None)
        label = f"{part['class_name']} {part['config'].get('name')!r}"
        if theirs is None:
            problems.append(label)
            continue
        known, defaults = _parameters(theirs) | OF_ANY | STORED, _defaults(ours)
        if "hard_sigmoid" in part["config"].values():
            problems.append(f"{label} with the hard_sigmoid of tf_keras")
        for key in [key for key in part["config"] if key not in known]:
            value = part["config"].pop(key)
            renamed = (part["class_name"], key) in RENAMED
            if renamed or (key not in SAYS_NOTHING and value != defaults.get(key) and value is not None):
                part["config"][key] = value
                if not renamed:
                    problems.append(f"{label} with {key}={value}")
    return config


def translated(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration as only Keras 3 reads it: some settings have its names, and nested functional models
    count their calls from 0, where tf_keras counts from 1.
    """
    config = copy.deepcopy(config)
    for part in _objects(config):
        for (kind, old), new in RENAMED.items():
            if part["class_name"] == kind and old in part["config"]:
                part["config"][new] = part["config"].pop(old)
        if part["class_name"] in FINDS_ITSELF:
            for key in STORED:
                part["config"].pop(key, None)
        layers = part["config"].get("layers", ()) if isinstance(part.get("config"), dict) else ()
        nested = {layer["config"].get("name") for layer in layers if layer["class_name"] in FUNCTIONAL}
        for layer in layers:
            for reference in _references(layer.get("inbound_nodes", ()), nested):
                reference[1] = max(0, reference[1] - 1)
        for key in ("input_layers", "output_layers"):
            for reference in _references(part["config"].get(key, ()) if layers else (), nested):
                reference[1] = max(0, reference[1] - 1)
    return config


def check(problems: list[str]) -> None:
    """Raises `ModelError` if there are parts that Keras 3 has no counterpart of."""
    if problems:
        raise ModelError(f"Keras 3 has no {', '.join(dict.fromkeys(problems))}; {REMEDY}")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yields all objects of a configuration that have a class, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _references(value: Any, names: set[str | None]) -> Iterator[list[Any]]:
    """Yields references to tensors, `[layer, node, tensor, ...]`, of some layers."""
    if isinstance(value, (list, tuple)):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            if value[0] in names:
                yield value
        else:
            for inner in value:
                yield from _references(inner, names)


def _parameters(kind: type) -> set[str]:
    return {
        name
        for base in kind.__mro__
        if "__init__" in vars(base)
        for name in inspect.signature(base.__init__).parameters
    }


def _defaults(kind: type) -> dict[str, Any]:
    return {
        name: parameter.default
        for base in reversed(kind.__mro__)
        if "__init__" in vars(base)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
    }
