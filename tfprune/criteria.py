"""The criteria that weights are ranked by. A new one is a function in `scores` and a line here."""

from tfprune.registry import Registry

CRITERIA = Registry(
    "criterion",
    {
        "magnitude": "tfprune.scores:magnitude",
        "random": "tfprune.scores:random",
        "lamp": "tfprune.scores:lamp",
        "signed": "tfprune.scores:signed",
        "taylor": "tfprune.scores:taylor",
        "snip": "tfprune.scores:snip",
        "grasp": "tfprune.scores:grasp",
        "synflow": "tfprune.scores:synflow",
        "gradient": "tfprune.scores:gradient",
    },
)
