"""What follows a person's own training, whatever framework trains: an adapter makes callbacks of these."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.base import MaskedModel
from tfprune.utils.errors import DivergedError

log = logging.getLogger(__name__)

Logs = Mapping[str, Any] | None


class Listener:
    """Base of the listeners; a method of the name of a hook of Keras' callbacks is called as those are.

    Attributes:
        model: that is trained.
        params: of the training, as Keras tells them to callbacks.
    """

    model: Any = None
    params: Mapping[str, Any] = {}


class AtEpochEnd(Listener):
    """Calls a function at the end of each epoch."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.function()


class WatchScores(Listener):
    """Adds metrics that only the whole of a split tells to the logs of epochs.

    Args:
        scores: returns them, by name.
        epochs: epochs (counted from 1) at whose ends they are taken.
    """

    def __init__(self, scores: Callable[[], Mapping[str, float]], epochs: Collection[int]) -> None:
        self.scores = scores
        self.epochs = set(epochs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if epoch + 1 in self.epochs and isinstance(logs, dict):
            logs |= self.scores()


class PruneAtEpochs(Listener):
    """Does something at the end of epochs, once, before the validation data are looked at.

    Args:
        events: epoch, counted from 1 -> what to do.
        start: epochs that count as done when the training begins.
        begin: is called when the training begins, before weights are put back as from a backup.
        resume: is called before the first epoch with the epochs that are done, more than `start` where a training goes
            on from a backup; returns the last epoch at whose end everything had been done when the weights were saved.
        look: is called at the end of each epoch, before what is done there and before anybody else looks.
        stops_on_nan: whether a callback of Keras' ends trainings whose loss is no number: nothing is done then.

    Attributes:
        done: the epochs at whose ends it has been done.
        epoch: that is being trained, counted from 1; 0 before the first one.
    """

    def __init__(
        self,
        events: Mapping[int, Callable[[], None]],
        *,
        start: int = 0,
        begin: Callable[[], None] = lambda: None,
        resume: Callable[[int], int] = lambda epoch: epoch,
        look: Callable[[], None] = lambda: None,
        stops_on_nan: bool = False,
    ) -> None:
        self.events = dict(events)
        self.start = start
        self.begin = begin
        self.resume = resume
        self.look = look
        self.stops_on_nan = stops_on_nan
        self.done: set[int] = set()
        self.epoch = 0

    def missed(self) -> list[int]:
        """Returns the epochs at whose ends nothing has been done that should have been."""
        return [epoch for epoch in self.events if epoch not in self.done]

    def on_train_begin(self, logs: Logs = None) -> None:
        self.begin()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if not self.epoch:
            done = self.resume(epoch)
            if epoch > self.start:
                self.done |= {at for at in self.events if at <= done}
                self.epoch = epoch
                self._act()
        self.epoch = epoch + 1

    def on_test_begin(self, logs: Logs = None) -> None:
        self._act()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._act()

    def _act(self) -> None:
        if self.stops_on_nan and self.model.stop_training:
            return
        self.look()
        if self.epoch in self.events and self.epoch not in self.done:
            self.events[self.epoch]()
            self.done.add(self.epoch)


class Rows(Listener):
    """Records one row per epoch: the phase, the epoch, the sparsity after it, and what Keras logged.

    Args:
        rows: those so far; new ones are added to them.
        phase: name of this training.
        sparsity: returns the share that is pruned, in [0, 1].
    """

    def __init__(self, rows: list[dict[str, Any]], phase: str, sparsity: Callable[[], float]) -> None:
        self.rows = rows
        self.phase = phase
        self.sparsity = sparsity

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        row = {"phase": self.phase, "epoch": epoch + 1, "sparsity": self.sparsity()}
        self.rows.append(row | {name: _number(value) for name, value in (logs or {}).items()})


class Rewind(Listener):
    """Puts a model's weights back to where its first training had them after some epochs.

    All weights rewind: kernels, biases, BatchNorm's scales and its moving statistics. Masks do not; what is pruned by
    then stays zero.

    Args:
        epoch: epochs after which the first training is remembered; 0 is before the first step.
        masked: the model.
    """

    def __init__(self, epoch: int, masked: MaskedModel) -> None:
        self.epoch = epoch
        self.masked = masked
        self.remembered: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.remembered is not None:
            self.masked.set_weights(self.remembered)
        elif self.epoch == 0:
            self.remembered = self.masked.weights()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.remembered is None and epoch + 1 == self.epoch:
            self.remembered = self.masked.weights()

    def on_fit_end(self) -> None:
        if self.remembered is None:
            log.warning(
                "the training stopped before epoch %d was over: weights are rewound to where it did", self.epoch
            )
            self.remembered = self.masked.weights()


class StopOnNaN(Listener):
    """Stops a training whose loss is no finite number any more with a `DivergedError`, where it is seen."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        losses = np.asarray((logs or {}).get("loss", 0.0)).reshape(-1)  # one a batch, or one an example
        if losses.dtype.kind not in "fiubV" or np.all(np.isfinite(losses)):
            return
        loss = losses[~np.isfinite(losses)][0]
        adapter_of(self.model).sync(self.model)
        layer = broken_layer(self.model)
        where = f"; the first layer whose weights are no finite numbers is {layer}" if layer else ""
        raise DivergedError(
            f"the loss is {loss} after batch {batch + 1} of the epoch{where}; try a lower learning rate"
        )


def broken_layer(model: Any) -> str | None:
    """Returns the name of the first layer with a weight that is no finite number, None if all are."""
    for layer in model.layers:
        if not all(np.all(np.isfinite(weight)) for weight in layer.get_weights() if weight.dtype.kind in "fV"):
            return layer.name
    return None


def _number(value: Any) -> Any:
    """Returns what was logged as a number, if it is one."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 and array.dtype.kind in "fiub" else value
