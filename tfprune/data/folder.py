"""A folder of a user's own images: one folder per class, in folders of splits or not."""

from __future__ import annotations

import collections
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tfprune.data._base import Data, DatasetSpec, Split
from tfprune.data._user import Source
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import DataError
from tfprune.utils.fingerprints import fingerprint

if TYPE_CHECKING:
    import numpy as np

    from tfprune.data._stored import Stored

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
JPEG = (".jpg", ".jpeg")
SUFFIXES = (*JPEG, ".png", ".gif", ".bmp")
LOOKED_AT = 200  # images whose size is looked at, spread over the folder
SIDES = (32, 64, 96)  # that images of many sizes are made
LARGEST_COMMON_SIDE = 128  # of images that are all of one size and stay so
BROKEN = ("refuse", "skip")
READ_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """Images in one folder per class, with or without folders `train`, `validation` and `test` around those.

    Args:
        side: height and width that the images get, by their central square; 0 chooses.
        channels: 1 (grey) or 3 (colour); 0 chooses.
        broken: what becomes of files that are no images: `refuse` the data, or `skip` them.
    """

    found: ClassVar[tuple[str, ...]] = ("examples", "fingerprint")

    side: int = 0
    channels: int = 0
    broken: str = "refuse"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._store("side", check_whole("data.side", self.side, least=0))
        self._store("channels", int(check_choice("data.channels", str(self.channels), ("0", "1", "3"))))
        check_choice("data.broken", self.broken, BROKEN)

    def described(self, path: str, data_dir: Path | None) -> ImageFolder:
        """Finds the images and chooses the side and the channels that are not set."""
        root = Path(path)
        files = [file for _, classes in _found(root).items() for own in classes.values() for file in own]
        side, channels = self.size_chosen(files)
        digits = fingerprint(sorted(files), relative_to=root)
        return dataclasses.replace(self, side=side, channels=channels, fingerprint=digits, examples=len(files))

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        import numpy as np

        from tfprune.data._splits import three_splits
        from tfprune.data._tfds import image_inputs

        root = Path(path)
        found = _found(root)
        labels = tuple(sorted({label for classes in found.values() for label in classes}))
        files, y, given = [], [], {}
        for split, classes in found.items():
            first = len(files)
            for label, own in classes.items():
                files += own
                y += [labels.index(label)] * len(own)
            given[split] = np.arange(first, len(files))
        y = np.array(y, np.int64)
        x, readable, warnings = self.read(files, path, stream)
        given = {split: places[readable[places]] for split, places in given.items()}
        try:
            places = three_splits(y, given, labels, validation=self.validation, test=self.test, seed=self.split_seed)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return Data(
            **{name: Split(x[own], y[own]) for name, own in places.items()},
            labels=labels,
            target="label",
            inputs=image_inputs(self.side, self.channels),
            split_members=names_in_splits(files, root, places),
            warnings=(*warnings, *_left_out(root, files)),
        )

    def read(
        self, files: Sequence[Path], path: str, stream: str
    ) -> tuple[np.ndarray | Stored, np.ndarray, tuple[str, ...]]:
        """Reads image files as the settings say.

        Returns:
            See `read_files`: the images, and one bool per file: whether it is one; and lines for people.

        Raises:
            DataError: a file is no image, and such files are refused.
        """
        import numpy as np

        from tfprune.data._tfds import is_turned, streamed

        stored = streamed(stream, len(files) * self.side**2 * self.channels, path)
        x, readable, reason = read_files(files, self.side, self.channels, stored=stored)
        warnings = []
        if not readable.all():
            broken = int((~readable).sum())
            if self.broken == "refuse":
                more = f" (and {broken - 1} more)" if broken > 1 else ""
                colour = "read all in colour with --set data.channels=3, " if self.channels == 1 else ""
                raise DataError(
                    f"{files[int(np.argmin(readable))]}{more}: this is no image that can be read ({reason}); {colour}"
                    "remove it, or leave out such files with --set data.broken=skip"
                )
            warnings.append(f"{broken:,} files that cannot be read as images are left out")
        if turned := sum(is_turned(file) for file in files if file.suffix.lower() in JPEG):
            warnings.append(
                f"{turned:,} of {len(files):,} images are stored lying and marked to be turned (EXIF): they are read "
                "as they are stored; turn them in the files (mogrify -auto-orient) if that matters"
            )
        return x, readable, tuple(warnings)

    def size_chosen(self, files: Sequence[Path]) -> tuple[int, int]:
        """Returns the side and the channels of the images, those that are not set by a look at some."""
        side, channels = self.side, self.channels
        if not (side and channels):
            sizes, grey = _look_at(files[:: max(1, len(files) // LOOKED_AT)])
            side = side or _side(sizes)
            channels = channels or (1 if grey else 3)
        return side, channels

    def spec(self) -> DatasetSpec:
        return images_spec(self.examples, self.side, self.channels, streams=True)


def names_in_splits(files: Sequence[Path], root: Path, places: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns split -> the names of its files, from the numbers that they have in `files`."""
    import numpy as np

    names = np.array([file.relative_to(root).as_posix() for file in files])
    return {name: names[own] for name, own in places.items()}


def images_spec(examples: int, side: int, channels: int, *, streams: bool = False) -> DatasetSpec:
    """Returns what images of a side and so many channels are trained with."""
    model = "flowers_resnet" if side >= 64 else "lenet" if channels == 1 or side < 16 else "resnet8"
    return DatasetSpec(
        summary=f"{examples:,} images, made {side} x {side}",
        source="your own",
        load=Source.unresolved,
        model=model,
        epochs=min(30, max(10, 200_000 // max(1, examples))),
        batch_size=128 if examples > 20_000 else 32,
        learning_rate=2e-3,
        optimizer="adam",
        learning_rate_schedule="cosine",
        warmup_epochs=1.0,
        augment=("crop",),
        streams=streams,
    )


def _found(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Returns split -> class -> its image files, sorted; all are `train` if there are no folders of splits."""
    folders = folders_in(root)
    named = {folder: SPLIT_FOLDERS.get(folder.name.lower()) for folder in folders}
    if not any(named.values()):
        found = {"train": _classes(root, folders)}
    else:
        other = [folder for folder, split in named.items() if split is None]
        if other:
            raise DataError(f"{root}: {other[0].name!r} is no split, and stands beside folders that are: remove it")
        if "train" not in named.values():
            raise DataError(f"{root}: there is no folder 'train' beside {', '.join(f.name for f in folders)}")
        if len(set(named.values())) < len(named):
            raise DataError(f"{root}: a split is there twice: {', '.join(folder.name for folder in folders)}")
        found = {split: _classes(folder, folders_in(folder)) for folder, split in named.items()}
    labels = set(found["train"])
    if len(labels) < 2:
        raise DataError(f"{root}: at least two folders of images are needed, one a class, got {len(labels)}")
    for split, classes in found.items():
        if unknown := sorted(set(classes) - labels):
            raise DataError(f"{root}: class {unknown[0]!r} is in {split} and not in train")
    return found


def folders_in(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        raise DataError(f"{root}: there is no such folder") from None
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error.strerror})") from None


def _classes(root: Path, folders: Sequence[Path]) -> dict[str, list[Path]]:
    classes = {folder.name: sorted(file for file in folder.rglob("*") if is_image(file)) for folder in folders}
    for name, files in classes.items():
        if not files:
            raise DataError(
                f"{root / name}: there is no image in it that is read ({', '.join(SUFFIXES)}); save other images as "
                "PNG, or remove the folder"
            )
    return classes


def _left_out(root: Path, files: Sequence[Path]) -> list[str]:
    """Says which images under a folder are not among its examples."""
    from PIL import Image

    known, formats = set(files), Image.registered_extensions()
    of_images = {suffix for suffix, name in formats.items() if Image.MIME.get(name, "").startswith("image/")}
    others = (path for path in root.rglob("*") if path.suffix.lower() in of_images and path not in known)
    counts = collections.Counter(path.suffix for path in others if path.is_file() and not path.name.startswith("."))
    listed = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(counts.items()))
    said = f"images of other formats, or in no folder of a class, are left out: {listed}; save them as PNG there"
    return [said] if counts else []


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _look_at(files: Sequence[Path]) -> tuple[list[tuple[int, int]], bool]:
    """Returns the sizes of those files that are images, and whether all of them are grey."""
    from PIL import Image

    from tfprune.data._tfds import unfit

    sizes, modes = [], set()
    for file in files:
        if unfit(file):
            continue
        try:
            with Image.open(file) as image:  # reads no more than the header
                sizes.append(image.size)
                modes.add(image.mode)
        except Exception:  # whatever a broken header makes it meet; the file is named when the images are read
            continue
    if not sizes:
        raise DataError(f"{files[0]}: neither this nor any other file that was looked at is an image")
    return sizes, modes <= {"1", "L", "LA", "I", "I;16"}


def _side(sizes: Sequence[tuple[int, int]]) -> int:
    """Returns the side of images that are all squares of it, otherwise the largest of `SIDES` that most images fill."""
    ((common, count),) = collections.Counter(sizes).most_common(1)
    if count == len(sizes) and common[0] == common[1] <= LARGEST_COMMON_SIDE:
        return common[0]
    shorter = statistics.median(min(size) for size in sizes)
    return max((side for side in SIDES if side <= shorter), default=SIDES[0])


def read_files(
    files: Sequence[Path], side: int, channels: int, *, stored: bool = False
) -> tuple[np.ndarray | Stored, np.ndarray, str]:
    """Reads image files as an exported model reads them.

    Args:
        files: their paths.
        side, channels: of the result.
        stored: read them to see whether they can be read, and keep none.

    Returns:
        uint8 [files, side, side, channels], black where a file is no image; one bool per file: whether it is one; why
        the first that is none is none.
    """
    import numpy as np

    from tfprune.adapters.backend import cores, tf
    from tfprune.data._pipeline import without_autotuning
    from tfprune.data._stored import PLACE, Stored, whole_file
    from tfprune.data._tfds import decode, square, tensorflow_line, unfit

    shape, readable = (side, side, channels), np.zeros(len(files), bool)
    x, places = np.zeros((0 if stored else len(files), *shape), np.uint8), np.zeros(len(files), PLACE)
    places["file"] = np.arange(len(files))

    def pixels_of(content: tf.Tensor) -> tf.Tensor:
        return square(decode(content, channels), side)

    def image(number: tf.Tensor, path: tf.Tensor) -> tuple[tf.Tensor, ...]:
        content = tf.io.read_file(path)
        checksum = tf.strings.to_hash_bucket_fast(content, 2**63 - 1)
        return number, pixels_of(content), tf.strings.length(content), checksum

    problems = {number: problem for number, file in enumerate(files) if (problem := unfit(file))}
    fit = [number for number in range(len(files)) if number not in problems]
    paths = tf.data.Dataset.from_tensor_slices(
        (np.array(fit, np.int64), tf.constant([str(files[number]) for number in fit], tf.string))
    )
    images = paths.map(image, num_parallel_calls=cores()).ignore_errors().batch(READ_AT_ONCE).prefetch(1)
    for numbers, pixels, lengths, checksums in without_autotuning(images).as_numpy_iterator():
        readable[numbers], places["length"][numbers], places["checksum"][numbers] = True, lengths, checksums
        if not stored:
            x[numbers] = pixels
    if stored:
        x = Stored(list(map(str, files)), places, whole_file, pixels_of, shape)
    reason = ""
    if not readable.all():
        first = int(np.argmin(readable))
        if first in problems:
            return x, readable, problems[first]
        try:
            image(tf.constant(0), tf.constant(str(files[first])))
        except (tf.errors.OpError, ValueError) as error:
            reason = tensorflow_line(error)
    return x, readable, reason
