"""What a person's own code remembers in a model beside what Keras does."""

from __future__ import annotations

import functools
import inspect
import numbers
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfprune.utils.errors import ModelError

WHEN_USED = (  # attributes that Keras sets in a model when it is compiled, trained or called
    *("_compile_config", "_compiled_trainable_state", "_eval_epoch_iterator", "_jax_state", "_jax_state_synced"),
    *("_pss_evaluation_shards", "history", "loss", "optimizer", "stop_evaluating", "stop_predicting", "stop_training"),
)


def carry_attributes(library: Any, old: Any, new: Any, made: Mapping[int, Any]) -> None:
    """Gives what became of a model of a person's own class the attributes that it has beside those of Keras.

    Plain ones, and layers and lists of them: what became of these.

    Args:
        library: `tf_keras` or `keras`.
        old: the model.
        new: what was made of its inputs and outputs, or of its configuration; these may not tell all.
        made: id of a layer -> what became of it.

    Raises:
        ModelError: nothing became of a layer, such as a teacher that the model's own loss asks.
    """
    if type(old).__module__.partition(".")[0] == library.__name__.partition(".")[0]:
        return
    for key, value in _attributes(old).items():
        if key in _attributes_of_keras(library) or key.startswith("_tfprune"):
            continue
        if inspect.isroutine(value) and hasattr(type(old), key):  # in the place of a method
            continue
        layers = [own for own in _leaves(value) if isinstance(own, library.layers.Layer)]
        if layers and key not in _attributes(new) and type(new) is type(old):
            missing = [own for own in layers if id(own) not in made]
            if any(own.weights and id(own) not in _led_to(old) for own in missing):
                raise ModelError(
                    f"attribute {key} of model {old.name} has layers that its inputs and outputs do not lead to, and a "
                    "copy would have none: let its loss or a callback hold them, or zero weights with in_place=True"
                )
            if not missing and all(id(own) in made or _is_plain(library, own) for own in _leaves(value)):
                setattr(new, key, _unwrapped(value, made))
        elif _is_plain(library, value) and not (key in vars(new) and _same(vars(new)[key], value)):
            setattr(new, key, _unwrapped(value, {}))


def _led_to(model: Any) -> set[int]:
    """Returns the ids of the layers between a model's inputs and outputs, and of those in them."""
    graph = getattr(model, "_functional", None) or model
    nodes = [node for several in graph._nodes_by_depth.values() for node in several]
    layers = [node.operation if hasattr(node, "operation") else node.layer for node in nodes]
    return {id(own) for layer in layers if hasattr(layer, "_flatten_layers") for own in layer._flatten_layers()}


@functools.cache
def _attributes_of_keras(library: Any) -> frozenset[str]:
    """Returns the names of the attributes that Keras sets itself in models."""
    tensor = library.Input((1,), name="input")
    models = library.Model(tensor, tensor, name="model"), library.Sequential(name="sequential")
    return frozenset(WHEN_USED).union(*map(_attributes, models))


def _attributes(model: Any) -> dict[str, Any]:
    """Returns name -> attribute of a model; PyTorch keeps layers apart from the others."""
    return vars(model) | vars(model).get("_modules", {})


def _leaves(value: Any) -> Iterator[Any]:
    """Yields what is in a container and in those within it; a value that is none, itself."""
    if isinstance(value, (tuple, list, dict)):
        for own in value.values() if isinstance(value, dict) else value:
            yield from _leaves(own)
    else:
        yield value


def _is_plain(library: Any, value: Any) -> bool:
    """Returns whether a value is a number, text, an array, nothing, a function or loss of Keras, or some of these."""
    if isinstance(value, (tuple, list, dict)):
        return all(_is_plain(library, own) for own in _leaves(value))
    if inspect.isroutine(value):
        return isinstance(getattr(value, "__self__", None), types.ModuleType | None)  # no method of an object
    kinds = numbers.Number, np.generic, np.ndarray, np.ufunc, str, bytes, library.losses.Loss
    return value is None or isinstance(value, kinds)


def _same(one: Any, other: Any) -> bool:
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def _unwrapped(value: Any, made: Mapping[int, Any]) -> Any:
    """Returns a value with new containers, without what Keras wraps those in that models have, and with what became of
    layers in their place."""
    if isinstance(value, dict):
        return {key: _unwrapped(own, made) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        values = [_unwrapped(own, made) for own in value]
        if hasattr(value, "_fields"):  # a named tuple
            return value._replace(**dict(zip(value._fields, values, strict=True)))
        return values if isinstance(value, list) else tuple(values)
    return made.get(id(value), value)
