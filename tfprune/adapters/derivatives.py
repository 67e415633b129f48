"""What the derivatives of both Keras share: when they are computed, on what examples, and what that costs."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.base import GradientProvider
from tfprune.adapters.batches import Batch
from tfprune.pruning.events import Criterion
from tfprune.pruning.masks import Arrays
from tfprune.utils.errors import ModelError
from tfprune.utils.trees import map_tree

ADDED = ("bias", "beta", "moving_mean")  # weights that are added to what flows, not multiplied with it
PASSES = {"gradients": 3, "squared_gradients": 3, "hessian_gradients": 9, "flow_gradients": 3}  # forward, an example


class Derivatives(abc.ABC):
    """The derivatives of a model as it stood at the last `renew`, each computed when it is first asked for.

    A model that cannot be copied, or not in float64, is looked at as it is, in its own precision.

    Args:
        model: whose they are.
        sample: draws training examples, so many per class where there are classes; of a stack for each network its own.

    Attributes:
        passes: what was computed so far, in forward passes of one example.
    """

    def __init__(self, model: Any, sample: Callable[[int], Batch]) -> None:
        self.model = model
        self.sample = sample
        self.passes = 0
        self._known: dict[tuple[str, Criterion], Arrays] = {}
        self._copies: dict[Callable, Any] = {}

    @property
    @abc.abstractmethod
    def has_call(self) -> bool:
        """Whether the model can be called: one of models that are trained apart, as a GAN, may not."""

    @abc.abstractmethod
    def _computed(self, kind: str, criterion: Criterion) -> Arrays:
        """Returns what `__call__` does, computed now."""

    def renew(self) -> None:
        """Forgets all derivatives, since the model has changed."""
        self._known = {}

    def __call__(self, kind: str, criterion: Criterion) -> Arrays:
        """Returns derivatives by kernel name.

        Args:
            kind: `gradients` g of the mean loss over the sample, as one batch in training mode
                (BatchNorm takes the batch's statistics); `hessian_gradients` Hg of the same;
                `squared_gradients`, the mean of g * g over batches of one example a class, with BatchNorm's
                moving statistics; `flow_gradients` of the sum of the outputs for an input of ones,
                where all weights are positive and nothing is added or bent.
            criterion: who asks: how many examples of each class, and at what temperature of the logits.

        Raises:
            ModelError: the model has no outputs to take a loss of, or cannot be rebuilt as `flow_gradients` needs it.
        """
        if not self.has_call:
            raise ModelError(
                f"model {self.model.name} has no call, so there are no outputs to take a loss of; rank its weights by "
                "magnitude"
            )
        if (kind, criterion) not in self._known:
            self._known[kind, criterion] = self._computed(kind, criterion)
        return self._known[kind, criterion]

    def _draw_batch(self, kind: str, criterion: Criterion) -> Batch:
        batch = self.sample(criterion.per_class)
        self.passes += PASSES[kind] * len(batch)
        return Batch(map_tree(_precise, batch.x), batch.y, batch.weights)

    def _linear_copy(self, copy: Any) -> Any:
        """Returns a copy without nonlinearities, if there is one."""
        if copy is None:
            raise ModelError(
                f"model {self.model.name} cannot be rebuilt without its nonlinearities, as synflow asks for; rank "
                "its weights by another criterion"
            )
        self.passes += PASSES["flow_gradients"]
        return copy


class WithDerivatives:
    """The part of a `MaskedModel` that hands on its derivatives.

    Args:
        model: masked.
        gradients: of the model; None where no criterion asks for them.
    """

    def __init__(self, model: Any, gradients: GradientProvider | None = None) -> None:
        self.model = model
        self.provider = gradients

    def gradients(self, kind: str, criterion: Criterion) -> Arrays:
        """Returns derivatives by kernel name, see `GradientProvider`."""
        return self.provider(kind, criterion)

    def renew(self) -> None:
        """Says that the model has changed since derivatives were taken."""
        if self.provider is not None:
            self.provider.renew()


def _precise(array: Any) -> Any:
    """Returns numbers that can be fractions, and pixels, in float64; others and texts as they are."""
    values = np.asarray(array)
    return values.astype(np.float64) if values.dtype.kind == "f" or values.dtype == np.uint8 else array
