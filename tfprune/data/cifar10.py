"""CIFAR-10: 60,000 small colour photographs."""

from __future__ import annotations

import functools

from tfprune.data._base import DatasetSpec
from tfprune.data._tfds import load_train_and_test

CIFAR10 = DatasetSpec(
    summary="60,000 colour photographs of 10 kinds of objects, 32 x 32: 45,000 / 5,000 / 10,000",
    source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, TFDS cifar10",
    load=functools.partial(load_train_and_test, "cifar10", side=32, channels=3, target="object"),
    model="resnet20",
    epochs=30,
    batch_size=64,
    learning_rate=0.1,
    optimizer="sgd",
    optimizer_settings={"momentum": 0.9, "nesterov": True},
    learning_rate_schedule="cosine",
    warmup_epochs=1.0,
    augment=("crop", "flip"),
    streams=True,
)
