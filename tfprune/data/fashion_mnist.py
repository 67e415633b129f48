"""Fashion-MNIST: 70,000 grey images of clothing."""

from __future__ import annotations

import functools

from tfprune.data._base import DatasetSpec
from tfprune.data._tfds import load_train_and_test

FASHION_MNIST = DatasetSpec(
    summary="70,000 grey images of 10 kinds of clothing, 28 x 28: 54,000 / 6,000 / 10,000",
    source="Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747, TFDS fashion_mnist (MIT)",
    load=functools.partial(load_train_and_test, "fashion_mnist", side=28, channels=1, target="clothing"),
    model="lenet",
    epochs=10,
    batch_size=128,
    learning_rate=3e-3,
    optimizer="adam",
    learning_rate_schedule="cosine",
    warmup_epochs=0.5,
    augment=("flip",),
    streams=True,
)
