"""Runs in tf_keras that remove channels or residual branches, see `channel_removal`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.data._base import Data
from tfprune.pruning.events import PruningEvent
from tfprune.training.callbacks import ContinuousCallbacks
from tfprune.training.channel_removal import ChannelRemoval
from tfprune.training.channel_tracker import validating
from tfprune.training.config import Config
from tfprune.training.resuming import TrainingPosition
from tfprune.training.trainer import Trainer


class ChannelTrainer(ChannelRemoval, Trainer):
    """The `Task` of a method that removes channels or residual branches.

    Args:
        model: a plain functional model.
        data, config, tensorboard, dense, redraw: as for `Trainer`.
    """

    _keras = keras

    def __init__(self, model: keras.Model, data: Data, config: Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(model, data, config.replace(loop="plain"), *args, **kwargs)
        self.config = config

    def _agreed(self, scores: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return self._distributed.broadcast_from_chief(scores)

    def _start(self, *args: Any, **kwargs: Any) -> None:
        self._started = args, kwargs
        super()._start(*args, **kwargs)

    def _compile_anew(self, smaller: keras.Model) -> None:
        self.model = smaller
        args, kwargs = self._started
        super()._start(*args, **kwargs)

    def _fit(
        self,
        initial_epoch: int,
        position: TrainingPosition,
        logged: Sequence[int],
        events: Mapping[int, PruningEvent],
        callbacks: Sequence,
    ) -> None:
        listening = ContinuousCallbacks(callbacks)
        ends = [end for end in sorted({*events, self.epochs}) if end > position.epoch]
        for start, end in zip([position, *map(TrainingPosition, ends)], ends, strict=False):
            self._within_fit = True
            try:
                self._fit_stretch(start, end, logged, [listening])
            finally:
                self._within_fit = False
            self._take_out()
        listening.set_model(self.model)
        listening.end()

    def _fit_stretch(self, start: TrainingPosition, end: int, logged: Sequence[int], callbacks: Sequence) -> None:
        with validating(self.model, lambda: self._answering):
            self.loop.fit(self.model, start.epoch, start, end, logged, {}, callbacks)
