"""What a data set is: how it is described, and what loading it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from tfprune.backend import tf


SPLITS = ("train", "validation", "test")  # of a `Data`


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples in memory.

    Args:
        x: inputs of the model, examples first.
        y: class numbers, int64, one an example.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def first(self, count: int | None) -> Split:
        """Returns the first `count` examples; None means all."""
        return self if count is None else Split(self.x[:count], self.y[:count])


@dataclasses.dataclass(frozen=True)
class Inputs:
    """How raw examples, as a person has them, become inputs of the model; exported with it.

    Args:
        signature: name -> (TF dtype's name, shape without the batch) of each raw input.
        encode: TensorFlow function from a dictionary of batched raw inputs to a batch of model inputs.
    """

    signature: Mapping[str, tuple[str, tuple[int | None, ...]]]
    encode: Callable[[dict[str, tf.Tensor]], tf.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """A loaded data set.

    Args:
        train, validation, test: disjoint splits.
        labels: class names, in the order of their numbers.
        target: what the classes are of, e.g. `"species"`.
        inputs: signature of the exported model -> what it takes; `"serving_default"` among them.
    """

    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]
    target: str
    inputs: Mapping[str, Inputs]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one model input."""
        return tuple(self.train.x.shape[1:])


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A data set and the settings it is trained with unless others are asked for.

    Args:
        summary: one line for people.
        source: where the data come from and under which licence.
        load: from the data folder (None: the usual one) and the run's seed to the data.
        model: name of the default model.
        model_settings: its settings where they differ from the model's own defaults.
        shuffle: whether training examples come in a new order in each epoch.
        augment: names of the changes that training images go through, see `data._pipeline`.
    """

    summary: str
    source: str
    load: Callable[[Path | None, int], Data]
    model: str
    model_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str = "adam"
    optimizer_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    learning_rate_schedule: str = "constant"
    warmup_epochs: float = 0.0
    shuffle: bool = True
    augment: tuple[str, ...] = ()
