"""Keras 3 as the engine sees it, see `adapters.base`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.base import GradientProvider
from tfprune.adapters.kernel_names import prunable_layers
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.copies import check_model, uncompiled_copy_of
from tfprune.adapters.keras3.layers import named_kernels
from tfprune.adapters.keras3.masking import InPlaceMasks
from tfprune.adapters.keras3.optimizers import fresh, slots
from tfprune.pruning.events import Criterion
from tfprune.pruning.masks import Arrays
from tfprune.pruning.scores import LazyArrays

MASKS = "_tfprune_masks"  # the attribute of a model with its masks


class Keras3Model:
    """A `MaskedModel` of Keras 3.

    Args:
        model: masked.
        gradients: of the model; None where no criterion asks for them.
    """

    def __init__(self, model: keras.Model, gradients: GradientProvider | None = None) -> None:
        self.model = model
        self.provider = gradients

    @property
    def _masks(self) -> InPlaceMasks:
        return vars(self.model)[MASKS]

    def kernels(self) -> Mapping[str, np.ndarray]:
        backends.sync(self.model)
        variables = self._masks.kernels()
        return LazyArrays(variables, lambda name: backends.numbers(variables[name]))

    def masks(self) -> dict[str, np.ndarray]:
        return self._masks.values()

    def set_masks(self, masks: Arrays) -> None:
        self._masks.set(masks)

    def weights(self) -> list[np.ndarray]:
        backends.sync(self.model)
        return [backends.numbers(weight) for weight in self.model.weights]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        backends.sync(self.model)
        self.model.set_weights(weights)
        self.set_masks(self.masks())

    def gradients(self, kind: str, criterion: Criterion) -> Arrays:
        return self.provider(kind, criterion)

    def renew(self) -> None:
        if self.provider is not None:
            self.provider.renew()


class Keras3:
    """The adapter."""

    name = "keras"
    check: Callable[..., None] = staticmethod(check_model)
    copy: Callable[[keras.Model], keras.Model] = staticmethod(uncompiled_copy_of)
    fresh_optimizer: Callable[[Any], Any] = staticmethod(fresh)

    def attach(
        self, model: keras.Model, exclude: Collection[str] = (), gradients: GradientProvider | None = None
    ) -> Keras3Model:
        self.detach(model)
        kernels = named_kernels(model)
        layers = set(prunable_layers(kernels, exclude, model.name))
        with backends.scope(model):
            masks = InPlaceMasks(model, {own.name: own.variable for own in kernels if own.layer in layers})
        vars(model)[MASKS] = masks  # past Keras' tracking: it is no part of what is saved
        return Keras3Model(model, gradients)

    def hold(self, model: keras.Model) -> None:
        if (masks := vars(model).get(MASKS)) is not None:
            masks.hold(model.optimizer)

    def detach(self, model: keras.Model) -> None:
        if (masks := vars(model).pop(MASKS, None)) is not None:
            masks.release()

    def slots(self, optimizer: Any, variable: Any) -> list[np.ndarray]:
        return [backends.numbers(slot) for slot in slots(optimizer, variable)]


ADAPTER = Keras3()
