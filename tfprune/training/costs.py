"""What a training costs, in multiply-adds, which depend on no machine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.training.pruner import Networks


class CostMeter:
    """Counts the multiply-adds of a training; of several networks in a model arrays, one number per network.

    Args:
        model: masked, of any framework.
        examples: of an epoch.
        networks: how many there are in the model.

    Attributes:
        forward: multiply-adds of an example's forward pass.
        trained_masked: `forward_masked` summed over the examples that have been trained on.
        scored, scored_masked: the multiply-adds that criteria took to rank weights, all of them and those needed.
        levels: `forward_masked` at the start of the training that runs or ran last, and after each cut since.
    """

    def __init__(self, model: Any, examples: int, networks: Networks | None = None) -> None:
        self.examples = examples
        self._networks = networks or Networks()
        self.trained_masked: Any = 0
        self.scored: Any = 0
        self.scored_masked: Any = 0
        self.measure(model)
        self.levels = [self.forward_masked]

    def measure(self, model: Any) -> None:
        """Counts with another model from now on: one that is left when channels have gone."""
        self._model = model
        self.forward = sum(count for count, _ in adapter_of(model).macs_per_kernel(model).values())

    @property
    def forward_masked(self) -> Any:
        """Multiply-adds of an example's forward pass with the weights that live."""
        counted = adapter_of(self._model).macs_per_kernel(self._model).values()
        return sum(count if mask is None else count * self._networks.alive(np.asarray(mask)) for count, mask in counted)

    def uncounted(self) -> list[str]:
        """Returns the names of the layers of which something is missing in what is counted."""
        return sorted(adapter_of(self._model).uncounted(self._model))

    def trained(self, epochs: int) -> Any:
        """Returns the multiply-adds of the forward passes of all training, those with pruned weights included."""
        return self.forward * epochs * self.examples

    def begin(self) -> None:
        """To be called at the start of each training."""
        self.levels = [self.forward_masked]

    def count_event(self) -> None:
        """To be called after each cut."""
        self.levels.append(self.forward_masked)

    def count_training(self, ends: Sequence[int]) -> None:
        """Counts a training that is over.

        Args:
            ends: the epoch that it began after, those with cuts, and its last.
        """
        for (start, end), level in zip(itertools.pairwise(ends), self.levels, strict=True):
            self.trained_masked += (end - start) * self.examples * level

    def count_scoring(self, passes: Any, lived: Any) -> None:
        """Counts the passes that a criterion took over examples, in a model with `lived` multiply-adds that counted."""
        self.scored += passes * self.forward
        self.scored_masked += passes * (2 * lived + self.forward) / 3  # slopes of pruned weights too

    def take_over(self, epochs: int) -> None:
        """Counts a dense training that another run did."""
        self.trained_masked = epochs * self.examples * self.forward

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        counted = {name: getattr(self, name) for name in ("trained_masked", "scored", "scored_masked")}
        return counted | {"_levels": self.levels}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` returned."""
        for name in ("trained_masked", "scored", "scored_masked"):
            setattr(self, name, state[name])
        self.levels = state["_levels"]
