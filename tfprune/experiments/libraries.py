"""Which Keras a run's model is of, and the part of the package that trains such models. No TensorFlow at the top."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tfprune.adapters import is_keras3
from tfprune.adapters.backend import BACKENDS, choose_backend
from tfprune.adapters.loading.gate import library_of_file
from tfprune.data._base import Data
from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.models._user import APPLICATIONS, OF_KERAS3, build_as_brought, is_function
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.config import Config
from tfprune.training.resuming import CheckpointPolicy
from tfprune.training.run_task import RunTask
from tfprune.training.setting_checks import check_keras3
from tfprune.utils.errors import ConfigError
from tfprune.utils.seeds import derive

if TYPE_CHECKING:
    import numpy as np

Precision = tuple[
    str, Mapping[str, float]
]  # what a run computes in, and the seconds per step that were measured for it


class Library(Protocol):
    """What trains the models of one Keras.

    Attributes:
        config: the run's settings.
        data: what it is trained on.
    """

    config: Config
    data: Data

    def versions(self) -> dict[str, str]:
        """Returns the versions of packages that a result depends on."""

    def choose_precision(self) -> Precision:
        """Returns what the run computes in."""

    def trainer(
        self,
        precision: Precision,
        folder: RunDir | None = None,
        dense: BaselineRun | None = None,
        checkpointing: CheckpointPolicy | None = None,
    ) -> RunTask:
        """Builds the run's model, and returns the task of its method; without a folder nothing is written."""

    def plain_model(self, precision: str) -> Any:
        """Builds the run's model with initial weights and no masks, as it is narrowed."""

    def calls(self, model: Any) -> tuple[Callable[[], object], Callable[[], object]]:
        """Returns what makes a training step of a model on the run's first batch, and what answers to one example."""

    def weights_of(self, result: Result) -> list[np.ndarray]:
        """Reads the weights of a finished run's model, in the order in which the task's model has them."""

    def finish(
        self, trainer: RunTask, folder: RunDir, seconds: Mapping[str, float], precision: Precision
    ) -> dict[str, Any]:
        """Checks, exports, measures and draws a trained model; returns what goes into `metrics.json`."""

    def release(self, trainer: RunTask) -> None:
        """To be called when a run is over, however it ended."""


def prepare(config: Config) -> None:
    """Makes Keras 3 work on the run's backend, before anything imports it.

    Raises:
        ConfigError: the backend is not installed, or this process has Keras on another one.
    """
    if config.backend != BACKENDS[0] or ("keras" not in sys.modules and _may_be_keras3(config)):
        choose_backend(config.backend)


def _may_be_keras3(config: Config) -> bool:
    if not config.has_own_model or config.model.startswith(APPLICATIONS):
        return False
    return (
        config.model.startswith(OF_KERAS3)
        or is_function(config.model)
        or library_of_file(Path(config.model)) == "keras"
    )


def has_keras3_model(config: Config, data: Data) -> bool:
    """Returns whether the run's model is of Keras 3; a user's function is called to find that out.

    Raises:
        ConfigError: it is and a setting is of tf_keras alone, or it is not and the backend is none of TensorFlow.
        ModelError: there is no such model.
    """
    if not _may_be_keras3(config):
        found = False
    elif is_function(config.model):
        seed_for_building(config)
        found = is_keras3(build_as_brought(config.model, data.input_shape, len(data.labels), config.model_settings)[0])
        _reset_names(config)
    else:
        found = True
    if found:
        choose_backend(config.backend)
        check_keras3(config)
    elif config.backend != BACKENDS[0]:
        raise ConfigError(
            f"backend {config.backend} is for models of Keras 3, and {config.model_name} is of tf_keras, which works "
            "on TensorFlow: leave --backend out"
        )
    return found


def seed_for_building(config: Config, purpose: str = "init") -> None:
    """Seeds what a model of either Keras draws when it is built, and forgets the names of layers that were built."""
    from tfprune.adapters.backend import seed_everything
    from tfprune.adapters.keras3 import fitting

    seed = derive(config.seed, purpose)
    if config.backend == BACKENDS[0]:
        seed_everything(seed, anew=True)
    fitting.seed_everything(seed)
    _reset_names(config)


def _reset_names(config: Config) -> None:
    from tfprune.adapters.keras3 import fitting

    fitting.reset_names()
    if config.backend == BACKENDS[0]:
        from tfprune.adapters.backend import keras

        keras.backend.reset_uids()


def library_of(config: Config, data: Data) -> Library:
    """Returns what trains the run's model."""
    if has_keras3_model(config, data):
        from tfprune.experiments.keras3_runs import Keras3Runs

        return Keras3Runs(config, data)
    from tfprune.experiments.tf_keras_runs import TfKerasRuns

    return TfKerasRuns(config, data)
