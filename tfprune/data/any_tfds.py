"""Any labelled images or rows of TensorFlow Datasets: `tfds:NAME[/CONFIG][:VERSION]`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tfprune.data._base import Data, DatasetSpec, Split
from tfprune.data._user import TFDS
from tfprune.data.folder import LARGEST_COMMON_SIDE, SIDES, SPLIT_FOLDERS, images_spec
from tfprune.data.table import Table
from tfprune.utils.checks import check_choice, check_text, check_whole
from tfprune.utils.errors import ConfigError, DataError, choose_from

WHATS = ("", "images", "rows")
ROWS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnyTfds(Table):
    """A data set of TFDS whose examples are an image or a row of numbers and text, and a label.

    Args:
        side: height and width that images get, by their central square; 0 chooses.
        label: name of the label; TFDS mostly knows.
        what: `images` or `rows`, found.
        image: name of the image, found.
        channels: 1 (grey) or 3 (colour), found.
    """

    found: ClassVar[tuple[str, ...]] = ("examples", "fingerprint", "what", "image", "channels")

    side: int = 0
    what: str = ""
    image: str = ""
    channels: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._store("side", check_whole("data.side", self.side, least=0))
        check_choice("data.what", self.what, WHATS)
        check_text("data.image", self.image)
        self._store("channels", check_whole("data.channels", self.channels, least=0))

    def described(self, path: str, data_dir: Path | None) -> AnyTfds:
        from tfprune.data import _tfds

        name, folder = path.removeprefix(TFDS), _tfds.folder_of(data_dir)
        with _tfds.reading(name, folder):
            info = _tfds.prepared(name, folder).info
            label = self.label or _usual_label(info, path)
            features = dict(_flat(info.features))
            if label not in features:
                raise ConfigError(f"{path}: label names no feature {label!r}: {choose_from(label, sorted(features))}")
            splits = {name: split for name, split in info.splits.items() if name in SPLIT_FOLDERS}
            if "train" not in splits:
                raise DataError(f"{path}: there is no split 'train'; there are: {', '.join(info.splits)}")
            counted = [(name, split.num_examples, split.num_bytes) for name, split in sorted(splits.items())]
            changes = {
                "label": label,
                "examples": sum(count for _, count, _ in counted),
                "fingerprint": hashlib.sha256(repr((info.full_name, counted)).encode()).hexdigest()[:12],
            }
            images = [key for key, feature in features.items() if type(feature).__name__ == "Image"]
            if not images:
                return dataclasses.replace(self, **changes, what="rows")
            height, width, channels = features[images[0]].shape
            common = height if height and height == width and height <= LARGEST_COMMON_SIDE else SIDES[-1]
            _class_names(features[label], label, path)
            changes |= {"side": self.side or common, "channels": 1 if channels == 1 else 3}
        return dataclasses.replace(self, **changes, what="images", image=images[0])

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        from tfprune.data import _tfds

        name, folder = path.removeprefix(TFDS), _tfds.folder_of(data_dir)
        with _tfds.reading(name, folder):
            stored = [split for split in _tfds.prepared(name, folder).info.splits if split in SPLIT_FOLDERS]
            names = {SPLIT_FOLDERS[split]: split for split in stored}
        if self.what == "images":
            return self._images(path, name, names, data_dir, stream)
        with _tfds.reading(name, folder):
            columns, given = self._columns(_tfds.prepared(name, folder), names)
        return self.from_columns(columns, path, given)

    def _images(self, path: str, name: str, names: Mapping[str, str], data_dir: Path | None, stream: str) -> Data:
        import numpy as np

        from tfprune.data import _tfds
        from tfprune.data._splits import three_splits
        from tfprune.data._stored import joined

        parts, labels = _tfds.read_images(
            name,
            tuple(names.values()),
            data_dir,
            side=self.side,
            channels=self.channels,
            keys=(self.image, self.label),
            stream=stream,
        )
        ends = np.cumsum([len(part) for part in parts])
        given = {split: np.arange(end - len(part), end) for split, part, end in zip(names, parts, ends, strict=True)}
        x, y = joined([part.x for part in parts]), np.concatenate([part.y for part in parts])
        labelled = {split: own[y[own] >= 0] for split, own in given.items()}  # TFDS has -1 where there is no label
        lost = [f"{len(own) - len(labelled[split]):,} of {split}" for split, own in given.items() if np.any(y[own] < 0)]
        try:
            places = three_splits(y, labelled, labels, validation=self.validation, test=self.test, seed=self.split_seed)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return Data(
            **{split: Split(x[own], y[own]) for split, own in places.items()},
            labels=labels,
            target=self.label,
            inputs=_tfds.image_inputs(self.side, self.channels),
            split_members=places,
            warnings=(f"images without a label are left out: {', '.join(lost)}",) if lost else (),
        )

    def _columns(self, builder: Any, names: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns Arrow columns of the rows of all splits, and split -> the numbers of its rows."""
        import numpy as np
        import pyarrow as pa

        from tfprune.adapters.backend import tf
        from tfprune.data._pipeline import without_autotuning

        @tf.autograph.experimental.do_not_convert
        def kept(row: Mapping[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in _flat(row) if key not in self.ignore}

        features = dict(_flat(builder.info.features))
        cells: dict[str, list] = {}
        given, first = {}, 0
        for split, stored in names.items():
            count = builder.info.splits[stored].num_examples
            given[split], first = np.arange(first, first + count), first + count
            rows = builder.as_dataset(split=stored).map(kept)
            for key, spec in rows.element_spec.items():
                _check_readable(key, spec)
            for batch in without_autotuning(rows.batch(ROWS_AT_ONCE)).as_numpy_iterator():
                for key, values in batch.items():
                    for name, column in _columns_of(key, values, features[key]):
                        if name not in self.ignore:
                            cells.setdefault(name, []).extend(column)
        return {name: pa.chunked_array([pa.array(column, from_pandas=True)]) for name, column in cells.items()}, given

    def spec(self) -> DatasetSpec:
        if self.what != "images":
            return super().spec()
        return images_spec(self.examples, self.side, self.channels, streams=True)


def _usual_label(info: Any, path: str) -> str:
    keys = info.supervised_keys
    label = keys[-1] if keys else "label"
    features = dict(_flat(info.features))
    if not isinstance(label, str) or label not in features:
        raise ConfigError(
            f"{path}: --label must name the feature that holds the labels. {choose_from('', sorted(features))}"
        )
    return label


def _class_names(feature: Any, label: str, path: str) -> tuple[str, ...]:
    if type(feature).__name__ != "ClassLabel":
        raise DataError(
            f"{path}: {label} is {type(feature).__name__}, not a label of classes; name another with --label"
        )
    return tuple(feature.names)


def _flat(tree: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yields what is in dictionaries in dictionaries, under names such as `features/length`."""
    for key, value in tree.items():
        if isinstance(value, Mapping) or hasattr(value, "items"):
            yield from _flat(value, f"{before}{key}/")
        else:
            yield f"{before}{key}", value


def _check_readable(key: str, spec: Any) -> None:
    """Raises `DataError` unless a feature is a number or a text an example, or always as many numbers."""
    shape, of_text = spec.shape, spec.dtype.name == "string"
    if shape.rank != 0 and not (shape.rank == 1 and shape.is_fully_defined() and not of_text):
        raise DataError(
            f"feature {key} holds arrays of shape {shape}, neither numbers nor text; leave it out with "
            f"--set data.ignore={key}"
        )


def _columns_of(key: str, values: Any, feature: Any) -> Iterator[tuple[str, list]]:
    if type(feature).__name__ == "ClassLabel":
        yield key, [feature.int2str(int(number)) if number >= 0 else None for number in values]
    elif values.ndim == 2:
        for number, column in enumerate(values.T):
            yield f"{key}_{number}", column.tolist()
    else:
        try:
            yield key, [cell.decode() or None if isinstance(cell, bytes) else cell for cell in values.tolist()]
        except UnicodeDecodeError:
            raise DataError(
                f"feature {key} holds bytes that are no text; leave it out with --set data.ignore={key}"
            ) from None
