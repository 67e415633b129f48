"""What a data set is: how it is described, and what loading it gives."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        y: class numbers, int64, one an example.
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
    """

    signature: Mapping[str, tuple[str, tuple[int | None, ...]]]
    encode: Callable[[dict[str, tf.Tensor]], tf.Tensor]
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    optional: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    described: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """A loaded data set.

    Args:
        train, validation, test: disjoint splits.
        labels: class names, in the order of their numbers.
        target: what the classes are of, e.g. `"species"`.
        inputs: signature of the exported model -> what it takes; `"serving_default"` among them.
        split_members: split -> where its examples are in what they were read from (row numbers from 0, or file names);
            None for data sets whose splits follow from their name and the seed.
        warnings: a line on each thing that a person should know, such as rows that were left out.
    """

    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]
    target: str
    inputs: Mapping[str, Inputs]
    split_members: Mapping[str, np.ndarray] | None = None
    warnings: tuple[str, ...] = ()

    def first(self, count: int | None) -> Data:
        """Returns the data with the first `count` examples of each split; None means all."""
        if count is None:
            return self
        parts = {name: getattr(self, name).first(count) for name in SPLITS}
        places = self.split_members and {name: part[:count] for name, part in self.split_members.items()}
        return dataclasses.replace(self, **parts, split_members=places)

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Returns how many examples of each class are in each split: split -> label -> number."""
        import numpy as np

        counts = {name: np.bincount(getattr(self, name).y, minlength=len(self.labels)) for name in SPLITS}
        return {name: dict(zip(self.labels, map(int, own), strict=True)) for name, own in counts.items()}

    def imbalance(self) -> str | None:
        """Returns a line on classes of which there are many more training examples than of others, if there are."""
        counts = self.class_counts()
        fewest, most = (choose(counts["train"], key=counts["train"].__getitem__) for choose in (min, max))
        few, many = counts["train"][fewest], counts["train"][most]
        if many < UNEVEN * few:
            return None
        share = counts["test"][most] / len(self.test)
        return (
            f"classes are uneven: {fewest!r} has {few:,} of {len(self.train):,} training examples and {most!r} "
            f"{many:,}; who always answers {most!r} is right in {share:.1%} of the test split"
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
