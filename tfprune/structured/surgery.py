"""Takes channels or residual branches out of a model: the same network without them, as a smaller dense one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.graphs import Change, Changes, Graphs, Remade
from tfprune.structured.branches import BRANCHES, Branches, branches
from tfprune.structured.channels import Channels, channels
from tfprune.structured.labels import Fixed, WeightChannels, drop_axes, goes
from tfprune.utils.errors import ModelError

# Group of channels -> places of those that go; or `BRANCHES` -> names of those that go.
Removed = Mapping[str, Sequence[int] | Sequence[str]]


def remove_groups(
    model: Any,
    removed: Removed,
    *,
    compiled: Callable[[Any], None] | None = None,
    slots_kept: bool = True,
) -> Any:
    """Rebuilds a model without some of its channels or of its residual branches.

    The smaller model answers as the larger one does when nothing reads those channels any more (the weights by which
    the next layers take them in are zero), or when the branches add zero, up to the order in which floats are added.

    Args:
        model: functional or sequential, see `channels` and `branches`. It is not changed.
        removed: group -> places of its channels that go, see `Channels.groups`; or `BRANCHES` -> names of branches.
        compiled: compiles the smaller model if `model` is compiled; by default as `model` is.
        slots_kept: whether the optimizer goes on with the slots (momentum and the like) of the weights that stay;
            otherwise they are empty.

    Returns:
        The smaller model. If `model` is compiled it is too, and its optimizer carries on: the slots have lost the same
        channels as their weights and the steps taken so far are counted on. If `model` is masked in place, so is it.

    Raises:
        ModelError: a group is unknown, protected or left with nothing.
    """
    return take_out(model, removed, channels_or_branches(model, removed), compiled=compiled, slots_kept=slots_kept)[0]


def take_out(
    model: Any,
    removed: Removed,
    found: Channels,
    *,
    compiled: Callable[[Any], None] | None = None,
    slots_kept: bool = True,
) -> tuple[Any, Channels]:
    """Does what `remove_groups` does; returns also what is left of the channels or branches that were `found`."""
    graphs = adapter_of(model).graphs
    gone, made, pairs = made_smaller(model, removed, found)

    def narrowed(weight: Any, slot: np.ndarray) -> np.ndarray:
        return drop_axes(slot, found.of(weight).axes, gone)

    graphs.carry_on(model, made.model, pairs if slots_kept else (), narrowed, compiled)
    graphs.carry_masks(model, made.model, pairs, narrowed)
    return made.model, found.without(gone, made, pairs)


def made_smaller(model: Any, removed: Removed, found: Channels) -> tuple[np.ndarray, Remade, list[tuple[Any, Any]]]:
    """Makes a model without some channels or branches, not compiled.

    Returns:
        The labels of what went, the smaller model, and each weight of the larger one with its own.
    """
    graphs = adapter_of(model).graphs
    gone = labels_of(found, removed)
    made = graphs.make_again(model, changes_of(model, found, gone))
    return gone, made, carry_weights(graphs, found, gone, made.layers)


def carry_weights(
    graphs: Graphs, found: Channels, gone: np.ndarray, layers: Iterable[tuple[Any, Any]]
) -> list[tuple[Any, Any]]:
    """Gives the layers of a smaller model what is left of the weights of the larger one's.

    Args:
        graphs: of their Keras.
        found: the channels or branches of the larger model.
        gone: the labels of those that went.
        layers: each of the larger model, with what became of it.

    Returns:
        Each weight of the larger model, with that of the smaller one.
    """
    pairs: dict[int, tuple[Any, Any]] = {}
    for old_layer, new_layer in layers:
        if not graphs.is_graph(old_layer):
            own = list(zip(old_layer.weights, new_layer.weights, strict=True))
            narrow = any(id(old) in found.axes for old, _ in own)
            values = [found.of(old).without(graphs.numbers(old), gone) for old, _ in own] if narrow else None
            _check_fit(old_layer, values or (), new_layer)
            graphs.carry(old_layer, new_layer, values)
            pairs |= {id(pair[0]): pair for pair in own if hasattr(pair[0], "shape")}  # and no vocabularies
    return list(pairs.values())


def build_smaller(model: Any, removed: Removed) -> Any:
    """Builds what `remove_groups` returns with initial weights of its own, and not compiled."""
    found = channels_or_branches(model, removed)
    return adapter_of(model).graphs.make_again(model, changes_of(model, found, labels_of(found, removed))).model


def changes_of(model: Any, found: Channels, gone: np.ndarray) -> Changes:
    """Returns what is different in a model without some channels or branches."""

    def changes(fixed: Iterable[Fixed]) -> tuple[Change, ...]:
        return tuple(Change(own.key, lambda value, own=own: own.without(value, gone)) for own in fixed)

    lost: set[int] = set()
    sums: dict[int, list[int]] = {}
    if isinstance(found, Branches):
        ids = {layer.name: id(layer) for layer in model.layers}  # a nested model may have layers of these names
        lost = {ids[name] for name, label in found.inside.items() if label in gone}
        left = {name: [place for place, own in enumerate(ends) if own not in gone] for name, ends in found.ends.items()}
        sums = {ids[name]: stay for name, stay in left.items() if len(stay) < len(found.ends[name])}
    return Changes(
        {layer: changes(fixed) for layer, fixed in found.settings.items()},
        {node: changes(fixed) for node, fixed in found.arguments.items()},
        lambda weight, array: drop_axes(array, found.of(weight).axes, gone),
        lost,
        sums,
    )


def _check_fit(old: Any, values: Sequence[np.ndarray], new: Any) -> None:
    """Raises `ModelError` if a layer made of another's changed settings has weights that are not those left of it."""
    for value, weight in zip(values, new.weights, strict=False):
        if value.shape != tuple(weight.shape):
            raise ModelError(
                f"{old.name} ({type(old).__name__}) has a weight of shape {tuple(weight.shape)} where {value.shape} is "
                "left: its settings do not say how many channels it has, so that none can go"
            )


def channels_or_branches(model: Any, removed: Removed) -> Channels:
    """Returns what `removed` speaks of: the channels of a model, or its branches."""
    return branches(model) if BRANCHES in removed else channels(model)


def weight_channels(model: Any, found: Channels) -> list[WeightChannels]:
    """Returns the channels of each weight of a model, in the order of `graphs.Graphs.weights`."""
    return [found.of(weight) for _, weight in adapter_of(model).graphs.weights(model)]


def zero_groups(model: Any, removed: Removed, found: Channels | None = None) -> None:
    """Sets to zero, in place, all weights that write or read the given groups, see `remove_groups`.

    Args:
        model, removed: see `remove_groups`.
        found: the channels or branches of the model, where they are known.

    Raises:
        ModelError: as `remove_groups`.
    """
    graphs = adapter_of(model).graphs
    found = channels_or_branches(model, removed) if found is None else found
    gone = labels_of(found, removed)
    for layer in graphs.leaf_layers(model):
        for weight in layer.weights:
            if id(weight) not in found.axes:
                continue
            value = graphs.numbers(weight)
            for axis, labels in found.axes[id(weight)].items():
                np.moveaxis(value, axis, 0)[goes(labels, gone)] = 0.0
            graphs.assign(weight, value)


def labels_of(found: Channels, removed: Removed) -> np.ndarray:
    """Returns the labels of channels that go; a `ModelError` if a group is unknown, protected or left with nothing."""
    groups = {group.name: group for group in found.groups}
    gone = []
    for name, places in removed.items():
        if name not in groups:
            raise ModelError(f"there is no group of channels {name!r}; there are {', '.join(groups)}")
        if len(places) and groups[name].protected:
            raise ModelError(f"the channels of {name} cannot go: {groups[name].protected}")
        if len(set(places)) >= len(groups[name]):
            raise ModelError(f"all {len(groups[name])} of {name} would go; at least one must stay")
        numbers = found.labels(places) if isinstance(found, Branches) else places
        if emptied := groups[name].emptied(numbers):
            least = "two" if any(emptied[0] is pair for pair in groups[name].pairs) else "one"
            raise ModelError(
                f"at least {least} of the channels {emptied[0].tolist()} of {name} must stay: they are a part"
            )
        gone.append(groups[name].channels[np.asarray(numbers, int)])
    return np.concatenate([np.zeros(0, int), *gone])
