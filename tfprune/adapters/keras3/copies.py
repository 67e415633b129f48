"""Copies of models of Keras 3."""

from __future__ import annotations

import random
from typing import Any

from tfprune.adapters.attributes import carry_attributes
from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.layers import NAMES, carry_state, has_graph, leaf_layers, not_compiled
from tfprune.adapters.rebuilding import check_config, check_copied, name_alike, paired_layers, rebuilt
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line


def check_model(model: Any, *, copied: bool = True) -> None:
    """Raises `ModelError` if a model is none of Keras 3, has no weights yet or, to be copied, is subclassed."""
    if not isinstance(model, keras.Model):
        raise ModelError(f"a Keras model is needed, got {type(model).__module__}.{type(model).__name__}")
    NAMES.check_ready(model, copied=copied)


def uncompiled_copy_of(model: keras.Model) -> keras.Model:
    """Returns a copy of a model, of the same class where that can be made, with all that its layers know; not compiled.

    Raises:
        ModelError: it cannot be copied.
    """
    backends.sync(model)
    drawn = random.getstate()  # by which Keras seeds the initializers of new layers, and shuffles a `PyDataset`
    try:
        with backends.scope(model):
            copy = cloned(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = one_line(error)
        raise ModelError(
            f"model {model.name} cannot be copied ({reason}); take it as it is with in_place=True"
        ) from None
    finally:
        random.setstate(drawn)
    return copy


def cloned(model: keras.Model) -> keras.Model:
    """Returns a model of the same configuration with the state of another one."""
    copy = remade(model)
    layers = paired_layers(model, copy)
    for old, new in zip(leaf_layers(model), leaf_layers(copy), strict=True):
        check_copied(old, new)
    made = {id(old): new for old, new in layers}
    for old, new in layers:
        new.trainable = old.trainable
    for old, new in layers:
        if not isinstance(new, keras.Model):
            carry_state(old, new)
        elif has_graph(new):
            carry_attributes(keras, old, new, made)
    for theirs, own in zip(model.variables, copy.variables, strict=True):  # those of the models themselves too
        own.assign(keras.ops.copy(theirs.value))
        if hasattr(theirs, "regularizer"):  # which counts, whatever the layer's settings say
            own.regularizer = theirs.regularizer
        if own.trainable != theirs.trainable:  # a kernel that is frozen under low-rank updates
            own.trainable = theirs.trainable
    return copy


def _check_layers(model: keras.Model) -> None:
    """Raises `NotImplementedError` if a layer that Keras would clone has settings which it does not tell."""
    for layer in model.layers:
        if has_graph(layer):
            _check_layers(layer)
        else:
            check_config(layer, layer.get_config())


def remade(model: keras.Model) -> keras.Model:
    """Returns a model of the same configuration with initial weights of its own, not compiled."""
    _check_layers(model)
    with not_compiled(model):
        copy = keras.models.clone_model(model)
    if type(copy) is not type(model):  # Keras clones a functional model of a user's own class as one of its own
        copy = rebuilt(model)
    if not copy.built:
        copy.build(model.input_shape)
    name_alike(model, copy)
    copy.dtype_policy = model.dtype_policy  # Keras gives models that it clones the one of now
    return copy
