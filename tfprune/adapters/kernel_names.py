"""Kernels and their names, and which of them are pruned; the same for both Keras."""

from __future__ import annotations

import abc
import collections
import dataclasses
import difflib
import itertools
import logging
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tfprune.adapters.layer_traits import known_kind, no_macs, traits_of
from tfprune.utils.errors import ModelError, choose_from

log = logging.getLogger(__name__)

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
    variable: Any

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


def few(names: Sequence[str], most: int = 5) -> str:
    """Returns names as text, the first of them where there are more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def variables_of(weights: Iterable[Any]) -> list[Any]:
    """Returns those of a layer's weights that are variables: a lookup's vocabulary stands among them, and is none."""
    return [weight for weight in weights if hasattr(weight, "shape")]


def free_name(name: str, taken: Collection[str]) -> str:
    """Returns a kernel's name or, if it is taken, its layer's counted up."""
    layer, _, attribute = name.rpartition("/")
    numbered = (f"{layer}_{number}/{attribute}" for number in itertools.count(1))
    return name if name not in taken else next(own for own in numbered if own not in taken)


def _is_below(weight: Kernel, name: str) -> bool:
    """Returns whether a name is that of a weight's layer, or of one that this is inside of."""
    inside = any(f"{own}/".startswith(f"{name}/") for own in (weight.layer, weight.path))
    return inside or f"/{weight.path}".endswith(f"/{name}")  # the last: of several models


def _makes_weights(layer: Any) -> bool:
    """Returns whether a layer will have weights; those of Keras that will are in the table."""
    traits = traits_of(layer)
    own = [kind for kind in type(layer).__mro__ if kind.__module__.partition(".")[0] not in ("keras", "tf_keras")]
    in_table = known_kind(layer) is not None and (traits.kernels or traits.macs is not no_macs)
    return bool(in_table) or any("build" in vars(kind) for kind in own)


class KernelNames(abc.ABC):
    """Finds the weights of models of a Keras, and names them."""

    @abc.abstractmethod
    def key(self, variable: Any) -> Hashable:
        """Returns what a variable is known by."""

    @abc.abstractmethod
    def has_graph(self, model: Any) -> bool:
        """Returns whether a layer is a functional or sequential model."""

    @abc.abstractmethod
    def kernels(self, layer: Any) -> Mapping[str, Any]:
        """Returns the kernels that a layer holds itself, by the names of its attributes."""

    @abc.abstractmethod
    def own_weights(self, layer: Any) -> list[Any]:
        """Returns the weights that a layer holds itself, without those of layers inside of it."""

    @abc.abstractmethod
    def is_float(self, variable: Any) -> bool:
        """Returns whether the values of a variable can be fractions."""

    def inner(self, layer: Any) -> Any:
        """Returns a layer without its wrapper."""
        return layer

    def last_part(self, variable: Any) -> str:
        """Returns what a variable calls itself."""
        return variable.name.rpartition("/")[2].partition(":")[0]

    def named_kernels(self, model: Any, include: Collection[str] = ()) -> list[Kernel]:
        """Returns all prunable kernels of a model, each once, in the order of the layers.

        A kernel is called after its layer: `"dense_1/kernel"`, `"lstm/cell/kernel"`. Where layers in different models
        of a model have one name, theirs are the paths through these: `"encoder/dense_1/kernel"`; where layers inside of
        one layer have, they are counted up.

        Args:
            model: any model.
            include: names of other weights, or of layers that have some, to be pruned like kernels, see
                `other_weights`.

        Raises:
            ModelError: `include` names none of them.
        """
        kernels = [own for own, _ in self._named(self._every_kernel_of(model), ())]
        if not include:
            return kernels
        include = [include] if isinstance(include, str) else include
        included = self._included(include, kernels, self.other_weights(model))
        order = {self.key(variable): place for place, (_, _, variable, _) in enumerate(self._every_weight_of(model))}
        return sorted([*kernels, *included], key=lambda own: order[self.key(own.variable)])

    def other_weights(self, model: Any) -> list[OtherWeight]:
        """Returns the trained weights of a model that have two axes or more and are no known kernels, in their order.

        They stay dense unless they are included by name. The name is that of the layer and of the attribute:
        `"embeddings/weight"`; as with kernels, paths and numbers tell those of one name apart.
        """
        kernels = self.named_kernels(model)
        known = {self.key(kernel.variable) for kernel in kernels}
        weights = (
            (name, path, variable, owner)
            for name, path, variable, owner in self._every_weight_of(model)
            if self.key(variable) not in known
            and len(variable.shape) > 1
            and variable.trainable
            and self.is_float(variable)
        )
        return [
            OtherWeight(
                own.name, own.path, own.variable, type(owner).__name__, self._is_auxiliary(owner, own.attribute)
            )
            for own, owner in self._named(weights, [kernel.name for kernel in kernels])
        ]

    def _named(self, weights: Iterable[tuple[str, str, Any, Any]], taken: Collection[str]) -> list[tuple[Kernel, Any]]:
        """Gives each weight, by its short name or its path, a name that no other has; returns all with their owners."""
        found: dict[Any, tuple[str, str, Any, Any]] = {}  # what a variable is known by -> the first of its places
        for weight in weights:
            found.setdefault(self.key(weight[2]), weight)
        short = collections.Counter([*taken, *(name for name, *_ in found.values())])
        names = {*taken, *(name for name, count in short.items() if count == 1)}
        named = []
        for name, path, variable, owner in found.values():
            chosen = name if short[name] == 1 else free_name(path, names)
            names.add(chosen)
            named.append((Kernel(chosen, path.rpartition("/")[0], variable), owner))
        return named

    def _every_kernel_of(self, model: Any) -> Iterator[tuple[str, str, Any, Any]]:
        for path, leaf in self.leaves_with_paths(model):
            for name, variable in self.every_kernel(leaf, leaf.name):
                yield name, f"{path}{name}", variable, leaf

    def _every_weight_of(self, model: Any, path: str = "") -> Iterator[tuple[str, str, Any, Any]]:
        """Yields all weights of a model: short name, path, variable, and the layer that holds it."""
        for layer in model.layers:
            inner = self.inner(layer)
            if self.has_graph(inner):
                yield from self._every_weight_of(inner, f"{path}{inner.name}/")
            else:
                seen = set()
                for name, variable, owner in self._weights_below(inner, inner.name):
                    seen.add(self.key(variable))
                    yield name, f"{path}{name}", variable, owner
                for variable in variables_of(inner.weights):  # what is in no layer, as in a `tf.Module`
                    if self.key(variable) not in seen:
                        name = f"{inner.name}/{self.last_part(variable)}"
                        yield name, f"{path}{name}", variable, inner
        for name, variable in self._held_by(model):
            yield f"{model.name}/{name}", f"{path or f'{model.name}/'}{name}", variable, model

    def _weights_below(self, layer: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
        """Yields the weights of a layer and of all layers inside of it, and by which they are held."""
        for name, variable in self._held_by(layer):
            yield f"{path}/{name}", variable, layer
        for name, child in self._children(layer):
            yield from self._weights_below(child, f"{path}/{name}")

    def _held_by(self, layer: Any) -> Iterator[tuple[str, Any]]:
        """Yields the weights that a layer holds itself, by the attributes that they are in."""
        for variable in self.own_weights(layer):
            named = (name for name, value in vars(layer).items() if value is variable)
            listed = (
                f"{name}_{place}"
                for name, value in vars(layer).items()
                if not name.startswith("_") and isinstance(value, (list, tuple))
                for place, item in enumerate(value)
                if item is variable
            )
            yield next(itertools.chain(named, listed), self.last_part(variable)), variable

    def _is_auxiliary(self, owner: Any, attribute: str) -> bool:
        """Returns whether a weight is a bias or a scale of one of Keras' layers, which nobody expects to be pruned."""
        return attribute in _AUXILIARY and known_kind(owner) is not None

    def _included(
        self, include: Collection[str], kernels: Sequence[Kernel], others: Sequence[OtherWeight]
    ) -> list[Kernel]:
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
                listed = (
                    f"did you mean {' or '.join(near)}?" if near else f"there are {few(names)}" if names else "none is"
                )
                raise ModelError(f"include names {name!r}, which is no weight with two axes or more: {listed}")
            chosen |= {own.name: own for own in found}
        return list(chosen.values())

    def report_unprunable(self, model: Any, include: Collection[str] = ()) -> list[str]:
        """Names, in one line of warning, matrices that are not pruned as nobody knows what they are; returns the names.

        Biases, scales and statistics are not worth a word.
        """
        pruned = {own.name for own in self.named_kernels(model, include)}
        left = [own for own in self.other_weights(model) if not own.auxiliary and own.name not in pruned]
        if left:
            kinds = collections.Counter(own.kind for own in left)
            counts = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
            log.warning(
                "not pruned, as no kernels of known layers: %s (%s); include=[...] prunes them in Python",
                f"{len(left)} weight{'s' if len(left) > 1 else ''}, {counts}",
                few([own.name for own in left], 3),
            )
        if unbuilt := self.unbuilt(model):
            log.warning(
                "not pruned, as they have no weights yet: %s; call the model on a batch first, or leave them out of it",
                few(unbuilt, 3),
            )
        return [own.name for own in left]

    def unbuilt(self, model: Any) -> list[str]:
        """Returns the names of the layers of a model that have not made their weights yet, as far as one can tell."""
        layers = [own for own in model._flatten_layers(include_self=False) if not own.built]
        leaves = [own for own in layers if not list(self._children(own))]
        return [own.name for own in leaves if _makes_weights(own)]

    def check_ready(self, model: Any, *, copied: bool) -> None:
        """Raises `ModelError` if a model has no weights yet or, to be copied, is subclassed.

        One that is never called itself may have weights all the same, as one of a generator and a critic.
        """
        graph = self.has_graph(model)
        made_by_parts = not graph and "build" not in vars(type(model))
        if not model.built and not (made_by_parts and self.named_kernels(model) and not self.unbuilt(model)):
            raise ModelError(f"model {model.name} has no weights yet: build it or call it on a batch first")
        if copied and not graph:
            raise ModelError(
                f"model {model.name} is subclassed and cannot be copied; prune it as it is: prune(..., in_place=True)"
            )

    def kernels_of(self, layer: Any) -> list[Any]:
        """Returns the kernels of a layer and of all layers inside of it, each once."""
        return list({self.key(kernel): kernel for _, kernel in self.every_kernel(layer, layer.name)}.values())

    def leaves_with_paths(self, model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        """Yields the leaf layers of a model, and the models that they are in (`"encoder/block/"`)."""
        for layer in model.layers:
            inner = self.inner(layer)
            if self.has_graph(inner):
                yield from self.leaves_with_paths(inner, f"{path}{inner.name}/")
            else:
                yield path, inner

    def models_with_paths(self, model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
        """Yields a model and those with a graph that are in it, and the paths to them (`"encoder/"`)."""
        yield path, model
        for layer in model.layers:
            if self.has_graph(layer):
                yield from self.models_with_paths(layer, f"{path}{layer.name}/")

    def every_kernel(self, layer: Any, path: str) -> Iterator[tuple[str, Any]]:
        """Yields the kernels of a layer and of all layers inside of it, of one name or not."""
        for name, kernel in self.kernels(layer).items():
            yield f"{path}/{name}", kernel
        for name, child in self._children(layer):
            yield from self.every_kernel(child, f"{path}/{name}")

    def _children(self, layer: Any) -> Iterator[tuple[str, Any]]:
        for child in layer._flatten_layers(recursive=False, include_self=False):
            name = "cell" if child is getattr(layer, "cell", None) else child.name  # a cell's own name is counted up
            yield name, child

    def prunable_names(self, model: Any, exclude: Collection[str] = (), include: Collection[str] = ()) -> list[str]:
        """Returns the names of the layers that have kernels and are not excluded.

        Args:
            model: any model.
            exclude: names of layers; `first` and `last` stand for the first and the last one with kernels, `frozen` for
                all that are not trained.
            include: names of other weights, or of layers that have some, see `named_kernels`.

        Raises:
            ModelError: none is left, or `exclude` names a layer that is not there or has no kernel, or `include` a
                weight.
        """
        kernels = self.named_kernels(model, include)
        names = list(dict.fromkeys(kernel.layer for kernel in kernels))
        exclude = [exclude] if isinstance(exclude, str) else exclude
        excluded = [own for name in exclude for own in self._excluded(model, name, kernels, names)]
        left = [name for name in names if name not in excluded]
        if not left:
            raise ModelError(f"model {model.name} has no layer left to prune")
        return left

    def _excluded(self, model: Any, name: str, kernels: Sequence[Kernel], names: Sequence[str]) -> list[str]:
        """Returns the layers with kernels that a name stands for, see `prunable_names`."""
        inside = [
            kernel.layer
            for kernel in kernels
            if any(f"{own}/".startswith(f"{name}/") for own in (kernel.layer, kernel.path))
        ]
        if inside:
            return inside
        if name == FROZEN:
            trained = {self.key(variable) for variable in model.trainable_variables}
            return [kernel.layer for kernel in kernels if self.key(kernel.variable) not in trained]
        same = [kernel.layer for kernel in kernels if f"/{kernel.path}".endswith(f"/{name}")]  # of several models
        if same:
            return same
        if name in _PLACES and names:
            return [names[_PLACES[name]]]
        raise ModelError(f"exclude names {name!r}, which is no prunable layer: {choose_from(name, names)}")
