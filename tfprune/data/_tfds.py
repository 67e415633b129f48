"""Images through TensorFlow Datasets: read or downloaded, made square once, split.

What makes an image square here is also what the exported model does to a user's images, so that
training and serving cannot drift apart.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tfprune.adapters.backend import cores, main_memory, tf
from tfprune.data._base import Data, Inputs, Split
from tfprune.data._pipeline import without_autotuning
from tfprune.data._splits import hold_out
from tfprune.utils.errors import DataError, TfpruneError
from tfprune.utils.folders import prepared_folder
from tfprune.utils.seeds import derive
from tfprune.utils.text import one_line

log = logging.getLogger(__name__)

READ_AT_ONCE = 256  # images handed from TensorFlow to NumPy together
PREPARED_COPIES = "https://storage.googleapis.com"  # where TFDS looks before it goes to the original site
SECONDS_TO_ANSWER = 10
MAX_PIXELS = 2**26  # of an image file: decoding and resizing take 18 bytes each
VALIDATION = 0.1  # of a training split
MAX_OF_MEMORY = 0.2  # that images in memory may be: splitting and TensorFlow copy them, four are there at a time
INDEXED_AT_ONCE = 4096  # records
ORIENTATION = 0x0112  # of EXIF; 1 is upright
AROUND = 16  # bytes of a TFRecord file that are a record's length and checksums


def load_train_and_test(
    name: str,
    data_dir: Path | None,
    seed: int,
    stream: str = "auto",
    *,
    side: int,
    channels: int,
    target: str,
) -> Data:
    """Loads a set that comes with a test split; a tenth of its training split, drawn by the run's seed, validates.

    Args:
        name: TFDS's name of the data set.
        data_dir: folder of prepared TFDS data sets; None is `prepared_folder()`.
        seed: the run's seed.
        stream: one of `STREAMS`, see `read_images`.
        side: height and width that the images get, see `square`.
        channels: 1 (grey) or 3 (colour).
        target: what the classes are of.
    """
    splits = ("train", "test")
    (train, test), labels = read_images(name, splits, data_dir, side=side, channels=channels, stream=stream)
    train, validation = hold_out(train, VALIDATION, derive(seed, "split"))
    inputs = image_inputs(side, channels)
    return Data(train=train, validation=validation, test=test, labels=labels, target=target, inputs=inputs)


def read_images(
    name: str,
    splits: Sequence[str],
    data_dir: Path | None,
    *,
    side: int,
    channels: int,
    keys: tuple[str, str] = ("image", "label"),
    stream: str = "auto",
) -> tuple[tuple[Split, ...], tuple[str, ...]]:
    """Reads splits of a data set of labelled images; prepares it first if it is not there.

    Args:
        name: TFDS's name of the data set.
        splits: TFDS's names of the splits.
        data_dir: folder of prepared data sets; None is `prepared_folder()`.
        side: height and width that the images get, see `square`.
        channels: 1 (grey) or 3 (colour).
        keys: of the image and of the label in an example.
        stream: `memory` reads all images, `shards` finds where they lie in the TFRecord files and reads them when they
            are needed; `auto` does that if they would take more than `MAX_OF_MEMORY`.

    Returns:
        The splits, x uint8 [examples, side, side, channels], in the order of the prepared copy; the class names.

    Raises:
        DataError: there is no copy and none can be downloaded, or the copy cannot be read.
    """
    return _read_splits(name, tuple(splits), folder_of(data_dir), side, channels, keys, stream)


def folder_of(data_dir: Path | None) -> Path:
    """Returns the folder of prepared data sets."""
    return (Path(data_dir) if data_dir is not None else prepared_folder()).absolute()


@functools.lru_cache(maxsize=1)  # runs that follow each other mostly share their data, and differ in the split at most
def _read_splits(
    name: str, splits: tuple[str, ...], folder: Path, side: int, channels: int, keys: tuple[str, str], stream: str
) -> tuple[tuple[Split, ...], tuple[str, ...]]:
    with reading(name, folder):
        builder = prepared(name, folder)
        size = sum(builder.info.splits[split].num_examples for split in splits) * side**2 * channels
        records = builder.info.file_format.value == "tfrecord"
        if stream == "shards" and not records:
            raise DataError(
                f"{folder / name}: only TFRecord files can be streamed, and this copy is "
                f"{builder.info.file_format.value}; use --stream memory"
            )
        read = _indexed if records and streamed(stream, size, name) else _read
        return tuple(read(builder, split, side, channels, keys) for split in splits), _labels(builder, keys[1])


def streamed(stream: str, size: int, name: str) -> bool:
    """Returns whether images are to stay in their files.

    Args:
        stream: one of `STREAMS`.
        size: bytes that all of them take in memory.
        name: of the data set, for people.
    """
    if stream != "auto":
        return stream == "shards"
    large = size > MAX_OF_MEMORY * main_memory()
    if large:
        log.info("%s would take %.1f GB of memory: its images are read when they are needed", name, size / 1e9)
    return large


@contextlib.contextmanager
def reading(name: str, folder: Path) -> Iterator[None]:
    """Turns whatever comes of a prepared copy that is broken into a `DataError`."""
    try:
        yield
    except (TfpruneError, MemoryError):
        raise
    except Exception as error:  # TFDS, protobuf and TensorFlow have no common way to say that files are broken
        raise DataError(
            f"{folder / name}: the prepared copy cannot be read ({tensorflow_line(error)}); remove that folder, then "
            f"copy it anew or run: tfds build {name} --data_dir {folder}"
        ) from error


def prepared(name: str, folder: Path) -> Any:
    """Returns TFDS's builder of a data set that is prepared in the folder, or is now.

    Raises:
        DataError: TFDS knows no such data set, or it is not there and cannot be downloaded.
    """
    tf.config.list_physical_devices()  # TensorFlow first, as `backend` has it; TFDS would import it its own way
    import tensorflow_datasets as tfds

    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)  # that a copy is not there is said below
    try:
        builder = tfds.builder(name, data_dir=str(folder))
        ready = builder.is_prepared()
    except tfds.core.DatasetNotFoundError:
        raise DataError(
            f"TFDS knows no data set {name!r}, and {folder} holds none; see tensorflow.org/datasets"
        ) from None
    finally:
        absl.setLevel(level)
    if not ready:
        _download(builder, name, folder)
    return builder


def _labels(builder: Any, key: str) -> tuple[str, ...]:
    return tuple(builder.info.features[key].names)


def _download(builder: Any, name: str, folder: Path) -> None:
    problem = _offline(builder)
    if problem is None:
        try:
            builder.download_and_prepare()
            return
        except Exception as error:  # network, disk, checksum, a site that is gone: TFDS raises what it meets
            problem = tensorflow_line(error)
    raise DataError(
        f"{folder}: holds no complete {name}, and it cannot be downloaded ({problem}); on a machine with a network "
        f"run: tfds build {name} --data_dir FOLDER, and copy FOLDER/{name} to {folder / name}"
    )


def _offline(builder: Any) -> str | None:
    """Says what is wrong with the network, if anything. TFDS itself retries for minutes before it says so."""
    problem = None
    for url in [PREPARED_COPIES, *list(builder.url_infos or {})[:1]]:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS_TO_ANSWER).close()
            return None
        except urllib.error.HTTPError:  # an answer
            return None
        except (OSError, ValueError) as error:
            problem = f"no network: {tensorflow_line(getattr(error, 'reason', error))}"
    return problem


def _read(builder: Any, split: str, side: int, channels: int, keys: tuple[str, str]) -> Split:
    import numpy as np
    import tensorflow_datasets as tfds

    image_key, label_key = keys
    encoded = builder.as_dataset(
        split=split,
        decoders={image_key: tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    pixels = _decoder(builder, image_key, side, channels)

    def image(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return pixels(example[image_key]), example[label_key]

    count = builder.info.splits[split].num_examples
    x, y = np.empty((count, side, side, channels), np.uint8), np.empty(count, np.int64)
    done = 0
    images = encoded.map(image, num_parallel_calls=cores()).batch(READ_AT_ONCE).prefetch(1)
    for some_x, some_y in without_autotuning(images).as_numpy_iterator():
        x[done : done + len(some_y)], y[done : done + len(some_y)] = some_x, some_y
        done += len(some_y)
    x.flags.writeable = y.flags.writeable = False  # shared by all who read the same
    return Split(x, y)


def _decoder(builder: Any, key: str, side: int, channels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a TensorFlow function from an encoded image of a data set to its central square."""
    height, width, _ = builder.info.features[key].shape
    return lambda content: square(tf.ensure_shape(decode(content, channels), (height, width, channels)), side)


def _indexed(builder: Any, split: str, side: int, channels: int, keys: tuple[str, str]) -> Split:
    """Does what `_read` does, but leaves the images where they are: goes through all records once, and keeps none."""
    import numpy as np
    import tensorflow_datasets as tfds

    from tfprune.data._stored import PLACE, Stored, record

    features, (image_key, label_key) = builder.info.features, keys
    image, label = (tfds.features.FeaturesDict({key: features[key]}) for key in keys)
    pixels = _decoder(builder, image_key, side, channels)

    def described(content: tf.Tensor) -> tuple[tf.Tensor, ...]:
        checksum = tf.strings.to_hash_bucket_fast(content, 2**63 - 1)
        return tf.strings.length(content), checksum, label.deserialize_example(content)[label_key]

    def decode_record(content: tf.Tensor) -> tf.Tensor:
        return pixels(image.deserialize_example(content, decoders={image_key: tfds.decode.SkipDecoding()})[image_key])

    files = [str(path) for path in builder.info.splits[split].filepaths]
    count = builder.info.splits[split].num_examples
    places, y = np.empty(count, PLACE), np.empty(count, np.int64)
    done = 0
    for number, file in enumerate(files):
        start = 0
        records = tf.data.TFRecordDataset(file).map(described, num_parallel_calls=cores()).batch(INDEXED_AT_ONCE)
        for lengths, checksums, labels in without_autotuning(records).as_numpy_iterator():
            own = slice(done, done + len(labels))
            ends = start + np.cumsum(lengths + AROUND, dtype=np.int64)
            places["file"][own], places["length"][own], places["checksum"][own] = number, lengths, checksums
            places["offset"][own] = ends - lengths - AROUND
            y[own] = labels
            done, start = done + len(labels), ends[-1]
    if done != count:
        raise ValueError(f"{split} has {done:,} examples where {count:,} are said to be")
    return Split(Stored(files, places, record, decode_record, (side, side, channels)), y)


def unfit(file: Path | BinaryIO) -> str:
    """Says why an image file is not to be decoded, "" if it is; reads no more than its header.

    It is too large, or TensorFlow would decode it to other colours than it has.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of fewer pixels than are refused here
            with Image.open(file) as image:
                width, height = image.size
                if image.format == "BMP" and image.mode in (
                    "P",
                    "1",
                ):  # TensorFlow takes the palette's numbers for grey
                    return "a BMP of one bit or with a palette of colours, which is not read: save it as PNG"
    except Image.DecompressionBombError:
        return f"it has more than {MAX_PIXELS:,} pixels"
    except Exception:  # whatever a broken header makes it meet; TensorFlow says what is wrong with the file
        return ""
    return f"{width:,} x {height:,} are more than {MAX_PIXELS:,} pixels" if width * height > MAX_PIXELS else ""


def is_turned(file: Path) -> bool:
    """Returns whether a camera has noted in an image file that it is to be turned; pixels are read as they are stored.

    It reads no more than the header.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.format in ("JPEG", "MPO") and image.getexif().get(ORIENTATION, 1) != 1
    except Exception:  # whatever a broken header makes it meet
        return False


def decode(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes one JPEG, PNG, GIF (first frame) or BMP: a string to uint8 [height, width, channels]."""

    def decoded(channels: int) -> tf.Tensor:
        image = tf.io.decode_image(content, channels=channels, expand_animations=False)
        return tf.ensure_shape(image, (None, None, channels))

    if channels != 1:
        return decoded(channels)
    only_in_colour = tf.reduce_any(tf.strings.substr(content, 0, 2) == ["BM", "GI"])  # BMP and GIF: no grey decoder
    return tf.cond(only_in_colour, lambda: tf.image.rgb_to_grayscale(decoded(3)), lambda: decoded(1))


def square(images: tf.Tensor, side: int) -> tf.Tensor:
    """Cuts the central square out of images and resizes it.

    Args:
        images: uint8 [..., height, width, channels], one image or a batch of any size.
        side: of the result.

    Returns:
        uint8 [..., side, side, channels]; averaged over when shrunk, rounded, unchanged if it fits already.
    """
    if tuple(images.shape[-3:-1]) == (side, side):
        return images
    height, width = tf.unstack(tf.shape(images)[-3:-1])
    shorter = tf.minimum(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    images = images[..., top : top + shorter, left : left + shorter, :]
    resized = tf.image.resize(images, (side, side), antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def image_inputs(side: int, channels: int) -> Mapping[str, Inputs]:
    """Returns what an exported image model takes: images of any size, and files' contents."""

    def from_pixels(raw: dict[str, tf.Tensor]) -> tf.Tensor:
        return square(raw["images"], side)

    def from_files(raw: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.map_fn(
            lambda content: square(decode(content, channels), side),
            raw["image_bytes"],
            fn_output_signature=tf.TensorSpec((side, side, channels), tf.uint8),
        )

    described = {"shape": [side, side, channels], "dtype": "uint8", "values": "0 to 255"}
    described |= {"crop": "central square", "resize": "bilinear, averaged over when shrunk, rounded"}
    return {
        "serving_default": Inputs(
            {"images": ("uint8", (None, None, channels))}, from_pixels, described=({"image": "images", **described},)
        ),
        "image_bytes": Inputs({"image_bytes": ("string", ())}, from_files),
    }


def tensorflow_line(error: object) -> str:
    """Returns what an error of TensorFlow or TFDS says, on a line, without which nodes of a graph were at work."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", str(error))
    return one_line(" ".join(text.split()).removesuffix(" name:") or type(error).__name__)
