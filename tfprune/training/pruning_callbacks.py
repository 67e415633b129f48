"""Callbacks that prune a model while a user's own `model.fit` trains it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfprune.adapters import adapter_of
from tfprune.adapters.put_back import put_back
from tfprune.methods._dry_run import SHUFFLED, Step, Training
from tfprune.pruning.criteria import needs_data
from tfprune.pruning.events import PruningEvent
from tfprune.training.in_memory import shortened
from tfprune.training.in_memory_pruning import InMemoryPruning, tell_of_freed_zeros, tell_of_other_optimizers
from tfprune.training.listeners import Logs, PruneAtEpochs, StopOnNaN
from tfprune.training.resolving import check_rates, resolve_method
from tfprune.utils.checks import from_alias
from tfprune.utils.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from tfprune.adapters.backend import keras

log = logging.getLogger(__name__)


class PruningCallback(PruneAtEpochs):
    """Prunes a model while a user's own `model.fit` trains it; made by `callbacks`.

    Args:
        pruning: cuts the model.
        before, after: what happens before the first step and after the last one.
        training: the cuts at the ends of epochs, and what each multiplies the learning rate by.
    """

    def __init__(
        self, pruning: InMemoryPruning, before: Sequence[Step], training: Training, after: Sequence[Step]
    ) -> None:
        events = training.events.items()
        super().__init__(
            {epoch: functools.partial(pruning.apply_event, event, training.lr_factor) for epoch, event in events},
            resume=self._resume,
            look=pruning.look,
        )
        self.pruning = pruning
        self.epochs = pruning.asked.epochs
        self.before, self.training, self.after = before, training, after
        self._finished = self._checked = False

    def on_train_begin(self, logs: Logs = None) -> None:
        self._checked = False
        if self.model is not self.pruning.model:
            raise ModelError("these callbacks were made for another model: pass tfprune.callbacks the one that is fit")
        if not self.pruning.is_current():
            raise ConfigError(
                f"model {self.model.name} was given other masks after these callbacks were made: one list of "
                "tfprune.callbacks prunes a model in a fit; make it last, and once"
            )
        if self.params.get("epochs") != self.epochs:
            raise ConfigError(
                f"epochs must be what tfprune.callbacks was told, {self.epochs}, got {self.params.get('epochs')}: when "
                "to prune depends on it"
            )
        check_rates([self.training], self.pruning.adapter.learning_rate(self.model))
        self.pruning.adapter.hold(self.model)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if not self._checked:
            self._check_masked(epoch)
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_end(epoch, logs)
        if isinstance(logs, dict):
            logs.setdefault("sparsity", self.pruning.pruner.sparsity())  # so that Keras' own History shows it

    def on_fit_end(self) -> None:
        self._finished = self.epoch == self.epochs
        self.pruning.keep()
        self._do(self.after)
        self.after = ()
        if missed := self.missed():
            log.warning(
                "the training stopped after epoch %d of %d: %s did not happen; %.1f %% of the kernel weights are zero",
                *(self.epoch, self.epochs),
                shortened([f"the pruning at the end of epoch {epoch}" for epoch in missed]),
                100 * self.pruning.pruner.sparsity(),
            )

    def _check_masked(self, epoch: int) -> None:
        """Raises `ConfigError` where a fit is repeated on other weights: the masks would be those of the first ones."""
        self._checked = True
        again = self._finished or epoch + 1 < self.epoch or any(at > epoch for at in self.done)
        if again and (self.pruning.revived() or put_back(self.pruning.model)):
            raise ConfigError(
                f"these callbacks pruned the weights of another fit up to epoch {self.epoch}, and this one begins with "
                "others: make new callbacks with tfprune.callbacks for each"
            )

    def _resume(self, epoch: int) -> int:
        if epoch == self.start:
            self._do(self.before)
            return epoch
        cuts = [step for step in self.before if isinstance(step, PruningEvent)]
        return self.pruning.adopt(cuts, self.training.events, epoch)

    def _do(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, PruningEvent):
                self.pruning.prune(step)
            elif step == SHUFFLED:
                self.pruning.shuffle_masks()
            else:
                self.pruning.reinitialise()


def callbacks(
    model: keras.Model,
    *,
    epochs: int,
    method: str = "dynamic",
    sparsity: float | None = None,
    scope: str | None = None,
    granularity: str = "weight",
    pattern: str | None = None,
    pooling: str | None = None,
    exclude: Collection[str] = (),
    include: Collection[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    data: Any = None,
    spare: Collection[str] = (),
) -> list[keras.callbacks.Callback]:
    """Returns callbacks that prune a model while your own `model.fit` trains it.

    The model is masked in place: nothing is wrapped, it saves and loads as before, and what is pruned stays zero under
    any optimizer. Methods that train once can be used so (`dynamic`, `gradual`, `rigl`, `pruned`, those at
    initialisation); a lottery ticket trains twice and needs `tfprune.train`.

    A training that goes on from a backup, or with `initial_epoch`, takes its masks from the zeros of the weights that
    were put back; one that stops early says in a warning what did not happen.

    Args:
        model: any model that has weights, subclassed ones too.
        epochs: that `model.fit` will be called with; when to prune depends on it.
        method, sparsity, scope, granularity, pattern, pooling, exclude, include, settings, seed: as for
            `tfprune.train`.
        data: for methods that rank weights by gradients, such as `snip` and `rigl`: what `model.fit` is given, as the
            `data` of `tfprune.train`.
        spare: the older name of `exclude`.

    Returns:
        What `model.fit(callbacks=...)` is to be given, with others of your own as you like.

    Raises:
        TfpruneError: something that the user can fix.

    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,))])
    >>> model.compile("sgd", "mse")
    >>> pruning = tfprune.callbacks(model, method="dynamic", sparsity=0.5, epochs=3)
    >>> _ = model.fit(np.ones((4, 8)), np.ones((4, 10)), epochs=3, callbacks=pruning, verbose=0)
    >>> tfprune.summary(model).sparsity
    0.5
    """
    adapter = adapter_of(model)
    exclude = from_alias("exclude", exclude, "spare", spare)
    asked = resolve_method(method, sparsity, settings, epochs, scope, granularity, pattern, pooling)
    if asked.removes:
        raise ConfigError(
            f"granularity {granularity} makes another model, and a `fit` of your own cannot change its model: use "
            f"tfprune.train(model, data, granularity={granularity!r})"
        )
    adapter.check(model, copied=False)
    before, training, after = _of_one_fit(asked.steps(), method)
    events = [event for event in (*before, *training.events.values(), *after) if isinstance(event, PruningEvent)]
    if data is None and any(needs_data(event) for event in events):
        raise ConfigError(f"method {method} ranks weights by gradients of the loss: give it data=(x, y) too")
    adapter.report_unprunable(model, include)
    tell_of_freed_zeros(model, asked)
    tell_of_other_optimizers(model, asked)
    pruning = InMemoryPruning(model, asked, exclude=exclude, include=include, seed=seed, data=data)
    pruning.heed_others()
    return [adapter.callback(own) for own in (StopOnNaN(), PruningCallback(pruning, before, training, after))]


def _of_one_fit(steps: Sequence[Step], method: str) -> tuple[Sequence[Step], Training, Sequence[Step]]:
    """Returns what a method does before, in and after its only `fit`.

    Raises:
        ConfigError: it does more than prune in one.
    """
    trainings = [step for step in steps if isinstance(step, Training)]
    if len(trainings) != 1 or trainings[0].rewound:
        raise ConfigError(f"method {method} does more than one `fit` can; use tfprune.train")
    [training], at = trainings, steps.index(trainings[0])
    return steps[:at], training, steps[at + 1 :]
