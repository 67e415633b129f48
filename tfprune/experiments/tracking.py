"""Runs in MLflow too, for those who ask for it (`--mlflow`, extra `[mlflow]`). Nothing of MLflow is loaded before."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfprune.experiments.rundir import RunDir
from tfprune.training.config import NON_IDENTITY_FIELDS, Config
from tfprune.utils.errors import ConfigError, RunError
from tfprune.utils.text import one_line

log = logging.getLogger(__name__)

EXPERIMENT = "tfprune"
MAX_PARAMETERS = 100  # that MLflow takes at a time
COUNTED = "sparsity"  # a number that every row of a history has
WORDS = ("phase", "epoch", "step")  # of a row, that are no metrics


class Tracker:
    """Tracks nothing: the run is not to be in MLflow.

    Attributes:
        id: of the MLflow run, None before `begin`.
    """

    id: str | None = None

    def begin(self, known: str | None) -> None:
        """Starts an MLflow run, or goes on with the `known` one."""

    def log(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Logs the rows that have come since."""

    def finish(self, metrics: Mapping[str, Any], folder: RunDir) -> None:
        """Logs what a run came to, and its small files."""

    def end(self, status: str) -> None:
        """Says how the MLflow run ended."""


class Mlflow(Tracker):
    """Tracks a run in MLflow. Where that fails in the middle of a training, the training goes on with a warning.

    Args:
        config: the run's settings.
        client: of MLflow.
    """

    def __init__(self, config: Config, client: Any) -> None:
        self._config = config
        self._client = client
        self._logged = 0  # rows

    def begin(self, known: str | None) -> None:
        """Raises a `RunError` where there is no MLflow that answers."""
        try:
            self.id = self._again(known) if known else None
            if self.id is None:
                self._start()
        except Exception as error:  # of whatever the store is made of
            raise RunError(f"MLflow at {self._config.mlflow} does not take the run ({one_line(error)})") from error

    def _again(self, known: str) -> str | None:
        """Takes a run up again; None if MLflow does not know it, as after --mlflow has changed."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.update_run(known, status="RUNNING")
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None
        self._logged = len(self._client.get_metric_history(known, COUNTED))
        return known

    def _start(self) -> None:
        from mlflow.entities import Param

        config = self._config
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        folder = str((Path(config.out) / config.run_id).absolute())
        tags = {"tfprune.folder": folder, "tfprune.run_id": config.run_id}
        self.id = self._client.create_run(experiment, run_name=config.run_id, tags=tags).info.run_id
        parameters = [Param(name, value) for name, value in _parameters(config).items()]
        for first in range(0, len(parameters), MAX_PARAMETERS):
            self._client.log_batch(self.id, params=parameters[first : first + MAX_PARAMETERS])

    def log(self, history: Sequence[Mapping[str, Any]]) -> None:
        rows = history[self._logged :]
        if rows and self._done(lambda: self._log_rows(rows)):
            self._logged += len(rows)

    def _log_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            self._log_numbers({name: v for name, v in row.items() if name not in WORDS and v is not None}, row["step"])

    def _log_numbers(self, numbers: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        metrics = [Metric(name, float(value), now, int(step)) for name, value in numbers.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def finish(self, metrics: Mapping[str, Any], folder: RunDir) -> None:
        final = {f"final/{split}_{name}": v for split in ("validation", "test") for name, v in metrics[split].items()}
        final |= {"final/sparsity": metrics["sparsity"]["achieved"]}
        final |= {f"final/{name}": metrics[name] for name in ("parameters", "nonzero_parameters", "epochs")}
        self._done(lambda: self._log_numbers(final, 0))
        for file in (folder.config, folder.metrics, folder.history, folder.curves, folder.sparsity):
            if file.is_file():
                self._done(lambda file=file: self._client.log_artifact(self.id, str(file)))

    def end(self, status: str) -> None:
        if self.id is not None:
            self._done(lambda: self._client.set_terminated(self.id, status))

    def _done(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except Exception as error:  # of whatever the store is made of: a server, a disk, a database
            log.warning("MLflow at %s does not answer (%s); the run goes on", self._config.mlflow, one_line(error))
            return False
        return True


@contextlib.contextmanager
def tracked(config: Config, *, keeps: bool = True) -> Iterator[Tracker]:
    """Yields what tracks a run, and says in the end how it ended.

    Args:
        config: the run's settings.
        keeps: whether this process keeps the run's files; others track nothing.

    Raises:
        ConfigError: MLflow is asked for and not installed.
    """
    tracker = Mlflow(config, _client(config.mlflow)) if config.mlflow and keeps else Tracker()
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.end(status)


def _client(uri: str) -> Any:
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigError("--mlflow needs MLflow: pip install 'tfprune[mlflow]'")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # who names a folder wants it
    from mlflow import MlflowClient

    try:
        return MlflowClient(tracking_uri=uri if "://" in uri else Path(uri).absolute().as_uri())
    except Exception as error:  # a scheme that it does not know, a database that is not installed
        raise ConfigError(f"MLflow cannot use {uri} ({one_line(error)})") from error


def _parameters(config: Config) -> dict[str, str]:
    """Returns the settings by dotted names, as text."""
    flat: dict[str, str] = {}
    for name, value in config.to_dict().items():
        if isinstance(value, Mapping):
            flat |= {f"{name.removesuffix('_settings')}.{key}": _text(item) for key, item in value.items()}
        elif name not in NON_IDENTITY_FIELDS and value is not None:
            flat[name] = _text(value)
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
