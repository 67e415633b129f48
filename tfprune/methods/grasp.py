"""GraSP."""

from __future__ import annotations

import dataclasses

from tfprune.methods._at_init import FromData
from tfprune.pruning.events import Criterion
from tfprune.utils.checks import check_positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grasp(FromData):
    """Prune the weights of the untrained network whose removal leaves most gradient flow (GraSP), then train.

    BatchNorm takes the statistics of the one batch that is looked at.

    Args:
        sparsity, shuffle, reinitialise, invert: as those of `AtInit`.
        per_class: examples of each class that it looks at.
        temperature: what the logits are divided by in its loss, above 0.
    """

    paper = "Wang et al. 2020, Picking Winning Tickets Before Training by Preserving Gradient Flow, arXiv:2002.07376"
    criterion = "grasp"
    temperature: float = 200.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._normalise(temperature=check_positive("temperature", self.temperature))

    @property
    def ranking(self) -> Criterion:
        return dataclasses.replace(super().ranking, temperature=self.temperature)
