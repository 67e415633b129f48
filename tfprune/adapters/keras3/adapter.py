"""Keras 3 as the engine sees it, see `adapters.base`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.base import GradientProvider
from tfprune.adapters.batches import Batch
from tfprune.adapters.compile_arguments import compiled_arguments
from tfprune.adapters.derivatives import WithDerivatives
from tfprune.adapters.keras3 import backends, gradients
from tfprune.adapters.keras3.compiling import compile_anew, learning_rate, set_learning_rate
from tfprune.adapters.keras3.copies import check_model, remade, uncompiled_copy_of
from tfprune.adapters.keras3.facts import layers_of, macs_per_kernel, uncounted
from tfprune.adapters.keras3.fitting import seed_everything
from tfprune.adapters.keras3.graphs import GRAPHS
from tfprune.adapters.keras3.layers import NAMES, has_graph
from tfprune.adapters.keras3.masking import MASKS, InPlaceMasks, hold_masks, put_on, take_off
from tfprune.adapters.keras3.optimizers import fresh, slots
from tfprune.adapters.keras_callbacks import callback_of
from tfprune.adapters.layer_facts import LayerSummary
from tfprune.adapters.sharing import compile_steps_anew, sharing
from tfprune.pruning.masks import Arrays
from tfprune.pruning.scores import LazyArrays
from tfprune.utils.errors import ModelError


class Keras3Model(WithDerivatives):
    """A `MaskedModel` of Keras 3."""

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
        type(self.model).set_weights(self.model, weights)  # without a word on what is masked
        self.set_masks(self.masks())


class Unmasked(Keras3Model):
    """A model without masks."""

    def kernels(self) -> Mapping[str, np.ndarray]:
        backends.sync(self.model)
        variables = {own.name: own.variable for own in NAMES.named_kernels(self.model)}
        return LazyArrays(variables, lambda name: backends.numbers(variables[name]))

    def masks(self) -> dict[str, np.ndarray]:
        return {}

    def set_masks(self, masks: Arrays) -> None:
        pass


class Keras3:
    """The adapter."""

    name = "keras"
    graphs = GRAPHS
    sharing: Callable[[keras.Model], list[Any]] = staticmethod(functools.partial(sharing, keras))
    compile_steps_anew: Callable[..., None] = staticmethod(compile_steps_anew)
    check: Callable[..., None] = staticmethod(check_model)
    copy: Callable[[keras.Model], keras.Model] = staticmethod(uncompiled_copy_of)
    hold: Callable[[keras.Model], None] = staticmethod(hold_masks)
    fresh_optimizer: Callable[[Any], Any] = staticmethod(fresh)
    compiled: Callable[[keras.Model], Mapping[str, Any]] = staticmethod(compiled_arguments)
    compile: Callable[[keras.Model, Mapping[str, Any]], None] = staticmethod(compile_anew)
    gradients: Callable[[keras.Model, Callable[[int], Batch]], GradientProvider] = staticmethod(
        gradients.GradientProvider
    )
    sync: Callable[[keras.Model], None] = staticmethod(backends.sync)
    learning_rate: Callable[[keras.Model], float | None] = staticmethod(learning_rate)
    set_learning_rate: Callable[[keras.Model, float], None] = staticmethod(set_learning_rate)
    layers: Callable[..., Sequence[LayerSummary]] = staticmethod(layers_of)
    macs_per_kernel: Callable[[keras.Model], Mapping[str, tuple[int, Any]]] = staticmethod(macs_per_kernel)
    uncounted: Callable[[keras.Model], Mapping[str, str]] = staticmethod(uncounted)
    report_unprunable: Callable[[keras.Model], Any] = staticmethod(NAMES.report_unprunable)

    def attach(
        self,
        model: keras.Model,
        exclude: Collection[str] = (),
        include: Collection[str] = (),
        gradients: GradientProvider | None = None,
    ) -> Keras3Model:
        for own in model._flatten_layers():  # those of models inside of it too
            take_off(own)
        layers = set(NAMES.prunable_names(model, exclude, include))
        kernels = {own.name: own.variable for own in NAMES.named_kernels(model, include) if own.layer in layers}
        with backends.scope(model):
            put_on(model, InPlaceMasks(model, kernels))
        return Keras3Model(model, gradients)

    def unmasked(self, model: keras.Model) -> Keras3Model:
        return Unmasked(model)

    def stretches(self, model: keras.Model, fit: Mapping[str, Any], initial_epoch: int, epochs: int) -> Any:
        from tfprune.adapters.keras3.stretches import Stretches

        return Stretches(model, fit, initial_epoch, epochs)

    def one_training(self, callbacks: Sequence[Any], model: keras.Model, **given: Any) -> Any:
        from tfprune.adapters.keras3.stretches import OneTraining

        return OneTraining(callbacks, model, **given)

    def masks(self, model: keras.Model) -> Any:
        return vars(model).get(MASKS)

    def masked(self, model: keras.Model) -> bool:
        return MASKS in vars(model)

    def pruned(self, model: keras.Model) -> bool:
        inside = [own for own in model._flatten_layers() if MASKS in vars(own)]
        return any(not mask.all() for own in inside for mask in vars(own)[MASKS].values().values())

    def detach(self, model: keras.Model) -> None:
        take_off(model)

    def slots(self, optimizer: Any, variable: Any) -> list[np.ndarray]:
        return [backends.numbers(slot) for slot in slots(optimizer, variable)]

    def callback(self, listener: Any) -> keras.callbacks.Callback:
        return callback_of(keras, listener)

    def redraw(self, model: keras.Model, seed: int) -> list[np.ndarray]:
        if not has_graph(model):
            raise ModelError(f"the weights of model {model.name} cannot be re-initialised: it is subclassed")
        seed_everything(seed)
        return [backends.numbers(weight) for weight in remade(model).weights]


ADAPTER = Keras3()
