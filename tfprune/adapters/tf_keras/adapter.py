"""tf_keras as the engine sees it, see `adapters.base`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.adapters.base import GradientProvider
from tfprune.adapters.batches import Batch
from tfprune.adapters.compile_arguments import compiled_arguments
from tfprune.adapters.derivatives import WithDerivatives
from tfprune.adapters.keras_callbacks import callback_of
from tfprune.adapters.layer_facts import LayerSummary
from tfprune.adapters.sharing import compile_steps_anew, sharing
from tfprune.adapters.tf_keras import gradients
from tfprune.adapters.tf_keras.compiling import compile_anew, learning_rate, set_learning_rate
from tfprune.adapters.tf_keras.copies import check_model, uncompiled_copy_of
from tfprune.adapters.tf_keras.facts import layers_of
from tfprune.adapters.tf_keras.graphs import GRAPHS
from tfprune.adapters.tf_keras.kernel_names import own_weights, report_unprunable
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, lazy_kernels, set_masks, set_weights
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel, uncounted
from tfprune.adapters.tf_keras.optimizers import fresh, slots
from tfprune.adapters.tf_keras.remaking import cloned
from tfprune.adapters.tf_keras.wrapping import hold_masks, in_place_masks, mask_in_place, unmask
from tfprune.pruning.masks import Arrays
from tfprune.utils.errors import ModelError


class TfKerasModel(WithDerivatives):
    """A `MaskedModel` of tf_keras, masked in place or by wrappers."""

    def kernels(self) -> Mapping[str, np.ndarray]:
        return lazy_kernels(self.model)

    def masks(self) -> dict[str, np.ndarray]:
        return get_masks(self.model)

    def set_masks(self, masks: Arrays) -> None:
        set_masks(self.model, masks)

    def weights(self) -> list[np.ndarray]:
        return [*get_weights(self.model), *(own.numpy() for own in own_weights(self.model))]

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        of_layers = sum(len(layer.get_weights()) for layer in self.model.layers)
        for own, value in zip(own_weights(self.model), weights[of_layers:], strict=False):  # a clone of Keras has none
            own.assign(value)
        set_weights(self.model, weights)


class TfKeras:
    """The adapter."""

    name = "tf_keras"
    graphs = GRAPHS
    sharing: Callable[[keras.Model], list[Any]] = staticmethod(functools.partial(sharing, keras))
    compile_steps_anew: Callable[..., None] = staticmethod(compile_steps_anew)
    check: Callable[..., None] = staticmethod(check_model)
    copy: Callable[[keras.Model], keras.Model] = staticmethod(uncompiled_copy_of)
    hold: Callable[[keras.Model], None] = staticmethod(hold_masks)
    fresh_optimizer: Callable[[Any], Any] = staticmethod(fresh)
    compiled: Callable[[keras.Model], Mapping[str, Any]] = staticmethod(compiled_arguments)
    compile: Callable[[keras.Model, Mapping[str, Any]], None] = staticmethod(compile_anew)
    learning_rate: Callable[[keras.Model], float | None] = staticmethod(learning_rate)
    set_learning_rate: Callable[[keras.Model, float], None] = staticmethod(set_learning_rate)
    layers: Callable[..., Sequence[LayerSummary]] = staticmethod(layers_of)
    macs_per_kernel: Callable[[keras.Model], Mapping[str, tuple[int, Any]]] = staticmethod(macs_per_kernel)
    uncounted: Callable[[keras.Model], Mapping[str, str]] = staticmethod(uncounted)
    report_unprunable: Callable[[keras.Model], Any] = staticmethod(report_unprunable)

    def attach(
        self,
        model: keras.Model,
        exclude: Collection[str] = (),
        include: Collection[str] = (),
        gradients: GradientProvider | None = None,
    ) -> TfKerasModel:
        return TfKerasModel(mask_in_place(model, exclude, include), gradients)

    def unmasked(self, model: keras.Model) -> TfKerasModel:
        return TfKerasModel(model)

    def stretches(self, model: keras.Model, fit: Mapping[str, Any], initial_epoch: int, epochs: int) -> Any:
        from tfprune.adapters.tf_keras.stretches import Stretches

        return Stretches(model, fit, initial_epoch, epochs)

    def one_training(self, callbacks: Sequence[Any], model: keras.Model, **given: Any) -> Any:
        from tfprune.adapters.tf_keras.stretches import OneTraining

        return OneTraining(callbacks, model, **given)

    masks: Callable[[keras.Model], Any] = staticmethod(in_place_masks)

    def masked(self, model: keras.Model) -> bool:
        return in_place_masks(model) is not None

    def pruned(self, model: keras.Model) -> bool:
        inside = [own for own in model._flatten_layers() if isinstance(own, keras.Model) and self.masked(own)]
        return any(not mask.all() for own in inside for mask in get_masks(own).values())

    def detach(self, model: keras.Model) -> None:
        unmask(model)

    def slots(self, optimizer: Any, variable: Any) -> list[np.ndarray]:
        return [slot.numpy() for slot in slots(optimizer, variable)]

    def gradients(self, model: keras.Model, sample: Callable[[int], Batch]) -> GradientProvider:
        return gradients.GradientProvider(model, sample, gradients.compiled_loss(model))

    def sync(self, model: keras.Model) -> None:
        """Does nothing: the variables of TensorFlow are what is trained."""

    def callback(self, listener: Any) -> keras.callbacks.Callback:
        return callback_of(keras, listener)

    def redraw(self, model: keras.Model, seed: int) -> list[np.ndarray]:
        if not has_graph(model):
            raise ModelError(f"the weights of model {model.name} cannot be re-initialised: it is subclassed")
        keras.utils.set_random_seed(seed)
        return get_weights(cloned(model))


ADAPTER = TfKeras()
