"""Pruning in a user's own Python: their compiled model, their data, their `fit`.

The methods are those of runs. What differs is the `Task` that they are handed: here it trains with the model's own
optimizer, loss and metrics on whatever `model.fit` takes, and writes nothing.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tfprune.adapters import adapter_of
from tfprune.methods._dry_run import Step, Training
from tfprune.pruning.criteria import needs_data
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import Arrays, ones_like
from tfprune.pruning.pattern_masks import check_pattern
from tfprune.training.fit_arguments import Supply, fit_arguments
from tfprune.training.in_memory_pruning import InMemoryPruning, tell_of_freed_zeros, tell_of_other_optimizers
from tfprune.training.listeners import AtEpochEnd, PruneAtEpochs, Rewind, Rows, StopOnNaN
from tfprune.training.named_models import tell_of_names
from tfprune.training.resolving import ResolvedMethod, check_rates, check_start, resolve_method
from tfprune.training.trained import Trained
from tfprune.utils.errors import ConfigError
from tfprune.utils.notebook import LiveCurves
from tfprune.utils.trees import leaves

log = logging.getLogger(__name__)


class _Stopped(Exception):
    """A method cannot go on, and what has been trained so far is to be kept."""


def train_model(
    model: Any,
    data: Any,
    *,
    method: str,
    sparsity: float | None,
    epochs: int,
    scope: str | None,
    granularity: str,
    pattern: str | None,
    pooling: str | None,
    channels: Mapping[str, Any] | None,
    exclude: Collection[str],
    include: Collection[str],
    settings: Mapping[str, Any] | None,
    seed: int,
    callbacks: Any,
    in_place: bool,
    verbose: int | str,
    initial_epoch: int,
    fit: Mapping[str, Any],
) -> Trained:
    """Trains and prunes a compiled model, see `tfprune.train`; `fit` holds the other arguments of `model.fit`."""
    adapter = adapter_of(model)
    callbacks = _listed(callbacks)
    asked = resolve_method(method, sparsity, settings, epochs, scope, granularity, pattern, pooling, channels)
    kind = InMemoryTask
    if asked.removes:
        from tfprune.training.in_memory_channels import ChannelTask, check_shrinkable
        from tfprune.training.removal import copy_to_shrink, whole_or_unfolded

        kind = ChannelTask
        check_shrinkable(model, asked, data, callbacks, include, in_place)
        model = whole_or_unfolded(model, asked.granularity)
    adapter.check(model, copied=not in_place)
    compiled = adapter.compiled(model)
    check_rates(asked.steps(), adapter.learning_rate(model))
    check_start(asked, initial_epoch)
    _check_repeatable(asked, data, callbacks)
    arguments = {**fit_arguments(model, data, fit), "verbose": verbose}
    tell_of_freed_zeros(model, asked)
    tell_of_other_optimizers(model, asked)
    if not in_place:
        tell_of_names(model, {"loss": compiled.get("loss"), "callbacks": callbacks})
    if not asked.removes:
        adapter.report_unprunable(model, include)
    copy = copy_to_shrink if asked.removes else adapter.copy
    task = kind(
        model if in_place else copy(model),
        asked,
        compiled,
        arguments,
        exclude=exclude,
        include=include,
        seed=seed,
        data=data,
        callbacks=callbacks,
        initial_epoch=initial_epoch,
    )
    if in_place and not asked.removes:
        task.heed_others()
    try:
        asked.method.run(task)
    except (KeyboardInterrupt, _Stopped) as error:
        return task.trained(str(error) or "interrupted")
    except Exception as error:
        error.trained = task.trained(f"a {type(error).__name__}")  # type: ignore[attr-defined]
        raise
    return task.trained()


class InMemoryTask(InMemoryPruning):
    """The `Task` of a method: a model and what `model.fit` takes.

    Args:
        model: is masked in place.
        asked: the method.
        compiled: arguments of `model.compile`; each training gets a fresh optimizer.
        fit: arguments of `model.fit`.
        exclude, include, seed, data: see `InMemoryPruning`.
        callbacks: for all trainings.
        initial_epoch: at which the first training begins, and later ones at the earliest.

    Attributes:
        history: one row per epoch.
        missed: what the method asked for and did not get, as text.
    """

    def __init__(
        self,
        model: Any,
        asked: ResolvedMethod,
        compiled: Mapping[str, Any],
        fit: Mapping[str, Any],
        *,
        exclude: Collection[str] = (),
        include: Collection[str] = (),
        seed: int = 0,
        data: Any = None,
        callbacks: Sequence[Any] = (),
        initial_epoch: int = 0,
    ) -> None:
        super().__init__(model, asked, exclude=exclude, include=include, seed=seed, data=data)
        self.epochs = asked.epochs
        self.history: list[dict[str, Any]] = []
        self.missed: list[str] = []
        self._compiled = compiled
        self.adapter.compile(model, compiled)
        self._fit = dict(fit)
        self._supply: Supply | None = None
        if isinstance(self._fit["x"], Iterator):
            self._supply = Supply(self._fit["x"])
            self._fit["x"] = self._supply.batches()
        self._callbacks = callbacks
        self._initial_epoch = initial_epoch
        self._left = asked.steps()
        self._live = LiveCurves(self.history)
        self._pruning: PruneAtEpochs | None = None  # of the training that is going on
        self._cuts: list[PruningEvent] = []  # outside of trainings
        self._laid_off: Arrays = {}  # masks that wait for a backup

    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, PruningEvent] | None = None,
        lr_factor: float = 1.0,
        freeze_lr_epoch: int | None = None,
        callbacks: Sequence[Rewind] = (),
    ) -> None:
        """Trains, see `methods._base.Task`; the learning rate is the compiled optimizer's, from its start."""
        if self._supply is not None and self._supply.empty:
            raise _Stopped("the generator has no more data")
        self.adapter.compile(self.model, self._compiled)
        self.pruner.begin()
        start = max(initial_epoch, self._initial_epoch)
        actions = {
            epoch: functools.partial(self.apply_event, event, lr_factor) for epoch, event in (events or {}).items()
        }
        self._pruning = pruning = PruneAtEpochs(
            actions,
            start=start,
            begin=self._lay_off_masks,
            resume=functools.partial(self._begin, start, events or {}),
            look=self.look,
            stops_on_nan=(stops_on_nan := _stops_on_nan(self._callbacks)),
        )
        own = [pruning, *callbacks] if stops_on_nan else [StopOnNaN(), pruning, *callbacks]
        rows = Rows(self.history, phase, self.sparsity)
        last = [rows, AtEpochEnd(self._live.update)]
        listening = [*map(self.adapter.callback, own), *self._callbacks, *map(self.adapter.callback, last)]
        self._left.pop(0)
        try:
            self._train(start, sorted(actions), listening)
        finally:
            self.missed += [f"the pruning at the end of epoch {epoch} of {self.epochs}" for epoch in pruning.missed()]
            self._live.finish()
            self._put_masks_on()
            self.keep()

    def _lay_off_masks(self) -> None:
        """Lets a backup put weights back that are not pruned where those are with which this training was made."""
        if self._cuts and any(type(own).__name__ == "BackupAndRestore" for own in self._callbacks):
            self._laid_off = self.pruner.masks()
            self.pruner.model.set_masks(ones_like(self._laid_off))

    def _put_masks_on(self) -> None:
        if self._laid_off:
            self.pruner.model.set_masks(self._laid_off)
        self._laid_off = {}

    def _begin(self, start: int, events: Mapping[int, PruningEvent], epoch: int) -> int:
        """Masks the model that a training begins with, see `adopt`, which is called where that comes from a backup."""
        if epoch == start:
            self._put_masks_on()
            return epoch
        self._laid_off = {}
        return self.adopt(self._cuts, events, epoch)

    def _train(self, start: int, events: Sequence[int], callbacks: Sequence[Any]) -> None:
        """Trains what comes after epoch `start`, with cuts at the ends of the epochs in `events`."""
        self.model.fit(**self._fit, epochs=self.epochs, initial_epoch=start, callbacks=callbacks)

    def sparsity(self) -> float:
        """Returns the share of the kernel weights that is pruned, in [0, 1]."""
        return self.pruner.sparsity()

    def prune(self, event: PruningEvent) -> None:
        """Cuts the model between trainings."""
        super().prune(event)
        self._cuts.append(event)
        self._left.pop(0)

    def shuffle_masks(self) -> None:
        """Moves the ones of each mask to places drawn at random, within their kernel."""
        super().shuffle_masks()
        self._left.pop(0)

    def reinitialise(self) -> None:
        """Re-initialises all weights with a new seed; masks are kept."""
        super().reinitialise()
        self._left.pop(0)

    def rewinding(self, epoch: int) -> Rewind:
        """Returns what rewinds to `epoch` of the first training that it sees."""
        return Rewind(epoch, self.pruner.model)

    def trained(self, stopped: str = "") -> Trained:
        """Returns the model as it stands; what was asked for and did not happen is said in a warning.

        Args:
            stopped: why the method did not come to its end; empty: it did.
        """
        missed = (*self.missed, *map(_described, self._left))
        if missed or stopped:
            reason = stopped or "the training stopped early"
            log.warning(
                "%s: %s did not happen; %s, and %.1f %% were asked for",
                reason,
                shortened(missed) or "some epochs",
                self._said(),
                100 * self.asked.method.requested_sparsity,
            )
        else:
            self._check(f"model {self.model.name}")
        return self._result(missed)

    def _said(self) -> str:
        return f"{100 * self.sparsity():.1f} % of the kernel weights are zero"

    def _check(self, where: str) -> None:
        """Raises `SparsityError` if the model is not pruned as it should be."""
        kernels, events = self.pruner.model.kernels(), self.asked.method.pruning_events
        check_pattern(kernels, self.pruner.masks(), events, self.asked.scope, self.asked.pattern, where)

    def _result(self, missed: Sequence[str]) -> Trained:
        return Trained(self.model, self.pruner.masks(), self.history, self.asked.name, missed)


def shortened(texts: Sequence[str], most: int = 3) -> str:
    """Returns what did not happen as one text; of many things the first ones and how many more there are."""
    more = [f"{len(texts) - most} more"] if len(texts) > most else []
    return ", ".join([*texts[:most], *more])


def _described(step: Step) -> str:
    if isinstance(step, Training):
        return f"the training {step.phase!r}"
    return "a pruning between trainings" if isinstance(step, PruningEvent) else f"that {step}"


def _listed(callbacks: Any) -> list[Any]:
    """Returns callbacks one by one, of all that `fit` takes: none, one, lists of lists, a `CallbackList`."""
    if type(callbacks).__name__ == "CallbackList":
        callbacks = callbacks.callbacks
    return [own for own in leaves(callbacks) if own is not None]


def _stops_on_nan(callbacks: Sequence[Any]) -> bool:
    """Returns whether a callback of Keras looks after losses that are no number any more."""
    return any(type(own).__name__ == "TerminateOnNaN" for own in callbacks)


def _check_repeatable(asked: ResolvedMethod, data: Any, callbacks: Sequence[Any]) -> None:
    """Raises `ConfigError` where a method reads data or backups again that are there once."""
    steps = asked.steps()
    trainings = [step for step in steps if isinstance(step, Training)]
    events = [*asked.method.pruning_events, *(event for own in trainings for event in own.events.values())]
    if isinstance(data, Iterator) and any(needs_data(event) for event in events):
        raise ConfigError(
            f"method {asked.name} ranks weights by gradients for some of the data, and a generator gives each batch "
            "once: give a tf.data.Dataset, a sequence of Keras or arrays"
        )
    if len(trainings) > 1 and any(type(own).__name__ == "BackupAndRestore" for own in callbacks):
        raise ConfigError(
            f"BackupAndRestore knows one training, and method {asked.name} does {len(trainings)}: leave it out; a run, "
            "tfprune.train(Config(...)), goes on where it was cut off"
        )
