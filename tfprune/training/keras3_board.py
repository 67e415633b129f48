"""TensorBoard's scalars of a run of Keras 3, where that is trained on TensorFlow, whose event files they are."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from tfprune.adapters.backend import tf
from tfprune.training.listeners import Listener, Logs


class ScalarLog(Listener):
    """Writes losses and accuracies (training and validation on one chart) and the sparsity.

    Args:
        folder: where the event files go; `train` and `validation` are made in it.
        steps: returns the optimizer steps of the run after so many epochs of this training.
        epochs: epochs (counted from 1) to log.
        sparsity: returns the share that is pruned, in [0, 1].
    """

    shown = None  # of what a checkpoint keeps of a log of images

    def __init__(
        self, folder: Path, steps: Callable[[int], int], epochs: Collection[int], sparsity: Callable[[], float]
    ) -> None:
        self.steps = steps
        self.epochs = set(epochs)
        self.sparsity = sparsity
        self.writers = [tf.summary.create_file_writer(str(folder / name)) for name in ("train", "validation")]

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if epoch + 1 not in self.epochs:
            return
        train, validation = self.writers
        for name, value in {**(logs or {}), "sparsity": self.sparsity()}.items():
            with (validation if name.startswith("val_") else train).as_default(step=self.steps(epoch + 1)):
                tf.summary.scalar(name.removeprefix("val_"), float(value))

    def on_train_end(self, logs: Logs = None) -> None:
        self.flush()

    def flush(self) -> None:
        """Brings what was logged so far into the files."""
        for writer in self.writers:
            writer.flush()
