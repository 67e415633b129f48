"""The criteria that weights are ranked by. A new one is a function in `scores` and a line here."""

from tfprune.cuts import Cut
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
OF_DATA = ("taylor", "snip", "grasp", "gradient")  # those that look at training examples


def asks_for_data(cut: Cut) -> bool:
    """Says whether a cut ranks by a criterion that looks at training examples."""
    return cut.criterion.name in OF_DATA or (cut.regrown > 0 and cut.growth.name in OF_DATA)
