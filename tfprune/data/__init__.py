"""The data sets. A new one is a file beside this one and a line in `DATASETS`."""

from tfprune.registry import Registry

DATASETS = Registry("data set", {"penguins": "tfprune.data.penguins:PENGUINS"})
