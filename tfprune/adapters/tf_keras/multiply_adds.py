"""The multiply-adds of a model's forward pass, by kernel."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.kernel_names import free_name
from tfprune.adapters.layer_traits import MacsUnknown, count_macs, has_dynamic_shape, no_macs, traits_of
from tfprune.adapters.tf_keras.kernel_names import (
    every_kernel,
    leaves_with_paths,
    models_with_paths,
    named_kernels,
    own_weights,
)
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.adapters.tf_keras.mask_values import mask_variables
from tfprune.adapters.tf_keras.wrappers import Masked


def macs_per_kernel(model: keras.Model) -> dict[str, tuple[int, tf.Variable | None]]:
    """Counts the multiply-adds of an example's forward pass by kernel, see `layer_traits`.

    A dense kernel's weights are used once a position, a convolution's once a pixel of the output, a recurrent cell's
    once a time step; a layer that is called several times counts each time. Attention's products of two inputs have a
    name of their own below the layer's. Lookups cost nothing. What cannot be counted is not in it, see `uncounted`.

    Returns:
        kernel name -> the number of uses times the size of the kernel, and the mask (None: not masked, or no kernel).
        For a stack of networks it is the number of one of them.
    """
    counted = macs_of_layers(model)
    masks = mask_variables(model)
    names = {kernel.variable._unique_id: kernel.name for kernel in named_kernels(model)}
    macs: dict[str, int] = {}
    for path, layer in leaves_with_paths(model):
        of_kernels = dict(every_kernel(layer, layer.name))
        for name, count in counted.pop(id(layer), ({}, None))[0].items():
            kernel = of_kernels.get(f"{layer.name}/{name}")
            known = free_name(f"{path}{layer.name}/{name}", macs) if kernel is None else names[kernel._unique_id]
            macs[known] = count
    products = [name for name in macs if name not in set(names.values())]
    return {name: (macs[name], masks.get(name)) for name in (*names.values(), *products) if name in macs}


def uncounted(model: keras.Model) -> dict[str, str]:
    """Returns the layers of which `multiplications` leaves something out, with the reason."""
    counted, names = macs_of_layers(model), layer_names(model)
    return {names[key]: reason for key, (_, reason) in counted.items() if reason}


def layer_names(model: keras.Model) -> dict[int, str]:
    """Returns the names of a model's layers, the leaves: id -> name or, where several have one, the path to it."""
    leaves = {id(layer): (path, layer.name) for path, layer in leaves_with_paths(model)}
    leaves |= {id(own): (path.removesuffix(f"{own.name}/"), own.name) for path, own in models_with_paths(model)}
    short = collections.Counter(name for _, name in leaves.values())
    return {key: name if short[name] == 1 else f"{path}{name}" for key, (path, name) in leaves.items()}


def macs_of_layers(model: keras.Model) -> dict[int, tuple[dict[str, int], str | None]]:
    """Counts the multiply-adds of an example's forward pass by layer.

    Returns:
        id of each leaf layer, and of a model that holds matrices itself, -> its counts by kernel or product, and why
        some are missing, if they are.
    """
    counted: dict[int, dict[str, int]] = {id(layer): {} for _, layer in leaves_with_paths(model)}
    missing: dict[int, str] = {}
    for _, own in models_with_paths(model):
        if any(len(weight.shape) > 1 for weight in own_weights(own)):
            counted[id(own)], missing[id(own)] = {}, "no graph shows what its own weights are used for"
    for layer, shapes, often in _calls(model):
        if shapes is None:
            if any(len(weight.shape) > 1 for weight in layer.weights) or traits_of(layer).macs is not no_macs:
                missing[id(layer)] = "no graph shows how it is called"
            continue
        try:
            own = _each_step(layer, *shapes) if _steps_through_graph(layer) else count_macs(layer, *shapes)
        except MacsUnknown as error:
            missing[id(layer)] = str(error)
            continue
        below = [name for name, _ in every_kernel(layer, layer.name)]
        if own and len(set(below)) < len(below):
            missing[id(layer)] = "layers inside of it have one name"
            continue
        if own and has_dynamic_shape(*shapes):
            missing[id(layer)] = "a side that is not fixed counts as 1"
        elif own and not often:
            missing[id(layer)] = "no graph shows how often it is called"
        for name, count in own.items():
            counted[id(layer)][name] = counted[id(layer)].get(name, 0) + count
    return {key: (own, missing.get(key)) for key, own in counted.items()}


def _calls(model: keras.Model, often: bool = True) -> Iterator[tuple[keras.layers.Layer, tuple[Any, Any] | None, bool]]:
    """Yields each call of a layer in a model's forward pass: the layer, and the shapes of its inputs and outputs.

    The shapes are None where no graph shows the call, as in subclassed models; the last value is False where none shows
    whether there are more calls, as of models inside of those.
    """
    if not (has_graph(model) and getattr(model, "_nodes_by_depth", None)):
        for layer in model.layers:
            if has_graph(layer):
                yield from _calls(layer, False)
            else:
                yield _inner(layer), None, False
        return
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if has_graph(node.layer):
                yield from _calls(node.layer, often)
            elif not node.is_input:
                shapes = _shapes(node.keras_inputs), _shapes(tf.nest.flatten(node.outputs))
                yield _inner(node.layer), None if None in shapes else shapes, often


def _steps_through_graph(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.TimeDistributed) and has_graph(layer.layer)


def _each_step(layer: keras.layers.Layer, inputs: Any, outputs: Any) -> dict[str, int]:
    """Counts those of a model that is called once per time step."""
    model, counted = layer.layer, macs_of_layers(layer.layer)
    if reason := next((reason for _, reason in counted.values() if reason), None):
        raise MacsUnknown(f"in {model.name}: {reason}")
    return {
        f"{model.name}/{path}{leaf.name}/{name}": (inputs[1] or 1) * count
        for path, leaf in leaves_with_paths(model)
        for name, count in counted[id(leaf)][0].items()
    }


def _shapes(tensors: Sequence[keras.KerasTensor]) -> Any:
    """Returns the shape of a tensor or a list of those of several; None where one is not known at all."""
    if any(tensor.shape.rank is None for tensor in tensors):
        return None
    shapes = [tuple(tensor.shape) for tensor in tensors]
    return shapes[0] if len(shapes) == 1 else shapes


def _inner(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer without its wrapper."""
    return layer.layer if isinstance(layer, Masked) else layer
