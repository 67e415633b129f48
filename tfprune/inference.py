"""Answers from an exported model, through plain TensorFlow alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tfprune.backend import tf
from tfprune.data._csv import number, read_columns, text, whole
from tfprune.errors import DataError, ModelError
from tfprune.rundir import RunDir

IMAGE_FILES = "image_bytes"  # the signature that takes the contents of image files
_OUTPUTS = {"class", "label", "probabilities"}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One answer: the label and the probability of each label, in the model's order."""

    label: str
    probabilities: dict[str, float]


class Predictor:
    """An exported model and its labels.

    Args:
        folder: a SavedModel that tfprune exported, or the run folder that holds one.

    Raises:
        ModelError: there is no such model there.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / "model" / "saved_model.pb").is_file():
            folder = folder / "model"
        if not folder.exists():
            raise ModelError(f"{folder}: there is no such folder")
        if not (folder / "saved_model.pb").is_file() and RunDir(folder).finished:
            again = f"tfprune train --config {RunDir(folder).config}"
            raise ModelError(f"{folder}: this run was trained side by side with others and left no model; {again}")
        if not (folder / "saved_model.pb").is_file():
            raise ModelError(f"{folder}: this is no model folder (it has no saved_model.pb)")
        from google.protobuf.message import DecodeError

        try:
            self._model = tf.saved_model.load(str(folder))
        except (OSError, ValueError, KeyError, DecodeError, tf.errors.OpError) as error:
            raise ModelError(f"{folder}: the model cannot be loaded ({_first_line(error)})") from None
        self._classify = self._model.signatures.get("serving_default")
        if self._classify is None or not set(self._classify.structured_outputs) >= _OUTPUTS:
            raise ModelError(f"{folder}: this model was not exported by tfprune (no class, label and probabilities)")
        self.labels = tuple(label.decode() for label in self._model.labels.numpy())
        self.target = self._model.target.numpy().decode()

    @property
    def reads_images(self) -> bool:
        """Whether the model takes image files; otherwise it takes rows of a CSV file."""
        return IMAGE_FILES in self._model.signatures

    def predict_image(self, path: Path) -> Prediction:
        """Answers for one image file.

        Raises:
            DataError: the file cannot be read or is no image.
        """
        try:
            content = path.read_bytes()
            (answer,) = self._predictions(self._model.signatures[IMAGE_FILES](image_bytes=tf.constant([content])))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except tf.errors.OpError:
            raise DataError(f"{path}: this is no image that can be read (JPEG, PNG, GIF or BMP)") from None
        return answer

    def predict_csv(self, path: Path) -> list[Prediction]:
        """Answers for each row of a CSV file with the model's raw columns; the target column may be there too.

        Raises:
            DataError: the file does not have the columns, types or categories that the model knows.
        """
        kinds = {tf.string: text, tf.int64: whole}
        specs = self._classify.structured_input_signature[1]
        columns = read_columns(
            path, {name: kinds.get(spec.dtype, number) for name, spec in specs.items()}, ignore=(self.target,)
        )
        batch = {name: tf.constant(cells, specs[name].dtype) for name, cells in columns.items()}
        try:
            answers = self._classify(**batch)
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"{path}: {_reason(error)}") from None
        return self._predictions(answers)

    def _predictions(self, answers: dict[str, tf.Tensor]) -> list[Prediction]:
        probabilities = np.asarray(answers["probabilities"])
        return [
            Prediction(label.decode(), dict(zip(self.labels, map(float, row), strict=True)))
            for label, row in zip(answers["label"].numpy(), probabilities, strict=True)
        ]


def image_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields files as they are and, of folders, all files in them, sorted; hidden ones are left out.

    Raises:
        DataError: a path is not there.
    """
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            yield from (file for file in files if not file.name.startswith("."))
        elif path.exists():
            yield path
        else:
            raise DataError(f"{path}: there is no such file or folder")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _reason(error: Exception) -> str:
    """Finds in TensorFlow's long message what the model's own check said."""
    for piece in str(error).replace("'", "[").replace("]", "[").split("["):
        if " must be " in piece:
            return piece.strip()
    return _first_line(error)
