"""Where runs are trained. A new place is a file beside this one and a line in `EXECUTORS`."""

from tfprune.registry import Registry

EXECUTORS = Registry(
    "backend",
    {
        "local": "tfprune.executors.local:make",
        "ray": "tfprune.executors.ray:make",
    },
)
