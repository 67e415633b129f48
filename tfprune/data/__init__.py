"""The data sets. A new one is a file beside this one and a line in `DATASETS`."""

from tfprune.utils.registry import Registry

DATASETS = Registry(
    "data set",
    {
        "penguins": "tfprune.data.penguins:PENGUINS",
        "fashion_mnist": "tfprune.data.fashion_mnist:FASHION_MNIST",
        "flowers": "tfprune.data.flowers:FLOWERS",
        "cifar10": "tfprune.data.cifar10:CIFAR10",
    },
)
