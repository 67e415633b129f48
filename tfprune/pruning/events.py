"""How many weights a pruning event leaves.

A `PruningEvent` says it either as a share of *all* weights (`sparsity`, cumulative) or as a share of those
still alive (`rate`). Counting happens here and nowhere else: what remains of `n` weights after a
share `s` has gone is `round(n * (1 - s))`, and never nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tfprune.utils.errors import ConfigError

MASK_HISTORY = 5  # masks, none of which may differ much where an event waits for that; those of You et al. 2020


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


# Fields that have other names in checkpoints, which outlive a version.
STORED_AS = {"regrow_fraction": "regrown", "stability_tolerance": "settled"}


@dataclass(frozen=True)
class PruningEvent:
    """One pruning event. Exactly one of sparsity and rate is set.

    Args:
        sparsity: fraction of all weights that is zero afterwards, in [0, 1).
        rate: fraction of the weights still alive that goes, in [0, 1).
        criterion: what the weights that stay are chosen by.
        regrow_fraction: fraction of each kernel's remaining weights that goes too while as many pruned ones come back,
            at zero.
        growth: what the weights that come back are chosen by.
        stability_tolerance: wait until the masks that the cut would lead to differ in no more than this fraction of
            their entries from those at the last events of the same training; None cuts at once.
    """

    sparsity: float | None = None
    rate: float | None = None
    criterion: Criterion = Criterion()
    regrow_fraction: float = 0.0
    growth: Criterion = Criterion("random")
    stability_tolerance: float | None = None

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.rate is None):
            raise ConfigError("a cut has either a sparsity or a rate, not both and not neither")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PruningEvent:
        """Reads what `to_dict` made of an event."""
        names = {stored: name for name, stored in STORED_AS.items()}
        return cls(
            **{names.get(key, key): Criterion(**v) if isinstance(v, Mapping) else v for key, v in values.items()}
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the event as plain JSON values."""
        return {STORED_AS.get(name, name): value for name, value in asdict(self).items()}

    def keep(self, size: int, alive: int) -> int:
        """Returns how many of `size` weights, `alive` of them not yet pruned, remain.

        >>> PruningEvent(rate=0.17).keep(size=144, alive=144), PruningEvent(rate=0.17).keep(size=144, alive=120)
        (120, 100)
        >>> PruningEvent(sparsity=0.3).keep(size=36, alive=36)
        25
        """
        if self.rate is not None:
            kept = round(alive * (1 - self.rate))
        else:
            kept = min(round(size * (1 - self.sparsity)), alive)
        return max(kept, 1)


def keep_after(events: Iterable[PruningEvent], size: int) -> int:
    """Returns how many of `size` weights remain after all `events`."""
    alive = size
    for event in events:
        alive = event.keep(size, alive)
    return alive


def nominal_sparsity(events: Iterable[PruningEvent]) -> float:
    """Returns the fraction that `events` ask for in all, before counts are rounded.

    >>> round(nominal_sparsity([PruningEvent(rate=0.17), PruningEvent(rate=0.17)]), 4)
    0.3111
    """
    sparsity = 0.0
    for event in events:
        sparsity = max(sparsity, event.sparsity) if event.rate is None else 1 - (1 - sparsity) * (1 - event.rate)
    return sparsity


MAX_ROUNDS = 10_000  # of `geometric`, each of which is a cut to keep


def geometric(final: float, steps: int, criterion: Criterion = Criterion()) -> tuple[PruningEvent, ...]:
    """Splits a final sparsity into `steps` cuts that each take the same share of what is left.

    The cuts are cumulative, so that the last one meets `final` to one weight.

    >>> [round(cut.sparsity, 3) for cut in geometric(0.75, 2)]
    [0.5, 0.75]
    """
    early = [PruningEvent(sparsity=1 - (1 - final) ** (n / steps), criterion=criterion) for n in range(1, steps)]
    return (*early, PruningEvent(sparsity=final, criterion=criterion))
