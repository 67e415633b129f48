"""Flowers: 3,670 photographs of five kinds."""

from __future__ import annotations

from pathlib import Path

from tfprune.data._base import Data, DatasetSpec
from tfprune.data._splits import hold_out
from tfprune.data._tfds import image_inputs, read_images
from tfprune.utils.seeds import derive

SIDE, CHANNELS = 96, 3
HELD_OUT = 0.1  # for validation, and as much again for the test


def load(data_dir: Path | None = None, seed: int = 0, stream: str = "auto") -> Data:
    """Reads the photographs and splits them 80 / 10 / 10, every run alike: TFDS has one split only.

    Args:
        data_dir: folder of prepared TFDS data sets; None is TFDS's own.
        seed: not used; all seeds share one test split.
        stream: one of `STREAMS`.
    """
    (photographs,), labels = read_images(
        "tf_flowers", ("train",), data_dir, side=SIDE, channels=CHANNELS, stream=stream
    )
    rest, test = hold_out(photographs, HELD_OUT, derive(0, "flowers/test"))
    train, validation = hold_out(rest, HELD_OUT / (1 - HELD_OUT), derive(0, "flowers/validation"))
    return Data(
        train=train,
        validation=validation,
        test=test,
        labels=labels,
        target="flower",
        inputs=image_inputs(SIDE, CHANNELS),
    )


FLOWERS = DatasetSpec(
    summary="3,670 photographs of 5 kinds of flowers, made 96 x 96: 2,936 / 367 / 367",
    source="The TensorFlow Team 2019, TFDS tf_flowers (photographs under CC BY, authors in the original's LICENSE.txt)",
    load=load,
    model="flowers_resnet",
    epochs=30,
    batch_size=32,
    learning_rate=2e-3,
    optimizer="adam",
    learning_rate_schedule="cosine",
    warmup_epochs=1.0,
    augment=("zoom", "flip"),
    streams=True,
)
