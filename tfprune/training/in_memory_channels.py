"""Trainings in a user's own Python that remove channels or residual branches: the model becomes smaller on the way.

As in runs (see `channel_trainer`), what goes is zeroed at the end of an epoch, before its validation, and taken out
when the epoch is over.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.base import MaskedModel
from tfprune.adapters.batches import Batch
from tfprune.methods._base import Method
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import sparsity_of
from tfprune.structured.branches import BRANCHES, Branches
from tfprune.structured.branches import CRITERIA as OF_BRANCHES
from tfprune.structured.channels import OUTPUT, Channels
from tfprune.structured.scoring import CRITERIA
from tfprune.structured.surgery import Removed, zero_groups
from tfprune.structured.widths import DATA_CRITERIA
from tfprune.training.adjusting import Dropouts, recalibrate_zeroed
from tfprune.training.channel_tracker import TAYLOR_EXAMPLES, ChannelTracker, criterion_of, validating
from tfprune.training.examples import some_examples
from tfprune.training.in_memory import InMemoryTask
from tfprune.training.listeners import Rewind
from tfprune.training.removal import EXCLUDED
from tfprune.training.resolving import ResolvedMethod
from tfprune.training.trained import Trained
from tfprune.utils.errors import ConfigError, DivergedError, ModelError
from tfprune.utils.seeds import derive

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ChannelPlan:
    """What is asked of a training in memory that removes channels or branches, see `removal.RemovalSettings`.

    Attributes:
        exclude: names of layers whose channels stay.
        granularity: `filter` or `branch`.
        channel_settings: see `widths.check_channel_settings`.
        scope: which channels compete, see `ranking`.
        pruning: the method.
    """

    exclude: tuple[str, ...]
    granularity: str
    channel_settings: Mapping[str, Any]
    scope: str
    pruning: Method

    @property
    def requested_sparsity(self) -> float:
        """Fraction of the channels or branches that the method is asked to do without."""
        return self.pruning.requested_sparsity


class ChannelTask(InMemoryTask):
    """The `Task` of a method that removes channels or residual branches; see `InMemoryTask` for the arguments.

    Attributes:
        model: as it is by now; another object each time that something has gone.
        tracker: what has gone.

    Raises:
        ModelError: nothing of the model can go, or not by the criterion.
    """

    def __init__(self, model: Any, asked: ResolvedMethod, *args: Any, **kwargs: Any) -> None:
        super().__init__(model, asked, *args, **kwargs)
        self._whole = model
        self._events: list[PruningEvent] = []
        self._marked: Removed = {}  # zeroed, and to be taken out when the epoch has ended
        self._rewindings: list[Rewind] = []
        self._dropouts = Dropouts(model) if asked.channel_settings.get("dropout") == "scale" else None
        if "bn" in self._criteria():  # now, not after epochs of training
            self._scores(self.tracker.left, "bn")

    def _attached(self, exclude: Collection[str], include: Collection[str]) -> MaskedModel:
        """Finds what can go; there are no masks."""
        exclude = (exclude,) if isinstance(exclude, str) else tuple(exclude)
        asked = self.asked
        self.plan = ChannelPlan(exclude, asked.granularity, asked.channel_settings, asked.scope, asked.method)
        self.tracker = ChannelTracker(self.model, self.plan)
        stay = {name: why for name, why in self.tracker.skipped.items() if why != OUTPUT and EXCLUDED not in why}
        what = "; ".join(f"{name}: {why}" for name, why in stay.items())
        if asked.method.requested_sparsity and all(name in self.tracker.skipped for name in self.tracker.sizes):
            raise ModelError(f"model {self.model.name} has no channels that can go ({what}); see channels.multiple")
        if stay:
            log.warning("left alone, as wide as before: %s", what)
        return self.adapter.unmasked(self.model)

    def _criteria(self) -> set[str]:
        return {criterion_of(event, self.plan.channel_settings) for event in self.asked.method.pruning_events}

    def _cut(self, event: PruningEvent) -> None:
        """Zeroes the least important channels of each group, or branches."""
        self.pruner.prunings += 1
        self.adapter.sync(self.model)
        marked = self.tracker.choose(self.model, event, self._events, self._scores, self.pruner.stability[0])
        if marked is None:
            return
        self._events.append(event)
        self._marked = marked
        self.tracker.remove(marked)
        zero_groups(self.model, marked, self.tracker.left)
        if count := self.plan.channel_settings["recalibrate"]:
            recalibrate_zeroed(self.model, self.tracker.left, marked, self._drawn(count, "recalibration").x)

    def _drawn(self, count: int, purpose: str) -> Batch:
        return some_examples(self._data, count, self.pruner.random(purpose))

    def _scores(self, found: Channels, criterion: str) -> Mapping[str, np.ndarray]:
        seed = derive(self._seed, f"channels {self.pruner.prunings}")
        examples = None
        if criterion in DATA_CRITERIA:
            examples = self._drawn(TAYLOR_EXAMPLES, "channels")
        if isinstance(found, Branches):
            scores = {BRANCHES: OF_BRANCHES[criterion](self.model, found, seed, examples)}
        else:
            scores = CRITERIA[criterion](self.model, found, seed, examples)
        for name, own in scores.items():
            if not np.all(np.isfinite(own)):
                raise DivergedError(f"{name} is no longer finite where it is to be pruned; try a lower learning rate")
        return scores

    def _train(self, start: int, events: Sequence[int], callbacks: Sequence[Any]) -> None:
        stretches = self.adapter.stretches(self.model, self._fit, start, self.epochs)
        listening = self.adapter.one_training(
            callbacks, self.model, verbose=self._fit["verbose"], epochs=self.epochs, steps=stretches.steps
        )
        put_back: list[tuple[Any, Any]] = []
        for first, last in itertools.pairwise([start, *sorted({*events, self.epochs})]):
            model = self.model
            arguments = stretches.arguments(last - first)
            with validating(model, self._answering):
                model.fit(**arguments, epochs=last, initial_epoch=first, callbacks=listening)
            put_back += self._take_out(callbacks)
            if self.model is not model:
                listening.set_model(self.model)
            if model.stop_training or (last < self.epochs and stretches.run_out()):
                break
        listening.end()
        self._report_put_back(put_back)

    def _answering(self) -> Any:
        """Returns what is validated in the model's place; what is pruned before a validation is pruned by then."""
        assert self._pruning is not None
        self._pruning.on_test_begin()
        return self.tracker.answering(self.model, self._marked)

    def _take_out(self, callbacks: Sequence[Any] = ()) -> list[tuple[Any, Any]]:
        """Makes the model one without what is zeroed.

        Args:
            callbacks: those that remember best weights go on with what is left of these.

        Returns:
            Those that do, with these weights.
        """
        if not any(len(places) for places in self._marked.values()):
            self._marked = {}
            return []
        slots_kept = self.plan.channel_settings["slots"] == "keep"
        self.adapter.sync(self.model)
        with self.adapter.graphs.scope(self.model):
            smaller, cut_down = self.tracker.take_out(self.model, self._marked, slots_kept=slots_kept)
        if self._dropouts:
            self._dropouts.scale(smaller)
        remembering = [own for own in callbacks if isinstance(getattr(own, "best_weights", None), list)]
        cut = [cut_down(own.best_weights) for own in remembering]
        for rewinding in self._rewindings:
            rewinding.masked = self.adapter.unmasked(smaller)
            if rewinding.remembered is not None:
                rewinding.remembered = cut_down(rewinding.remembered)
        for own, weights in zip(remembering, cut, strict=True):
            own.best_weights = weights
        self.model, self._marked = smaller, {}
        self.pruner.model = self.adapter.unmasked(smaller)
        what = "residual branches" if self.plan.granularity == "branch" else "channels"
        log.info("%.1f %% of the %s are gone: %s", 100 * self.tracker.share, what, self.tracker.widths)
        return list(zip(remembering, cut, strict=True))

    def _report_put_back(self, remembered: Sequence[tuple[Any, Any]]) -> None:
        """Says where weights of before a removal have been put back."""
        now = self.model.get_weights()
        for callback, weights in remembered:
            if callback.best_weights is weights and all(map(np.array_equal, now, weights)):
                log.warning(
                    "weights of before the pruning were put back, as EarlyStopping(restore_best_weights=True) does, "
                    "without what has gone since; evaluate the model anew"
                )

    def keep(self) -> None:
        """Takes out what is zeroed, where a training has been broken off."""
        self._take_out(self._callbacks)

    def prune(self, event: PruningEvent) -> None:
        """Makes the model smaller between trainings."""
        super().prune(event)
        self._take_out()

    def _redrawn(self) -> list[np.ndarray]:
        """Returns other initial weights of the model as it was given, without what has gone."""
        whole = self.adapter.redraw(self._whole, derive(self._seed, "reinit"))
        return self.tracker.prune_weights(whole, self.model)

    def rewinding(self, epoch: int) -> Rewind:
        """Returns what rewinds to `epoch` of the first training that it sees."""
        self._rewindings.append(super().rewinding(epoch))
        return self._rewindings[-1]

    def sparsity(self) -> float:
        """Returns the share of the kernel weights that has gone, in [0, 1]."""
        return sparsity_of(self.tracker.masks())

    def trained(self, stopped: str = "") -> Trained:
        """Returns the model as it stands, see `InMemoryTask.trained`."""
        self._take_out()  # if that was interrupted
        return super().trained(stopped)

    def _said(self) -> str:
        what = "residual branches" if self.plan.granularity == "branch" else "channels that can go"
        return f"{100 * self.tracker.share:.1f} % of the {what} are gone"

    def _check(self, where: str) -> None:
        self.tracker.check(self.pruner.model.kernels(), self.asked.method.pruning_events, where)

    def _result(self, missed: Sequence[str]) -> Trained:
        masks, removed = self.tracker.masks(), self.tracker.removed
        return Trained(self.model, masks, self.history, self.asked.name, missed, removed)


def check_shrinkable(
    model: Any, asked: ResolvedMethod, data: Any, callbacks: Sequence[Any], include: Collection[str], in_place: bool
) -> None:
    """Raises an error of one line if a model or training is at odds with removing channels or residual branches."""
    granularity = f"granularity {asked.granularity}"
    if not adapter_of(model).graphs.has_graph(model):
        raise ModelError(f"{granularity} needs a functional or sequential model, and {model.name} is subclassed")
    if in_place:
        raise ConfigError(f"{granularity} makes another, smaller model: leave in_place out")
    if include:
        raise ConfigError(f"include names single weights, which {granularity} does not prune: leave it out")
    if any(type(own).__name__ == "BackupAndRestore" for own in callbacks):
        raise ConfigError(
            f"BackupAndRestore cannot put back a model that has become smaller ({granularity}): leave it out"
        )
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # under loss scaling, of Keras 3 perhaps several
    if any(getattr(own, "use_ema", False) for own in (optimizer, inner, *getattr(inner, "optimizers", ()))):
        raise ConfigError(f"use_ema=True averages weights over epochs, and {granularity} takes some away: leave it out")
    if isinstance(data, Iterator):
        criteria = {criterion_of(event, asked.channel_settings) for event in asked.method.pruning_events}
        looking = sorted(criteria & {*DATA_CRITERIA})
        if looking or asked.channel_settings["recalibrate"]:
            what = f"channels.criterion={looking[0]}" if looking else "channels.recalibrate"
            raise ConfigError(
                f"{what} looks at some of the data, and a generator gives each batch once: give a tf.data.Dataset, a "
                "sequence of Keras or arrays, or set channels={'criterion': 'l1'} and no recalibrate"
            )
