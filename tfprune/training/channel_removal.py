"""Runs that remove channels or residual branches: at each event the model is rebuilt smaller and carries on.

What listens to a training sees one training: what goes is zeroed first, in the same place where single
weights would be, and taken out when the epoch has ended. Keras cannot change the model of a `fit`, so that there is one
for each stretch between events.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.data._base import Data, Split
from tfprune.pruning.counts import sparsity
from tfprune.pruning.events import PruningEvent
from tfprune.structured.branches import BRANCHES, Branches
from tfprune.structured.branches import CRITERIA as OF_BRANCHES
from tfprune.structured.channels import Channels
from tfprune.structured.scoring import CRITERIA
from tfprune.structured.surgery import Removed, zero_groups
from tfprune.training.adjusting import Dropouts, recalibrate_zeroed
from tfprune.training.channel_costs import ChannelCosts
from tfprune.training.channel_tracker import TAYLOR_EXAMPLES, ChannelTracker
from tfprune.training.config import Config
from tfprune.training.pruner import Networks, Pruner
from tfprune.training.removal import multiple_of
from tfprune.training.resuming import operation
from tfprune.utils.errors import DivergedError
from tfprune.utils.seeds import derive

log = logging.getLogger(__name__)


class ChannelRemoval:
    """Makes the `RunTask` of either Keras, which is the next class, one that removes channels or residual branches.

    Args:
        model: a plain functional or sequential model.
        data, config: see `RunTask`.

    Attributes:
        channel_tracker: which channels have gone.

    Raises:
        ModelError: no channel of the model can go, or not by the run's criterion.
    """

    model: Any
    data: Data
    config: Config
    pruner: Pruner
    costs: ChannelCosts
    _rewindings: list[Any]
    _keras: Any  # the module that the model is of
    _reinit_fn: Any

    def __init__(self, model: Any, data: Data, config: Config, *args: Any, **kwargs: Any) -> None:
        self.channel_tracker = ChannelTracker(model, config)
        self._dropouts = Dropouts(model) if config.channel_settings.get("dropout") == "scale" else None
        self._events: list[PruningEvent] = []
        self._marked: Removed = {}  # zeroed, and to be taken out when the epoch has ended
        self._within_fit = False
        self._answering: Any = None  # for the model in which that is zero, where it answers differently
        super().__init__(model, data, config, *args, **kwargs)
        if config.channel_settings["criterion"] == "bn":
            self._scores(self.channel_tracker.left, "bn")  # now, not after epochs of training
        for name, reason in self.channel_tracker.skipped.items():
            log.info("Left alone: %s: %s", name, reason)

    def _prune(self, event: PruningEvent) -> None:
        """Removes the least important channels of each group, or branches; in a training when its epoch has ended."""
        self.pruner.prunings += 1
        adapter_of(self.model).sync(self.model)
        stability = self.pruner.stability[0]
        marked = self.channel_tracker.choose(self.model, event, self._events, self._scores, stability)
        if marked is None:
            self.costs.count_event()
            return
        self._events.append(event)
        self._marked = marked
        zero_groups(self.model, self._marked, self.channel_tracker.left)
        if count := self.config.channel_settings["recalibrate"]:
            chosen = self.pruner.random("recalibration").permutation(len(self.data.train))[:count]
            inputs = np.asarray(self.data.train.x[chosen])
            recalibrate_zeroed(self.model, self.channel_tracker.left, self._marked, inputs)
        self.channel_tracker.remove(self._marked)
        self.costs.count_event()
        if self._within_fit:
            self._answering = self.channel_tracker.answering(self.model, marked)
        else:
            self._take_out()

    def _scores(self, found: Channels, criterion: str) -> Mapping[str, np.ndarray]:
        random = self.pruner.random("channels")
        chosen = random.permutation(len(self.data.train))[:TAYLOR_EXAMPLES]
        losses = functools.partial(self.data.objective.trained_losses, self._keras)
        examples = (np.asarray(self.data.train.x[chosen]), self.data.train.y[chosen], losses)
        seed = derive(self.config.seed, f"channels {self.pruner.prunings}")
        if isinstance(found, Branches):
            scores = {BRANCHES: OF_BRANCHES[criterion](self.model, found, seed, examples)}
        else:
            scores = CRITERIA[criterion](self.model, found, seed, examples)
        scores = self._agreed(scores)
        for name, own in scores.items():
            if not np.all(np.isfinite(own)):
                raise DivergedError(f"{name} is no longer finite where it is to be pruned; try a lower --learning-rate")
        return scores

    def _agreed(self, scores: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns the scores that all processes go by which train the model together."""
        return scores

    def _take_out(self) -> None:
        marked, self._marked, self._answering = self._marked, {}, None
        if not any(len(places) for places in marked.values()):
            return
        slots_kept = self.config.channel_settings["slots"] == "keep"
        with adapter_of(self.model).graphs.scope(self.model):
            smaller, cut_down = self.channel_tracker.take_out(
                self.model, marked, compiled=self._compile_anew, slots_kept=slots_kept
            )
        for rewinding in self._rewindings:
            if rewinding.remembered is not None:
                rewinding.remembered = cut_down(rewinding.remembered)
        self._use_smaller(smaller)
        what = "residual branches" if self.config.granularity == "branch" else "channels"
        log.info("%.1f %% of the %s are gone: %s", 100 * self.channel_tracker.share, what, self.channel_tracker.widths)

    def evaluate(self, split: Split) -> dict[str, float]:
        model, self.model = self.model, self.model if self._answering is None else self._answering
        try:
            return super().evaluate(split)  # of the next class
        finally:
            self.model = model

    def _compile_anew(self, smaller: Any) -> None:
        """Compiles a smaller model as its predecessor was when its training started; its optimizer then takes over."""
        raise NotImplementedError

    def _use_smaller(self, smaller: Any) -> None:
        self.model = smaller
        self.costs.measure(smaller)
        self.scale_dropouts(smaller)

    def scale_dropouts(self, smaller: Any) -> None:
        """Gives a smaller version of the model the rates of dropout that the run's settings ask for."""
        if self._dropouts:
            self._dropouts.scale(smaller)

    def structure(self) -> dict[str, Any]:
        return {"removed": self.channel_tracker.removed, "cuts": [event.to_dict() for event in self._events]}

    def rebuild(self, structure: Mapping[str, Any]) -> None:
        self._events = [PruningEvent.from_dict(event) for event in structure["cuts"]]
        if structure["removed"]:
            self.channel_tracker.remove(structure["removed"])
            with adapter_of(self.model).graphs.scope(self.model):
                smaller, _ = self.channel_tracker.take_out(self.model, structure["removed"])
            self._use_smaller(smaller)

    @property
    def can_checkpoint(self) -> bool:
        return not self._marked

    @operation
    def reinitialise(self) -> None:
        weights = self.channel_tracker.prune_weights(self._reinit_fn(), self.model)
        adapter_of(self.model).unmasked(self.model).set_weights(weights)

    def masks(self) -> dict[str, np.ndarray]:
        return self.channel_tracker.masks()

    def sparsity(self) -> float:
        return self.channel_tracker.share

    def _cost_meter(self, networks: Networks | None = None) -> ChannelCosts:
        return ChannelCosts(self.model, len(self.data.train), self.channel_tracker)

    def check(self, kernels: Mapping[str, np.ndarray], where: str) -> None:
        self.channel_tracker.check(kernels, self.config.pruning.pruning_events, where)

    def report(self) -> dict[str, Any]:
        channel_tracker, settings = self.channel_tracker, self.config.channel_settings
        requested = self.config.requested_sparsity if self.config.pruning.pruning_events else 0.0
        groups = {
            name: {"layers": list(layers), "before": channel_tracker.sizes[name], "after": channel_tracker.widths[name]}
            for name, layers in channel_tracker.producers().items()
        }
        if BRANCHES in groups:
            groups[BRANCHES]["gone"] = channel_tracker.removed.get(BRANCHES, [])
        return {
            "sparsity": sparsity(requested, channel_tracker.masks()) | {"achieved": channel_tracker.share},
            "channels": {
                "criterion": settings["criterion"],
                "multiple": multiple_of(self.config),
                "groups": groups,
                "left_alone": channel_tracker.skipped,
                "parameters": {"before": channel_tracker.parameters, "after": self.model.count_params()},
                "macs": {"before": sum(channel_tracker.macs.values()), "after": self.costs.forward},
            },
        }
