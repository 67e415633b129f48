"""The dense baseline."""

from __future__ import annotations

import dataclasses

from tfprune.methods._base import Method, Task
from tfprune.pruning.events import PruningEvent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unpruned(Method):
    """Plain training: the baseline that the others are held against."""

    paper = "none"

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return ()

    def run(self, task: Task) -> None:
        task.fit("dense")
