"""Runs in Keras 3 that remove channels or residual branches, see `channel_removal`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.base import MaskedModel
from tfprune.adapters.keras3.adapter import ADAPTER
from tfprune.pruning.events import PruningEvent
from tfprune.training.channel_removal import ChannelRemoval
from tfprune.training.channel_tracker import validating
from tfprune.training.keras3_trainer import Keras3Trainer, Relay
from tfprune.training.listeners import PruneAtEpochs
from tfprune.training.resuming import TrainingPosition


class Keras3ChannelTrainer(ChannelRemoval, Keras3Trainer):
    """The `Task` of a run in Keras 3 that removes channels or residual branches, see `Keras3Trainer`."""

    _keras = keras

    def _attached(self, model: Any) -> MaskedModel:
        return ADAPTER.unmasked(model)

    def _compile(self, *args: Any) -> None:
        self._compiled = args
        super()._compile(*args)

    def _compile_anew(self, smaller: Any) -> None:
        self.model = smaller
        super()._compile(*self._compiled)

    def _use_smaller(self, smaller: Any) -> None:
        super()._use_smaller(smaller)
        self.pruner.model = ADAPTER.unmasked(smaller)
        for rewinding in self._rewindings:
            rewinding.masked = self.pruner.model

    def _fit(
        self,
        position: TrainingPosition,
        logged: Sequence[int],
        events: Mapping[int, PruningEvent],
        listeners: Sequence[Any],
    ) -> None:
        relay = Relay(listeners)
        relay.begin(self.model)
        ends = [end for end in sorted({*events, self.epochs}) if end > position.epoch]
        for start, end in itertools.pairwise([None, *ends]):
            self._within_fit = True
            try:
                with validating(self.model, functools.partial(self._answering_in, relay)):
                    self._fit_up_to(end, TrainingPosition(start) if start else position, logged, relay)
            finally:
                self._within_fit = False
            self._take_out()
            relay.set_model(self.model)
        relay.end()

    def _answering_in(self, relay: Relay) -> Any:
        """Returns what is validated in the model's place; what is pruned before a validation is pruned by then."""
        for own in relay.listeners:
            if isinstance(own, PruneAtEpochs):
                own.on_test_begin()
        return self._answering
