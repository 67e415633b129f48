"""Which examples train, validate and test: drawn with the same mix of classes, alike for the same seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfprune.data._base import Split
from tfprune.utils.errors import DataError
from tfprune.utils.seeds import derive

if TYPE_CHECKING:
    import numpy as np


def hold_out(examples: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Splits in two with the same mix of classes.

    Args:
        examples: what to split.
        share: fraction of each class to hold out, in (0, 1); rounded, at least one example a class.
        seed: of the draw.

    Returns:
        What stays and what is held out, each in the original order.
    """
    held = held_out(examples.y, share, seed)
    return tuple(Split(examples.x[chosen], examples.y[chosen]) for chosen in (~held, held))


def held_out(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Returns one bool per example: whether `hold_out` holds it out."""
    import numpy as np

    random = np.random.default_rng(seed)
    held = np.zeros(len(y), bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        held[random.permutation(members)[: max(1, round(share * len(members)))]] = True
    return held


def three_splits(
    y: np.ndarray, given: Mapping[str, np.ndarray], labels: Sequence[str], *, validation: float, test: float, seed: int
) -> dict[str, np.ndarray]:
    """Returns the places of the examples of each split, each split in an order of its own.

    Args:
        y: class numbers of all examples; all the same where there are no classes.
        given: splits that the data come with; what is missing of `validation` and `test`, or has no examples, is held
            out of `train`, with the same mix of classes.
        labels: class names; none where there are no classes.
        validation, test: shares of what there is to hold out from, in (0, 1).
        seed: of the draws.

    Raises:
        DataError: a class has too few examples to be in all splits.
    """
    import numpy as np

    given = {name: own for name, own in given.items() if len(own) or name == "train"}
    splits = dict(given)
    needed = 1 + sum(name not in splits for name in ("validation", "test"))
    for number, count in enumerate(np.bincount(y[splits["train"]], minlength=len(labels))):
        if count < needed:
            kind = "training examples" if given.keys() > {"train"} else "examples"
            if not labels:
                raise DataError(f"there are {count} {kind}, at least {needed} are needed")
            raise DataError(
                f"class {labels[number]!r} has {count} {kind}, at least {needed} are needed: add some, or leave it out"
            )
    of_the_rest = validation if "test" in given else validation / (1 - test)
    for name, share in (("test", test), ("validation", of_the_rest)):
        if name not in splits:
            held = held_out(y[splits["train"]], share, derive(seed, f"own/{name}"))
            splits |= {"train": splits["train"][~held], name: splits["train"][held]}
    random = np.random.default_rng(derive(seed, "own/order"))
    return {name: random.permutation(places) for name, places in splits.items()}
