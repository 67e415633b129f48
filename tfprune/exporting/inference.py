"""Answers from an exported model, through plain TensorFlow alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import tf
from tfprune.adapters.loading.gate import load_graph
from tfprune.data._columns import is_parquet, read_parquet_columns
from tfprune.data._csv import number, read_columns, text, whole
from tfprune.data._tfds import unfit
from tfprune.data.arrays import read_array
from tfprune.data.objectives import DEFAULT, OBJECTIVES
from tfprune.data.objectives._base import Prediction
from tfprune.utils.errors import DataError, ModelError
from tfprune.utils.text import one_line

IMAGE_FILES = "image_bytes"  # the signature that takes the contents of image files


class Predictor:
    """An exported model and its labels.

    Args:
        folder: a SavedModel that tfprune exported.

    Raises:
        ModelError: there is no such model there, or one that reads or writes files.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "saved_model.pb").is_file():
            raise ModelError(f"{folder}: this is no model folder (it has no saved_model.pb)")
        self._model = load_graph(folder)
        self._classify = self._model.signatures.get("serving_default")
        self.task = self._model.task.numpy().decode() if hasattr(self._model, "task") else DEFAULT
        returned = (
            OBJECTIVES[self.task].returned if self.task in OBJECTIVES else frozenset({"what a task of ours does"})
        )
        if self._classify is None or not set(self._classify.structured_outputs) >= returned:
            needed = ", ".join(sorted(returned))
            raise ModelError(f"{folder}: this model was not exported by tfprune (it does not return {needed})")
        self.labels = tuple(label.decode() for label in self._model.labels.numpy())
        self.target = self._model.target.numpy().decode()
        rows = json.loads(self._model.rows.numpy()) if hasattr(self._model, "rows") else {}
        self._columns: dict[str, str] = rows.get("columns", {})
        self._optional: list[str] = rows.get("optional", [])
        self._unused: list[str] = rows.get("unused", [])
        self._reading: dict[str, Any] = rows.get("reading", {})

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
            if problem := unfit(path):
                raise DataError(f"{path}: this image is not read ({problem})")
            content = path.read_bytes()
            (answer,) = self._predictions(self._model.signatures[IMAGE_FILES](image_bytes=tf.constant([content])))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except tf.errors.OpError:
            raise DataError(f"{path}: this is no image that can be read (JPEG, PNG, GIF or BMP)") from None
        return answer

    @property
    def reads_arrays(self) -> bool:
        """Whether the model takes one array, with no names of columns."""
        return any(len(spec.shape) > 1 for spec in self._specs.values())

    @property
    def _specs(self) -> dict[str, tf.TensorSpec]:
        return self._classify.structured_input_signature[1]

    def predict_table(self, path: Path) -> list[Prediction]:
        """Answers for each row of a CSV, TSV or Parquet file with the model's columns; the target may be there too.

        Raises:
            DataError: the file does not have the columns, types or categories that the model knows.
        """
        kinds = {tf.string: text, tf.int64: whole}
        of_column = {self._columns.get(argument, argument): argument for argument in self._specs}
        optional = [column for column, argument in of_column.items() if argument in self._optional]
        read = read_parquet_columns if is_parquet(path) else read_columns
        columns = read(
            path,
            {column: kinds.get(self._specs[argument].dtype, number) for column, argument in of_column.items()},
            ignore=(self.target, *self._unused, *(self.labels if self.task != DEFAULT else ())),
            optional=optional,
            reading=self._reading,
        )
        return self._answers(path, {of_column[name]: cells for name, cells in columns.items()})

    def predict_array(self, path: Path) -> list[Prediction]:
        """Answers for each example of the array `x` of an `.npz` file, or of a `.npy` file.

        Raises:
            DataError: the file holds no such array, or one of another shape or type, or not finite.
        """
        ((argument, spec),) = self._specs.items()
        x = read_array(path, argument)
        if x.dtype.kind not in "uifb" or (spec.dtype == tf.uint8 and x.dtype != "uint8"):
            raise DataError(f"{path}: examples must be {spec.dtype.name}, as those of the training, got {x.dtype}")
        if not np.all(np.isfinite(x)):
            raise DataError(f"{path}: examples must be finite numbers; fill them in or leave those out")
        if spec.shape.rank == x.ndim + 1 and spec.shape[-1] == 1:
            x = x[..., None]  # as the training reads grey images
        if not spec.shape[1:].is_compatible_with(x.shape[1:]):
            raise DataError(f"{path}: examples must have the shape {tuple(spec.shape[1:])}, got {x.shape[1:]}")
        return self._answers(path, {argument: x})

    def _answers(self, path: Path, values: Mapping[str, Any]) -> list[Prediction]:
        batch = {name: tf.constant(cells, self._specs[name].dtype) for name, cells in values.items()}
        try:
            return self._predictions(self._classify(**batch))
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"{path}: {_reason(error)}") from None

    def _predictions(self, answers: dict[str, tf.Tensor]) -> list[Prediction]:
        return OBJECTIVES[self.task].predictions({name: own.numpy() for name, own in answers.items()}, self.labels)


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


def _reason(error: Exception) -> str:
    """Finds in TensorFlow's long message what the model's own check said."""
    for piece in str(error).replace("'", "[").replace("]", "[").split("["):
        if " must be " in piece:
            return piece.strip()
    return one_line(error)
