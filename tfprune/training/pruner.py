"""What is pruned of a masked model, and by what: the same for a run and for a training in a user's own Python.

Those train; a `Pruner` turns a cut into masks and puts them on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.base import MaskedModel, Redraw
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.pruning.masks import Arrays, Scope, sparsity_of
from tfprune.pruning.patterns import Pattern
from tfprune.pruning.scores import ScoringContext
from tfprune.pruning.update import MaskStability, update_masks
from tfprune.utils.errors import DivergedError
from tfprune.utils.seeds import derive


class Networks:
    """Splits the arrays of a model into those of its networks; here there is one."""

    def unstack(self, arrays: Arrays) -> list[Arrays]:
        """Returns the arrays of each network."""
        return [arrays]

    def stack(self, arrays: Sequence[Arrays]) -> Arrays:
        """Undoes `unstack`."""
        return arrays[0]

    def gradients(self, gradients: Arrays, number: int) -> Arrays:
        """Returns the derivatives of one network."""
        return gradients

    def finite(self, weights: Arrays) -> Arrays:
        """Returns weights that are to be ranked; a `DivergedError` if the network has diverged."""
        for name, kernel in weights.items():
            if not np.all(np.isfinite(kernel)):
                raise DivergedError(f"{name} is no longer finite where it is to be pruned; try a lower --learning-rate")
        return weights

    def sparsity(self, masks: Arrays) -> Any:
        """Returns the share that is pruned, in [0, 1]; of several networks an array."""
        return sparsity_of(masks)

    def alive(self, mask: np.ndarray) -> Any:
        """Returns the share of a kernel that lives, in [0, 1]; of several networks an array."""
        return np.mean(mask, dtype=np.float64)


class Pruner:
    """Prunes a masked model.

    Args:
        model: masked, of any framework.
        scope: of the ranking, see `masks.prune_masks`.
        pattern: what goes as one; None: single weights.
        seeds: of what is drawn, one per network.
        networks: how many there are in the model.
        agreed: takes what one of several processes that train it together found, so that all come to the same masks.

    Attributes:
        prunings: how many cuts were asked for so far.
        stability: of each network, what the events of this training would have led to.
    """

    def __init__(
        self,
        model: MaskedModel,
        scope: Scope,
        pattern: Pattern | None = None,
        *,
        seeds: Sequence[int],
        networks: Networks | None = None,
        agreed: Callable[[Arrays], Arrays] = lambda masks: masks,
    ) -> None:
        self.model = model
        self.scope = scope
        self.pattern = pattern
        self.seeds = seeds
        self.networks = networks or Networks()
        self.prunings = 0
        self._agreed = agreed
        self.stability: list[MaskStability] = []
        self.begin()

    def begin(self) -> None:
        """To be called at the start of each training: what settles, settles within one."""
        self.stability = [MaskStability() for _ in self.seeds]

    def prune(self, event: PruningEvent) -> None:
        """Puts on the masks that a cut leads to, unless it waits for them to settle and they have not."""
        self.prunings += 1
        self.model.renew()
        before = self.networks.unstack(self.model.masks())
        weights = self.networks.unstack(self.networks.finite(self.model.kernels()))
        after = []
        for number, (own, masks) in enumerate(zip(weights, before, strict=True)):
            gradients_of = functools.partial(self._gradients_of, number)
            context = ScoringContext(own, masks, self.random("scores", number), gradients_of)
            new = self._agreed(update_masks(event, context, self.scope, self.pattern))
            waits = event.stability_tolerance is not None and not self.stability[number].is_stable(
                new, event.stability_tolerance
            )
            after.append(masks if waits else new)
        if event.regrow_fraction:
            self.model.set_masks(self.model.masks())  # what comes back starts at zero with empty slots, everywhere
        self.model.set_masks(self.networks.stack(after))

    def shuffle(self) -> None:
        """Moves the ones of each mask to places drawn at random, within their kernel."""
        shuffled = []
        for number, masks in enumerate(self.networks.unstack(self.model.masks())):
            random = self.random("shuffle", number)
            shuffled.append({name: random.permutation(m.reshape(-1)).reshape(m.shape) for name, m in masks.items()})
        self.model.set_masks(self.networks.stack(shuffled))

    def reinitialise(self, reinit_fn: Redraw) -> None:
        """Takes other initial weights; what is pruned stays zero."""
        self.model.set_weights(reinit_fn())

    def masks(self) -> dict[str, np.ndarray]:
        """Returns the masks by kernel name, uint8."""
        return self.model.masks()

    def sparsity(self) -> Any:
        """Returns the share that is pruned, in [0, 1]; of several networks an array."""
        return self.networks.sparsity(self.masks())

    def random(self, purpose: str, number: int = 0) -> np.random.Generator:
        """Returns what draws for a purpose of one network; another one after each cut."""
        return np.random.default_rng(derive(self.seeds[number], f"{purpose} {self.prunings}"))

    def _gradients_of(self, number: int, kind: str, criterion: Criterion) -> Arrays:
        return self.networks.gradients(self.model.gradients(kind, criterion), number)
