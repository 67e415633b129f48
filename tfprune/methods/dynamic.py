"""Dynamic pruning: cut in the middle of training and carry on."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import EVERY, Method, Task
from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import Criterion, PruningEvent, geometric
from tfprune.utils.checks import check_choice, check_events, check_fraction, check_positive
from tfprune.utils.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dynamic(Method):
    """Prune in the middle of training and carry on with the trained weights and the optimizer's state.

    At each event the least of the weights that are left go: a share `rate` of them or, if
    `final_sparsity` is set, the share that arrives there at the last event. An event at fraction f
    of the run falls at the end of epoch floor(f * epochs).

    Args:
        events: fractions of the run in (0, 1), increasing.
        rate: fraction of the remaining kernel weights that each event prunes, in [0, 1).
        final_sparsity: fraction of the kernel weights that is zero after the last event, in [0, 1);
            takes the place of `rate`.
        rate_factor: what each event multiplies the learning rate by, for the rest of the run, above 0.
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "the class project behind tfprune; compare Zhu & Gupta 2017, To prune, or not to prune, arXiv:1710.01878"
    granularities = EVERY
    sparsity_setting = "final_sparsity"
    fields_excluded_from_hash = ("rate_factor", "criterion")
    events: tuple[float, ...] = (1 / 3, 2 / 3)
    rate: float = 0.17
    final_sparsity: float | None = None
    rate_factor: float = 1.0
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        self._normalise(rate_factor=check_positive("rate_factor", self.rate_factor))
        self._normalise(criterion=check_choice("criterion", self.criterion, CRITERIA))
        self._normalise(events=check_events("events", self.events), rate=check_fraction("rate", self.rate))
        if self.final_sparsity is not None:
            self._normalise(final_sparsity=check_fraction("final_sparsity", self.final_sparsity))
            if self.rate != self.defaults()["rate"]:
                raise ConfigError("rate and final_sparsity both say how much to prune: set one of them")

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        if self.final_sparsity is not None:
            return geometric(self.final_sparsity, len(self.events), Criterion(self.criterion))
        return (PruningEvent(rate=self.rate, criterion=Criterion(self.criterion)),) * len(self.events)

    def event_epochs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs (counted from 1) at whose ends the events of a run of `epochs` fall.

        >>> Dynamic().event_epochs(4000)
        (1333, 2666)
        """
        return tuple(int(fraction * epochs + 1e-9) for fraction in self.events)

    def check(self, epochs: int) -> None:
        at = self.event_epochs(epochs)
        if at[0] < 1 or len(set(at)) < len(at):
            where = ", ".join(str(epoch) for epoch in at)
            raise ConfigError(
                f"events {', '.join(f'{e:.3g}' for e in self.events)} of {epochs} epochs fall at the ends of epochs "
                f"{where}: each needs one of its own, from 1 on; train longer or move the events"
            )

    def run(self, task: Task) -> None:
        events = dict(zip(self.event_epochs(task.epochs), self.pruning_events, strict=True))
        task.fit("train", events=events, lr_factor=self.rate_factor)
