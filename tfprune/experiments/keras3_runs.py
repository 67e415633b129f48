"""Runs of models of Keras 3 that a person brings, on any of its backends."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.backend import versions_of_keras3
from tfprune.adapters.keras3.adapter import ADAPTER
from tfprune.adapters.keras3.backends import numbers
from tfprune.adapters.keras3.fitting import compile_for, restore_precision, use_precision
from tfprune.adapters.loading.gate import load_model, load_weights
from tfprune.adapters.tf_keras.optimizers import OPTIMIZERS
from tfprune.data._base import SPLITS, Data
from tfprune.experiments.board import write_final
from tfprune.experiments.libraries import Precision, seed_for_building
from tfprune.experiments.measuring import data_report, metrics_of, rounded_seconds
from tfprune.experiments.results import Result, check_model
from tfprune.experiments.run_data import draw, write_arrays
from tfprune.experiments.rundir import RunDir
from tfprune.exporting.keras3_file import check_alike, why_not_kept, write_keras3
from tfprune.models._keras3 import BroughtModel
from tfprune.models._user import build_as_brought, is_function
from tfprune.pruning.counts import path_bytes
from tfprune.training.adjusting import Dropouts
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.config import Config
from tfprune.training.keras3_channel_trainer import Keras3ChannelTrainer
from tfprune.training.keras3_data import evaluated
from tfprune.training.keras3_trainer import Keras3Trainer
from tfprune.training.removal import narrower_by, whole_or_unfolded
from tfprune.training.resuming import CheckpointPolicy
from tfprune.utils.errors import ModelError, RunError
from tfprune.utils.files import write_json
from tfprune.utils.seeds import derive

log = logging.getLogger(__name__)


class Keras3Runs:
    """A `Library`.

    Args:
        config: the run's settings.
        data: what it is trained on.

    Attributes:
        brought: the run's model, once it is built.
    """

    def __init__(self, config: Config, data: Data) -> None:
        self.config, self.data = config, data
        self.brought: BroughtModel | None = None
        self._kept = True  # as a `.keras` file

    def versions(self) -> dict[str, str]:
        return versions_of_keras3(self.config.backend)

    def choose_precision(self) -> Precision:
        return self.config.precision, {}

    def plain_model(self, precision: str) -> Any:
        classifier = brought(self.config, self.data).classifier
        use_precision(classifier, precision)
        return classifier

    def calls(self, model: Any) -> tuple[Callable[[], object], Callable[[], object]]:
        config, train = self.config, self.data.train
        kind, size = OPTIMIZERS[config.optimizer][0], config.batch_size
        objective = self.data.objective
        loss, metrics = objective.loss(keras), objective.compiled_metrics(keras)
        compile_for(model, loss, metrics, kind, config.learning_rate, config.optimizer_settings, xla=config.xla)
        x, y = np.asarray(train.x[:size]), train.y[:size]
        return lambda: model.train_on_batch(x, y), lambda: model.predict_on_batch(x[:1])

    def trainer(
        self,
        precision: Precision,
        folder: RunDir | None = None,
        dense: BaselineRun | None = None,
        checkpointing: CheckpointPolicy | None = None,
    ) -> Keras3Trainer:
        self.brought = brought(self.config, self.data)
        self._check_kept()
        classifier = self.brought.classifier
        use_precision(classifier, precision[0])
        if not self.config.removes:
            ADAPTER.report_unprunable(classifier)
        redrawn = functools.partial(redrawn_weights, self.config, self.data)
        board = folder and folder.tensorboard if self.config.backend == "tensorflow" else None
        kind = Keras3ChannelTrainer if self.config.removes else Keras3Trainer
        trainer = kind(classifier, self.data, self.config, board, dense, redrawn, checkpointing)
        if self.config.removes:
            self.brought.without({}, carried=False)  # it can be made again, or that is said before the training
        return trainer

    def _check_kept(self) -> None:
        """Finds out before the training whether the model can be kept as a `.keras` file."""
        reason = why_not_kept(self.brought, self.data.validation.x)
        self._kept = reason is None
        if reason is None:
            return
        if self.config.backend != "tensorflow":
            raise ModelError(f"model {self.brought.name} could not be kept as a .keras file: {reason}")
        log.warning(
            "model %s cannot be kept as a .keras file (%s): the run leaves its SavedModel alone",
            self.brought.name,
            reason,
        )

    def weights_of(self, result: Result) -> list[np.ndarray]:
        other = brought(result.config, self.data)
        if result.keras_model.is_file():
            check_model(result.folder)
            with other.whole() as model:
                load_weights(result.keras_model, model)
        else:
            from tfprune.exporting.savedmodel import load_weights as exported_weights  # TensorFlow

            other.classifier.set_weights(exported_weights(result.model)[: len(other.classifier.weights)])
        if self.config.granularity == "filter":
            rescale = self.config.model_settings.get("rescale", "auto")
            other = _fitted(whole_or_unfolded(other.model, self.config.granularity), self.config, self.data, rescale)
        return [numbers(weight) for weight in other.classifier.weights]

    def finish(
        self, trainer: Keras3Trainer, folder: RunDir, seconds: Mapping[str, float], precision: Precision
    ) -> dict[str, Any]:
        log.info("Exporting and measuring ...")
        started = time.perf_counter()
        config, data, masks, brought = self.config, self.data, trainer.pruner.masks(), self._as_trained(trainer)
        trainer.check(brought.kernels(), "the trained model")
        restore_precision(brought.classifier, precision[0])  # first: what is kept is measured, in float32
        scores = {split: evaluated(brought.classifier, getattr(data, split), data.objective) for split in SPLITS}
        exported = brought.kernels()
        if self._kept:
            exported = write_keras3(brought, data.validation.x, masks, folder.keras_model)
        if config.backend == "tensorflow":
            exported = self._savedmodel(brought, folder, masks)
        trainer.check(exported, "the exported model")
        weights = [numbers(weight) for weight in brought.classifier.weights]
        pruned = {name: exported[name] for name in trainer.masks() if name in exported}
        metrics = metrics_of(trainer, config, scores, weights, pruned, self.versions())
        metrics |= trainer.report() | {"data": data_report(data, keras), "backend": config.backend, "devices": 1}
        metrics["bytes"] |= path_bytes(folder.keras_model if self._kept else folder.model)
        if isinstance(trainer, Keras3ChannelTrainer):
            write_json(folder.channels, trainer.channel_tracker.removed)
        write_arrays(folder, trainer.history, trainer.masks())
        draw(trainer, metrics["sparsity"]["layers"], folder)
        if config.backend == "tensorflow":
            write_final(folder, config, metrics)
        took = {**seconds, **trainer.seconds, "finish": time.perf_counter() - started}
        return metrics | {
            "seconds": rounded_seconds(took),
            "cpu_seconds": rounded_seconds(trainer.cpu_seconds),
        }

    def _as_trained(self, trainer: Keras3Trainer) -> BroughtModel:
        """Returns the person's model with what it was trained to, without channels that went."""
        if not isinstance(trainer, Keras3ChannelTrainer):
            return self.brought
        smaller = self.brought.without(trainer.channel_tracker.removed)
        trainer.scale_dropouts(smaller.classifier)
        ADAPTER.unmasked(smaller.classifier).set_weights(ADAPTER.unmasked(trainer.model).weights())
        check_alike(smaller.classifier, trainer.model, self.data.validation.x, smaller.name)
        return smaller

    def _savedmodel(
        self, brought: BroughtModel, folder: RunDir, masks: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        from tfprune.exporting.savedmodel import export  # TensorFlow

        return export(brought.classifier, self.data, masks, folder.model)

    def release(self, trainer: Keras3Trainer) -> None:
        """Keeps nothing: a person's function may make another model the next time."""


def brought(config: Config, data: Data, purpose: str = "init") -> BroughtModel:
    """Builds the run's model with initial weights that depend on the seed, and on a purpose."""
    seed_for_building(config, purpose)
    model, rescale = build_as_brought(config.model, data.input_shape, len(data.labels), config.model_settings)
    own = _fitted(whole_or_unfolded(model, config.granularity), config, data, rescale)
    share = config.pruning.width_reduction
    if not share:
        return own
    narrower = own.without(narrower_by(own.classifier, share, config), carried=False)
    if config.channel_settings.get("dropout") == "scale":
        Dropouts(own.classifier).scale(narrower.classifier)
    return narrower


def _fitted(model: Any, config: Config, data: Data, rescale: str, *, finished: bool = False) -> BroughtModel:
    dtype = data.train.x.dtype.name
    fit = data.input_shape, len(data.labels), dtype, rescale, data.objective
    return BroughtModel(model, config.model_name, *fit, finished=finished)


def redrawn_weights(config: Config, data: Data) -> list[np.ndarray]:
    """Returns other initial weights of the run's model, those of a file drawn anew too."""
    other = brought(config, data, "reinit").classifier
    if is_function(config.model):
        return [numbers(weight) for weight in other.weights]
    return ADAPTER.redraw(other, derive(config.seed, "reinit"))


def restore(result: Result, data: Data) -> BroughtModel:
    """Loads the trained model of a finished run.

    Raises:
        RunError: the run left no `.keras` file, or it was altered.
        ModelError: the file has parts that are not allowed, see `adapters.loading`.
    """
    if not result.keras_model.is_file():
        raise RunError(f"{result.folder.root}: this run's model could not be kept as a .keras file; use its SavedModel")
    check_model(result.folder)
    rescale = result.config.model_settings.get("rescale", "auto")
    return _fitted(load_model(result.keras_model), result.config, data, rescale, finished=True)
