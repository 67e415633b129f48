"""From splits to batches for `model.fit`.

A shuffled or augmented batch is a function of the seed and of the number of the step, and of nothing
else: the same in every process, and a training can be picked up at any step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from tfprune.adapters.backend import cores, tf
from tfprune.data._base import Split
from tfprune.utils.errors import ConfigError, choose_from

PADDING = 1 / 8  # of an image's side: 4 pixels of 32, as He et al. 2016 have it
SMALLEST_ZOOM = 0.65  # of an image's side
STEPS_WITHOUT_END = 2**62
AHEAD = 4  # batches that are made while a step is computed


@dataclasses.dataclass(frozen=True)
class ReplicaShard:
    """What some of the devices that divide each batch between them get of it.

    Args:
        first: the number of the first of these devices.
        count: how many they are.
        of: how many there are in all.
    """

    first: int
    count: int
    of: int


def training_batches(
    split: Split,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    augment: Sequence[str] = (),
    first_step: int = 0,
    shard: ReplicaShard | None = None,
) -> tf.data.Dataset:
    """Returns endless batches, each epoch's last one smaller if need be.

    Endless because a finite set makes Keras build a new iterator in every epoch.

    Args:
        split: the examples.
        batch_size: examples a batch.
        shuffle: draw a new order for each epoch; otherwise the split's own order in every epoch.
        seed: of those orders and of what `augment` draws.
        augment: names of `AUGMENTATIONS`, applied in this order to uint8 images [examples, side, side, channels].
        first_step: batches to leave out at the beginning.
        shard: instead of each batch its parts for these devices, one after the other; with weights, so that the mean
            over all devices of their mean losses is the mean over the batch, whatever the sizes of its parts are.

    Raises:
        ConfigError: a step of `augment` is unknown, the examples are no images, or a device would get none of them.
    """
    check_augment(augment, split.x.shape[1:] if augment else None)
    if not (shuffle or augment or first_step or shard or split.stored):
        examples = tf.data.Dataset.from_tensor_slices((split.x, split.y))
        return without_autotuning(examples.batch(batch_size).cache().repeat().prefetch(AHEAD))
    count = len(split)
    per_epoch = -(-count // batch_size)
    devices = shard or ReplicaShard(0, 1, 1)
    if (least := (count - 1) % batch_size + 1) < devices.of:
        raise ConfigError(f"an epoch's last batch has {least} examples for {devices.of} devices; change batch_size")
    examples_of = _examples(split)

    def batch(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        step, device = number // devices.count, devices.first + number % devices.count
        epoch, first = step // per_epoch, step % per_epoch * batch_size
        size = tf.minimum(tf.constant(batch_size, tf.int64), count - first)
        start, end = size * device // devices.of, size * (device + 1) // devices.of
        chosen = tf.range(first + start, first + end)
        if shuffle:
            chosen = _shuffled(chosen, count, seed, epoch)
        images, labels = examples_of(chosen)
        if augment:
            windows = _windows(size, split.x.shape[1:3], augment, seed, step)  # of the batch: the same on any devices
            images = _seen_through(images, windows[start:end], augment)
        if not shard:
            return images, labels
        weight = tf.cast((end - start) * devices.of / size, tf.float32)
        return images, labels, tf.fill([end - start], weight)

    numbers = tf.data.Dataset.range(first_step * devices.count, STEPS_WITHOUT_END)
    parallel, ahead = _buffers(split)
    return without_autotuning(numbers.map(batch, num_parallel_calls=parallel, deterministic=True).prefetch(ahead))


def _examples(split: Split) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns a TensorFlow function from the numbers of examples to their inputs and their classes."""
    with tf.device("CPU:0"):  # an accelerator's memory is the model's
        y = tf.constant(split.y)
        if split.stored:
            read = split.x.reader()
            return lambda chosen: (read(chosen), tf.gather(y, chosen))
        x = tf.constant(split.x)
    return lambda chosen: (tf.gather(x, chosen), tf.gather(y, chosen))


def _buffers(split: Split) -> tuple[int, int]:
    """Returns how many batches are made at a time, and how many ahead: fewer of images in files, as memory is short."""
    return cores(), 1 if split.stored else AHEAD


def without_autotuning(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same batches, whose numbers of threads and of buffers stay what they are.

    TensorFlow 2.21 tunes them in a thread that sleeps twice as long each time, up to a minute, and the end of an
    iterator may wait until it awakes: on one core a `fit` took up to twice as long (`benchmarks/input_pipeline.py`).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def epoch_order(count: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the numbers 0 to `count` - 1, int64, in the order in which an epoch goes through shuffled examples."""
    return _shuffled(tf.range(tf.constant(count, tf.int64)), count, seed, epoch)


def _shuffled(places: tf.Tensor, count: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.index_shuffle(places, _key(seed, epoch), tf.constant(count - 1, tf.int64))


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Returns the split once, in order."""
    if split.stored:
        parallel, ahead = _buffers(split)
        numbers = tf.data.Dataset.range(len(split)).batch(batch_size)
        examples = numbers.map(_examples(split), num_parallel_calls=parallel, deterministic=True).prefetch(ahead)
    else:
        examples = tf.data.Dataset.from_tensor_slices((split.x, split.y)).batch(batch_size).cache()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA  # between workers
    return without_autotuning(examples.with_options(options))


def check_augment(augment: Sequence[str], shape: tuple[int, ...] | None = None) -> tuple[str, ...]:
    """Returns the names of augmentations if all are known and fit examples of `shape` (None: of any).

    Raises:
        ConfigError: they do not.
    """
    for name in augment:
        if name not in AUGMENTATIONS:
            raise ConfigError(f"unknown augmentation {name!r}: {choose_from(name, AUGMENTATIONS)}")
    if augment and shape is not None and len(shape) != 3:
        raise ConfigError(f"augment must be empty for examples that are no images, got {', '.join(augment)}")
    return tuple(augment)


# Each augmentation moves the windows through which images are seen: float32 [images, 4], the numbers of the top row,
# left column, bottom row and right column, all inclusive; left and right change places in a mirror image. One
# operation then draws a batch, several times faster than a slice an image. Outside of an image is black.
Draw = Callable[[int], "tf.Tensor"]  # columns -> float32 [images, columns], uniform in [0, 1)


def _crop(windows: tf.Tensor, sides: tuple[int, int], draw: Draw) -> tf.Tensor:
    """Shifts by up to `PADDING` of a side in each direction, whole pixels."""
    padding = tf.constant([float(round(PADDING * side)) for side in sides])
    shift = tf.floor(draw(2) * (2 * padding + 1)) - padding
    return windows + tf.tile(shift, [1, 2])


def _flip(windows: tf.Tensor, sides: tuple[int, int], draw: Draw) -> tf.Tensor:
    """Mirrors half of the images, left to right."""
    return tf.where(draw(1) < 0.5, tf.gather(windows, [0, 3, 2, 1], axis=1), windows)


def _zoom(windows: tf.Tensor, sides: tuple[int, int], draw: Draw) -> tf.Tensor:
    """Narrows to between `SMALLEST_ZOOM` and all of the side, anywhere within."""
    drawn = draw(3)
    share = SMALLEST_ZOOM + (1 - SMALLEST_ZOOM) * drawn[:, :1]
    start = drawn[:, 1:] * (1 - share)
    first, extent = windows[:, :2], windows[:, 2:] - windows[:, :2]
    return tf.concat([first + extent * start, first + extent * (start + share)], axis=1)


AUGMENTATIONS: dict[str, Callable[..., tf.Tensor]] = {"crop": _crop, "flip": _flip, "zoom": _zoom}


def _windows(count: tf.Tensor, sides: tuple[int, int], augment: Sequence[str], seed: int, step: tf.Tensor) -> tf.Tensor:
    height, width = sides
    windows = tf.tile([[0.0, 0.0, height - 1.0, width - 1.0]], [count, 1])
    for place, name in enumerate(augment):

        def draw(columns: int, place: int = place) -> tf.Tensor:
            return tf.random.stateless_uniform([count, columns], _key(seed, step * len(augment) + place))

        windows = AUGMENTATIONS[name](windows, (height, width), draw)
    return windows / [height - 1.0, width - 1.0, height - 1.0, width - 1.0]


def _seen_through(images: tf.Tensor, windows: tf.Tensor, augment: Sequence[str]) -> tf.Tensor:
    method = "bilinear" if "zoom" in augment else "nearest"  # nearest is faster, and exact for whole pixels
    places = tf.range(tf.shape(images)[0])
    drawn = tf.image.crop_and_resize(images, windows, places, images.shape[1:3], method=method)
    return tf.cast(tf.round(drawn), tf.uint8)


def _key(seed: int, number: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])
