"""Smaller models: which channels or branches matter least, and how many may stay."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from tfprune.adapters import adapter_of
from tfprune.adapters.batches import Batch
from tfprune.adapters.graphs import Examples
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.branches import BRANCHES, branches
from tfprune.structured.branches import CRITERIA as OF_BRANCHES
from tfprune.structured.budgets import Request, Times, choose_within
from tfprune.structured.channels import OUTPUT, Channels, channels
from tfprune.structured.scoring import CRITERIA
from tfprune.structured.selecting import least_important
from tfprune.structured.surgery import remove_groups
from tfprune.structured.unfolding import unfolded
from tfprune.structured.widths import width
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import ConfigError, ModelError
from tfprune.utils.trees import leaves

log = logging.getLogger(__name__)


def shrink_model(
    model: Any,
    asked: Request,
    *,
    granularity: str,
    criterion: str,
    seed: int = 0,
    examples: Examples | None = None,
    times: Times | None = None,
) -> Any:
    """Returns a smaller dense copy of a model, see `tfprune.shrink`.

    Args:
        model: of an adapter's framework; it is not changed.
        asked: how many channels or branches are to stay.
        granularity: `filter` or `branch`.
        criterion: one of `scoring.CRITERIA`, or of `branches.CRITERIA`.
        seed: of `random`.
        examples: for criteria that look at some.
        times: measures models, for a budget of time.
    """
    graphs = adapter_of(model).graphs
    graphs.check(model)
    seed = check_whole("seed", seed, least=0)
    if isinstance(examples, Batch):
        check_examples(model, examples)
    if check_choice("granularity", granularity, ("filter", "branch")) == "branch":
        check_choice("criterion", criterion, OF_BRANCHES)
        return _without_branches(model, asked.branch_share(), criterion, seed, examples)
    check_choice("criterion", criterion, CRITERIA)
    model, whole = unfolded(model)
    found = channels(model)
    if asked.keep == 1:
        return remove_groups(model, {})
    _report_stuck(model, found, asked, whole)
    scores = CRITERIA[criterion](model, found, seed, examples)
    widths = choose_within(model, found, scores, asked, times)
    if all(count == len(found.free[name]) for name, count in widths.items()):
        if asked.budget is None:
            raise ConfigError(f"no channel goes at keep={asked.keep:g}: ask for less, or for a lower floor or multiple")
        log.warning("model %s meets target_%s as it is: nothing was taken out", model.name, asked.budget.what)
    return remove_groups(model, least_important(scores, widths, found))


def _report_stuck(model: Any, found: Channels, asked: Request, whole: Mapping[str, str]) -> None:
    """Names, in a warning, what stays as wide as it is, but for the model's outputs; an error if everything does."""
    reasons = {group.name: group.protected for group in found.groups if group.protected} | {
        name: f"{len(group)} channels, of which no multiple of {asked.multiple} can go"
        if len(group) <= group.step(asked.multiple)
        else f"{len(group)} channels, all of which stay at keep={asked.keep:g}, to a multiple of {asked.multiple}"
        for name, group in found.free.items()
        if asked.is_stuck(group)
    }
    reasons |= layers_left_alone(model, found, whole)
    if len(reasons) >= len(found.groups) and all(name in reasons for name in found.free):
        what = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ModelError(f"model {model.name} has no channels that can go ({what or 'no layer has a width'})")
    if stay := [f"{name} ({reason})" for name, reason in reasons.items() if reason != OUTPUT]:
        log.warning("left alone, as wide as before: %s", "; ".join(stay))


def check_examples(model: Any, examples: Batch) -> None:
    """Raises `ConfigError` if there are not as many labels as examples, or a model takes others than these."""
    sizes = {int(own.shape[0]) for own in (*leaves(examples.x), *leaves(examples.y)) if getattr(own, "shape", None)}
    if len(sizes) > 1:
        raise ConfigError(f"data has {' and '.join(map(str, sorted(sizes)))} examples: x and y must be of the same")
    taken, given = getattr(model, "input_shape", None), getattr(examples.x, "shape", None)
    if not isinstance(taken, tuple) or not all(side is None or isinstance(side, int) for side in taken) or not given:
        return  # several inputs
    given = (*given, 1) if len(given) == len(taken) - 1 and taken[-1] in (None, 1) else tuple(given)  # as Keras does
    if given[1:] == taken[1:] and taken[0] not in (None, given[0]):
        raise ConfigError(f"data has {given[0]} examples, and the model takes {taken[0]} at a time: give as many")
    if len(given) != len(taken) or not all(side in (None, own) for side, own in zip(taken, given, strict=True)):
        raise ConfigError(f"data has examples of shape {given[1:]}, and the model takes {taken[1:]}")


def layers_left_alone(model: Any, found: Channels, whole: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the layers with weights that make channels of which none can be followed: name -> why.

    Args:
        model: that `found` is of.
        found: its channels.
        whole: why layers have not been taken apart.
    """
    graphs, whole = adapter_of(model).graphs, whole or {}
    layers, reasons = list(graphs.leaf_layers(model)), dict(found.whole)
    followed = {id(weight) for layer in layers for weight in layer.weights if id(weight) in found.axes}
    for layer in layers:
        kernels = graphs.kernels_of(layer)
        if kernels and not any(id(kernel) in followed for kernel in kernels):
            reasons[layer.name] = f"{type(layer).__name__} is not followed"
        elif kernels and traits_of(layer).channels is None and not any(id(kernel) in found.made for kernel in kernels):
            reasons[layer.name] = f"{type(layer).__name__} has no setting that says how many channels it makes"
    return {name: whole.get(name, reason) for name, reason in reasons.items()}


def _without_branches(model: Any, keep: float, criterion: str, seed: int, examples: Examples | None) -> Any:
    found = branches(model)
    if len(found.names) < 2:
        raise ModelError(f"model {model.name} has {len(found.names)} residual branches, of which one stays")
    scores = {BRANCHES: OF_BRANCHES[criterion](model, found, seed, examples)}
    widths = {BRANCHES: width(len(found.names), keep, 1)}
    return remove_groups(model, {BRANCHES: [found.names[place] for place in least_important(scores, widths)[BRANCHES]]})
