"""A run's model of Keras 3 as a `.keras` file: the person's own model, loaded again and compared before it counts."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.keras3.fitting import answers
from tfprune.adapters.loading.gate import reload_keras3
from tfprune.data._base import Data
from tfprune.exporting.conversion import Conversion, chosen_format, writing
from tfprune.models._keras3 import BroughtModel
from tfprune.pruning.counts import path_bytes
from tfprune.training.keras3_data import outputs_of
from tfprune.utils.errors import ModelError, SparsityError
from tfprune.utils.files import atomic_write
from tfprune.utils.text import one_line

TOLERANCE = 1e-5  # largest difference of an output, relative to the largest of them: it is the same model
COMPARED = 64  # examples


def why_not_kept(brought: BroughtModel, examples: Any) -> str | None:
    """Says why a model cannot be kept as a `.keras` file, before it is trained; None if it can."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            write_keras3(brought, examples, {}, path)
        except ModelError as error:
            return str(error).removeprefix(f"{path}: ")
    return None


def write_keras3(
    brought: BroughtModel, examples: Any, masks: Mapping[str, np.ndarray], path: Path
) -> dict[str, np.ndarray]:
    """Writes a person's model, loads it again and compares what both answer.

    Args:
        brought: with the model.
        examples: of the run.
        masks: of the pruned kernels, by name.
        path: file to write; replaced in one go.

    Returns:
        The kernels as the model that was loaded has them, by the names of the run.

    Raises:
        ModelError: the model cannot be saved or loaded, or answers differently then.
        SparsityError: a pruned weight of the loaded model is not zero.
    """
    examples = np.asarray(examples[:COMPARED])
    with atomic_write(path) as draft, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras says of its own affairs
        with brought.whole() as model:
            try:
                model.save(str(draft))
            except Exception as error:  # of a layer of a person's own, whatever that is
                raise ModelError(f"{path}: it cannot be saved ({one_line(error)})") from None
            expected = answers(model, examples)
        try:
            loaded = reload_keras3(draft)
            _check_alike(answers(loaded, examples), expected, path)
            again = brought.of_other(loaded)
        except ModelError as error:
            raise ModelError(str(error).replace(str(draft), str(path))) from None
        _check_alike(answers(again.classifier, examples), answers(brought.classifier, examples), path)
        kernels = again.kernels()
        for name, mask in masks.items():
            if np.any(kernels[name][mask == 0]):
                raise SparsityError(f"{path}: pruned weights of {name} are not zero in the exported model")
    return kernels


def convert_keras3(
    brought: BroughtModel, data: Data, masks: Mapping[str, np.ndarray], path: Path, quantize: str
) -> Conversion:
    """Writes the model of a finished run as a `.keras` file, see `conversion.convert` and `write_keras3`."""
    chosen_format("keras", quantize, path)
    split = data.validation
    with writing(path):
        write_keras3(brought, split.x, masks, path)
    again = brought.of_other(reload_keras3(path))
    objective = data.objective
    before, after = (objective.answers(outputs_of(own.classifier, split)) for own in (brought, again))
    metric = objective.metrics[objective.primary]
    scores = [objective.compared(split.y, given)[metric.name] for given in (before, after)]
    size, difference = path_bytes(path), float(np.max(np.abs(after - before)))
    return Conversion(path, len(split), *scores, difference, size["raw"], size["gzip"], metric=metric)


def check_alike(given: Any, wanted: Any, examples: Any, what: object) -> None:
    """Raises `ModelError` if two models of Keras 3 answer differently."""
    examples = np.asarray(examples[:COMPARED])
    _check_alike(answers(given, examples), answers(wanted, examples), what)


def _check_alike(given: np.ndarray, wanted: np.ndarray, path: object) -> None:
    finite = np.abs(wanted[np.isfinite(wanted)])
    most = TOLERANCE * max(1.0, float(finite.max(initial=0.0)))
    if given.shape != wanted.shape or not np.allclose(given, wanted, rtol=0.0, atol=most, equal_nan=True):
        raise ModelError(f"{path}: the model that was saved answers differently from the one that was trained")
