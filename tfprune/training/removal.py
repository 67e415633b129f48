"""Which channels or residual branches of a model go, as the settings of a run say."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.adapters.layer_traits import traits_of
from tfprune.adapters.tf_keras.kernel_names import prunable_names
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.structured.branches import BRANCHES, Branches, branches
from tfprune.structured.channels import Channels, Group, channels
from tfprune.structured.shrinking import least_important
from tfprune.structured.surgery import Removed, build_smaller
from tfprune.structured.widths import width
from tfprune.training.adjusting import Dropouts
from tfprune.training.config import Config
from tfprune.utils.errors import ModelError


def removable(model: keras.Model, exclude: Sequence[str] = (), granularity: str = "filter") -> Channels:
    """Returns the channels of a model, or of granularity `branch` its residual branches.

    Groups that an excluded layer makes are protected. Branches are one group, of which those with an excluded layer
    stay, see `least_important_of`.

    Raises:
        ModelError: nothing can go, or `exclude` names a layer that is not there.
    """
    spared = set(prunable_names(model)) - set(prunable_names(model, exclude)) if exclude else set()
    if granularity == "branch":
        found, what = branches(model), "residual branches"
    else:
        found, what = channels(model), "channels"
        grouped = {layer.name for layer in leaf_layers(model) if traits_of(layer).width and _groups_of(layer) > 1}
        groups = [dataclasses.replace(group, protected=_reason(group, spared, grouped)) for group in found.groups]
        found = dataclasses.replace(found, groups=tuple(groups))
    if not found.free:
        reasons = "; ".join(f"{group.name}: {group.protected}" for group in found.groups)
        raise ModelError(f"model {model.name} has no {what} that can go ({reasons or 'no layer has a width'})")
    return found


def _groups_of(layer: keras.layers.Layer) -> int:
    return getattr(layer, "groups", 1)


def _reason(group: Group, spared: Collection[str], grouped: Collection[str]) -> str | None:
    """Returns why a group stays in a run: what goes at several events has to leave networks of the same groups."""
    if group.protected or group.inexact:
        return group.protected or group.inexact
    for layers, reason in ((spared, "is excluded"), (grouped, "is a convolution with groups")):
        for name in group.producers:
            if name.rpartition("/")[2] in layers:
                return f"{name} {reason}"
    return None


def build_narrower(model: keras.Model, share: float, config: Config) -> keras.Model:
    """Returns a dense network with new initial weights and the widths that pruning a share of the channels leaves.

    Of branches those go that `channels.order` names, and then the last ones.
    """
    found = removable(model, config.exclude, config.granularity)
    if isinstance(found, Branches):
        check_branches(model, found, config)
    multiple = multiple_of(config)
    widths = {name: width(len(group), 1 - share, multiple) for name, group in found.free.items()}
    made = build_smaller(model, last_ones(model, found, widths, config))
    if config.channel_settings.get("dropout") == "scale":
        Dropouts(model).scale(made)
    return made


def multiple_of(config: Config) -> int:
    """Returns what widths are rounded to a multiple of; branches are counted one by one."""
    return config.channel_settings.get("multiple", 1)


def last_ones(model: keras.Model, found: Channels, widths: Mapping[str, int], config: Config) -> Removed:
    """Returns what goes so that `widths` are left if nothing is known of a network but its form."""
    scores = {name: -np.arange(len(group)) for name, group in found.free.items()}
    return least_important_of(model, found, scores, widths, config)


def least_important_of(
    model: keras.Model, found: Channels, scores: Mapping[str, np.ndarray], widths: Mapping[str, int], config: Config
) -> Removed:
    """Returns what goes so that `widths` are left. Branches of `channels.order` go first, and excluded ones never."""
    if not isinstance(found, Branches):
        return least_important(scores, widths)
    ranks = np.empty(len(found.names))
    ranks[np.argsort(scores[BRANCHES], kind="stable")] = np.arange(len(ranks))
    order = [name for name in config.channel_settings["order"] if name in found.names]
    ranks[found.labels(order)] = np.arange(len(order)) - len(order)
    ranks[spared_branches(model, found, config)] = np.inf
    return {BRANCHES: [found.names[label] for label in least_important({BRANCHES: ranks}, widths)[BRANCHES]]}


def check_branches(model: keras.Model, found: Branches, config: Config) -> None:
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


def spared_branches(model: keras.Model, found: Branches, config: Config) -> list[int]:
    if not config.exclude:
        return []
    return found.spared({*prunable_names(model)} - {*prunable_names(model, config.exclude)})
