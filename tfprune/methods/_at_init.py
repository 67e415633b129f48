"""What methods that prune before training have in common, and the ablations that they have to stand."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from tfprune.methods._base import Method, Task
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.utils.checks import check_fraction, check_switch, check_whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class AtInit(Method):
    """Base of the methods that prune the untrained network and then train what is left.

    Three ablations of Frankle et al. 2021 (arXiv:2009.08576) are settings: what a method gains by choosing
    single weights, it loses under them; what it gains by choosing how many of each layer, it keeps.

    Args:
        sparsity: fraction of the kernel weights that is zero, in [0, 1).
        shuffle: move each kernel's mask to places drawn at random.
        reinitialise: draw new initial weights under the masks.
        invert: prune the weights that matter most.
    """

    scope = "global"
    sparsity_setting = "sparsity"
    criterion: ClassVar[str]
    sparsity: float = 0.3
    shuffle: bool = False
    reinitialise: bool = False
    invert: bool = False

    def __post_init__(self) -> None:
        self._normalise(sparsity=check_fraction("sparsity", self.sparsity))
        for name in ("shuffle", "reinitialise", "invert"):
            check_switch(name, getattr(self, name))

    @property
    def ranking(self) -> Criterion:
        """What the weights are ranked by."""
        return Criterion(self.criterion, inverted=self.invert)

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return (PruningEvent(sparsity=self.sparsity, criterion=self.ranking),)

    def run(self, task: Task) -> None:
        for event in self.pruning_events:
            task.prune(event)
        if self.shuffle:
            task.shuffle_masks()
        if self.reinitialise:
            task.reinitialise()
        task.fit("sparse")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FromData(AtInit):
    """Base of those that look at training examples.

    Args:
        per_class: examples of each class that it looks at, as one batch, at least 1; Wang et al. 2020 take 10.
    """

    per_class: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._normalise(per_class=check_whole("per_class", self.per_class, least=1))

    @property
    def ranking(self) -> Criterion:
        return dataclasses.replace(super().ranking, per_class=self.per_class)
