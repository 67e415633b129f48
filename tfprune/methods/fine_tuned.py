"""Pruning after training, with fine-tuning."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import EVERY, Method, Task
from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import MAX_ROUNDS, Criterion, PruningEvent, geometric
from tfprune.utils.checks import check_choice, check_fraction, check_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuned(Method):
    """Train, prune, and train on at the last learning rate; in one shot or in several rounds.

    The learning rate stays where its schedule has it at the beginning of the last epoch. (Where it ends a cosine
    has none.) Each tuning starts with a fresh optimizer.

    Args:
        sparsity: fraction of the kernel weights that is zero in the end, in [0, 1).
        rounds: number of times that weights are pruned and the rest tuned, at least 1.
        tuning_epochs: epochs of each tuning, at least 1; None is as many as the training has, at most that.
        criterion: what the weights that stay are chosen by, see `tfprune list`.
    """

    paper = "Han et al. 2015, Learning both Weights and Connections, arXiv:1506.02626"
    granularities = EVERY
    sparsity_setting = "sparsity"
    sparsity: float = 0.3
    rounds: int = 1
    tuning_epochs: int | None = None
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        self._normalise(
            sparsity=check_fraction("sparsity", self.sparsity),
            rounds=check_whole("rounds", self.rounds, least=1, most=MAX_ROUNDS),
            criterion=check_choice("criterion", self.criterion, CRITERIA),
        )
        if self.tuning_epochs is not None:
            self._normalise(tuning_epochs=check_whole("tuning_epochs", self.tuning_epochs, least=1))

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return geometric(self.sparsity, self.rounds, Criterion(self.criterion))

    def tuned_epochs(self, epochs: int) -> int:
        """Returns the epochs of each tuning of a run of `epochs`."""
        return min(self.tuning_epochs or epochs, epochs)

    def total_epochs(self, epochs: int) -> int:
        return epochs + self.rounds * self.tuned_epochs(epochs)

    def run(self, task: Task) -> None:
        first = task.epochs - self.tuned_epochs(task.epochs)
        task.fit("dense")
        for number, event in enumerate(self.pruning_events, start=1):
            task.prune(event)
            task.fit(f"tuning {number}", initial_epoch=first, freeze_lr_epoch=task.epochs - 1)
