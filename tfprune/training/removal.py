"""Which channels or residual branches of a model go, as the settings of a training say."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.methods._base import Method
from tfprune.structured.branches import BRANCHES, Branches, branches
from tfprune.structured.channels import Channels, Group, channels
from tfprune.structured.selecting import least_important
from tfprune.structured.surgery import Removed, build_smaller, made_smaller
from tfprune.structured.unfolding import unfolded
from tfprune.structured.widths import width
from tfprune.training.adjusting import Dropouts
from tfprune.utils.errors import ModelError

EXCLUDED = "is excluded"  # why a layer's channels stay


class RemovalSettings(Protocol):
    """What is asked of a training that removes channels or branches; a `Config` says it of a run."""

    @property
    def exclude(self) -> Sequence[str]: ...

    @property
    def granularity(self) -> str: ...

    @property
    def channel_settings(self) -> Mapping[str, Any]: ...

    @property
    def scope(self) -> str: ...

    @property
    def pruning(self) -> Method: ...

    @property
    def requested_sparsity(self) -> float: ...


def whole_or_unfolded(model: Any, granularity: str) -> Any:
    """Returns a model whose channels can be followed, see `unfolded`, if channels are to go; any other as it is."""
    return unfolded(model)[0] if granularity == "filter" else model


def copy_to_shrink(model: Any) -> Any:
    """Returns a copy of a model, not compiled; one that Keras cannot copy is made again as a smaller one would be."""
    try:
        return adapter_of(model).copy(model)
    except ModelError:
        _, made, _ = made_smaller(model, {}, channels(model))
        return made.model


def removable(model: Any, exclude: Sequence[str] = (), granularity: str = "filter") -> Channels:
    """Returns the channels of a model, or of granularity `branch` its residual branches.

    Groups that an excluded layer makes are protected. Branches are one group, of which those with an excluded layer
    stay, see `least_important_of`.

    Raises:
        ModelError: nothing can go, or `exclude` names a layer that is not there.
    """
    spared = _spared_paths(model, exclude)
    if granularity == "branch":
        found, what = branches(model), "residual branches"
    else:
        found, what = channels(model), "channels"
        groups = [dataclasses.replace(group, protected=_reason(group, spared)) for group in found.groups]
        found = dataclasses.replace(found, groups=tuple(groups))
    if not found.free:
        reasons = "; ".join(f"{group.name}: {group.protected}" for group in found.groups)
        raise ModelError(f"model {model.name} has no {what} that can go ({reasons or 'no layer has a width'})")
    return found


def _spared_paths(model: Any, exclude: Sequence[str]) -> set[str]:
    """Returns the paths, through the models that they are in, of the layers that excluded kernels are in."""
    if not exclude:
        return set()
    names = adapter_of(model).graphs.names
    left = set(names.prunable_names(model, exclude))
    return {kernel.path for kernel in names.named_kernels(model) if kernel.layer not in left}


def _has_one(name: str, paths: Collection[str]) -> bool:
    """Returns whether one of some paths is that of a layer or model, or of a layer inside of it."""
    return any(f"{path}/".startswith(f"{name}/") for path in paths)


def _reason(group: Group, spared: Collection[str]) -> str | None:
    """Returns why a group stays.

    Layers are told apart by their paths: layers in different models may have one name.
    """
    excluded = (f"{name} {EXCLUDED}" for name in group.producers if _has_one(name, spared))
    return group.protected or next(excluded, None)


def build_narrower(model: Any, share: float, config: RemovalSettings) -> Any:
    """Returns a dense network with new initial weights and the widths that pruning a share of the channels leaves."""
    made = build_smaller(model, narrower_by(model, share, config))
    if config.channel_settings.get("dropout") == "scale":
        Dropouts(model).scale(made)
    return made


def narrower_by(model: Any, share: float, config: RemovalSettings) -> Removed:
    """Returns what goes so that a network has the widths that pruning a share of the channels leaves.

    Of branches those go that `channels.order` names, and then the last ones.
    """
    found = removable(model, config.exclude, config.granularity)
    if isinstance(found, Branches):
        check_branches(model, found, config)
    multiples = multiples_of(found, config)
    widths = {name: width(len(group), 1 - share, multiples[name]) for name, group in found.free.items()}
    return last_ones(model, found, widths, config)


def multiple_of(config: RemovalSettings) -> int:
    """Returns what widths are rounded to a multiple of; branches are counted one by one."""
    return config.channel_settings.get("multiple", 1)


def multiples_of(found: Channels, config: RemovalSettings) -> dict[str, int]:
    """Returns what the numbers of channels of each group are rounded to a multiple of, see `Group.step`."""
    return {name: group.step(multiple_of(config)) for name, group in found.free.items()}


def last_ones(model: Any, found: Channels, widths: Mapping[str, int], config: RemovalSettings) -> Removed:
    """Returns what goes so that `widths` are left if nothing is known of a network but its form."""
    scores = {name: -np.arange(len(group)) for name, group in found.free.items()}
    return least_important_of(model, found, scores, widths, config)


def least_important_of(
    model: Any,
    found: Channels,
    scores: Mapping[str, np.ndarray],
    widths: Mapping[str, int],
    config: RemovalSettings,
) -> Removed:
    """Returns what goes so that `widths` are left. Branches of `channels.order` go first, and excluded ones never."""
    if not isinstance(found, Branches):
        return least_important(scores, widths, found)
    ranks = np.empty(len(found.names))
    ranks[np.argsort(scores[BRANCHES], kind="stable")] = np.arange(len(ranks))
    order = [name for name in config.channel_settings["order"] if name in found.names]
    ranks[found.labels(order)] = np.arange(len(order)) - len(order)
    ranks[spared_branches(model, found, config)] = np.inf
    return {BRANCHES: [found.names[label] for label in least_important({BRANCHES: ranks}, widths)[BRANCHES]]}


def check_branches(model: Any, found: Branches, config: RemovalSettings) -> None:
    """Raises `ModelError` if there are not the branches that are to go."""
    found.labels(config.channel_settings["order"])
    size, spared = len(found.names), len(spared_branches(model, found, config))
    if size < 2:
        raise ModelError(f"model {model.name} has one residual branch, and one stays: take granularity filter")
    stay = width(size, 1 - config.requested_sparsity, 1)
    if stay < spared:
        raise ModelError(
            f"{size - stay} of {size} residual branches would go, and {spared} are excluded: ask for a lower sparsity "
            "or exclude fewer layers"
        )


def spared_branches(model: Any, found: Branches, config: RemovalSettings) -> list[int]:
    paths = _spared_paths(model, config.exclude)
    return found.spared([name for name in found.inside if _has_one(name, paths)])
