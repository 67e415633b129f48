"""Early-bird tickets."""

from __future__ import annotations

import dataclasses
import logging
import math

from tfprune.methods._base import EVERY, Method, Task, spread
from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import MASK_HISTORY, Criterion, PruningEvent
from tfprune.utils.checks import check_choice, check_fraction, check_whole
from tfprune.utils.errors import ConfigError

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlyBird(Method):
    """Prune early in training, as soon as the mask that pruning would lead to no longer changes, and carry on.

    The mask is looked at in even steps, each at the end of an epoch of its own. The ticket is drawn when it differs
    from each of the last four in no more than `distance` of its entries, or else at `latest`. The paper prunes
    channels and looks at 160 epochs one by one; so does granularity `filter` here, and with `channels.criterion=bn` it
    ranks by BatchNorm's scales (the paper globally, after an L1 penalty on them). A ticket needs five looks: in fewer
    than ten epochs, at the default `latest`, this is one-shot pruning, of which a run warns.

    Args:
        sparsity: fraction of the kernel weights that is zero in the ticket, in [0, 1).
        distance: fraction of the mask's entries, in [0, 1).
        looks: how often at most the mask is looked at over a whole run, at least 1.
        latest: fraction of the run at which the ticket is drawn in any case, in (0, 1).
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "You et al. 2020, Drawing Early-Bird Tickets, arXiv:1909.11957"
    granularities = EVERY
    sparsity_setting = "sparsity"
    sparsity: float = 0.3
    distance: float = 0.1
    looks: int = 160
    latest: float = 0.5
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        self._normalise(
            sparsity=check_fraction("sparsity", self.sparsity),
            distance=check_fraction("distance", self.distance),
            looks=check_whole("looks", self.looks, least=1),
            latest=check_fraction("latest", self.latest, above_zero=True),
            criterion=check_choice("criterion", self.criterion, CRITERIA),
        )

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return (PruningEvent(sparsity=self.sparsity, criterion=Criterion(self.criterion)),)

    def look_epochs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs (counted from 1) at whose ends the mask is looked at in a run of `epochs`."""
        return spread(0, self.latest * epochs, max(1, round(self.latest * self.looks)))

    def check(self, epochs: int) -> None:
        if not self.look_epochs(epochs):
            raise ConfigError(f"latest={self.latest:g} of {epochs} epochs is before the first ends; train longer")

    def run(self, task: Task) -> None:
        [event] = self.pruning_events
        *early, last = looks = self.look_epochs(task.epochs)
        if len(looks) < MASK_HISTORY:
            log.warning(
                "early_bird looks at the mask %d times in %d epochs and finds no ticket in fewer than %d: this is "
                "one-shot pruning at latest=%g; train for at least %d epochs",
                *(len(looks), task.epochs, MASK_HISTORY, self.latest, math.ceil(MASK_HISTORY / self.latest)),
            )
        waiting = dataclasses.replace(event, stability_tolerance=self.distance)
        task.fit("train", events={**dict.fromkeys(early, waiting), last: event})
