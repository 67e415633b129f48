"""What a data set is: how it is described, and what loading it gives."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION

if TYPE_CHECKING:
    import numpy as np

    from tfprune.adapters.backend import tf
    from tfprune.data._stored import Stored


SPLITS = ("train", "validation", "test")  # of a `Data`
STREAMS = ("auto", "memory", "shards")  # where images are while they are trained on
UNEVEN = 3  # times as many training examples of the most frequent class as of the rarest


@dataclasses.dataclass(frozen=True)
class Split:
    """Examples in memory, or images in their files.

    Args:
        x: inputs of the model, examples first; what reads some of a split takes `np.asarray` of them.
        y: what the model learns, one entry an example, as the task has it: of classes their numbers, int64.
    """

    x: np.ndarray | Stored
    y: np.ndarray

    @property
    def stored(self) -> bool:
        """Whether the inputs are in files, and not in memory."""
        from tfprune.data._stored import Stored

        return isinstance(self.x, Stored)

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
        columns: name of a raw input -> name of the column that it is in a user's table, where they differ: not every
            column's name can be an argument's.
        optional: raw inputs that may be missing, as NaN or "".
        unused: columns of a user's table that are no inputs.
        reading: how a user's table is read where it is not as usual: `missing_marks`, `decimal`, `encoding`.
        described: what `encode` does, as JSON holds it, in the order of the model's inputs: for files of formats that
            cannot hold it.
        resources: what `encode` looks up in, such as the words that it knows.
    """

    signature: Mapping[str, tuple[str, tuple[int | None, ...]]]
    encode: Callable[[dict[str, tf.Tensor]], tf.Tensor]
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    optional: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    described: tuple[Mapping[str, Any], ...] = ()
    resources: tuple[Any, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """A loaded data set.

    Args:
        train, validation, test: disjoint splits.
        labels: class names, in the order of their numbers; of other tasks the names of the targets or labels.
        target: what the classes are of, e.g. `"species"`.
        inputs: signature of the exported model -> what it takes; `"serving_default"` among them.
        split_members: split -> where its examples are in what they were read from (row numbers from 0, or file names);
            None for data sets whose splits follow from their name and the seed.
        warnings: a line on each thing that a person should know, such as rows that were left out.
        objective: the task: what a model learns from the labels.
        notes: how the labels were read, and why, where that is a choice.
    """

    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]
    target: str
    inputs: Mapping[str, Inputs]
    split_members: Mapping[str, np.ndarray] | None = None
    warnings: tuple[str, ...] = ()
    objective: Objective = CLASSIFICATION
    notes: tuple[str, ...] = ()

    def first(self, count: int | None) -> Data:
        """Returns the data with the first `count` examples of each split; None means all."""
        if count is None:
            return self
        parts = {name: getattr(self, name).first(count) for name in SPLITS}
        places = self.split_members and {name: part[:count] for name, part in self.split_members.items()}
        return dataclasses.replace(self, **parts, split_members=places)

    @property
    def outputs(self) -> tuple[int, ...]:
        """Shape of what a model returns for an example."""
        return self.objective.outputs(len(self.labels), self.input_shape)

    def as_asked(self, metrics: tuple[str, ...] = (), class_weight: str | None = None) -> Data:
        """Returns the data with more metrics, and with classes that weigh alike."""
        if not metrics and class_weight is None:
            return self
        weights = self.objective.balanced(self.train.y, self.labels) if class_weight else ()
        objective = dataclasses.replace(self.objective, extra=metrics, class_weights=weights)
        return dataclasses.replace(self, objective=objective)

    def class_counts(self) -> dict[str, dict[str, Any]]:
        """Returns what is in each split, split -> label -> number: of classes the examples, of numbers the mean."""
        return {name: self.objective.describe(getattr(self, name).y, self.labels) for name in SPLITS}

    def constant(self, keras: Any) -> dict[str, dict[str, float]]:
        """Returns what the best answer that is the same for all examples comes to: split -> score -> number."""
        import numpy as np

        one = self.objective.constant(self.train.y)
        found = {}
        for name in ("validation", "test"):
            y = getattr(self, name).y
            outputs = np.ascontiguousarray(np.broadcast_to(one, (len(y), *one.shape[1:])), np.float32)
            found[name] = self.objective.evaluate(keras, y, outputs)
        return found

    def imbalance(self) -> str | None:
        """Returns a line on classes of which there are many more training examples than of others, if there are."""
        if self.objective.name != CLASSIFICATION.name:
            return None
        counts = self.class_counts()
        fewest, most = (choose(counts["train"], key=counts["train"].__getitem__) for choose in (min, max))
        few, many = counts["train"][fewest], counts["train"][most]
        if many < UNEVEN * few:
            return None
        share = counts["test"][most] / len(self.test)
        return (
            f"classes are uneven: {fewest!r} has {few:,} of {len(self.train):,} training examples and {most!r} "
            f"{many:,}; who always answers {most!r} is right in {100 * share:.1f} % of the test split"
        )

    def fingerprint(self) -> int:
        """Returns a checksum of all examples, by which a run that goes on knows its data again."""
        import numpy as np

        checksum = 0
        for split in (getattr(self, name) for name in SPLITS):
            for array in (split.x.places if split.stored else split.x, split.y):
                checksum = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, checksum)
        return checksum

    @property
    def stream(self) -> str:
        """Which of `STREAMS` the data were loaded as."""
        return "shards" if self.train.stored else "memory"

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
        load: from the data folder (None: the usual one), the run's seed and one of `STREAMS` to the data.
        model: name of the default model.
        model_settings: its settings where they differ from the model's own defaults.
        shuffle: whether training examples come in a new order in each epoch.
        augment: names of the changes that training images go through, see `data._pipeline`.
        streams: whether the data can stay in their files; what cannot is read whole.
    """

    summary: str
    source: str
    load: Callable[[Path | None, int, str], Data]
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
    streams: bool = False
