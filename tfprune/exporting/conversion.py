"""A finished run's model in other formats, each loaded again and compared before it counts."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters import is_keras3
from tfprune.adapters.backend import keras, keras3
from tfprune.data._base import Data
from tfprune.data.objectives._base import Metric, softmax
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.exporting.description import write_description
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.formats._base import Answer, Format, single
from tfprune.exporting.of_keras3 import OF_GRAPHS, check_backend
from tfprune.pruning.counts import path_bytes
from tfprune.utils.errors import ConfigError, ModelError, RunError, TfpruneError, choose_from
from tfprune.utils.files import atomic_write
from tfprune.utils.text import one_line

TOLERANCE = 1e-4  # largest difference of a probability; what is quantized may differ by more, and says by how much
BATCH = 256
LOGITS = ("h5", "keras")  # formats whose files return those, and no probabilities
FIRST_BATCHES = (1, 3, 7)  # sizes, so that a file for one size of batch alone is found out


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What came of a conversion.

    Attributes:
        path: the file or folder.
        examples: of the validation split, on which it was compared.
        before, after: the task's metric on them of the model and of the file: of classes the accuracy, in [0, 1].
        difference: the largest of a probability, or in the unit of the targets.
        raw, gzip: bytes.
        unread: a line on each library that the format is for too, and that does not read this file.
        description: the JSON file beside it that says what it cannot hold, the preprocessing and the labels; None if it
            holds them.
        metric: what `before` and `after` are.
        loss: how much worse the file is, in points of the metric or its unit; below 0 where it is better.
    """

    path: Path
    examples: int
    before: float
    after: float
    difference: float
    raw: int
    gzip: int
    unread: tuple[str, ...] = ()
    description: Path | None = None
    metric: Metric = CLASSIFICATION.metrics[CLASSIFICATION.primary]

    @property
    def loss(self) -> float:
        return self.before - self.after if self.metric.higher else self.after - self.before


def convert(model: keras.Model, data: Data, path: Path, name: str, quantize: str = "none") -> Conversion:
    """Writes a model in a format, loads it again and compares it on the validation split.

    Args:
        model: a stripped float32 model of either Keras that returns logits, or what else the task is trained on.
        data: what it was trained on; int8 is calibrated on its training split.
        path: file or folder to write; replaced in one go.
        name: of `FORMATS`.
        quantize: what its numbers are stored as, see the format.

    Raises:
        ConfigError: the format is unknown, cannot be quantized like that, or the path has the end of another.
        ModelError: what was written answers differently, or the format needs a package that is missing.
        RunError: the path cannot be written.
    """
    chosen = chosen_format(name, quantize, path)
    _check_classifier(model, data)
    if is_keras3(model):
        _check_keras3(name)
    if data.objective.name != CLASSIFICATION.name:
        return _convert_finished(model, data, path, name, quantize)
    split = data.validation
    expected = _all(lambda inputs: softmax(model(inputs, training=False)), split.x)
    with writing(path), drafted(path) as draft:
        chosen.write(model, data, draft, quantize)
        with must_answer(path, quantize):
            answers = _all(chosen.load(draft), split.x)
        difference = float(np.max(np.abs(answers - expected)))
        if quantize == "none" and not difference <= TOLERANCE:
            raise ModelError(f"{path}: its probabilities differ from the model's by {difference:.2g}")
        if not np.isfinite(difference):
            raise ModelError(f"{path}: as {quantize} it answers with what is no number; do not quantize it")
        lines = [
            unread(other, lambda load=load: _check_alike(load(draft), split.x[:BATCH], expected[:BATCH]), draft)
            for other, load in chosen.others.items()
        ]
    before, after = (float(np.mean(given.argmax(axis=-1) == split.y)) for given in (expected, answers))
    size = path_bytes(path)
    said = tuple(line for line in lines if line)
    description = write_description(data, path, name, quantize, "logits" if name in LOGITS else "probabilities")
    return Conversion(path, len(split), before, after, difference, size["raw"], size["gzip"], said, description)


def _convert_finished(model: Any, data: Data, path: Path, name: str, quantize: str) -> Conversion:
    """Writes a model together with what makes answers of its outputs, as standardised targets in their unit."""
    from tfprune.exporting.any_model import export

    objective, split, answer = data.objective, data.validation, data.objective.answer
    library = keras3() if is_keras3(model) else keras
    chosen, unread_by = FORMATS[name], ()
    expected = objective.answers(_all(lambda inputs: np.asarray(model(inputs, training=False)), split.x))
    if name == "savedmodel":  # which has the preprocessing too
        with writing(path), drafted(path) as draft:
            chosen.write(model, data, draft, quantize)
        load = chosen.load(path)
    else:
        finished = objective.finished(library, model)
        unread_by = export(finished, path, np.asarray(data.train.x), format=name, quantize=quantize).unread
        load = single(chosen.load_named(path), answer)
    with must_answer(path, quantize):
        answers = _all(load, split.x)
    difference = float(np.max(np.abs(answers - expected)))
    metric = objective.metrics[objective.primary]
    before, after = (objective.compared(split.y, own)[metric.name] for own in (expected, answers))
    size = path_bytes(path)
    description = write_description(data, path, name, quantize, answer)
    sizes = size["raw"], size["gzip"]
    return Conversion(path, len(split), before, after, difference, *sizes, unread_by, description, metric)


def chosen_format(name: str, quantize: str, path: Path) -> Format:
    """Returns a format.

    Raises:
        ConfigError: it is unknown, cannot be quantized like that, or the path ends as a file of another format does.
    """
    chosen, end = FORMATS[name], path.suffix.lower()
    if quantize not in chosen.quantize:
        raise ConfigError(
            f"format {name} cannot be quantized to {quantize!r}: {choose_from(quantize, chosen.quantize)}"
        )
    others = {suffix for other in FORMATS for suffix in (FORMATS[other].suffix, *FORMATS[other].only) if suffix}
    if end not in chosen.only and (chosen.only or (end != chosen.suffix and end in others)):
        raise ConfigError(f"{path}: a {name} file ends with {chosen.suffix or 'no suffix'}, got {path.suffix!r}")
    return chosen


def _check_keras3(name: str) -> None:
    """Raises `ConfigError` if a format is not for models of Keras 3, or needs another backend than there is."""
    if name not in OF_GRAPHS:
        raise ConfigError(f"format {name} is for models of tf_keras; a model of Keras 3 is kept by the format keras")
    check_backend(name)


def _check_classifier(model: keras.Model, data: Data) -> None:
    """Raises `ModelError` unless a model takes one input and returns one number a class."""
    inputs, outputs = len(model.inputs), len(model.outputs)
    if inputs != 1 or outputs != 1 or tuple(model.output_shape[1:])[-1:] != (len(data.labels),):
        what = data.objective.told
        raise ModelError(
            f"a model to export takes one input and returns one number for each of {len(data.labels)} {what}; this "
            f"has {inputs} inputs and {outputs} outputs, of shape {model.output_shape}: use tfprune.export"
        )


@contextlib.contextmanager
def must_answer(path: Path, quantize: str) -> Iterator[None]:
    """Says in one line why a file does not answer, and of quantized numbers what can be done.

    Raises:
        ModelError: whatever the library of the file raised.
    """
    remedy = "" if quantize == "none" else "; do not quantize it"
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{error}{remedy}") from error
    except (OSError, MemoryError, TfpruneError):
        raise
    except Exception as error:  # of any library, or of a layer of a person's own
        raise ModelError(f"{path}: what was written does not answer ({one_line(error)}){remedy}") from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes the folder of a path, and says in one line if the path cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextlib.contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Gives a draft of a file, which replaces it when all went well; messages name the file and not the draft.

    Raises:
        RunError: the path is a folder that holds something else than a SavedModel.
    """
    if path.is_dir() and any(path.iterdir()) and not (path / "saved_model.pb").is_file():
        raise RunError(f"{path}: this folder holds no SavedModel, and is not replaced")
    with atomic_write(path) as draft:
        try:
            yield draft
        except ModelError as error:
            raise ModelError(str(error).replace(str(draft), str(path))) from error


def unread(name: str, compare: Callable[[], object], draft: Path) -> str:
    """Says why another library, which the format is for too, does not read a file; "" if it does."""
    try:
        compare()
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of a library, or of a layer of a person's own
        reason = str(error).removeprefix(f"{draft}: ") if isinstance(error, ModelError) else one_line(error)
        return f"{name} does not open this file: {reason}"
    return ""


def _check_alike(answer: Answer, x: np.ndarray, expected: np.ndarray) -> None:
    difference = float(np.max(np.abs(_all(answer, x) - expected)))
    if not difference <= TOLERANCE:
        raise ModelError(f"it answers differently with it, by {difference:.2g}")


def _all(answer: Answer, inputs: np.ndarray) -> np.ndarray:
    return np.concatenate(list(_answers(answer, inputs)))


def _answers(answer: Answer, inputs: np.ndarray) -> Iterator[np.ndarray]:
    """Yields answers to batches, the first of which are small: not every file that answers one size answers all."""
    sizes, start = itertools.chain(FIRST_BATCHES, itertools.repeat(BATCH)), 0
    while start < len(inputs):
        size = next(sizes)
        yield answer(np.asarray(inputs[start : start + size]))
        start += size
