"""Prepared copies of the image data sets: the real ones, and small ones that the tests write."""

import os
from pathlib import Path

import numpy as np

COPIES = Path(os.environ.get("TFDS_DATA_DIR") or Path(__file__).resolve().parents[2] / "shared" / "tensorflow_datasets")
CLOTHING = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
FLOWERS = ("dandelion", "daisy", "tulips", "sunflowers", "roses")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# data set -> TFDS's name and version, splits, sides and channels of the stored images, labels
STORED = {
    "fashion_mnist": ("fashion_mnist", "3.0.1", ("train", "test"), (28, 28, 1), CLOTHING),
    "flowers": ("tf_flowers", "3.0.1", ("train",), (60, 130, 3), FLOWERS),
    "cifar10": ("cifar10", "3.0.2", ("train", "test"), (32, 32, 3), OBJECTS),
}
A_CLASS = {"train": 20, "test": 4}  # examples in the small copies


def write_copy(folder, name, *, seed=0, shape=None, a_class=A_CLASS):
    """Writes a small copy as TFDS would: random images, a few of each class."""
    import tensorflow_datasets as tfds

    tfds_name, version, splits, stored_shape, labels = STORED[name]
    shape = shape or stored_shape
    random = np.random.default_rng(seed)

    def examples(split):
        for number in range(a_class[split] * len(labels)):
            row = {"image": random.integers(0, 256, shape, np.uint8), "label": number % len(labels)}
            key = f"{split}_{number}"
            yield key, {"id": key} | row if name == "cifar10" else row

    features = {"image": tfds.features.Image(shape=(None, None, 3) if name == "flowers" else shape)}
    features["label"] = tfds.features.ClassLabel(names=labels)
    if name == "cifar10":
        features["id"] = tfds.features.Text()
    tfds.dataset_builders.store_as_tfds_dataset(
        name=tfds_name,
        version=version,
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: list(examples(split)) for split in splits},
        data_dir=folder,
    )
