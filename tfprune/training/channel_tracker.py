"""Which channels or branches of a model have gone, in the numbers that they had when it was built."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.pruning.events import PruningEvent, nominal_sparsity
from tfprune.pruning.update import MaskStability
from tfprune.structured.branches import BRANCHES, Branches
from tfprune.structured.budgets import forms_of
from tfprune.structured.channels import Channels
from tfprune.structured.labels import Axes, WeightChannels, goes
from tfprune.structured.ranking import NORMALIZERS, Ranked, choose_widths
from tfprune.structured.shrinking import layers_left_alone
from tfprune.structured.surgery import Removed, labels_of, take_out, weight_channels
from tfprune.structured.widths import check_widths, expected_widths
from tfprune.training.removal import (
    RemovalSettings,
    check_branches,
    least_important_of,
    multiples_of,
    removable,
    spared_branches,
)
from tfprune.utils.errors import ConfigError, SparsityError

OF_CHANNELS = {
    "random": "random",
    "snip": "taylor",
}  # criteria of methods that have one for channels beside `channels.criterion`
TAYLOR_EXAMPLES = 512  # of the training data, that criterion `taylor` sees at an event
Scores = Callable[[Channels, str], Mapping[str, np.ndarray]]  # of what can go, by a criterion


class ChannelTracker:
    """Which channels or branches of a model have gone, in the numbers that they had when it was built.

    Args:
        model: as it was built.
        config: what is asked for.

    Attributes:
        left: the channels or branches of the model that is left; see `take_out`.
        sizes: group -> how many channels it had.
        multiples: group -> what its number of channels is rounded to a multiple of.
        alive: group -> which of them are left.
        skipped: group, or layer that makes channels which are in none -> why none of it goes.
        parameters: of the model as it was built.
        kernel_sizes, macs: kernel -> its weights and its multiply-adds, as it was built.
    """

    def __init__(self, model: Any, config: RemovalSettings) -> None:
        graphs = adapter_of(model).graphs
        found = removable(model, config.exclude, config.granularity)
        self._config = config
        self._found = self.left = found
        self._weights, self._owners = weight_channels(model, found), owners_of(model)
        self._kernels = {
            name: (tuple(kernel.shape), found.axes.get(id(kernel), {}))
            for name, kernel in graphs.kernels(model).items()
        }
        self.sizes = {name: len(group) for name, group in found.free.items()}
        self.alive = {name: np.arange(size) for name, size in self.sizes.items()}
        self.multiples = multiples_of(found, config)
        self.skipped = {group.name: group.protected for group in found.groups if group.protected} | {
            name: f"it has {size} channels, no more than the multiple of {self.multiples[name]} that widths are "
            "rounded to"
            for name, size in self.sizes.items()
            if size <= self.multiples[name]
        }
        if not isinstance(found, Branches):
            self.skipped |= layers_left_alone(model, found)
        else:
            self.skipped = {
                found.names[label]: "a layer of it is excluded" for label in spared_branches(model, found, config)
            }
            if config.pruning.pruning_events:
                check_branches(model, found, config)
        self._forms = forms_of(model, found) if config.scope == "isomorphic" else dict.fromkeys(self.sizes)
        self._chosen: dict[str, int] | None = None  # widths after the last event, where they follow from scores
        self.kernel_sizes = {name: int(np.prod(shape)) for name, (shape, _) in self._kernels.items()}
        self._shapes = [tuple(getattr(own, "shape", (0,))) for _, own in graphs.weights(model)]
        self.parameters = graphs.parameters(model)
        self.macs = graphs.macs_per_kernel(model)
        self._check_something_goes()

    def _check_something_goes(self) -> None:
        """Raises `ConfigError` if the method asks for so few channels or branches that none of those that can goes."""
        asked, whole = self._config.requested_sparsity, sum(self.sizes.values())
        events = self._config.pruning.pruning_events
        possible = asked and events and not all(name in self.skipped for name in self.sizes)
        if possible and self._config.scope == "layer":
            if self.count_after(events) == whole:
                what = "branch" if isinstance(self._found, Branches) else "channel"
                raise ConfigError(
                    f"no {what} goes at sparsity {asked:g}, which of {whole} rounds to none: ask for more"
                )

    def choose(
        self,
        model: Any,
        event: PruningEvent,
        before: Sequence[PruningEvent],
        scores_of: Scores,
        stability: MaskStability,
    ) -> Removed | None:
        """Returns what goes at an event: the least important channels of each group, or branches.

        Args:
            model: that is left.
            event: of the method.
            before: those by which something has gone.
            scores_of: ranks what can go.
            stability: what the events of this training would have led to.

        Returns:
            What goes; None: the event waits until that settles, and it has not.
        """
        config, found = self._config, self.left
        scores = scores_of(found, criterion_of(event, config.channel_settings))
        if event.criterion.inverted:
            scores = {name: -own for name, own in scores.items()}
        widths = self._widths_after([*before, event], scores)
        marked = least_important_of(model, found, scores, widths, config)
        if event.stability_tolerance is not None and not stability.is_stable(
            self.alive_without(marked), event.stability_tolerance
        ):
            return None
        self._chosen = None if config.scope == "layer" else widths
        return marked

    def _widths_after(self, events: Sequence[PruningEvent], scores: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Returns how many channels of each group are left after events, the last of which goes by scores."""
        if self._config.scope == "layer":
            widths = expected_widths(self.sizes, events, self.multiples)
            return {name: min(count, len(self.alive[name])) for name, count in widths.items()}
        normalized = {name: NORMALIZERS["mean"](own - min(0.0, float(own.min()))) for name, own in scores.items()}
        groups = [
            Ranked(name, own, self.multiples[name], self._forms[name], self.sizes[name])
            for name, own in normalized.items()
        ]
        return choose_widths(groups, 1 - nominal_sparsity(events), self._config.scope)

    def count_after(self, events: Sequence[PruningEvent]) -> int:
        """Returns how many channels or branches events leave in all; about, where groups compete."""
        if self._config.scope == "layer":
            return sum(expected_widths(self.sizes, events, self.multiples).values())
        return round(sum(self.sizes.values()) * (1 - nominal_sparsity(events)))

    def check(self, kernels: Mapping[str, np.ndarray], events: Iterable[PruningEvent], where: str) -> None:
        """Compares the kernels of a model with what is left after events.

        Raises:
            SparsityError: something else is.
        """
        if self._config.scope == "layer":
            check_widths(self.widths, expected_widths(self.sizes, events, self.multiples), where)
        elif self._chosen is not None:
            check_widths(self.widths, self._chosen, where)
        shapes = self.kernel_shapes()
        if still_there := ({*self.kernel_sizes} - {*shapes}) & {*kernels}:
            raise SparsityError(f"{where}: {', '.join(sorted(still_there))} is still there")
        for name, shape in shapes.items():
            if kernels[name].shape != shape:
                raise SparsityError(f"{where}: {name} has the shape {kernels[name].shape} where {shape} was asked for")

    def remove(self, places: Removed) -> None:
        """Notes what goes: channels by their places among those that are left, branches by their names."""
        self.alive = {name: self._remaining(name, places) for name in self.alive}

    def answering(self, model: Any, places: Removed) -> Any:
        """Returns the smaller model where it answers differently from the one in which what goes is zero, else None.

        Statistics over channels, as LayerNormalization takes them, are of those that stay.
        """
        if not any(own.inexact and len(places.get(own.name, ())) for own in self.left.groups):
            return None
        with adapter_of(model).graphs.scope(model):
            return take_out(model, places, self.left)[0]

    def take_out(
        self,
        model: Any,
        places: Removed,
        *,
        compiled: Callable[[Any], None] | None = None,
        slots_kept: bool = True,
    ) -> tuple[Any, Callable[[Sequence[np.ndarray]], list[np.ndarray]]]:
        """Makes the model that is left smaller; that is noted in `left` alone, see `remove`.

        Args:
            model: that is left.
            places: what goes of it.
            compiled, slots_kept: see `surgery.remove_groups`.

        Returns:
            The smaller model, and what makes weights of it out of those of `model`, as `cut_down` does.
        """
        gone, weights, owners = labels_of(self.left, places), weight_channels(model, self.left), owners_of(model)
        smaller, self.left = take_out(model, places, self.left, compiled=compiled, slots_kept=slots_kept)
        return smaller, lambda remembered: cut_down(remembered, owners, weights, gone, smaller)

    def _remaining(self, name: str, places: Removed) -> np.ndarray:
        gone = places.get(name, ())
        if isinstance(self._found, Branches):
            return np.setdiff1d(self.alive[name], self._found.labels(gone))
        return np.delete(self.alive[name], gone)

    def alive_without(self, places: Removed) -> dict[str, np.ndarray]:
        """Returns group -> which of the channels that it had would be left without those in `places`, uint8."""
        alive = {name: np.zeros(size, np.uint8) for name, size in self.sizes.items()}
        for name in alive:
            alive[name][self._remaining(name, places)] = 1
        return alive

    @property
    def removed(self) -> dict[str, list[int]] | dict[str, list[str]]:
        """Group -> the channels that have gone, as `surgery.remove_groups` takes them of the model as it was built."""
        if isinstance(self._found, Branches):
            alive = self.alive[BRANCHES]
            gone = [name for label, name in enumerate(self._found.names) if label not in alive]
            return {BRANCHES: gone} if gone else {}
        return {
            name: np.setdiff1d(np.arange(size), self.alive[name]).tolist()
            for name, size in self.sizes.items()
            if len(self.alive[name]) < size
        }

    @property
    def widths(self) -> dict[str, int]:
        """Group -> how many channels are left."""
        return {name: len(own) for name, own in self.alive.items()}

    @property
    def share(self) -> float:
        """The share of all channels that can go which has gone, in [0, 1)."""
        return 1 - sum(self.widths.values()) / sum(self.sizes.values())

    def masks(self) -> dict[str, np.ndarray]:
        """Returns what lives of the kernels as they were built, uint8."""
        gone, masks = self._gone(), {}
        for name, (shape, axes) in self._kernels.items():
            masks[name] = np.ones(shape, np.uint8)
            for axis, labels in axes.items():
                np.moveaxis(masks[name], axis, 0)[goes(labels, gone)] = 0
        return masks

    def prune_weights(self, weights: Sequence[np.ndarray], smaller: Any) -> list[np.ndarray]:
        """Returns weights of the model as it was built without what went, as those of the model that is left.

        Args:
            weights: see `mask_values.get_weights`.
            smaller: the model that is left.
        """
        return cut_down(weights, self._owners, self._weights, self._gone(), smaller)

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shapes that the kernels have without what went; those of branches that went are left out."""
        gone = self._gone()
        shapes = {name: _reduced_shape(shape, axes, gone) for name, (shape, axes) in self._kernels.items()}
        return {name: shape for name, shape in shapes.items() if np.prod(shape)}

    def parameters_left(self) -> int:
        """Returns how many numbers the model has without the channels that went."""
        gone, axes = self._gone(), [own.axes for own in self._weights]
        return sum(int(np.prod(_reduced_shape(*own, gone))) for own in zip(self._shapes, axes, strict=True))

    def producers(self) -> dict[str, tuple[str, ...]]:
        """Group that can lose channels -> the layers that make them; of branches their names."""
        return {name: group.producers for name, group in self._found.free.items()}

    def _gone(self) -> np.ndarray:
        return labels_of(self._found, self.removed)


@contextlib.contextmanager
def validating(model: Any, other: Callable[[], Any]) -> Iterator[None]:
    """Lets another model be validated in the place of the one that a `fit` in this context trains.

    Args:
        model: that is trained.
        other: is called before each validation of the `fit`; returns the other model, or None to validate this one.
    """
    evaluate = model.evaluate

    def evaluated(*args: Any, **kwargs: Any) -> Any:
        of_fit = "_use_cached_eval_dataset" in kwargs  # and not of a callback
        instead = other() if of_fit else None
        if instead is None:
            return evaluate(*args, **kwargs)
        del kwargs["_use_cached_eval_dataset"]  # it is of the model that is trained
        return instead.evaluate(*args, **kwargs)

    model.evaluate = evaluated
    try:
        yield
    finally:
        del model.evaluate


def criterion_of(event: PruningEvent, channel_settings: Mapping[str, Any]) -> str:
    """Returns what channels or branches are ranked by at an event."""
    return OF_CHANNELS.get(event.criterion.name, channel_settings["criterion"])


def cut_down(
    weights: Sequence[np.ndarray],
    owners: Sequence[str],
    found: Sequence[WeightChannels],
    gone: np.ndarray,
    smaller: Any,
) -> list[np.ndarray]:
    """Returns weights without what went, in the order of the smaller model, whose layers may have another one.

    Args:
        weights: of the larger model.
        owners: the names of their layers.
        found: their channels.
        gone: the labels of those that went.
        smaller: the model without them.
    """
    left: dict[str, list[np.ndarray]] = {}
    for array, owner, own in zip(weights, owners, found, strict=False):
        left.setdefault(owner, []).append(own.without(array, gone))
    held = weights[len(owners) :]  # by the model itself: they have no channels
    rest = {owner: iter(arrays) for owner, arrays in left.items()}
    return [*(next(rest[owner]) for owner in owners_of(smaller)), *held]


def owners_of(model: Any) -> list[str]:
    """Returns the names of the layers that the weights of a model are in."""
    return [owner for owner, _ in adapter_of(model).graphs.weights(model)]


def _reduced_shape(shape: tuple[int, ...], axes: Axes, gone: np.ndarray) -> tuple[int, ...]:
    lost = {axis: int(goes(labels, gone).sum()) for axis, labels in axes.items()}
    return tuple(size - lost.get(axis, 0) for axis, size in enumerate(shape))
