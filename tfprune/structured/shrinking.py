"""Fewer channels or branches by criterion: which of them matter least, and how many may stay."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.graphs import Examples
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.branches import BRANCHES, branches
from tfprune.structured.branches import CRITERIA as OF_BRANCHES
from tfprune.structured.channels import OUTPUT, Channels, Group, channels
from tfprune.structured.surgery import remove_groups
from tfprune.structured.widths import MULTIPLE, width
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import ConfigError, ModelError

log = logging.getLogger(__name__)

Importance = Callable[
    [np.ndarray, "np.ndarray | None"], np.ndarray
]  # of a weight and its gradient, each a channel a row


def shrink(
    model: Any,
    keep: float = 0.5,
    *,
    granularity: str = "filter",
    criterion: str = "l1",
    multiple: int = MULTIPLE,
    seed: int = 0,
    examples: tuple[np.ndarray, np.ndarray] | None = None,
) -> Any:
    """Returns a smaller dense copy of a model: in each group of channels the most important ones stay.

    Filters and units go together with everything that reads them (see `channels`), or whole residual branches (see
    `branches`); outputs stay as they are. Train the copy on: what went is missed at first.

    Args:
        model: of Keras 3 or tf_keras, functional or sequential. It is not changed.
        keep: fraction of each group's channels, or of the branches, that stays, in (0, 1].
        granularity: `filter` or `branch`.
        criterion: `l1`, `l2` (norm of the weights that make a channel; Li et al. 2017, arXiv:1608.08710), `bn` (size of
            BatchNorm's factor; Liu et al. 2017, arXiv:1708.06519), `taylor` (what the loss changes by if the channel
            goes, to first order, squared; Molchanov et al. 2019, arXiv:1906.10771) or `random`. Of a branch, norms and
            sizes are means over its weights, so that large branches are worth no more.
        multiple: what a width is rounded to a multiple of, and has at least; groups that are no wider stay whole. Not
            of branches.
        seed: of `random`.
        examples: inputs and class numbers for `taylor`, whose model returns logits.

    Returns:
        The smaller copy: layers, outputs and all that they know but the channels that went (vocabularies, what a
        normalization has adapted to, constants, functions) are those of `model`; layers that are shared stay shared.
        It answers as `model` does with these channels set to zero; where LayerNormalization or GroupNormalization takes
        statistics over them, they are those of the channels that stay. What cannot go (see `channels`) is named in a
        warning of the logger `tfprune`. With `keep=1` it is a plain copy.

        If `model` is compiled, so is the copy, with the same losses, weights, metrics and other settings of `compile`,
        metrics and optimizer being its own. The optimizer carries on: it counts the steps on, has the same learning
        rate or shares the schedule, and of the weights that stay it remembers the same (momentum, averages).

    Raises:
        ConfigError: a setting is out of range.
        ModelError: the model cannot be copied, or nothing of it can go.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(64, input_shape=(4,), name="a"), keras.layers.Dense(3, name="b")])
    >>> [layer.units for layer in tfprune.shrink(model, 0.25).layers]
    [16, 3]
    """
    graphs = adapter_of(model).graphs
    graphs.check(model)
    check_choice("criterion", criterion, CRITERIA)
    check_whole("multiple", multiple, least=1)
    if not isinstance(keep, (int, float)) or not 0 < keep <= 1:
        raise ConfigError(f"keep must be in (0, 1], got {keep!r}")
    if check_choice("granularity", granularity, ("filter", "branch")) == "branch":
        return _without_branches(model, keep, criterion, seed, examples)
    found = channels(model)
    if keep == 1:
        return remove_groups(model, {})
    widths = {name: _width(group, keep, multiple) for name, group in found.free.items()}
    _report(model, found, widths, multiple)
    scores = CRITERIA[criterion](model, found, seed, examples)
    return remove_groups(model, least_important(scores, widths))


def _width(group: Group, keep: float, multiple: int) -> int:
    """Returns how many of a group's channels stay; where one stands for several outputs, these make up the multiple."""
    return width(len(group), keep, multiple // math.gcd(multiple, group.copies))


def _report(model: Any, found: Channels, widths: Mapping[str, int], multiple: int) -> None:
    """Names, in a warning, what stays as wide as it is, but for the model's outputs; an error if everything does."""
    graphs = adapter_of(model).graphs
    reasons = {group.name: group.protected for group in found.groups if group.protected} | {
        name: f"{count} channels, of which no multiple of {multiple} can go"
        for name, count in widths.items()
        if count == len(found.free[name])
    }
    leaves = list(graphs.leaf_layers(model))
    followed = {id(weight) for layer in leaves for weight in layer.weights if id(weight) in found.axes}
    for layer in leaves:
        kernels = graphs.kernels_of(layer)
        if kernels and not any(id(kernel) in followed for kernel in kernels):
            reasons[layer.name] = f"{type(layer).__name__} is not followed"
    if len(reasons) >= len(found.groups) and all(name in reasons for name in widths):
        what = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ModelError(f"model {model.name} has no channels that can go ({what or 'no layer has a width'})")
    if stay := [f"{name} ({reason})" for name, reason in reasons.items() if reason != OUTPUT]:
        log.warning("left alone, as wide as before: %s", "; ".join(stay))


def _without_branches(
    model: Any, keep: float, criterion: str, seed: int, examples: tuple[np.ndarray, np.ndarray] | None
) -> Any:
    found = branches(model)
    if len(found.names) < 2:
        raise ModelError(f"model {model.name} has {len(found.names)} residual branches, of which one stays")
    scores = {BRANCHES: OF_BRANCHES[criterion](model, found, seed, examples)}
    widths = {BRANCHES: width(len(found.names), keep, 1)}
    return remove_groups(model, {BRANCHES: [found.names[place] for place in least_important(scores, widths)[BRANCHES]]})


def least_important(scores: Mapping[str, np.ndarray], widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Returns the places of the channels that go so that `widths` are left: the lowest scores, of equals the later."""
    return {name: np.sort(np.argsort(-scores[name], kind="stable")[count:]) for name, count in widths.items()}


def _makers(model: Any, found: Channels) -> list[Any]:
    """Returns the kernels that make channels."""
    leaves = adapter_of(model).graphs.leaf_layers(model)
    return [weight for layer in leaves for weight in layer.weights if id(weight) in found.made]


def _sums(
    model: Any,
    found: Channels,
    importance: Importance,
    gradients: Mapping[int, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Adds up, over the kernels that make a group's channels, how important each of them is for them."""
    graphs = adapter_of(model).graphs
    totals: dict[int, float] = {}
    for weight in _makers(model, found):
        arrays = [graphs.numbers(weight), *([gradients[id(weight)]] if gradients else [])]
        for axis in found.made[id(weight)]:
            rows = [np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1) for value in arrays]
            for label, value in zip(found.axes[id(weight)][axis], importance(*rows), strict=True):
                totals[int(label)] = totals.get(int(label), 0.0) + float(value)
    return {name: _of(group, totals) for name, group in found.free.items()}


def _of(group: Group, totals: Mapping[int, float]) -> np.ndarray:
    return np.array([totals.get(int(label), 0.0) for label in group.channels])


def _norms(order: int, model: Any, found: Channels, seed: int, examples: object) -> dict[str, np.ndarray]:
    return _sums(model, found, lambda rows: np.linalg.norm(rows, ord=order, axis=1))


def _batch_norm(model: Any, found: Channels, seed: int, examples: object) -> dict[str, np.ndarray]:
    graphs = adapter_of(model).graphs
    totals: dict[int, float] = {}
    for layer in graphs.leaf_layers(model):
        if traits_of(layer).momentum and getattr(layer, "gamma", None) is not None:
            labels, values = found.axes.get(id(layer.gamma), {}).get(0, np.zeros(0)), graphs.numbers(layer.gamma)
            for label, value in zip(labels if labels.ndim == 1 else (), values, strict=False):
                totals[int(label)] = totals.get(int(label), 0.0) + abs(float(value))
    missing = [name for name, group in found.free.items() if not any(int(label) in totals for label in group.channels)]
    if missing:
        raise ModelError(f"criterion bn needs BatchNorm with a scale after {', '.join(missing)}; take l1 or l2")
    return {name: _of(group, totals) for name, group in found.free.items()}


def _taylor(model: Any, found: Channels, seed: int, examples: Examples | None) -> dict[str, np.ndarray]:
    if examples is None:
        raise ConfigError("criterion taylor needs examples=(inputs, class numbers)")
    weights = _makers(model, found)
    slopes = adapter_of(model).graphs.slopes(model, weights, examples)
    gradients = {id(weight): own for weight, own in zip(weights, slopes, strict=True)}
    return _sums(model, found, lambda rows, slopes: np.sum(rows * slopes, axis=1) ** 2, gradients)


def _random(model: Any, found: Channels, seed: int, examples: object) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.random(len(group)) for name, group in found.free.items()}


CRITERIA = {
    "l1": functools.partial(_norms, 1),
    "l2": functools.partial(_norms, 2),
    "bn": _batch_norm,
    "taylor": _taylor,
    "random": _random,
}
