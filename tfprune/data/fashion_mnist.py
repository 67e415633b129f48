"""Fashion-MNIST: 70,000 grey pictures of clothing."""

from __future__ import annotations

from pathlib import Path

from tfprune.data._base import Data, DatasetSpec
from tfprune.data._tfds import hold_out, image_inputs, read_images
from tfprune.seeds import derive

SIDE, CHANNELS = 28, 1
VALIDATION = 0.1  # of the training split


def load(data_dir: Path | None = None, seed: int = 0) -> Data:
    """Reads the images; a tenth of the training split, drawn by the run's seed, validates.

    Args:
        data_dir: folder of prepared TFDS data sets; None is TFDS's own.
        seed: the run's seed.
    """
    (train, test), labels = read_images("fashion_mnist", ("train", "test"), data_dir, side=SIDE, channels=CHANNELS)
    train, validation = hold_out(train, VALIDATION, derive(seed, "split"))
    return Data(
        train=train,
        validation=validation,
        test=test,
        labels=labels,
        target="clothing",
        inputs=image_inputs(SIDE, CHANNELS),
    )


FASHION_MNIST = DatasetSpec(
    summary="70,000 grey pictures of 10 kinds of clothing, 28 x 28: 54,000 / 6,000 / 10,000",
    source="Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747, TFDS fashion_mnist (MIT)",
    load=load,
    model="lenet",
    epochs=10,
    batch_size=128,
    learning_rate=3e-3,
    optimizer="adam",
    learning_rate_schedule="cosine",
    warmup_epochs=0.5,
    augment=("flip",),
)
