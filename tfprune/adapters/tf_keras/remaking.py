"""Layers made again from their settings, functions of a person's own among them."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from tfprune.adapters.backend import keras
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.tf_keras.layers import has_graph


def cloned(model: keras.Model) -> keras.Model:
    """Returns a functional or sequential model made again, with initial weights of its own.

    A functional model of a person's own class becomes one of Keras'.
    """
    return keras.models.clone_model(model, clone_function=_again)


def _again(layer: keras.layers.Layer) -> keras.layers.Layer:
    if has_graph(layer) and type(layer).__module__.partition(".")[0] == "tf_keras":
        return cloned(layer)
    if type(layer).__name__ in ("Lambda", "TFOpLambda", "SlicingOpLambda"):  # which store their functions
        return rebuilt(layer)
    config, functions = settings_of(layer)
    return rebuilt(layer, config=config | functions) if functions else rebuilt(layer)


def settings_of(layer: keras.layers.Layer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of a layer, and those that are functions, which Keras need not know how to store."""
    functions = functions_of(layer)
    twin = copy.copy(layer)
    owners = [twin]
    if isinstance(getattr(layer, "cell", None), keras.layers.Layer):  # through which a recurrent layer has them
        functions |= functions_of(layer.cell)
        vars(twin)["cell"] = copy.copy(layer.cell)
        owners.append(twin.cell)
    for owner in owners:
        vars(owner).update(dict.fromkeys(functions.keys() & vars(owner).keys(), keras.activations.linear))
    config = copy.deepcopy(twin.get_config())
    return config, {key: own for key, own in functions.items() if key in config}


def functions_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns name -> a function that a layer was given, Keras' own ones aside."""
    return {
        key: own
        for key, own in vars(layer).items()
        if callable(own)
        and not isinstance(own, type)
        and not inspect.ismethod(own)
        and not hasattr(own, "get_config")
        and not key.startswith("_")
        and str(getattr(own, "__module__", "")).partition(".")[0] != "tf_keras"
    }
