"""How many weights a pruning event leaves.

A `Cut` says it either as a share of *all* weights (`sparsity`, cumulative) or as a share of those
still alive (`rate`). Counting happens here and nowhere else: what remains of `n` weights after a
share `s` has gone is `round(n * (1 - s))`, and never nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tfprune.utils.errors import ConfigError


@dataclass(frozen=True)
class Criterion:
    """What weights are ranked by.

    Args:
        name: one of `criteria.CRITERIA`.
        inverted: turn the ranking round, so that the best weights go.
        per_class: training examples of each class that are shown to a criterion which asks for data.
        temperature: what the logits are divided by in its loss.
    """

    name: str = "magnitude"
    inverted: bool = False
    per_class: int = 10
    temperature: float = 1.0


@dataclass(frozen=True)
class Cut:
    """One pruning event. Exactly one of sparsity and rate is set.

    Args:
        sparsity: fraction of all weights that is zero afterwards, in [0, 1).
        rate: fraction of the weights still alive that goes, in [0, 1).
        criterion: what the weights that stay are chosen by.
        regrown: fraction of each kernel's remaining weights that goes too while as many pruned ones come back, at zero.
        growth: what the weights that come back are chosen by.
        settled: wait until the masks that the cut would lead to differ in no more than this fraction of their
            entries from those at the last events of the same training; None cuts at once.
    """

    sparsity: float | None = None
    rate: float | None = None
    criterion: Criterion = Criterion()
    regrown: float = 0.0
    growth: Criterion = Criterion("random")
    settled: float | None = None

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.rate is None):
            raise ConfigError("a cut has either a sparsity or a rate, not both and not neither")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cut:
        """Reads what `dataclasses.asdict` made of a cut."""
        return cls(**{**values, **{key: Criterion(**values[key]) for key in ("criterion", "growth")}})

    def keep(self, size: int, alive: int) -> int:
        """Returns how many of `size` weights, `alive` of them not yet pruned, remain.

        >>> Cut(rate=0.17).keep(size=144, alive=144), Cut(rate=0.17).keep(size=144, alive=120)
        (120, 100)
        >>> Cut(sparsity=0.3).keep(size=36, alive=36)
        25
        """
        if self.rate is not None:
            kept = round(alive * (1 - self.rate))
        else:
            kept = min(round(size * (1 - self.sparsity)), alive)
        return max(kept, 1)


def keep_after(cuts: Iterable[Cut], size: int) -> int:
    """Returns how many of `size` weights remain after all `cuts`."""
    alive = size
    for cut in cuts:
        alive = cut.keep(size, alive)
    return alive


def nominal_sparsity(cuts: Iterable[Cut]) -> float:
    """Returns the fraction that `cuts` ask for in all, before counts are rounded.

    >>> round(nominal_sparsity([Cut(rate=0.17), Cut(rate=0.17)]), 4)
    0.3111
    """
    sparsity = 0.0
    for cut in cuts:
        sparsity = max(sparsity, cut.sparsity) if cut.rate is None else 1 - (1 - sparsity) * (1 - cut.rate)
    return sparsity


MOST_ROUNDS = 10_000  # of `geometric`, each of which is a cut to keep


def geometric(final: float, steps: int, criterion: Criterion = Criterion()) -> tuple[Cut, ...]:
    """Splits a final sparsity into `steps` cuts that each take the same share of what is left.

    The cuts are cumulative, so that the last one meets `final` to one weight.

    >>> [round(cut.sparsity, 3) for cut in geometric(0.75, 2)]
    [0.5, 0.75]
    """
    early = [Cut(sparsity=1 - (1 - final) ** (n / steps), criterion=criterion) for n in range(1, steps)]
    return (*early, Cut(sparsity=final, criterion=criterion))
