"""The criteria that weights are ranked by. A new one is a function in `scores` and a line here."""

from tfprune.pruning.events import PruningEvent
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
DATA_CRITERIA = ("taylor", "snip", "grasp", "gradient")  # those that look at training examples


def needs_data(event: PruningEvent) -> bool:
    """Returns whether a cut ranks by a criterion that looks at training examples."""
    return event.criterion.name in DATA_CRITERIA or (event.regrow_fraction > 0 and event.growth.name in DATA_CRITERIA)
