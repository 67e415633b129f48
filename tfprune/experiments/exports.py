"""What a run's model was exported to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfprune.adapters.backend import choose_backend, installed_backend
from tfprune.data._base import Data
from tfprune.data.objectives import DEFAULT
from tfprune.experiments.results import Result, why_no_model
from tfprune.experiments.rundir import RunDir
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.formats._base import Answer, Format, single
from tfprune.exporting.latency import Model
from tfprune.exporting.model_files import SAVED_MODEL
from tfprune.pruning.counts import path_bytes
from tfprune.structured.compaction import Compaction, compact
from tfprune.utils.errors import ModelError

if TYPE_CHECKING:
    from tfprune.exporting.conversion import Conversion
    from tfprune.models._keras3 import BroughtModel


COMPACT = "compact"  # the name of what is left of a model without dead units


def model_folder(folder: Path) -> Path:
    """Returns the folder of a SavedModel, which is that of a run or the folder itself.

    Raises:
        ModelError: there is none, or it is a link in a run's folder.
    """
    run = RunDir(folder)
    _check_inside(run)
    if run.finished and run.keras_model.is_file() and not run.model.is_dir():
        raise ModelError(
            f"{folder}: this run was not trained on TensorFlow, and left no SavedModel; make one with tfprune export "
            f"{folder} --format savedmodel (and --dataset, of data of your own), and name {run.exports / 'savedmodel'}"
        )
    if (run.model / "saved_model.pb").is_file():
        return run.model
    if not folder.exists():
        raise ModelError(f"{folder}: there is no such folder")
    if not (folder / "saved_model.pb").is_file() and run.finished:
        check_left_a_model(run)
    return folder


def check_left_a_model(run: RunDir) -> None:
    """Raises `ModelError` if a finished run has no model, and says how it gets one."""
    if not run.exported:
        raise ModelError(why_no_model(run))


def _check_inside(run: RunDir) -> None:
    """Raises `ModelError` if a part of a run that a model is loaded from is a link, which may lead anywhere."""
    for path in (run.model, run.keras_model, run.exports, *run.exported_files):
        if path.is_symlink():
            raise ModelError(
                f"{path}: this is a symbolic link, through which no model of a run is loaded; name its target"
            )


def prepare_to_read(*results: Result) -> None:
    """To be called before anything imports Keras: models of Keras 3 are opened on TensorFlow, if that is installed."""
    if "keras" not in sys.modules and any(result.of_keras3 for result in results):
        choose_backend(installed_backend())


def restore_model(result: Result, data: Data) -> Any:
    """Returns the trained model of a finished run: of either Keras, from the inputs of its data to logits.

    Raises:
        RunError: the run left no model, or it was altered.
        ModelError: it has parts that are not allowed, see `adapters.loading`.
    """
    if result.of_keras3:
        return restore_brought(result, data).classifier
    from tfprune.experiments.building import restore  # TensorFlow

    return restore(result, data)


def restore_brought(result: Result, data: Data) -> BroughtModel:
    """Returns the model of Keras 3 of a finished run, see `restore_model`."""
    from tfprune.experiments.keras3_runs import restore  # Keras 3

    return restore(result, data)


def compacted_model(result: Result, data: Data) -> tuple[Compaction, Callable[[Path | None], Conversion]]:
    """Removes the dead units of a finished run's model; returns what came of that, and what writes the smaller model.

    Raises:
        ModelError: the model cannot be made again, or the smaller one answers differently.
    """
    if not result.of_keras3:
        from tfprune.exporting.conversion import convert  # TensorFlow

        own = compact(restore_model(result, data))
        return own, lambda path: convert(own.model, data, path or result.folder.exports / COMPACT, "savedmodel")
    from tfprune.exporting.keras3_file import convert_keras3  # Keras 3

    brought = restore_brought(result, data)
    with brought.whole() as model:
        found = compact(model)

    def write(path: Path | None) -> Conversion:
        smaller = brought.of_other(found.model)
        return convert_keras3(smaller, data, {}, path or result.folder.exports / f"{COMPACT}.keras", "none")

    return found, write


def models_of(result: Result, data: Data | None = None) -> list[Model]:
    """Loads all files that a run's model was exported to, its own first.

    Args:
        result: the run.
        data: that it was trained on, which a run whose model is of Keras 3 needs.

    Raises:
        ModelError: one is a link, cannot be opened, or is not allowed, see `adapters.loading`.
    """
    _check_inside(result.folder)
    files = {"model": (result.folder.model, FORMATS["savedmodel"].load)} if result.folder.model.is_dir() else {}
    if result.keras_model.is_file():
        files[result.keras_model.name] = (result.keras_model, lambda path: _answering(result, data))
    loads = {FORMATS[name].suffix: _loading(result, FORMATS[name]) for name in FORMATS}
    for path in result.folder.exported_files:
        if path.name not in files and path.suffix in loads and (path.is_file() or (path / SAVED_MODEL).is_file()):
            files[path.name] = (path, loads[path.suffix])
    cost = result.metrics["cost"]
    macs = {
        "multiplications": cost["forward_flops"] // 2,
        "nonzero_multiplications": round(cost["forward_flops_masked"] / 2),
    }
    return [
        Model(
            run=result.config.run_id,
            file=file,
            path=path,
            answer=load(path),
            **({} if path.stem == COMPACT else macs),
            **path_bytes(path),
        )
        for file, (path, load) in files.items()
    ]


def _answering(result: Result, data: Data) -> Answer:
    classifier = restore_brought(result, data).classifier
    return lambda inputs: data.objective.answers(np.asarray(classifier.predict_on_batch(inputs)))


def _loading(result: Result, chosen: Format) -> Callable[[Path], Answer]:
    """Returns what opens an exported file: of other tasks than classes one with its answers by name."""
    if result.config.task == DEFAULT or not chosen.suffix:
        return chosen.load

    return lambda path: single(chosen.load_named(path), result.config.objective.answer)
