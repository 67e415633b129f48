"""Takes channels or residual branches out of a model: the same network without them, as a smaller dense one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.copies import compile_alike
from tfprune.adapters.tf_keras.layers import carry_state, has_graph, leaf_layers
from tfprune.adapters.tf_keras.optimizers import schedule_of, slots, unwrapped
from tfprune.structured.branches import BRANCHES, Branches, branches
from tfprune.structured.channels import Channels, channels
from tfprune.structured.narrowing import Axes, Narrowed, drop_axes
from tfprune.utils.errors import ModelError

# Group of channels -> places of those that go; or `BRANCHES` -> names of those that go.
Removed = Mapping[str, Sequence[int] | Sequence[str]]


def remove_groups(
    model: keras.Model,
    removed: Removed,
    *,
    compiled: Callable[[keras.Model], None] | None = None,
    slots_kept: bool = True,
) -> keras.Model:
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
        channels as their weights and the steps taken so far are counted on.

    Raises:
        ModelError: a group is unknown, protected or left with nothing.
    """
    found = channels_or_branches(model, removed)
    gone = labels_of(found, removed)
    narrowed = Narrowed(model, found, gone)
    pairs = []
    for old_layer, new_layer in narrowed.layers:
        if not has_graph(old_layer):
            own = [
                (old, new, found.axes.get(id(old), {}))
                for old, new in zip(old_layer.weights, new_layer.weights, strict=True)
            ]
            narrow = any(axes for _, _, axes in own)
            carry_state(
                old_layer, new_layer, [drop_axes(old.numpy(), axes, gone) for old, _, axes in own] if narrow else None
            )
            pairs += [pair for pair in own if isinstance(pair[0], tf.Variable)]  # and no vocabularies
    smaller = narrowed.model
    if getattr(model, "optimizer", None) is not None:
        if compiled is None:
            compile_alike(smaller, model)
        else:
            compiled(smaller)
        _carry_on(model.optimizer, smaller.optimizer, smaller, pairs if slots_kept else (), gone)
    return smaller


def build_smaller(model: keras.Model, removed: Removed) -> keras.Model:
    """Builds what `remove_groups` returns with initial weights of its own, and not compiled."""
    found = channels_or_branches(model, removed)
    return Narrowed(model, found, labels_of(found, removed)).model


def channels_or_branches(model: keras.Model, removed: Removed) -> Channels:
    """Returns what `removed` speaks of: the channels of a model, or its branches."""
    return branches(model) if BRANCHES in removed else channels(model)


def weight_axes(model: keras.Model, found: Channels) -> list[Axes]:
    """Returns the channels of each weight of a model, in the order of `mask_values.get_weights`."""
    return [found.axes.get(id(weight), {}) for layer in model.layers for weight in layer.weights]


def zero_groups(model: keras.Model, removed: Removed) -> None:
    """Sets to zero, in place, all weights that write or read the given groups, see `remove_groups`.

    Raises:
        ModelError: as `remove_groups`.
    """
    found = channels_or_branches(model, removed)
    gone = labels_of(found, removed)
    for layer in leaf_layers(model):
        for weight in layer.weights:
            if id(weight) not in found.axes:
                continue
            value = weight.numpy()
            for axis, labels in found.axes[id(weight)].items():
                np.moveaxis(value, axis, 0)[np.isin(labels, gone)] = 0.0
            weight.assign(value)


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
        gone.append(groups[name].channels[np.asarray(numbers, int)])
    return np.concatenate([np.zeros(0, int), *gone])


def _carry_on(
    old_optimizer: keras.optimizers.Optimizer,
    new_optimizer: keras.optimizers.Optimizer,
    smaller: keras.Model,
    pairs: Sequence[tuple[tf.Variable, tf.Variable, Mapping[int, np.ndarray]]],
    gone: np.ndarray,
) -> None:
    """Hands on the single numbers (steps, learning rate, loss scale) and, of the weights in `pairs`, the slots."""
    old, new = unwrapped(old_optimizer), unwrapped(new_optimizer)
    if isinstance(old, keras.optimizers.legacy.Optimizer):
        if old.weights:  # it has made a step
            new._create_all_weights(smaller.trainable_variables)
        new.iterations.assign(old.iterations)
        for name in old._hyper:
            if schedule_of(old) is None or name != "learning_rate":
                new._set_hyper(name, old._get_hyper(name))
    else:
        new.build(smaller.trainable_variables)
    scales = [getattr(own, "_loss_scale", None) for own in (old_optimizer, new_optimizer)]
    for one, other in ((old, new), scales):
        for name, value in vars(one).items() if hasattr(one, "__dict__") else ():
            if isinstance(value, tf.Variable) and value.shape.rank == 0 and name in vars(other):
                vars(other)[name].assign(value)
    for variable, carried, axes in pairs:
        for remembered, slot in zip(slots(old, variable), slots(new, carried), strict=False):  # none before a step
            slot.assign(drop_axes(remembered.numpy(), axes, gone))
