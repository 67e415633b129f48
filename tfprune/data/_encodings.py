"""Columns of tables as inputs of a model, in training and again in the exported model."""

from __future__ import annotations

import dataclasses
import keyword
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.data._base import Inputs
from tfprune.data._standardising import deviation_of
from tfprune.utils.errors import DataError


@dataclasses.dataclass(frozen=True)
class Number:
    """A column of numbers, standardised with what the training split says.

    Args:
        mean, deviation: of the training split, missing cells left out.
        median: what a missing cell counts as; None if none may be missing.
    """

    mean: float
    deviation: float
    median: float | None = None

    dtype = "float64"
    width = 1

    @classmethod
    def of(cls, values: np.ndarray, impute: bool) -> Number:
        """Looks at the training split's cells, NaN where one is missing; there is one."""
        present = values[~np.isnan(values)]
        with np.errstate(over="ignore", invalid="ignore"):  # see `finite`
            median = float(np.median(present)) if impute else None
            return cls(float(present.mean()), float(deviation_of(present)), median)

    @property
    def finite(self) -> bool:
        """Whether the numbers are so small that they have a mean and a deviation."""
        return math.isfinite(self.mean) and math.isfinite(self.deviation)

    def described(self, name: str) -> dict[str, Any]:
        """Returns what `encode` does, as JSON holds it."""
        missing = {} if self.median is None else {"missing": self.median}
        return {"column": name, "kind": "number", "subtract": self.mean, "divide_by": self.deviation, **missing}

    def encode(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """Returns float32 [rows, 1]."""
        if self.median is not None:
            values = tf.where(tf.math.is_nan(values), tf.constant(self.median, tf.float64), values)
        check = tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(values)), [f"{name} must be a finite number"])
        with tf.control_dependencies([check]):
            return tf.cast((values - self.mean) / self.deviation, tf.float32)[:, tf.newaxis]


@dataclasses.dataclass(frozen=True)
class Category:
    """A column of text, one-hot.

    Args:
        known: the texts that there are, sorted.
        usual: what a missing cell counts as, the training split's most frequent; None if none may be missing.
    """

    known: tuple[str, ...]
    usual: str | None = None

    dtype = "string"

    @property
    def width(self) -> int:
        """Model inputs that the column becomes."""
        return len(self.known)

    @classmethod
    def of(cls, all_cells: np.ndarray, training_cells: np.ndarray, impute: bool) -> Category:
        """Looks at all cells for what there is, and at the training split's for what is usual."""
        known = sorted({cell for cell in all_cells if cell is not None})
        present, counts = np.unique([cell for cell in training_cells if cell is not None], return_counts=True)
        return cls(tuple(known), str(present[np.argmax(counts)]) if impute else None)

    def described(self, name: str) -> dict[str, Any]:
        """Returns what `encode` does, as JSON holds it."""
        missing = {} if self.usual is None else {"missing": self.usual}
        return {"column": name, "kind": "one-hot", "categories": list(self.known), **missing}

    def encode(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """Returns float32 [rows, categories]."""
        if self.usual is not None:
            values = tf.where(tf.equal(values, ""), tf.constant(self.usual), values)
        hits = tf.equal(values[:, tf.newaxis], tf.constant(self.known))
        check = tf.debugging.Assert(
            tf.reduce_all(tf.reduce_any(hits, axis=1)), [f"{name} must be one of {', '.join(self.known)}"]
        )
        with tf.control_dependencies([check]):
            return tf.cast(hits, tf.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Words:
    """A column of texts, as the numbers of their words: 0 fills up, 1 is a word that is not known.

    Args:
        layer: of Keras, which knows the words of the training split.
        length: words of a text.
        impute: whether a missing cell is a text without words; refused if not.
    """

    layer: Any
    length: int
    impute: bool = False

    dtype = "string"

    @classmethod
    def of(cls, training_cells: np.ndarray, words: int, length: int, impute: bool) -> Words:
        """Looks at the training split's texts."""
        layer = keras.layers.TextVectorization(words, output_sequence_length=length)
        layer.adapt(tf.constant([cell or "" for cell in training_cells.tolist()]))
        known = layer.get_vocabulary()[2:]
        if not known:
            raise DataError("the texts of the training split have no words")
        again = keras.layers.TextVectorization(words, output_sequence_length=length, vocabulary=known)
        return cls(again, length, impute)

    @property
    def width(self) -> int:
        """Model inputs that the column becomes."""
        return self.length

    @property
    def resources(self) -> tuple[Any, ...]:
        """What the words are looked up in."""
        return (self.layer._lookup_layer.lookup_table,)

    def described(self, name: str) -> dict[str, Any]:
        """Returns what `encode` does, as JSON holds it."""
        how = "lower case, without punctuation, split at spaces; 0 fills up, 1 is any other word, then the known ones"
        known = list(map(str, self.layer.get_vocabulary()[2:]))
        return {"column": name, "kind": "words", "length": self.length, "how": how, "words": known}

    def encode(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """Returns int64 [rows, length]."""
        return self.layer(values)


def row_inputs(
    columns: Mapping[str, Number | Category | Words], unused: Sequence[str], reading: Mapping[str, Any] | None = None
) -> Inputs:
    """Returns what an exported model of rows takes: an argument a column.

    Args:
        columns: name -> how it is encoded, in the model's order.
        unused: columns that a user's table may have beside them.
        reading: see `Inputs.reading`.
    """
    arguments = _arguments(columns)
    optional = [argument for argument, name in arguments.items() if _may_be_missing(columns[name])]

    def encode(raw: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.concat([columns[name].encode(name, raw[argument]) for argument, name in arguments.items()], axis=1)

    return Inputs(
        {argument: (columns[name].dtype, ()) for argument, name in arguments.items()},
        encode,
        columns={argument: name for argument, name in arguments.items() if argument != name},
        optional=tuple(optional),
        unused=tuple(unused),
        reading=reading or {},
        described=tuple(columns[name].described(name) for name in arguments.values()),
        resources=tuple(own for name in arguments.values() for own in getattr(columns[name], "resources", ())),
    )


def _may_be_missing(column: Number | Category | Words) -> bool:
    if isinstance(column, Words):
        return column.impute
    return (column.median if isinstance(column, Number) else column.usual) is not None


def _arguments(names: Sequence[str]) -> dict[str, str]:
    """Returns a name that TensorFlow lets an argument have for each column; it does not tell capitals from others.

    >>> _arguments(["size (cm)", "a", "A"])
    {'size_cm': 'size (cm)', 'a': 'a', 'A_2': 'A'}
    """
    arguments: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "column"
        plain = name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) else plain
        if not plain[0].isalpha() or keyword.iskeyword(plain) or plain == "self":
            plain = f"column_{plain}"
        number, argument = 2, plain
        while argument.lower() in taken:
            argument, number = f"{plain}_{number}", number + 1
        taken.add(argument.lower())
        arguments[argument] = name
    return arguments
