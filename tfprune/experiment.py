"""One run from settings to files: the only place that wires data, model, method, export and report."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.backend import keras, machine, tf, versions
from tfprune.callbacks import write_history
from tfprune.config import PLACES, Config
from tfprune.data import DATASETS
from tfprune.data._base import Data
from tfprune.data._pipeline import training_batches
from tfprune.errors import RunError
from tfprune.export import export
from tfprune.masks import check_sparsity
from tfprune.measure import array_bytes, folder_bytes, parameters, sparsity
from tfprune.models import MODELS
from tfprune.precision import candidates, computing_in, fastest, in_float32
from tfprune.report import plot_curves, plot_sparsity
from tfprune.results import SCHEMA, Result, read_result
from tfprune.rundir import RunDir, replacing, write_json
from tfprune.seeds import derive
from tfprune.training import Trainer, compile_model, evaluate
from tfprune.wrapping import get_masks, kernels, strip, wrap

log = logging.getLogger(__name__)


def train(config: Config, *, force: bool = False, dense: Result | None = None) -> Result:
    """Trains, prunes, exports and measures; a run that is finished already is read and not repeated.

    Args:
        config: the settings.
        force: repeat a finished run.
        dense: a finished run of `unpruned` with the same settings. A method that begins with the same
            training does not repeat it but takes it over, and is charged its epochs and seconds.

    Returns:
        The finished run.

    Raises:
        TfpruneError: something that the user can mend.
        SparsityError: the model is not as sparse as asked for.
    """
    folder = RunDir(Path(config.out) / config.run_id)
    if folder.finished and not force:
        result = read_result(folder)
        _check_same(result.config, config, folder)
        return result
    if dense is not None:
        _check_same(dense.config, config.replace(method=dense.config.method, settings={}), dense.folder)
    seconds = {}
    started = time.perf_counter()
    log.info("Reading %s ...", config.dataset)
    data = load_data(config)
    if dense is None:
        precision, step_seconds = choose_precision(config, data)
    else:  # what was fastest then: runs that are compared compute alike
        precision, step_seconds = dense.metrics["precision"].values()
    model = build(config, data, precision)
    seconds["prepare"] = time.perf_counter() - started
    folder.create()  # not before all that can be wrong with data and model has been found
    write_json(folder.config, config.to_dict())

    trainer = Trainer(model, data, config, folder.tensorboard, dense)
    try:
        config.pruning.run(trainer)
        trainer.finish()
        metrics = finish(trainer, folder, seconds | trainer.seconds)
    except BaseException:
        write_history(folder.history, trainer.history)  # what was seen until then is kept
        raise
    metrics["taken_over"] = {phase: dense.config.run_id for phase in trainer.taken_over}
    metrics["precision"] = {"policy": precision, "step_seconds": step_seconds}
    write_json(folder.metrics, metrics)
    keras.backend.clear_session()
    return Result(folder, config, metrics)


def load_data(config: Config) -> Data:
    """Loads the splits of the run's data set, or as much of each as the run is limited to."""
    data = DATASETS[config.dataset].load(config.data_dir and Path(config.data_dir), config.seed)
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    return dataclasses.replace(data, **{name: part.first(config.limit) for name, part in parts.items()})


def build(config: Config, data: Data, precision: str = "float32") -> keras.Model:
    """Builds the wrapped model with its initial weights, which depend on the run's seed and on no precision."""
    keras.utils.set_random_seed(derive(config.seed, "init"))
    with computing_in(precision):
        model = MODELS[config.model](data.input_shape, len(data.labels), **config.model_settings)
        return wrap(model, config.spare)


def choose_precision(config: Config, data: Data) -> tuple[str, dict[str, float]]:
    """Returns the precision to compute in, and the seconds a step that were measured for it (`auto` only)."""
    if config.precision != "auto":
        return config.precision, {}
    log.info("Measuring which precision is fastest ...")
    images, labels = next(iter(training_batches(data.train, config.batch_size, shuffle=False, seed=0)))

    def step(precision: str) -> Callable[[], object]:
        model = build(config, data, precision)
        compile_model(model, config, steps_per_epoch=1)
        return lambda: model.train_on_batch(images, labels)

    return fastest({precision: step(precision) for precision in candidates()})


def finish(trainer: Trainer, folder: RunDir, seconds: dict[str, float]) -> dict[str, Any]:
    """Checks, exports, measures and draws a trained model; returns what goes into `metrics.json`."""
    log.info("Exporting and measuring ...")
    started = time.perf_counter()
    config, data, cuts = trainer.config, trainer.data, trainer.config.pruning.cuts
    masks = get_masks(trainer.model)
    check_sparsity(kernels(trainer.model), masks, cuts, config.scope, "the trained model")
    stripped = in_float32(strip(trainer.model))
    exported = export(stripped, data, masks, folder.model)
    check_sparsity(exported, masks, cuts, config.scope, "the exported model")

    splits = {name: evaluate(stripped, getattr(data, name)) for name in ("train", "validation", "test")}
    weights = stripped.get_weights()
    write_history(folder.history, trainer.history)
    with replacing(folder.masks) as draft, open(draft, "wb") as file:
        np.savez_compressed(file, **masks)
    achieved = sparsity(config.requested_sparsity, {name: exported[name] for name in masks})
    plot_curves(trainer.history, folder.curves, title=config.run_id)
    plot_sparsity(trainer.history, achieved["layers"], folder.sparsity, title=config.run_id)
    _log_hyperparameters(config, splits, achieved["achieved"], folder)
    seconds = seconds | {"finish": time.perf_counter() - started}
    return {
        "schema": SCHEMA,
        "seed": config.seed,
        **splits,
        "selection": {"rule": "last epoch", "split": None},
        "sparsity": achieved,
        **parameters(weights),
        "bytes": folder_bytes(folder.model) | {"weights": array_bytes(weights)},
        "epochs": trainer.trained_epochs,
        "seconds": {phase: round(value, 3) for phase, value in (seconds | {"total": sum(seconds.values())}).items()},
        "versions": versions(),
        "machine": machine(),
    }


def _check_same(stored: Config, asked: Config, folder: RunDir) -> None:
    before, now = stored.to_dict(), asked.to_dict()
    for key in now:
        if key not in PLACES and before[key] != now[key]:
            raise RunError(
                f"{folder.root}: was run with {key}={before[key]}, not {now[key]}; use --force to run it anew"
            )


def _log_hyperparameters(config: Config, splits: dict[str, Any], achieved: float, folder: RunDir) -> None:
    from tensorboard.plugins.hparams import api as hp

    flat = {key: value for key, value in config.to_dict().items() if isinstance(value, (str, int, float))}
    flat |= {f"{config.method}.{key}": _scalar(value) for key, value in config.settings.items()}
    with tf.summary.create_file_writer(str(folder.tensorboard)).as_default(step=0):
        hp.hparams({key: value for key, value in flat.items() if key not in PLACES}, trial_id=config.run_id)
        for name in ("validation", "test"):
            for key, value in splits[name].items():
                tf.summary.scalar(f"final/{name}_{key}", value)
        tf.summary.scalar("final/sparsity", achieved)


def _scalar(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else json.dumps(value)
