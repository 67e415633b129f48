"""Keras callbacks, one job each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.plugins.histogram.summary_v2 import histogram_pb

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_weights, kernels, set_weights
from tfprune.adapters.tf_keras.schedules import PruneAtSteps
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.adapters.tf_keras.wrapping import masked_layers
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import Arrays, sparsity_of
from tfprune.utils.errors import DivergedError

ALIVE_COLOUR, PRUNED_COLOUR = (0, 114, 178), (221, 221, 221)


class PruneOnSchedule(keras.callbacks.Callback):
    """Cuts the model when the optimizer has done the steps that a schedule names.

    Args:
        schedule: when and how much.
        prune: makes one cut on the model, e.g. `Trainer.prune`.
    """

    def __init__(self, schedule: PruneAtSteps, prune: Callable[[PruningEvent], None]) -> None:
        super().__init__()
        self.schedule = schedule
        self.prune = prune
        self.steps = 0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        for layer in masked_layers(self.model):
            layer.pruning_schedule = self.schedule

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.steps = int(self.model.optimizer.iterations.numpy())

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        steps = int(self.model.optimizer.iterations.numpy())
        for event in self.schedule.due(self.steps, steps):
            self.prune(event)


class Rewinding(keras.callbacks.Callback):
    """Puts a model's weights back to where its first training had them after some epochs.

    All weights rewind: kernels, biases, BatchNorm's scales and its moving statistics. Masks do not;
    what is pruned by then stays zero.

    Args:
        epoch: epochs after which the first training is remembered; 0 is before the first step.
    """

    def __init__(self, epoch: int = 0) -> None:
        super().__init__()
        self.epoch = epoch
        self.remembered: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.remembered is not None:
            set_weights(self.model, self.remembered)
        elif self.epoch == 0:
            self.remembered = get_weights(self.model)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self.remembered is None and epoch + 1 == self.epoch:
            self.remembered = get_weights(self.model)


class StopOnNaN(keras.callbacks.Callback):
    """Stops a training whose loss is no finite number any more with a `DivergedError`, where it is seen.

    Args:
        first_step: optimizer steps of the run before this phase.
    """

    def __init__(self, first_step: int = 0) -> None:
        super().__init__()
        self.first_step = first_step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if np.any(np.isfinite(loss)):  # of networks that are trained side by side the others go on
            return
        step = self.first_step + int(self.model.optimizer.iterations.numpy())
        layer = broken_layer(self.model)
        where = f"; the first layer whose weights are no finite numbers is {layer}" if layer else ""
        raise DivergedError(f"the loss is {np.ravel(loss)[0]} after step {step}{where}; try a lower --learning-rate")


def broken_layer(model: keras.Model) -> str | None:
    """Returns the name of the first layer with a weight that is no finite number, None if all are."""
    for layer in model.layers:
        if not all(np.all(np.isfinite(weight)) for weight in layer.get_weights()):
            return layer.layer.name if isinstance(layer, Masked) else layer.name
    return None


class History(keras.callbacks.Callback):
    """Collects one row an epoch that is logged, over all phases of a run.

    Args:
        rows: those so far; new ones are added to them.
        phase: name of this training.
        first_step: optimizer steps of the run before it.
        epochs: epochs (counted from 1) to log.
        sparsity: returns the share that is pruned, in [0, 1]; of a stack one number per network.

    Attributes:
        rows: dictionaries with the keys `history.COLUMNS`; `epoch` counts from 1 within a phase, `step`
            counts optimizer steps over the whole run, `sparsity` is after the epoch.
    """

    def __init__(
        self,
        rows: list[dict[str, Any]],
        phase: str,
        first_step: int,
        epochs: Collection[int],
        sparsity: Callable[[], Any],
    ) -> None:
        super().__init__()
        self.rows = rows
        self.sparsity = sparsity
        self.phase = phase
        self.first_step = first_step
        self.epochs = set(epochs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if epoch + 1 not in self.epochs:
            return
        step = self.first_step + int(self.model.optimizer.iterations.numpy())
        row = {"phase": self.phase, "epoch": epoch + 1, "step": step} | dict(logs or {})
        self.rows.append(row | {"sparsity": self.sparsity()})


class TensorBoardLog(keras.callbacks.Callback):
    """Writes what TensorBoard shows: loss and accuracy (training and validation on one chart),
    sparsity overall and a kernel, histograms of the kernels, and the masks as images when they change.

    Args:
        folder: where the event files go; `train` and `validation` are made in it.
        first_step: optimizer steps of the run before this phase.
        epochs: epochs (counted from 1) to log.
        masks: returns the masks of the kernels.
        sparsity: returns the share that is pruned, in [0, 1].
        begun: whether the phase began earlier, and has logged its beginning.
    """

    def __init__(
        self,
        folder: Path,
        first_step: int,
        epochs: Collection[int],
        masks: Callable[[], Arrays],
        sparsity: Callable[[], float],
        *,
        begun: bool = False,
    ) -> None:
        super().__init__()
        self.begun = begun
        self.masks = masks
        self.sparsity = sparsity
        self.first_step = first_step
        self.epochs = set(epochs)
        self.train = tf.summary.create_file_writer(str(folder / "train"))
        self.validation = tf.summary.create_file_writer(str(folder / "validation"))
        self.shown: float | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self.begun:
            self.log_kernels(self.first_step)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if epoch + 1 not in self.epochs:
            return
        step = self.first_step + int(self.model.optimizer.iterations.numpy())
        self.log_scores(step, logs or {})
        self.log_kernels(step)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.flush()

    def flush(self) -> None:
        """Brings what was logged so far into the files."""
        self.train.flush()
        self.validation.flush()

    def log_scores(self, step: int, scores: Mapping[str, Any]) -> None:
        """Logs losses and accuracies, those of the validation split (`val_...`) on the same charts."""
        for name, value in scores.items():
            writer = self.validation if name.startswith("val_") else self.train
            with writer.as_default(step=step):
                tf.summary.scalar(name.removeprefix("val_"), value)

    def log_kernels(self, step: int) -> None:
        """Logs sparsity, histograms and, if they changed, masks as they are at an optimizer step of the run."""
        masks, overall = self.masks(), self.sparsity()
        with self.train.as_default(step=step):
            tf.summary.scalar("sparsity", overall)
            for name, kernel in kernels(self.model).items():
                tf.summary.scalar(f"sparsity/{name}", sparsity_of({name: masks[name]}))
                tf.summary.experimental.write_raw_pb(_histogram(f"weights/{name}", kernel))
                if overall != self.shown:
                    tf.summary.image(f"masks/{name}", mask_image(masks[name]))
        self.shown = overall


def _histogram(tag: str, values: np.ndarray) -> bytes:
    """Returns what `tf.summary.histogram` writes, in a tenth of its time for small kernels; of finite values alone."""
    return histogram_pb(tag, values[np.isfinite(values)]).SerializeToString()


def mask_image(mask: np.ndarray, largest: int = 512) -> np.ndarray:
    """Draws a mask as an image, blue where a weight lives and grey where not: inputs run down, outputs right.

    Args:
        mask: any shape, outputs last.
        largest: rows and columns at most; what is beyond is cut off. Small masks are drawn in blocks.

    Returns:
        uint8 [1, height, width, 3].
    """
    flat = mask.reshape(-1, mask.shape[-1])[:largest, :largest]
    zoom = max(1, 240 // max(flat.shape))
    colours = np.array([PRUNED_COLOUR, ALIVE_COLOUR], np.uint8)
    return colours[np.kron(flat, np.ones((zoom, zoom), np.uint8))][np.newaxis]


class ContinuousCallbacks(keras.callbacks.Callback):
    """Lets callbacks see one training where Keras is called for several stretches of it, one after the other.

    Args:
        callbacks: what listens, in this order.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self.callbacks = callbacks
        self.begun = False

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self.begun:
            for callback in self.callbacks:
                callback.on_train_begin(logs)
        self.begun = True

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def end(self) -> None:
        """To be called after the last stretch."""
        for callback in self.callbacks:
            callback.on_train_end()
