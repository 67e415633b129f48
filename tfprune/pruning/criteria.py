"""The criteria that weights are ranked by. A new one is a function in `scores` and a line here."""

from tfprune.pruning.events import Cut
from tfprune.utils.registry import Registry

CRITERIA = Registry(
    "criterion",
    {
        "magnitude": "tfprune.pruning.scores:magnitude",
        "random": "tfprune.pruning.scores:random",
        "lamp": "tfprune.pruning.scores:lamp",
        "signed": "tfprune.pruning.scores:signed",
        "taylor": "tfprune.pruning.scores:taylor",
        "snip": "tfprune.pruning.scores:snip",
        "grasp": "tfprune.pruning.scores:grasp",
        "synflow": "tfprune.pruning.scores:synflow",
        "gradient": "tfprune.pruning.scores:gradient",
    },
)
OF_DATA = ("taylor", "snip", "grasp", "gradient")  # those that look at training examples


def asks_for_data(cut: Cut) -> bool:
    """Says whether a cut ranks by a criterion that looks at training examples."""
    return cut.criterion.name in OF_DATA or (cut.regrown > 0 and cut.growth.name in OF_DATA)
