"""Models with masks: in tfmot's wrappers if they are built in, in place if people brought them; and without again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.put_back import unwatch, watch
from tfprune.adapters.tf_keras.kernel_names import named_kernels, prunable_names
from tfprune.adapters.tf_keras.layers import has_graph, kernel_attributes, leaf_layers
from tfprune.adapters.tf_keras.masking import InPlaceMasks
from tfprune.adapters.tf_keras.wrappers import Masked

MASKS = "_tfprune_masks"  # the attribute of a model with its masks in place
Pairs = Iterable[tuple[tf.Variable, tf.Variable]]  # weights of a model and of a smaller one
Narrow = Callable[[tf.Variable, np.ndarray], np.ndarray]  # an array as a weight of the model -> what is left of it


def wrap(model: keras.Model, exclude: Collection[str] = ()) -> keras.Model:
    """Returns a built-in model with each layer that has kernels inside a `Masked` wrapper, masks all ones.

    Users' models are masked in place, see `mask_in_place`.

    Args:
        model: functional or sequential, of layers that tfmot wraps; the result shares its layers and weights.
        exclude: names of layers to leave unwrapped, see `prunable_names`.

    Raises:
        ModelError: nothing is left to prune, or `exclude` names a layer that is not there.
    """
    names = prunable_names(model, exclude)

    def wrap_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if has_graph(layer):
            return keras.models.clone_model(layer, clone_function=wrap_layer)
        return Masked(layer) if kernel_attributes(layer) and layer.name in names else layer

    return keras.models.clone_model(model, clone_function=wrap_layer)


def mask_in_place(model: keras.Model, exclude: Collection[str] = (), include: Collection[str] = ()) -> keras.Model:
    """Gives the kernels of any model masks in place, all ones, see `masking`; returns the model itself.

    Masks that it had before are taken off.

    Args:
        model: any model that has weights, subclassed ones too.
        exclude: as for `wrap`.
        include: names of other weights that get masks too, or of layers that have some, see `named_kernels`.
    """
    for own in model._flatten_layers():  # those of models inside of it too
        unmask(own)
    names = prunable_names(model, exclude, include)
    _put_on(model, {own.name: own.variable for own in named_kernels(model, include) if own.layer in names})
    return model


def carry_masks(model: keras.Model, smaller: keras.Model, pairs: Pairs, narrowed: Narrow) -> None:
    """Gives a smaller model what is left of the masks in place of a larger one, see `graphs.Graphs.carry_masks`."""
    if (known := in_place_masks(model)) is None:
        return
    found = {own.variable._unique_id: own.name for own in named_kernels(smaller)}
    left = {old._unique_id: (old, new) for old, new in pairs}
    kernels, masks = {}, {}
    for name, kernel, mask in known.named_vars():
        if kernel._unique_id in left:
            old, new = left[kernel._unique_id]
            name = found.get(new._unique_id, name)
            kernels[name], masks[name] = new, narrowed(old, mask.numpy())
    _put_on(smaller, kernels).set(masks, getattr(smaller, "optimizer", None))


def _put_on(model: keras.Model, kernels: Mapping[str, tf.Variable]) -> InPlaceMasks:
    with model.distribute_strategy.scope():
        masks = InPlaceMasks(kernels)
    vars(model)[MASKS] = masks  # past Keras' tracking: it is no part of what is saved
    vars(model)["make_train_function"] = functools.partial(_held_train_function, model)
    watch(model, masks.revived, functools.partial(_renew, model))
    return masks


def _renew(model: keras.Model) -> None:
    """Puts the masks in place on weights that somebody has set."""
    in_place_masks(model).set(None, getattr(model, "optimizer", None))


def _held_train_function(model: keras.Model, force: bool = False) -> Any:
    """Returns a masked model's function of a training step, under whatever optimizer it was compiled with since."""
    masks, optimizer = in_place_masks(model), getattr(model, "optimizer", None)
    changed = masks is not None and optimizer is not None and masks.hold(optimizer)
    return type(model).make_train_function(model, force=force or changed)


def unmask(model: keras.Model) -> None:
    """Takes the masks off that `mask_in_place` has given a model, if any."""
    if (masks := in_place_masks(model)) is not None:
        masks.release()
        del vars(model)[MASKS]
        vars(model).pop("make_train_function", None)
        unwatch(model)


def in_place_masks(model: keras.Model) -> InPlaceMasks | None:
    """Returns the masks that `mask_in_place` has given a model."""
    return vars(model).get(MASKS)


def share_masks(model: keras.Model, other: keras.Model) -> keras.Model:
    """Gives a model the masks in place of another one whose layers it shares; returns it."""
    if (masks := in_place_masks(other)) is not None:
        vars(model)[MASKS] = masks
    return model


def hold_masks(model: keras.Model) -> None:
    """Makes the optimizer of a compiled model keep what is masked in place at zero."""
    if (
        (masks := in_place_masks(model)) is not None
        and masks.hold(model.optimizer)
        and model.train_function is not None
    ):
        model.make_train_function(force=True)  # the one that was made before knows nothing of the masks


def strip(model: keras.Model) -> keras.Model:
    """Returns the model without wrappers and masks; it shares the weights, which stay as they are."""

    def unwrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
        if has_graph(layer):
            return keras.models.clone_model(layer, clone_function=unwrapped)
        if not isinstance(layer, Masked):
            return layer
        if hasattr(layer, "_batch_input_shape") and not hasattr(layer.layer, "_batch_input_shape"):
            layer.layer._batch_input_shape = layer._batch_input_shape  # a Sequential's first layer is built by it
        return layer.layer

    return keras.models.clone_model(model, clone_function=unwrapped) if has_graph(model) else model


def masked_layers(model: keras.Model) -> list[Masked | InPlaceMasks]:
    """Returns the wrappers of a model, in the order of its layers, or what holds its masks in place."""
    if (masks := in_place_masks(model)) is not None:
        return [masks]
    return [layer for layer in leaf_layers(model) if isinstance(layer, Masked)]
