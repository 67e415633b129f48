"""Layers made again from their settings, functions of a person's own among them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from tfprune.adapters.backend import keras
from tfprune.adapters.rebuilding import functions_of, rebuilt, rebuilt_by_names
from tfprune.adapters.tf_keras.layers import has_graph


def cloned(model: keras.Model, changed: Callable[[Any], Any] = lambda settings: settings) -> keras.Model:
    """Returns a functional or sequential model made again, with initial weights of its own.

    A functional model of a person's own class becomes one of Keras'.

    Args:
        model: what is made again.
        changed: from the settings of a layer to those of its copy.
    """

    def again(layer: keras.layers.Layer) -> keras.layers.Layer:
        if has_graph(layer) and type(layer).__module__.partition(".")[0] == "tf_keras":
            return cloned(layer, changed)
        if functions_of(layer) and not hasattr(layer, "function"):  # names of Keras' own may be among them
            config, functions = settings_of(layer)
            return rebuilt_by_names(layer, keras, changed(config) | functions, None)
        try:
            return rebuilt_by_names(layer, keras, changed(layer.get_config()), None)
        except (NotImplementedError, TypeError, ValueError):
            config, functions = settings_of(layer)
            if not functions:
                raise
            return rebuilt(layer, config=changed(config) | functions)  # what Keras cannot store need not be stored

    return keras.models.clone_model(model, clone_function=again)


def settings_of(layer: keras.layers.Layer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of a layer, and those that are functions, which Keras need not know how to store.

    A function counts as a setting if both have one name; others are left to Keras.
    """
    functions = functions_of(layer)
    if isinstance(cell := getattr(layer, "cell", None), keras.layers.Layer):  # through which a recurrent layer has them
        functions |= functions_of(cell)
    settings = _config_without(layer, functions)
    functions = {key: own for key, own in functions.items() if key in settings}
    return _config_without(layer, functions), functions


def _config_without(layer: keras.layers.Layer, functions: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a layer as if it had linear functions."""
    owners = [twin := copy.copy(layer)]
    if isinstance(getattr(layer, "cell", None), keras.layers.Layer):
        owners.append(copy.copy(layer.cell))
        vars(twin)["cell"] = owners[1]
    for owner in owners:
        vars(owner).update(dict.fromkeys(functions.keys() & vars(owner).keys(), keras.activations.linear))
    return copy.deepcopy(twin.get_config())
