"""What a run's model was exported to."""

from __future__ import annotations

from pathlib import Path

from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.latency import Model
from tfprune.pruning.counts import path_bytes
from tfprune.utils.errors import ModelError


def model_folder(folder: Path) -> Path:
    """Returns the folder of a SavedModel, which is that of a run or the folder itself.

    Raises:
        ModelError: there is none, or it is a link in a run's folder.
    """
    run = RunDir(folder)
    _check_inside(run)
    if (run.model / "saved_model.pb").is_file():
        return run.model
    if not folder.exists():
        raise ModelError(f"{folder}: there is no such folder")
    if not (folder / "saved_model.pb").is_file() and run.finished:
        again = f"tfprune train --config {run.config}"
        raise ModelError(f"{folder}: this run was trained side by side with others and left no model; {again}")
    return folder


def _check_inside(run: RunDir) -> None:
    """Raises `ModelError` if a part of a run that a model is loaded from is a link, which may lead anywhere."""
    for path in (run.model, run.exports, *(run.exports.iterdir() if run.exports.is_dir() else ())):
        if path.is_symlink():
            raise ModelError(
                f"{path}: this is a symbolic link, through which no model of a run is loaded; name its target"
            )


def models_of(result: Result) -> list[Model]:
    """Loads all files that a run's model was exported to, its SavedModel first.

    Raises:
        ModelError: one is a link, cannot be opened, or is not allowed, see `adapters.loading`.
    """
    _check_inside(result.folder)
    cost = result.metrics["cost"]
    files = {"model": (result.folder.model, "savedmodel")}
    by_suffix = {FORMATS[name].suffix: name for name in FORMATS}
    for path in sorted(result.folder.exports.iterdir()) if result.folder.exports.is_dir() else ():
        if path.is_file() and path.suffix in by_suffix:
            files[path.name] = (path, by_suffix[path.suffix])
    return [
        Model(
            run=result.config.run_id,
            file=file,
            path=path,
            answer=FORMATS[name].load(path),
            multiplications=cost["forward_flops"] // 2,
            nonzero_multiplications=round(cost["forward_flops_masked"] / 2),
            **path_bytes(path),
        )
        for file, (path, name) in files.items()
    ]
