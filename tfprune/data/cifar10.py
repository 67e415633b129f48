"""CIFAR-10: 60,000 small colour photographs."""

from __future__ import annotations

from pathlib import Path

from tfprune.data._base import Data, DatasetSpec
from tfprune.data._tfds import hold_out, image_inputs, read_images
from tfprune.seeds import derive

SIDE, CHANNELS = 32, 3
VALIDATION = 0.1  # of the training split


def load(data_dir: Path | None = None, seed: int = 0) -> Data:
    """Reads the images; a tenth of the training split, drawn by the run's seed, validates.

    Args:
        data_dir: folder of prepared TFDS data sets; None is TFDS's own.
        seed: the run's seed.
    """
    (train, test), labels = read_images("cifar10", ("train", "test"), data_dir, side=SIDE, channels=CHANNELS)
    train, validation = hold_out(train, VALIDATION, derive(seed, "split"))
    return Data(
        train=train,
        validation=validation,
        test=test,
        labels=labels,
        target="object",
        inputs=image_inputs(SIDE, CHANNELS),
    )


CIFAR10 = DatasetSpec(
    summary="60,000 colour photographs of 10 kinds of objects, 32 x 32: 45,000 / 5,000 / 10,000",
    source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, TFDS cifar10",
    load=load,
    model="resnet20",
    epochs=30,
    batch_size=128,
    learning_rate=0.1,
    optimizer="sgd",
    optimizer_settings={"momentum": 0.9, "nesterov": True},
    learning_rate_schedule="cosine",
    warmup_epochs=1.0,
    augment=("crop", "flip"),
)
