"""What kernels are called, and which of them are pruned; the same for any framework."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Any

from tfprune.utils.errors import ModelError, choose_from

PLACES = {"first": 0, "last": -1}
FROZEN = "frozen"  # stands, among excluded layers, for those that are not trained


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A prunable kernel of a model.

    Attributes:
        name: no other kernel of the model has it.
        layer: name of its layer, the same as far as the last `/`.
        path: of the layer, through the models that it is in.
        variable: its values.
        trained: whether training changes it.
    """

    name: str
    path: str
    variable: Any
    trained: bool = True

    @property
    def layer(self) -> str:
        return self.name.rpartition("/")[0]


def name_kernels(found: Iterable[tuple[Hashable, str, str, Any]], trained: Collection[Hashable]) -> list[Kernel]:
    """Returns kernels, each once, with names that no two of them share.

    A kernel is called after its layer: `"dense_1/kernel"`, `"lstm/cell/kernel"`. Where layers in different models of a
    model have one name, theirs are the paths through these: `"encoder/dense_1/kernel"`; where layers inside of one
    layer have, they are counted up.

    Args:
        found: for each kernel what its variable is known by, its short name, the models that it is in
            (`"encoder/block/"`), and the variable; one that is found again is left out.
        trained: what trained variables are known by.
    """
    unique: dict[Hashable, tuple[str, str, Any]] = {}
    for key, name, inside, variable in found:
        unique.setdefault(key, (name, f"{inside}{name}", variable))
    short = collections.Counter(name for name, _, _ in unique.values())
    taken = {name for name, count in short.items() if count == 1}
    kernels = []
    for key, (name, path, variable) in unique.items():
        chosen = name if short[name] == 1 else free_name(path, taken)
        taken.add(chosen)
        kernels.append(Kernel(chosen, path.rpartition("/")[0], variable, key in trained))
    return kernels


def free_name(name: str, taken: Collection[str]) -> str:
    """Returns a kernel's name or, if it is taken, its layer's counted up."""
    layer, _, attribute = name.rpartition("/")
    numbered = (f"{layer}_{number}/{attribute}" for number in itertools.count(1))
    return name if name not in taken else next(own for own in numbered if own not in taken)


def prunable_layers(kernels: Sequence[Kernel], exclude: Collection[str], model: str) -> list[str]:
    """Returns the names of the layers that have kernels and are not excluded.

    Args:
        kernels: all of a model.
        exclude: names of layers; `first` and `last` stand for the first and the last one with kernels, `frozen` for all
            that are not trained.
        model: its name, for messages.

    Raises:
        ModelError: none is left, or `exclude` names a layer that is not there or has no kernel.
    """
    names = list(dict.fromkeys(kernel.layer for kernel in kernels))
    excluded = {own for name in exclude for own in _excluded(name, kernels, names)}
    left = [name for name in names if name not in excluded]
    if not left:
        raise ModelError(f"model {model} has no layer left to prune")
    return left


def _excluded(name: str, kernels: Sequence[Kernel], names: Sequence[str]) -> list[str]:
    """Returns the layers with kernels that a name stands for, see `prunable_layers`."""
    inside = [
        kernel.layer
        for kernel in kernels
        if any(f"{own}/".startswith(f"{name}/") for own in (kernel.layer, kernel.path))
    ]
    if inside:
        return inside
    if name == FROZEN:
        return [kernel.layer for kernel in kernels if not kernel.trained]
    same = [kernel.layer for kernel in kernels if f"/{kernel.path}".endswith(f"/{name}")]  # of several models
    if same:
        return same
    if name in PLACES and names:
        return [names[PLACES[name]]]
    raise ModelError(f"spare names {name!r}, which is no prunable layer: {choose_from(name, names)}")
