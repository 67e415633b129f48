"""Checks and copies of tf_keras models."""

from __future__ import annotations

import contextlib
from typing import Any

from tfprune.adapters.attributes import carry_attributes
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.compile_arguments import compile_copy, compiled_arguments
from tfprune.adapters.rebuilding import name_alike, paired_layers, rebuilt
from tfprune.adapters.tf_keras.kernel_names import NAMES
from tfprune.adapters.tf_keras.layers import carry_state, has_graph
from tfprune.adapters.tf_keras.optimizers import fresh
from tfprune.adapters.tf_keras.remaking import cloned
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line


def check_model(model: keras.Model, *, copied: bool = True) -> None:
    """Raises `ModelError` if a model is none of tf_keras, has no weights yet or, to be copied, is subclassed."""
    if not isinstance(model, keras.Model):
        kind = type(model)
        if any(own.__module__.partition(".")[0] == "keras" for own in kind.__mro__):
            raise ModelError(
                f"a tf_keras model is needed here, and {model.name} is one of Keras 3; tfprune.prune, train, callbacks "
                "and summary take it"
            )
        raise ModelError(f"a tf_keras model is needed, got {kind.__module__}.{kind.__name__}")
    NAMES.check_ready(model, copied=copied)


def uncompiled_copy_of(model: keras.Model) -> keras.Model:
    """Returns a copy of a model, of the same class, with all that its layers know, and not compiled.

    Raises:
        ModelError: it cannot be copied.
    """
    try:
        with _strategy_scope(model):
            copy = cloned(model)
            if type(copy) is not type(model):
                copy = _of_own_class(model, copy)
        layers = paired_layers(model, copy)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = one_line(error)
        raise ModelError(
            f"model {model.name} cannot be copied ({reason}); take it as it is with in_place=True"
        ) from None
    name_alike(model, copy)
    made = {id(old): new for old, new in layers}
    for old, new in layers:
        new.trainable = old.trainable
    copy.set_weights(model.get_weights())
    for old, new in layers:
        if not isinstance(new, keras.Model):
            carry_state(old, new)
        elif has_graph(new):
            carry_attributes(keras, old, new, made)
    for old, new in [*layers, (model, copy)]:
        if len(old._callable_losses) != len(new._callable_losses):
            raise ModelError(
                f"model {model.name} cannot be copied ({old.name} has losses or regularizers that were added to it or "
                "changed in memory, which its settings do not say); take it as it is with in_place=True"
            )
    return copy


def _strategy_scope(model: keras.Model) -> Any:
    """Returns the scope of a model's distribution strategy, unless it is entered already: a copy is trained alike."""
    strategy = model.distribute_strategy
    return contextlib.nullcontext() if strategy is tf.distribute.get_strategy() else strategy.scope()


def _of_own_class(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Returns a copy of a functional model of a person's own class, given one of Keras'."""
    try:
        return rebuilt(model)
    except (NotImplementedError, TypeError, ValueError):  # its layers cannot be made from a configuration alone
        return type(model)(inputs=copy.inputs, outputs=copy.outputs, name=model.name)


def compile_alike(copy: keras.Model, model: keras.Model) -> None:
    """Compiles a model as another one is, with metrics and an optimizer of its own that has made no step."""
    with _strategy_scope(copy):
        compile_copy(keras, copy, compiled_arguments(model) | {"optimizer": fresh(model.optimizer)})
