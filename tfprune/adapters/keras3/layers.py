"""The layers of a model, those of nested models included, and their kernels."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Collection, Hashable, Iterator
from typing import Any

from tfprune.adapters.backend import keras3_functional
from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.kernel_names import KernelNames, few
from tfprune.adapters.layer_traits import traits_of

log = logging.getLogger(__name__)

LOW_RANK = "lora_"  # begins the names of what `enable_lora` adds to a layer


def has_graph(model: keras.layers.Layer) -> bool:
    """Returns whether a layer is a functional or sequential model, which can be rebuilt layer by layer."""
    return isinstance(model, (keras.Sequential, keras3_functional.Functional))


def graph_of(model: keras.Model) -> Any:
    """Returns what has the graph of a model: a sequential one holds it in another."""
    return getattr(model, "_functional", None) or model


class Keras3Names(KernelNames):
    """The weights of models of Keras 3 and their names, see `adapters.kernel_names`."""

    def key(self, variable: keras.Variable) -> Hashable:
        return id(variable)

    def has_graph(self, model: Any) -> bool:
        return has_graph(model)

    def kernels(self, layer: keras.layers.Layer) -> dict[str, keras.Variable]:
        """Returns the kernels of a layer itself; the integers that a quantized layer holds instead are none."""
        found = {}
        for name in traits_of(layer).kernels:
            # Behind a property where the layer can be given low-rank updates or be quantized.
            values = (vars(layer).get(f"_{name}"), getattr(layer, name, None))
            kernel = next((own for own in values if isinstance(own, keras.Variable) and self.is_float(own)), None)
            if kernel is not None:
                found[name] = kernel
        return found

    def kernels_of_integers(self, layer: keras.layers.Layer) -> list[keras.Variable]:
        """Returns the kernels of a quantized layer whose numbers are one weight each, as those of 8 bits are."""
        if getattr(layer, "quantization_mode", None) != "int8":
            return []
        values = (vars(layer).get(f"_{name}") for name in traits_of(layer).kernels)
        return [own for own in values if isinstance(own, keras.Variable) and not self.is_float(own)]

    def own_weights(self, layer: keras.layers.Layer) -> list[keras.Variable]:
        return [*layer._trainable_variables, *layer._non_trainable_variables]

    def is_float(self, variable: keras.Variable) -> bool:
        kind = keras.backend.standardize_dtype(variable.dtype)
        return "float" in kind and "float8" not in kind

    def report_unprunable(self, model: Any, include: Collection[str] = ()) -> list[str]:
        """Names what is not pruned, as others do, quantized layers, and kernels whose zeros Keras fills as it saves."""
        found = super().report_unprunable(model, include)
        quantized = [own for own in model._flatten_layers() if getattr(own, "quantization_mode", None)]
        if quantized := [own.name for own in quantized if traits_of(own).kernels and not self.kernels(own)]:
            log.warning(
                "not pruned, as they are quantized: %s; prune the model before that, the zeros stay", few(quantized)
            )
        layers = [own for own in model._flatten_layers() if getattr(own, "lora_enabled", False)]
        if layers:
            log.warning(
                "kernels with low-rank updates (LoRA) are pruned without these, and saved as the sum of both, which "
                "has no zeros: %s; save the model with its updates, load it and prune that",
                few([own.name for own in layers]),
            )
        return found

    def _is_auxiliary(self, owner: Any, attribute: str) -> bool:
        return super()._is_auxiliary(owner, attribute) or attribute.startswith(LOW_RANK)


NAMES = Keras3Names()


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields every layer once, those of nested models in the place of the models; subclassed ones are leaves."""
    yield from {id(leaf): leaf for _, leaf in NAMES.leaves_with_paths(model)}.values()


def carry_state(old: keras.layers.Layer, new: keras.layers.Layer, *, weights_only: bool = False) -> None:
    """Gives a layer that was made from another's configuration all that the other knows.

    Weights, vocabularies of lookups, what a normalization has adapted to, the states of recurrent layers and, unless
    `weights_only`, of what draws at random.
    """
    known = (old.weights, new.weights) if weights_only else (old.variables, new.variables)
    for theirs, own in zip(*known, strict=True):
        own.assign(
            keras.ops.copy(keras.ops.cast(theirs.value, own.dtype))
        )  # JAX's steps take the memory of what they get
    carry_assets(old, new)


def carry_assets(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Gives a layer what another one knows beside its variables.

    A vocabulary, what it has adapted to, or the states that a stateful recurrent layer of its size has come to.
    """
    if hasattr(new, "load_assets") and hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
    elif hasattr(new, "finalize_state"):
        new.finalize_state()
    for theirs, own in zip(_states_of(old), _states_of(new), strict=False):
        if theirs.shape == own.shape:
            own.assign(keras.ops.copy(keras.ops.cast(theirs.value, own.dtype)))


def _states_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the states that a layer and those in it go on with in the next batch, which Keras lists nowhere."""
    stateful = [own for own in layer._flatten_layers() if getattr(own, "stateful", False)]
    states = keras.tree.flatten([getattr(own, "states", None) for own in stateful])
    return [own for own in states if isinstance(own, keras.Variable)]


@contextlib.contextmanager
def not_compiled(model: keras.Model) -> Iterator[None]:
    """Lets Keras clone a model without what it is compiled with: losses in memory may have no configuration."""
    compiled = [own for own in model._flatten_layers() if isinstance(own, keras.Model) and own.compiled]
    for own in compiled:
        vars(own)["compiled"] = False  # past Keras' tracking
    try:
        yield
    finally:
        for own in compiled:
            vars(own)["compiled"] = True
