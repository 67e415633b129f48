"""Runs of models of tf_keras: the built-in ones, and those that a person brings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import versions
from tfprune.data._base import Data
from tfprune.experiments.building import build, choose_precision, initial_weights, on_one_device
from tfprune.experiments.compiled_models import MODEL_CACHE, compiled_already, kind_of, recurs, tidy_up
from tfprune.experiments.finishing import finish
from tfprune.experiments.libraries import Precision
from tfprune.experiments.measuring import rounded_seconds
from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.exporting.savedmodel import load_weights
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.compiling import devices
from tfprune.training.config import Config
from tfprune.training.resuming import CheckpointPolicy
from tfprune.training.trainer import Trainer


class TfKerasRuns:
    """A `Library`.

    Args:
        config: the run's settings.
        data: what it is trained on.
    """

    def __init__(self, config: Config, data: Data) -> None:
        self.config, self.data = config, data

    def versions(self) -> dict[str, str]:
        return versions()

    def choose_precision(self) -> Precision:
        return choose_precision(self.config, self.data)

    def trainer(
        self,
        precision: Precision,
        folder: RunDir | None = None,
        dense: BaselineRun | None = None,
        checkpointing: CheckpointPolicy | None = None,
    ) -> Trainer:
        config, data = self.config, self.data
        model = compiled_already(config, data, build(config, data, precision[0]))
        make = ChannelTrainer if config.removes else Trainer
        reinit_fn = functools.partial(initial_weights, config, data, "reinit")
        return make(model, data, config, folder and folder.tensorboard, dense, reinit_fn, checkpointing)

    def weights_of(self, result: Result) -> list[np.ndarray]:
        return load_weights(result.model)

    def finish(
        self, trainer: Trainer, folder: RunDir, seconds: Mapping[str, float], precision: Precision
    ) -> dict[str, Any]:
        trained_on = devices(trainer.model)
        if trained_on > 1:
            trainer.model = on_one_device(trainer, precision[0])
        metrics = finish(trainer, folder, {**seconds, **trainer.seconds})
        metrics["cpu_seconds"] = rounded_seconds(trainer.cpu_seconds)
        metrics["devices"] = trained_on
        return metrics

    def release(self, trainer: Trainer) -> None:
        if recurs(self.config):
            MODEL_CACHE.put(kind_of(self.config, self.data), trainer.model)
        tidy_up()
