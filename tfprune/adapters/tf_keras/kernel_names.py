"""Kernels and their names, and which of them are pruned."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.layers import has_graph, kernel_attributes
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.utils.errors import ModelError, choose_from

_PLACES = {"first": 0, "last": -1}
FROZEN = "frozen"  # stands, among excluded layers, for those that are not trained


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A prunable kernel of a model.

    Attributes:
        name: no other kernel of the model has it.
        layer: name of its layer, the same as far as the last `/`.
        path: of the layer, through the models that it is in.
        variable: its values.
    """

    name: str
    path: str
    variable: tf.Variable

    @property
    def layer(self) -> str:
        return self.name.rpartition("/")[0]


def named_kernels(model: keras.layers.Layer) -> list[Kernel]:
    """Returns all prunable kernels of a model, each once, in the order of the layers.

    A kernel is called after its layer: `"dense_1/kernel"`, `"lstm/cell/kernel"`. Where layers in different models of a
    model have one name, theirs are the paths through these: `"encoder/dense_1/kernel"`; where layers inside of one
    layer have, they are counted up.
    """
    found: dict[Any, tuple[str, str, tf.Variable]] = {}  # what a variable is known by -> short name, path, itself
    for path, leaf in leaves_with_paths(model):
        for name, variable in every_kernel(leaf, leaf.name):
            found.setdefault(variable._unique_id, (name, f"{path}{name}", variable))
    short = collections.Counter(name for name, _, _ in found.values())
    taken = {name for name, count in short.items() if count == 1}
    kernels = []
    for name, path, variable in found.values():
        chosen = name if short[name] == 1 else free_name(path, taken)
        taken.add(chosen)
        kernels.append(Kernel(chosen, path.rpartition("/")[0], variable))
    return kernels


def kernels_of(layer: keras.layers.Layer) -> list[tf.Variable]:
    """Returns the kernels of a layer and of all layers inside of it, each once."""
    return list({kernel._unique_id: kernel for _, kernel in every_kernel(layer, layer.name)}.values())


def leaves_with_paths(model: keras.layers.Layer, path: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields the leaf layers of a model, and the models that they are in (`"encoder/block/"`)."""
    for layer in model.layers:
        inner = layer.layer if isinstance(layer, Masked) else layer
        if has_graph(inner):
            yield from leaves_with_paths(inner, f"{path}{inner.name}/")
        else:
            yield path, inner


def every_kernel(layer: keras.layers.Layer, path: str) -> Iterator[tuple[str, tf.Variable]]:
    """Yields the kernels of a layer and of all layers inside of it, of one name or not."""
    for name in kernel_attributes(layer):
        if (kernel := getattr(layer, name, None)) is not None:
            yield f"{path}/{name}", kernel
    for child in layer._flatten_layers(recursive=False, include_self=False):
        name = "cell" if child is getattr(layer, "cell", None) else child.name  # a cell's own name is counted up
        yield from every_kernel(child, f"{path}/{name}")


def free_name(name: str, taken: Collection[str]) -> str:
    """Returns a kernel's name or, if it is taken, its layer's counted up."""
    layer, _, attribute = name.rpartition("/")
    numbered = (f"{layer}_{number}/{attribute}" for number in itertools.count(1))
    return name if name not in taken else next(own for own in numbered if own not in taken)


def prunable_names(model: keras.Model, exclude: Collection[str] = ()) -> list[str]:
    """Returns the names of the layers that have kernels and are not excluded.

    Args:
        model: any model.
        exclude: names of layers; `first` and `last` stand for the first and the last one with kernels, `frozen` for all
            that are not trained.

    Raises:
        ModelError: none is left, or `exclude` names a layer that is not there or has no kernel.
    """
    kernels = named_kernels(model)
    names = list(dict.fromkeys(kernel.layer for kernel in kernels))
    excluded = [own for name in exclude for own in _excluded(model, name, kernels, names)]
    left = [name for name in names if name not in excluded]
    if not left:
        raise ModelError(f"model {model.name} has no layer left to prune")
    return left


def _excluded(model: keras.Model, name: str, kernels: Sequence[Kernel], names: Sequence[str]) -> list[str]:
    """Returns the layers with kernels that a name stands for, see `prunable_names`."""
    inside = [
        kernel.layer
        for kernel in kernels
        if any(f"{own}/".startswith(f"{name}/") for own in (kernel.layer, kernel.path))
    ]
    if inside:
        return inside
    if name == FROZEN:
        trained = {variable._unique_id for variable in model.trainable_variables}
        return [kernel.layer for kernel in kernels if kernel.variable._unique_id not in trained]
    same = [kernel.layer for kernel in kernels if f"/{kernel.path}".endswith(f"/{name}")]  # of several models
    if same:
        return same
    if name in _PLACES and names:
        return [names[_PLACES[name]]]
    raise ModelError(f"exclude names {name!r}, which is no prunable layer: {choose_from(name, names)}")
