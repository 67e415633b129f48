"""Callbacks that prune a model while a person's own `model.fit` trains it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfprune.backend import keras
from tfprune.cuts import Cut
from tfprune.errors import ConfigError, ModelError
from tfprune.keras_callbacks import StopOnNaN
from tfprune.live import LiveTask, PruneAtEpochs, method_of, scope_of
from tfprune.masks import sparsity_of
from tfprune.methods._rehearsal import Step, Training, rehearsed
from tfprune.pruning import check_model, report_unprunable
from tfprune.wrapping import get_masks, hold_masks, mask_in_place


class Pruning(PruneAtEpochs):
    """Prunes a model while somebody's own `model.fit` trains it; made by `callbacks`.

    Args:
        task: cuts the model.
        epochs: that the `fit` must go through.
        before, after: cuts before the first step and after the last one.
        events: cuts at the ends of epochs.
    """

    def __init__(
        self, task: LiveTask, epochs: int, before: Sequence[Cut], events: Mapping[int, Cut], after: Sequence[Cut]
    ) -> None:
        super().__init__({epoch: lambda cut=cut: task.prune(cut) for epoch, cut in events.items()})
        self.task = task
        self.epochs = epochs
        self.before, self.after = before, after
        self._started = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.model is not self.task.model:
            raise ModelError("these callbacks were made for another model: pass tfprune.callbacks the one that is fit")
        if self.params.get("epochs") != self.epochs:
            raise ConfigError(
                f"epochs must be what tfprune.callbacks was told, {self.epochs}, got {self.params.get('epochs')}: when "
                "to prune depends on it"
            )
        hold_masks(self.model)
        self.model.make_train_function(force=True)  # one that was made before knows nothing of the masks
        if not self._started:
            for cut in self.before:
                self.task.prune(cut)
        self._started = True

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        if isinstance(logs, dict):
            logs["sparsity"] = sparsity_of(get_masks(self.model))  # so that Keras' own History shows it

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        for cut in self.after if self._epoch == self.epochs else ():
            self.task.prune(cut)


def callbacks(
    model: keras.Model,
    *,
    epochs: int,
    method: str = "dynamic",
    sparsity: float | None = None,
    scope: str | None = None,
    spare: Collection[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[keras.callbacks.Callback]:
    """Returns callbacks that prune a model while your own `model.fit` trains it.

    The model is masked in place: nothing is wrapped, it saves and loads as before, and what is pruned stays zero under
    any optimizer. Methods that train once can be used so (`dynamic`, `gradual`, `pruned`, those at initialisation that
    need no gradients); a lottery ticket trains twice and needs `tfprune.train`.

    Args:
        model: any tf_keras model that has weights, subclassed ones too.
        epochs: that `model.fit` will be called with; when to prune depends on it.
        method, sparsity, scope, spare, settings, seed: as for `tfprune.train`.

    Returns:
        What `model.fit(callbacks=...)` is to be given, with others of your own as you like.

    Raises:
        TfpruneError: something that the user can mend.

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
    chosen = method_of(method, sparsity, settings, epochs)
    check_model(model, copied=False)
    before, events, after = _of_one_fit(rehearsed(chosen, epochs), method)
    report_unprunable(model)
    task = LiveTask(mask_in_place(model, spare), {}, {}, epochs, scope_of(scope, chosen), seed)
    return [StopOnNaN(), Pruning(task, epochs, before, events, after)]


def _of_one_fit(steps: Sequence[Step], method: str) -> tuple[Sequence[Cut], Mapping[int, Cut], Sequence[Cut]]:
    """Returns the cuts before, during and after the only `fit` of a method.

    Raises:
        ConfigError: it does more than prune in one.
    """
    trainings = [step for step in steps if isinstance(step, Training)]
    others = [step for step in steps if not isinstance(step, (Training, Cut))]
    if len(trainings) != 1 or others or trainings[0].rewound or trainings[0].rate_factor != 1.0:
        raise ConfigError(f"method {method} does more than one `fit` can; use tfprune.train")
    [training], at = trainings, steps.index(trainings[0])
    return steps[:at], training.events, steps[at + 1 :]
