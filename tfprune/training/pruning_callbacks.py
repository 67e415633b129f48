"""Callbacks that prune a model while a user's own `model.fit` trains it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.copies import check_model, report_unprunable
from tfprune.adapters.tf_keras.mask_values import get_masks
from tfprune.adapters.tf_keras.wrapping import hold_masks, mask_in_place
from tfprune.methods._dry_run import SHUFFLED, Step, Training, record_steps
from tfprune.pruning.criteria import needs_data
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import sparsity_of
from tfprune.training.callbacks import StopOnNaN
from tfprune.training.in_memory import InMemoryTask, PruneAtEpochs, check_rates, resolve_method
from tfprune.utils.checks import from_alias
from tfprune.utils.errors import ConfigError, ModelError


class PruningCallback(PruneAtEpochs):
    """Prunes a model while a user's own `model.fit` trains it; made by `callbacks`.

    Args:
        task: cuts the model.
        epochs: that the `fit` must go through.
        before, after: what happens before the first step and after the last one.
        training: the cuts at the ends of epochs, and what each multiplies the learning rate by.
    """

    def __init__(
        self, task: InMemoryTask, epochs: int, before: Sequence[Step], training: Training, after: Sequence[Step]
    ) -> None:
        events = training.events.items()
        super().__init__(
            {epoch: functools.partial(task.apply_event, event, training.lr_factor) for epoch, event in events}
        )
        self.task = task
        self.epochs = epochs
        self.before, self.training, self.after = before, training, after
        self._started = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.model is not self.task.model:
            raise ModelError("these callbacks were made for another model: pass tfprune.callbacks the one that is fit")
        if self.params.get("epochs") != self.epochs:
            raise ConfigError(
                f"epochs must be what tfprune.callbacks was told, {self.epochs}, got {self.params.get('epochs')}: when "
                "to prune depends on it"
            )
        check_rates([self.training], self.model.optimizer)
        hold_masks(self.model)
        self.model.make_train_function(force=True)  # one that was made before knows nothing of the masks
        if not self._started:
            self._do(self.before)
        self._started = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        if isinstance(logs, dict):
            logs["sparsity"] = sparsity_of(get_masks(self.model))  # so that Keras' own History shows it

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.task.keep()
        self._do(self.after if self._epoch == self.epochs else ())

    def _do(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, PruningEvent):
                self.task.prune(step)
            elif step == SHUFFLED:
                self.task.shuffle_masks()
            else:
                self.task.reinitialise()


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
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    data: Any = None,
    spare: Collection[str] = (),
) -> list[keras.callbacks.Callback]:
    """Returns callbacks that prune a model while your own `model.fit` trains it.

    The model is masked in place: nothing is wrapped, it saves and loads as before, and what is pruned stays zero under
    any optimizer. Methods that train once can be used so (`dynamic`, `gradual`, `rigl`, `pruned`, those at
    initialisation); a lottery ticket trains twice and needs `tfprune.train`.

    Args:
        model: any tf_keras model that has weights, subclassed ones too.
        epochs: that `model.fit` will be called with; when to prune depends on it.
        method, sparsity, scope, granularity, pattern, pooling, exclude, settings, seed: as for `tfprune.train`.
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
    exclude = from_alias("exclude", exclude, "spare", spare)
    asked = resolve_method(method, sparsity, settings, epochs, scope, granularity, pattern, pooling)
    check_model(model, copied=False)
    before, training, after = _of_one_fit(record_steps(asked.method, epochs), method)
    events = [event for event in (*before, *training.events.values(), *after) if isinstance(event, PruningEvent)]
    if data is None and any(needs_data(event) for event in events):
        raise ConfigError(f"method {method} ranks weights by gradients of the loss: give it data=(x, y) too")
    report_unprunable(model)
    task = InMemoryTask(
        mask_in_place(model, exclude), {}, {}, epochs, asked.scope, seed, pattern=asked.pattern, data=data
    )
    return [StopOnNaN(), PruningCallback(task, epochs, before, training, after)]


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
