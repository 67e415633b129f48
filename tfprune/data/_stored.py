"""Images that stay in their files and are read when a batch needs them: data sets larger than memory.

What is kept of an example is where it lies, 28 bytes, and its label. So examples can be read by number, batches are
those that images in memory would make, and each worker reads the part of a batch that is its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tfprune.adapters.backend import tf

PLACE = np.dtype([("file", "i4"), ("offset", "i8"), ("length", "i8"), ("checksum", "i8")])
READ_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """An array of images that are in files. Indexing chooses and reads nothing, `np.asarray` reads.

    Args:
        files: their paths.
        places: [examples] of `PLACE`: the number of the file, where in it the example is, and what of, so that other
            contents are noticed.
        content: TensorFlow function from a path and an offset to a data set of the one string that is there.
        decode: TensorFlow function from such a string to an image.
        example_shape: of an image: height, width, channels.
    """

    files: Sequence[str]
    places: np.ndarray
    content: Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]
    decode: Callable[[tf.Tensor], tf.Tensor]
    example_shape: tuple[int, int, int]

    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that `np.asarray` would make."""
        return len(self), *self.example_shape

    @property
    def nbytes(self) -> int:
        """Bytes of the array that `np.asarray` would make."""
        return int(np.prod(self.shape))

    def __getitem__(self, chosen: slice | np.ndarray) -> Stored:
        return dataclasses.replace(self, places=self.places[chosen])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        images, read = np.empty(self.shape, self.dtype), tf.function(self.reader())
        for start in range(0, len(self), READ_AT_ONCE):
            rows = np.arange(start, min(start + READ_AT_ONCE, len(self)))
            images[rows] = read(tf.constant(rows))
        return images if dtype is None else images.astype(dtype)

    def reader(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a TensorFlow function from the numbers of examples, int64 [n], to their images.

        There is no Python in it: threads that wait for Python's lock when a process ends would keep it from ending.
        """
        files, numbers = tf.constant(self.files), tf.constant(self.places["file"])
        offsets = tf.constant(self.places["offset"])

        def images(rows: tf.Tensor) -> tf.Tensor:
            paths = tf.gather(files, tf.gather(numbers, rows))
            places = tf.data.Dataset.from_tensor_slices((paths, tf.gather(offsets, rows)))
            batch = places.flat_map(self.content).map(self.decode).batch(tf.size(rows, tf.int64))
            return tf.ensure_shape(batch.get_single_element(), [None, *self.example_shape])

        return images


def record(path: tf.Tensor, offset: tf.Tensor) -> tf.data.Dataset:
    """Returns the record of a TFRecord file that begins at an offset, as a `Stored.content`."""
    unbuffered = tf.constant(0, tf.int64)
    records = tf.raw_ops.TFRecordDatasetV2(  # `tf.data.TFRecordDataset` knows no offsets
        filenames=[path], compression_type="", buffer_size=unbuffered, byte_offsets=[offset]
    )
    return tf.data.experimental.from_variant(records, tf.TensorSpec([], tf.string)).take(1)


def whole_file(path: tf.Tensor, offset: tf.Tensor) -> tf.data.Dataset:
    """Returns what is in a file, as a `Stored.content`."""
    return tf.data.Dataset.from_tensors(tf.io.read_file(path))


def joined(parts: Sequence[Stored | np.ndarray]) -> Stored | np.ndarray:
    """Returns arrays one after the other: all in memory, or all stored and decoded alike."""
    first = parts[0]
    if not isinstance(first, Stored):
        return np.concatenate(parts)
    files: list[str] = []
    places = []
    for part in parts:
        places.append(part.places.copy())
        places[-1]["file"] += len(files)
        files += part.files
    return dataclasses.replace(first, files=files, places=np.concatenate(places))
