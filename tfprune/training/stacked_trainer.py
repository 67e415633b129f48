"""The task of a method for several seeds at once, whose networks are one model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.mask_values import get_weights
from tfprune.data._base import SPLITS, Data
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.clock import COMPILE
from tfprune.training.config import Config
from tfprune.training.orders import EpochOrders
from tfprune.training.stacking import StackedNetworks, stack_splits
from tfprune.training.trainer import Trainer


class StackedTrainer(Trainer):
    """The `Task` of a method for several seeds at once: a stacked model, the data of each seed on the last axis.

    The numbers in `history` are arrays, one per seed; `per_seed` takes them apart.

    Args:
        model: a wrapped `stacking.stack`; a `Fused` one is not compiled again.
        data: the data of each seed.
        configs: the settings of each run; they differ in nothing but the seed.
        dense: as for `Trainer`, of another `StackedTrainer` with the same seeds.
        drawn, log_every: as for `Trainer`.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Sequence[Data],
        configs: Sequence[Config],
        dense: BaselineRun | None = None,
        reinit_fn: Callable[[], list[np.ndarray]] | None = None,
        drawn: EpochOrders | None = None,
        log_every: int | None = None,
    ) -> None:
        parts = {name: stack_splits([getattr(own, name) for own in data]) for name in SPLITS}
        config = configs[0].replace(loop="fused")
        data = dataclasses.replace(data[0], **parts)
        seeds = [own.seed for own in configs]
        several = {"seeds": seeds, "networks": StackedNetworks(), "drawn": drawn}
        super().__init__(model, data, config, dense=dense, reinit_fn=reinit_fn, **several)
        self.configs = configs
        self.log_every = log_every

    def named(self, phase: str) -> str:
        return f"{self.config.method}, {len(self.configs)} seeds, {phase}"

    def per_seed(self) -> list[list[dict[str, Any]]]:
        """Returns the history of each seed's network."""
        return [
            [{k: v[n].item() if isinstance(v, np.ndarray) else v for k, v in row.items()} for row in self.history]
            for n in range(len(self.configs))
        ]

    def as_baseline_run(self) -> BaselineRun:
        """Returns a training of one phase for the trainers of other methods to take over."""
        [phase] = (phase for phase in self.seconds if phase != COMPILE)
        weights, history = get_weights(self.model), list(self.history)
        took = self.trained_epochs, self.seconds[phase], self.cpu_seconds[phase]
        return BaselineRun(phase, lambda: weights, history, *took, self.config.method)
