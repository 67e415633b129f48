"""One run from settings to files: the only place that wires data, model, method, export and report."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from pathlib import Path
from typing import Any

from tfprune.data._base import Data
from tfprune.experiments.libraries import Library, Precision, library_of, prepare
from tfprune.experiments.model_card import write_card
from tfprune.experiments.results import (
    Result,
    check_same,
    find_result,
    metrics_with_checksum,
    read_config,
    read_result,
    tidy,
)
from tfprune.experiments.run_data import load_data, write_splits
from tfprune.experiments.run_files import check
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.schemas import TrainingState
from tfprune.experiments.system_errors import run_folder_missing, translate_errors
from tfprune.experiments.tracking import Tracker, tracked
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.checkpoints import Checkpoint, Checkpoints, Interval
from tfprune.training.config import Config
from tfprune.training.history import write_history
from tfprune.training.listeners import AtEpochEnd
from tfprune.training.precision import deterministic_ops
from tfprune.training.resuming import CheckpointPolicy, environment_info, truncate_files, warn_of_differences
from tfprune.training.run_task import RunTask
from tfprune.training.stopping import SignalHandler
from tfprune.training.strategies import DistributedContext
from tfprune.utils.errors import RunError
from tfprune.utils.files import write_json
from tfprune.utils.notebook import LiveCurves

log = logging.getLogger(__name__)


def train(config: Config, *, force: bool = False, exported: bool = True, dense: Result | None = None) -> Result:
    """Trains, prunes, exports and measures; a run that is finished already is read and not repeated.

    Args:
        config: the settings.
        force: repeat a finished run.
        exported: repeat a finished run that left no SavedModel, see `train_together`.
        dense: a finished run of `unpruned` with the same settings. A method that begins with the same
            training does not repeat it but takes it over, and is charged its epochs and seconds.

    Returns:
        The finished run.

    Raises:
        TfpruneError: something that the user can fix.
        SparsityError: the model is not as sparse as asked for.
    """
    prepare(config)
    distributed = DistributedContext.of(config)  # before anything else is computed
    folder = RunDir(Path(config.out) / config.run_id)
    result = None if force else _finished(config, folder, exported)
    if result is not None:
        tidy(folder)
        return result
    if dense is not None and not dense.folder.exported:
        dense = None
    if dense is not None:
        check_same(dense.config, config.replace(method=dense.config.method, settings={}), dense.folder)
    with distributed.folder(folder.root) as own:
        result = None if force else _finished(config, folder, exported)  # by whom we waited for
        if result is None:
            with (
                SignalHandler() as signals,
                tracked(config, keeps=distributed.chief) as tracker,
                RunDir(own).failures(),
                translate_errors(own),
                deterministic_ops(config.deterministic) if config.backend == "tensorflow" else contextlib.nullcontext(),
                distributed.catch_worker_loss(),
                signals.reraise_as_stopped(),
            ):
                checkpoint = None if force else _checkpoint(config, folder)
                distributed.barrier()  # the chief has made the folder
                distributed.assert_same_across_workers(
                    f"{config.identity()} {folder.root.is_dir()} {checkpoint and checkpoint.state}"
                )
                _train(config, RunDir(own), dense, checkpoint, signals, distributed, tracker)
                distributed.barrier()  # the chief has written everything
            result = read_result(folder)
        if distributed.chief:
            folder.close()
    return result


def _finished(config: Config, folder: RunDir, exported: bool) -> Result | None:
    """Returns the run in a folder if it is finished and has all that is asked for."""
    result = find_result(config)
    return result if folder.exported or not exported else None


def _checkpoint(config: Config, folder: RunDir) -> Checkpoint | None:
    """Returns what a run that was cut off goes on from, None if there is nothing.

    Raises:
        RunError: it was started with other settings.
    """
    folder.check_ownership()
    if folder.finished or not folder.checkpoints.is_dir():
        return None
    try:
        started = read_config(folder)
    except RunError as error:
        raise RunError(f"{error}; use --force to run it anew") from None
    check_same(started, config, folder)
    checkpoint = Checkpoints(folder.checkpoints).latest()
    if checkpoint is not None:
        check(checkpoint.state, TrainingState, folder.checkpoints)
    return checkpoint


def _train(
    config: Config,
    folder: RunDir,
    dense: Result | None,
    checkpoint: Checkpoint | None,
    signals: SignalHandler,
    distributed: DistributedContext,
    tracker: Tracker,
) -> None:
    """Trains a run in a folder that is ours, from the start or from a checkpoint."""
    started = time.perf_counter()
    data = _read_data(config, folder, checkpoint)
    library = library_of(config, data)
    circumstances = environment_info(library.versions())
    if checkpoint is not None:
        warn_of_differences(checkpoint.state["run"]["circumstances"], circumstances)
    precision = _precision(library, dense, checkpoint)
    checkpointing = CheckpointPolicy(
        checkpoints=Checkpoints(folder.checkpoints),
        every=Interval.parse(config.checkpoint_every),
        signals=signals,
        checkpoint=checkpoint,
        run={
            "precision": list(precision),
            "circumstances": circumstances,
            "data": data.fingerprint(),
            "stream": data.stream,
        },
        events=folder.tensorboard,
        distributed=distributed,
    )
    trainer = library.trainer(precision, folder, dense and baseline_run_of(dense, library), checkpointing)
    seconds = {"prepare": time.perf_counter() - started}
    _begin(config, folder, data, checkpoint)
    tracker.begin(checkpoint.state["run"].get("mlflow") if checkpoint else None)
    checkpointing.run["mlflow"] = tracker.id
    live = LiveCurves(trainer.history)
    for follow in (lambda: tracker.log(trainer.history), live.update):
        trainer.observers.append(trainer.callback(AtEpochEnd(follow)))
    try:
        metrics = _prune_and_measure(library, trainer, folder, seconds, precision)
    except BaseException:
        with contextlib.suppress(OSError):  # what was seen is kept, if it can be; what went wrong counts more
            write_history(folder.history, trainer.history)
        raise
    finally:
        live.finish()
        library.release(trainer)
    if not folder.config.is_file():  # the folder was removed, and what was written since has made it anew
        raise run_folder_missing(folder.root)
    metrics = metrics_with_checksum(folder, metrics)
    write_card(Result(folder, config, metrics), folder.card)
    write_json(folder.metrics, metrics, synced=True)  # the checkpoints go next
    tracker.log(trainer.history)
    tracker.finish(metrics, folder)


def _read_data(config: Config, folder: RunDir, checkpoint: Checkpoint | None) -> Data:
    """Loads the run's data, and says what is to be known of them.

    Raises:
        RunError: they are not those that the checkpoint is of.
    """
    log.info("Reading %s ...", config.data_name)
    stream = checkpoint.state["run"].get("stream", config.stream) if checkpoint else config.stream
    data = load_data(config.replace(stream=stream))
    for note in data.notes:
        log.info("%s: %s", config.data_name, note)
    for warning in (*data.warnings, data.imbalance()):
        if warning:
            log.warning("%s: %s", config.data_name, warning)
    if checkpoint is not None and checkpoint.state["run"]["data"] != data.fingerprint():
        raise RunError(f"{folder.root}: the data are not those that the run began with; use --force to run it anew")
    return data


def _precision(library: Library, dense: Result | None, checkpoint: Checkpoint | None) -> Precision:
    """Returns what the run computes in, and the seconds a step that were measured for it."""
    if checkpoint is not None:
        policy, step_seconds = checkpoint.state["run"]["precision"]
        return policy, step_seconds
    if dense is None:
        return library.choose_precision()
    known = dense.metrics["precision"]  # what was fastest then: runs that are compared compute alike
    return known["policy"], known["step_seconds"]


def _begin(config: Config, folder: RunDir, data: Data, checkpoint: Checkpoint | None) -> None:
    """Writes into the run's folder what is known before the training, or makes it what it was at a checkpoint."""
    if checkpoint is None:
        folder.create()  # not before all that can be wrong with data and model has been found
    else:
        folder.resume()
        truncate_files(folder.tensorboard, checkpoint.state["events"])
    write_json(folder.config, config.to_dict())
    write_splits(folder.splits, data)


def _prune_and_measure(
    library: Library, trainer: RunTask, folder: RunDir, seconds: dict[str, float], precision: Precision
) -> dict[str, Any]:
    """Lets the run's method train and prune; returns what goes into `metrics.json`."""
    policy, step_seconds = precision
    trainer.config.pruning.run(trainer)
    trainer.finish()
    metrics = library.finish(trainer, folder, seconds, precision)
    metrics["precision"] = {"policy": policy, "step_seconds": step_seconds}
    return metrics


def baseline_run_of(run: Result, library: Library) -> BaselineRun:
    """Returns the training of a finished and exported run of `unpruned`."""
    history, metrics = run.history(), run.metrics
    phase = history[0]["phase"]
    weights = functools.partial(library.weights_of, run)
    if library.config.removes:
        found = weights()  # before the run's own model is built: another one may be, which draws numbers
        weights = functools.partial(list, found)
    seconds, cpu_seconds = metrics["seconds"][phase], metrics["cpu_seconds"][phase]
    return BaselineRun(phase, weights, history, metrics["epochs"], seconds, cpu_seconds, run.config.run_id)
