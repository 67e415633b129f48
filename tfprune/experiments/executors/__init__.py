"""Where runs are trained. A new place is a file beside this one and a line in `EXECUTORS`."""

from tfprune.utils.registry import Registry

EXECUTORS = Registry(
    "executor",
    {
        "local": "tfprune.experiments.executors.local:make",
        "ray": "tfprune.experiments.executors.ray:make",
    },
)
