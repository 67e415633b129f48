"""Runs of models of tf_keras: the built-in ones, and those that a person brings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf, versions
from tfprune.data._base import Data
from tfprune.data._pipeline import training_batches
from tfprune.experiments.building import build, choose_precision, initial_weights, on_one_device, weights_of
from tfprune.experiments.compiled_models import MODEL_CACHE, compiled_already, kind_of, recurs, tidy_up
from tfprune.experiments.finishing import finish
from tfprune.experiments.libraries import Precision
from tfprune.experiments.measuring import rounded_seconds
from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.compiling import compile_model, devices
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

    def plain_model(self, precision: str) -> keras.Model:
        return build(self.config, self.data, precision)

    def calls(self, model: keras.Model) -> tuple[Callable[[], object], Callable[[], object]]:
        compile_model(model, self.config, steps_per_epoch=1, objective=self.data.objective)
        batch = next(iter(training_batches(self.data.train, self.config.batch_size, shuffle=False, seed=0)))
        step, batches = model.make_train_function(), iter(tf.data.Dataset.from_tensors(batch).repeat())
        answer, one = tf.function(lambda x: model(x, training=False)), batch[0][:1]
        return lambda: float(step(batches)["loss"]), lambda: answer(one).numpy()

    def weights_of(self, result: Result) -> list[np.ndarray]:
        return weights_of(result, self.config, self.data)

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
