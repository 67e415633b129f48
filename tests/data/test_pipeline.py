"""Batches: what comes in which order, and what augmentation does to it."""

import math

import numpy as np
import pytest

from tfprune.data._base import Split
from tfprune.data._pipeline import PADDING, ReplicaShard, evaluation_batches, training_batches
from tfprune.utils.errors import ConfigError

SIDE = 16


@pytest.fixture
def images():
    """20 images whose pixels all differ from each other within a channel; the label is the number of the image."""
    pixels = np.arange(SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8)
    x = np.stack([np.stack([pixels, np.full_like(pixels, 1 + n), pixels[::-1]], axis=-1) for n in range(20)])
    return Split(x, np.arange(20, dtype=np.int64))


def take(split, steps, batch_size=8, shuffle=True, seed=1, **settings):
    batches = training_batches(split, batch_size, shuffle=shuffle, seed=seed, **settings)
    return [(x.numpy(), y.numpy()) for x, y in batches.take(steps)]


def windows(split, steps, name, seed=1):
    """The augmented images, each with the number of its original."""
    return [pair for x, y in take(split, steps, augment=(name,), seed=seed) for pair in zip(x, y, strict=True)]


def test_each_epoch_has_every_example_once_in_a_new_order(images):
    batches = take(images, 6)
    assert [len(y) for _, y in batches] == [8, 8, 4, 8, 8, 4]
    first, second = (np.concatenate([y for _, y in batches[start : start + 3]]) for start in (0, 3))
    assert sorted(first) == sorted(second) == list(range(20))
    assert list(first) != list(second)
    assert list(first) != list(range(20))


def test_examples_keep_their_labels(images):
    for x, y in take(images, 6):
        np.testing.assert_array_equal(x, images.x[y])


def test_without_shuffling_every_epoch_has_the_own_order(images):
    for settings in ({}, {"augment": ("flip",)}):
        labels = np.concatenate([y for _, y in take(images, 6, shuffle=False, **settings)])
        assert list(labels) == [*range(20), *range(20)]


@pytest.mark.parametrize("augment", [(), ("crop", "flip")])
def test_devices_divide_a_batch_between_them(images, augment):
    whole = take(images, 6, augment=augment)
    devices = [ReplicaShard(0, 2, 3), ReplicaShard(2, 1, 3)]  # a process with two devices and one with one
    parts = [training_batches(images, 8, shuffle=True, seed=1, augment=augment, shard=own) for own in devices]
    first, second = (list(own.as_numpy_iterator()) for own in (parts[0].take(12), parts[1].take(6)))
    for step, (x, y) in enumerate(whole):
        own = [first[2 * step], first[2 * step + 1], second[step]]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in own]), x)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in own]), y)
        assert np.mean([np.mean(part[1] * part[2]) for part in own]) == pytest.approx(np.mean(y))
    with pytest.raises(ConfigError, match="an epoch's last batch has 4 examples for 5 devices; change batch_size"):
        training_batches(images, 8, shuffle=True, seed=1, shard=ReplicaShard(0, 1, 5))


def test_plain_numbers_stay_as_they_are():
    split = Split(np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32), np.arange(10))
    (x, y), *_ = take(split, 1, batch_size=10)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, split.x[y])


@pytest.mark.parametrize("augment", [(), ("crop", "flip"), ("zoom", "flip")])
def test_a_seed_decides_everything(images, augment):
    one, same, other = (take(images, 5, augment=augment, seed=seed) for seed in (1, 1, 2))
    for (x, y), (same_x, same_y) in zip(one, same, strict=True):
        np.testing.assert_array_equal(x, same_x)
        np.testing.assert_array_equal(y, same_y)
    assert any(list(y) != list(other_y) for (_, y), (_, other_y) in zip(one, other, strict=True))


@pytest.mark.parametrize("augment", [(), ("crop", "flip")])
def test_batches_can_be_picked_up_at_any_step(images, augment):
    whole, rest = take(images, 7, augment=augment), take(images, 3, augment=augment, first_step=4)
    for (x, y), (again_x, again_y) in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(x, again_x)
        np.testing.assert_array_equal(y, again_y)


def test_crop_shifts_whole_pixels_each_way_and_fills_with_black(images):
    reach = round(PADDING * SIDE)
    seen = set()
    for image, number in windows(images, 60, "crop"):
        padded = np.pad(images.x[number], ((reach, reach), (reach, reach), (0, 0)))
        fits = [
            (down, right)
            for down in range(2 * reach + 1)
            for right in range(2 * reach + 1)
            if np.array_equal(image, padded[down : down + SIDE, right : right + SIDE])
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == (2 * reach + 1) ** 2


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_others(images):
    mirrored = []
    for image, number in windows(images, 60, "flip"):
        original = images.x[number]
        mirrored.append(np.array_equal(image, original[:, ::-1]))
        assert mirrored[-1] or np.array_equal(image, original)
    assert 0.4 < np.mean(mirrored) < 0.6


def test_zoom_shows_a_part_of_the_image_and_nothing_outside(images):
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8) * 10 + 50, (SIDE, 1))
    split = Split(np.stack([ramp] * 20)[..., np.newaxis], images.y)
    spans = []
    for image, _ in windows(split, 30, "zoom"):
        assert image.min() >= 50
        spans.append((int(image[0, -1, 0]) - int(image[0, 0, 0])) / (10 * (SIDE - 1)))
    assert 0.6 <= min(spans) < 0.75
    assert 0.9 < max(spans) <= 1.0


def test_an_example_is_augmented_differently_in_each_epoch(images):
    epochs = [take(images, 3, augment=("crop",)), take(images, 3, augment=("crop",), first_step=3)]
    first, second = ({number: x for xs, ys in epoch for x, number in zip(xs, ys, strict=True)} for epoch in epochs)
    changed = [not np.array_equal(first[number], second[number]) for number in range(20)]
    assert sum(changed) > 10


def test_augmented_images_stay_uint8_of_the_same_shape(images):
    for augment in (("crop", "flip"), ("zoom", "crop", "flip")):
        (x, _), *_ = take(images, 1, augment=augment)
        assert (x.dtype, x.shape) == (np.uint8, (8, SIDE, SIDE, 3))


def test_grey_oblong_images_can_be_augmented():
    split = Split(np.random.default_rng(0).integers(0, 256, (4, 12, 20, 1), np.uint8), np.arange(4))
    for x, y in take(split, 8, batch_size=4, augment=("flip",)):
        for image, number in zip(x, y, strict=True):
            original = split.x[number]
            assert np.array_equal(image, original) or np.array_equal(image, original[:, ::-1])


def test_an_unknown_augmentation_names_the_choices(images):
    with pytest.raises(
        ConfigError, match=r"unknown augmentation 'flop': did you mean flip\? Choices: crop, flip, zoom"
    ):
        take(images, 1, augment=("flop",))


def test_examples_that_are_no_images_cannot_be_augmented():
    with pytest.raises(ConfigError, match="no images"):
        take(Split(np.zeros((4, 3), np.float32), np.arange(4)), 1, augment=("flip",))


def test_evaluation_sees_every_example_once_in_order(images):
    batches = list(evaluation_batches(images, 8))
    assert len(batches) == math.ceil(20 / 8)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), images.y)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), images.x)


def test_the_end_of_an_iterator_waits_for_no_thread_that_tunes_it(images):
    """TensorFlow's sleeps for up to a minute: a test of times would hang on it, so the setting is looked at."""
    drawn = training_batches(images, 8, shuffle=True, seed=0)
    for batches in (drawn, training_batches(images, 8, shuffle=False, seed=0), evaluation_batches(images, 8)):
        assert batches.options().autotune.enabled is False
