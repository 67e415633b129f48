"""The layers of a model, those of nested models included, and which of their attributes are kernels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.layer_traits import known_kind, traits_of


def kernel_attributes(layer: keras.layers.Layer) -> tuple[str, ...]:
    """Returns the names of the attributes of a layer that hold prunable kernels; empty if it has none.

    See `layer_traits.TRAITS`. What is derived from a known layer may not make the kernels that this one has.
    """
    return tuple(name for name in traits_of(layer).kernels if not layer.built or hasattr(layer, name))


def is_known(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is one of `layer_traits.TRAITS`, or derived from one."""
    return known_kind(layer) is not None


def has_graph(model: keras.layers.Layer) -> bool:
    """Returns whether a layer is a functional or sequential model, which can be rebuilt layer by layer."""
    return isinstance(model, keras.Sequential) or (isinstance(model, keras.Model) and model._is_graph_network)


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields every layer once, those of nested models in the place of the models; subclassed ones are leaves."""
    seen: set[int] = set()
    for layer in model.layers:
        for leaf in leaf_layers(layer) if has_graph(layer) else (layer,):
            if id(leaf) not in seen:
                seen.add(id(leaf))
                yield leaf


def carry_state(old: keras.layers.Layer, new: keras.layers.Layer, weights: Sequence[np.ndarray] | None = None) -> None:
    """Gives a layer that was made from another's configuration all that the other knows.

    Weights, vocabularies of lookups, and what a normalization has adapted to.

    Args:
        old: knows it.
        new: learns it.
        weights: what the new one's weights are; by default as the old one's.
    """
    if new.weights:
        new.set_weights(old.get_weights() if weights is None else weights)
    if hasattr(new, "load_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
    elif hasattr(new, "finalize_state"):
        new.finalize_state()
    for theirs, own in zip(old._flatten_layers(), new._flatten_layers(), strict=False):
        _carry_states(theirs, own)


def _carry_states(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Gives a stateful recurrent layer the states that another one of its size has come to."""
    states = tf.nest.flatten(getattr(old, "states", None)) if getattr(old, "stateful", False) else [None]
    if any(state is None for state in states):
        return
    new.reset_states()  # makes them
    for own, state in zip(tf.nest.flatten(new.states), states, strict=True):
        if own.shape == state.shape:
            own.assign(state)
