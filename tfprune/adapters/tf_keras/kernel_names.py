"""Kernels and their names, and which of them are pruned."""

from __future__ import annotations

import collections
import dataclasses
import difflib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.layers import has_graph, is_known, kernel_attributes
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.utils.errors import ModelError, choose_from

_AUXILIARY = ("bias", "alpha", "gamma", "beta")  # weights of Keras' layers beside their kernels
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

    @property
    def attribute(self) -> str:
        """Last part of the name: what the layer calls the weight."""
        return self.name.rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class OtherWeight(Kernel):
    """A weight that could be pruned, and is not unless it is included by name.

    Attributes:
        kind: class of the layer that holds it.
        auxiliary: whether it is a bias or a scale of one of Keras' layers.
    """

    kind: str
    auxiliary: bool


def named_kernels(model: keras.layers.Layer, include: Collection[str] = ()) -> list[Kernel]:
    """Returns all prunable kernels of a model, each once, in the order of the layers.

    A kernel is called after its layer: `"dense_1/kernel"`, `"lstm/cell/kernel"`. Where layers in different models of a
    model have one name, theirs are the paths through these: `"encoder/dense_1/kernel"`; where layers inside of one
    layer have, they are counted up.

    Args:
        model: any model.
        include: names of other weights, or of layers that have some, to be pruned like kernels, see `other_weights`.

    Raises:
        ModelError: `include` names none of them.
    """
    kernels = [own for own, _ in _named(_every_kernel_of(model), ())]
    if not include:
        return kernels
    include = [include] if isinstance(include, str) else include
    included = _included(include, kernels, other_weights(model))
    order = {variable._unique_id: place for place, (_, _, variable, _) in enumerate(_every_weight_of(model))}
    return sorted([*kernels, *included], key=lambda own: order[own.variable._unique_id])


def other_weights(model: keras.layers.Layer) -> list[OtherWeight]:
    """Returns the trained weights of a model that have two axes or more and are no known kernels, in their order.

    They stay dense unless they are included by name. The name is that of the layer and of the attribute:
    `"embeddings/weight"`; as with kernels, paths and numbers tell those of one name apart.
    """
    kernels = named_kernels(model)
    known = {kernel.variable._unique_id for kernel in kernels}
    weights = (
        (name, path, variable, owner)
        for name, path, variable, owner in _every_weight_of(model)
        if variable._unique_id not in known
        and len(variable.shape) > 1
        and variable.trainable
        and variable.dtype.is_floating
    )
    return [
        OtherWeight(own.name, own.path, own.variable, type(owner).__name__, _is_auxiliary(owner, own.attribute))
        for own, owner in _named(weights, [kernel.name for kernel in kernels])
    ]


def _named(
    weights: Iterable[tuple[str, str, tf.Variable, Any]], taken: Collection[str]
) -> list[tuple[Kernel, keras.layers.Layer]]:
    """Gives each weight, by its short name or its path, a name that no other has; returns them with their owners."""
    found: dict[Any, tuple[str, str, tf.Variable, Any]] = {}  # what a variable is known by -> the first of its places
    for weight in weights:
        found.setdefault(weight[2]._unique_id, weight)
    short = collections.Counter([*taken, *(name for name, *_ in found.values())])
    names = {*taken, *(name for name, count in short.items() if count == 1)}
    named = []
    for name, path, variable, owner in found.values():
        chosen = name if short[name] == 1 else free_name(path, names)
        names.add(chosen)
        named.append((Kernel(chosen, path.rpartition("/")[0], variable), owner))
    return named


def _every_kernel_of(model: keras.layers.Layer) -> Iterator[tuple[str, str, tf.Variable, Any]]:
    for path, leaf in leaves_with_paths(model):
        for name, variable in every_kernel(leaf, leaf.name):
            yield name, f"{path}{name}", variable, leaf


def _every_weight_of(model: keras.layers.Layer, path: str = "") -> Iterator[tuple[str, str, tf.Variable, Any]]:
    """Yields all weights of a model: short name, path, variable, and the layer that holds it."""
    for layer in model.layers:
        inner = layer.layer if isinstance(layer, Masked) else layer
        if has_graph(inner):
            yield from _every_weight_of(inner, f"{path}{inner.name}/")
        else:
            seen = set()
            for name, variable, owner in _weights_below(inner, inner.name):
                seen.add(variable._unique_id)
                yield name, f"{path}{name}", variable, owner
            for variable in variables_of(inner.weights):  # what is in no layer, as in a `tf.Module`
                if variable._unique_id not in seen:
                    name = f"{inner.name}/{_last_part(variable)}"
                    yield name, f"{path}{name}", variable, inner
    for name, variable in _held_by(model):
        yield f"{model.name}/{name}", f"{path or f'{model.name}/'}{name}", variable, model


def _weights_below(layer: keras.layers.Layer, path: str) -> Iterator[tuple[str, tf.Variable, keras.layers.Layer]]:
    """Yields the weights of a layer and of all layers inside of it, and by which they are held."""
    for name, variable in _held_by(layer):
        yield f"{path}/{name}", variable, layer
    for name, child in _children(layer):
        yield from _weights_below(child, f"{path}/{name}")


def _held_by(layer: keras.layers.Layer) -> Iterator[tuple[str, tf.Variable]]:
    """Yields the weights that a layer holds itself, by the attributes that they are in."""
    for variable in own_weights(layer):
        named = (name for name, value in vars(layer).items() if value is variable)
        listed = (
            f"{name}_{place}"
            for name, value in vars(layer).items()
            if not name.startswith("_") and isinstance(value, (list, tuple))
            for place, item in enumerate(value)
            if item is variable
        )
        yield next(itertools.chain(named, listed), _last_part(variable)), variable


def own_weights(layer: keras.layers.Layer) -> list[tf.Variable]:
    """Returns the weights that a layer holds itself, without those of layers inside of it."""
    return variables_of([*layer._trainable_weights, *layer._non_trainable_weights])


def variables_of(weights: Iterable[Any]) -> list[tf.Variable]:
    """Returns those of a layer's weights that are variables: a lookup's vocabulary stands among them, and is none."""
    return [weight for weight in weights if hasattr(weight, "_unique_id")]


def _last_part(variable: tf.Variable) -> str:
    return variable.name.rpartition("/")[2].partition(":")[0]


def _is_auxiliary(owner: keras.layers.Layer, attribute: str) -> bool:
    """Returns whether a weight is a bias or a scale of one of Keras' layers, which nobody expects to be pruned."""
    return attribute in _AUXILIARY and is_known(owner)


def _included(include: Collection[str], kernels: Sequence[Kernel], others: Sequence[OtherWeight]) -> list[Kernel]:
    """Returns the weights that names stand for: their own, or those of layers; see `named_kernels`."""
    chosen: dict[str, OtherWeight] = {}
    for name in include:
        exact = [own for own in others if name in (own.name, f"{own.path}/{own.attribute}")]
        below = [own for own in others if _is_below(own, name)]
        matrices = [own for own in below if not own.auxiliary]
        found = exact or matrices or below
        if not found and not any(name == kernel.name or _is_below(kernel, name) for kernel in kernels):
            names = [own.name for own in others]
            near = difflib.get_close_matches(name, [*names, *dict.fromkeys(own.layer for own in others)], 3, 0.4)
            listed = f"did you mean {' or '.join(near)}?" if near else f"there are {few(names)}" if names else "none is"
            raise ModelError(f"include names {name!r}, which is no weight with two axes or more: {listed}")
        chosen |= {own.name: own for own in found}
    return list(chosen.values())


def _is_below(weight: Kernel, name: str) -> bool:
    """Returns whether a name is that of a weight's layer, or of one that this is inside of."""
    inside = any(f"{own}/".startswith(f"{name}/") for own in (weight.layer, weight.path))
    return inside or f"/{weight.path}".endswith(f"/{name}")  # the last: of several models


def few(names: Sequence[str], most: int = 5) -> str:
    """Returns names as text, the first of them where there are more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


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


def models_with_paths(model: keras.layers.Layer, path: str = "") -> Iterator[tuple[str, keras.Model]]:
    """Yields a model and those with a graph that are in it, and the paths to them (`"encoder/"`)."""
    yield path, model
    for layer in model.layers:
        if has_graph(layer):
            yield from models_with_paths(layer, f"{path}{layer.name}/")


def every_kernel(layer: keras.layers.Layer, path: str) -> Iterator[tuple[str, tf.Variable]]:
    """Yields the kernels of a layer and of all layers inside of it, of one name or not."""
    for name in kernel_attributes(layer):
        if (kernel := getattr(layer, name, None)) is not None:
            yield f"{path}/{name}", kernel
    for name, child in _children(layer):
        yield from every_kernel(child, f"{path}/{name}")


def _children(layer: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    for child in layer._flatten_layers(recursive=False, include_self=False):
        yield "cell" if child is getattr(layer, "cell", None) else child.name, child  # a cell's own name is counted up


def free_name(name: str, taken: Collection[str]) -> str:
    """Returns a kernel's name or, if it is taken, its layer's counted up."""
    layer, _, attribute = name.rpartition("/")
    numbered = (f"{layer}_{number}/{attribute}" for number in itertools.count(1))
    return name if name not in taken else next(own for own in numbered if own not in taken)


def prunable_names(model: keras.Model, exclude: Collection[str] = (), include: Collection[str] = ()) -> list[str]:
    """Returns the names of the layers that have kernels and are not excluded.

    Args:
        model: any model.
        exclude: names of layers; `first` and `last` stand for the first and the last one with kernels, `frozen` for all
            that are not trained.
        include: names of other weights, or of layers that have some, see `named_kernels`.

    Raises:
        ModelError: none is left, or `exclude` names a layer that is not there or has no kernel, or `include` a weight.
    """
    kernels = named_kernels(model, include)
    names = list(dict.fromkeys(kernel.layer for kernel in kernels))
    exclude = [exclude] if isinstance(exclude, str) else exclude
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
