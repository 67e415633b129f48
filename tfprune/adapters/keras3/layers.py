"""The layers of a model, those of nested models included, and their kernels."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from tfprune.adapters.backend import keras3_functional
from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.kernel_names import Kernel, name_kernels
from tfprune.adapters.layer_traits import traits_of


def has_graph(model: keras.layers.Layer) -> bool:
    """Returns whether a layer is a functional or sequential model, which can be rebuilt layer by layer."""
    return isinstance(model, (keras.Sequential, keras3_functional.Functional))


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields every layer once, those of nested models in the place of the models; subclassed ones are leaves."""
    seen: set[int] = set()
    for _, leaf in leaves_with_paths(model):
        if id(leaf) not in seen:
            seen.add(id(leaf))
            yield leaf


def leaves_with_paths(model: keras.layers.Layer, path: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields the leaf layers of a model, and the models that they are in (`"encoder/block/"`)."""
    if not has_graph(model) and not isinstance(model, keras.Model):
        return
    for layer in model.layers:
        if has_graph(layer):
            yield from leaves_with_paths(layer, f"{path}{layer.name}/")
        else:
            yield path, layer


def own_kernels(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """Returns the kernels of a layer itself by the names of its attributes.

    They are variables of numbers that can be fractions: those that a quantized layer holds instead are none.
    """
    found = {}
    for name in traits_of(layer).kernels:
        # Behind a property where the layer can be given low-rank updates or be quantized.
        variable = next(
            (own for own in (vars(layer).get(f"_{name}"), getattr(layer, name, None)) if _is_kernel(own)), None
        )
        if variable is not None:
            found[name] = variable
    return found


def _is_kernel(value: Any) -> bool:
    return isinstance(value, keras.Variable) and "float" in str(value.dtype) and "float8" not in str(value.dtype)


def every_kernel(layer: keras.layers.Layer, path: str) -> Iterator[tuple[str, keras.Variable]]:
    """Yields the kernels of a layer and of all layers inside of it, of one name or not."""
    yield from ((f"{path}/{name}", kernel) for name, kernel in own_kernels(layer).items())
    for child in layer._flatten_layers(recursive=False, include_self=False):
        name = "cell" if child is getattr(layer, "cell", None) else child.name  # a cell's own name is counted up
        yield from every_kernel(child, f"{path}/{name}")


def kernels_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the kernels of a layer and of all layers inside of it, each once."""
    return list({id(kernel): kernel for _, kernel in every_kernel(layer, layer.name)}.values())


def named_kernels(model: keras.Model) -> list[Kernel]:
    """Returns all prunable kernels of a model, each once, in the order of the layers, see `name_kernels`."""
    found = (
        (id(variable), name, path, variable)
        for path, leaf in leaves_with_paths(model)
        for name, variable in every_kernel(leaf, leaf.name)
    )
    return name_kernels(found, {id(variable) for variable in model.trainable_variables})


def carry_state(old: keras.layers.Layer, new: keras.layers.Layer, *, weights_only: bool = False) -> None:
    """Gives a layer that was made from another's configuration all that the other knows.

    Weights, vocabularies of lookups, what a normalization has adapted to and, unless `weights_only`, the states of what
    draws at random.
    """
    known = (old.weights, new.weights) if weights_only else (old.variables, new.variables)
    for theirs, own in zip(*known, strict=True):
        own.assign(
            keras.ops.copy(keras.ops.cast(theirs.value, own.dtype))
        )  # JAX's steps take the memory of what they get
    if hasattr(new, "load_assets") and hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
    elif hasattr(new, "finalize_state"):
        new.finalize_state()
