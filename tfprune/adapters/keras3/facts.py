"""What is known of the layers of a Keras 3 model, see `adapters.layer_facts`."""

from __future__ import annotations

import collections
import inspect
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.layers import NAMES, has_graph, leaf_layers
from tfprune.adapters.keras3.masking import MASKS
from tfprune.adapters.kernel_names import free_name
from tfprune.adapters.layer_facts import LayerSummary, Reader, layer_summaries
from tfprune.adapters.layer_traits import MacsUnknown, count_macs, has_dynamic_shape, no_macs, traits_of


def layers_of(model: keras.Model, include: Collection[str] = ()) -> list[LayerSummary]:
    """Returns what is known of each layer that holds numbers or multiplies.

    Weights that have masks are kernels, and integers that stand for one each.
    """
    backends.sync(model)
    kernels = [*vars(model)[MASKS].kernels().values()] if MASKS in vars(model) else []
    kernels += (own for layer in leaf_layers(model) for own in NAMES.kernels_of_integers(layer))
    return layer_summaries(
        Reader(NAMES, backends.numbers, _output), model, include, kernels, macs_of_layers(model), _layer_names(model)
    )


def macs_per_kernel(model: keras.Model) -> dict[str, tuple[int, np.ndarray | None]]:
    """Counts the multiply-adds of an example's forward pass by kernel.

    Returns:
        name of a kernel or product -> how many, and its mask, None where it has none.
    """
    counted = macs_of_layers(model)
    masks = vars(model)[MASKS].values() if MASKS in vars(model) else {}
    names = {id(kernel.variable): kernel.name for kernel in NAMES.named_kernels(model)}
    macs: dict[str, int] = {}
    for path, layer in NAMES.leaves_with_paths(model):
        of_kernels = dict(NAMES.every_kernel(layer, layer.name))
        for name, count in counted.pop(id(layer), ({}, None))[0].items():
            kernel = of_kernels.get(f"{layer.name}/{name}")
            known = free_name(f"{path}{layer.name}/{name}", macs) if kernel is None else names[id(kernel)]
            macs[known] = macs.get(known, 0) + count
    return {name: (count, masks.get(name)) for name, count in macs.items()}


def uncounted(model: keras.Model) -> dict[str, str]:
    """Returns the names of the layers of which `macs_per_kernel` leaves something out, with the reason."""
    names = _layer_names(model)
    return {names[key]: reason for key, (_, reason) in macs_of_layers(model).items() if reason}


def macs_of_layers(model: keras.Model) -> dict[int, tuple[dict[str, int], str | None]]:
    """Counts the multiply-adds of an example's forward pass by layer.

    Returns:
        id of each leaf layer -> its counts by kernel or product, and why some are missing, if they are.
    """
    counted: dict[int, dict[str, int]] = {id(layer): {} for _, layer in NAMES.leaves_with_paths(model)}
    missing: dict[int, str] = {}
    for _, own in NAMES.models_with_paths(model):
        if any(len(weight.shape) > 1 for weight in NAMES.own_weights(own)):
            counted[id(own)], missing[id(own)] = {}, "no graph shows what its own weights are used for"
    for layer, shapes in _calls(model):
        if shapes is None:
            if any(len(weight.shape) > 1 for weight in layer.weights) or traits_of(layer).macs is not no_macs:
                missing[id(layer)] = "no graph shows how it is called"
            continue
        try:
            own = count_macs(layer, *shapes)
        except MacsUnknown as error:
            missing[id(layer)] = str(error)
            continue
        if own and has_dynamic_shape(*shapes):
            missing[id(layer)] = "a side that is not fixed counts as 1"
        for name, count in own.items():
            counted[id(layer)][name] = counted[id(layer)].get(name, 0) + count
    return {key: (own, missing.get(key)) for key, own in counted.items()}


def _calls(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, tuple[Any, Any] | None]]:
    """Yields each call of a layer in a model's forward pass: the layer, and the shapes of its inputs and outputs.

    The shapes are None where no graph shows the call, as in subclassed models.
    """
    graph = getattr(model, "_functional", None) or model  # a sequential model holds its graph
    if not has_graph(model) or not hasattr(graph, "_nodes_by_depth"):
        for layer in model.layers:
            if has_graph(layer):
                yield from ((own, None) for own, _ in _calls(layer))
            else:
                yield layer, None
        return
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or not isinstance(node.operation, keras.layers.Layer):
                continue
            if has_graph(node.operation):
                yield from _calls(node.operation)
            else:
                yield node.operation, (_shapes(_inputs(node)), _shapes(node.output_tensors))


def _inputs(node: Any) -> list[Any]:
    """Returns the tensors that a layer is called with in the order of its parameters; Keras goes by the names."""
    given = node.arguments
    try:
        values = inspect.signature(node.operation.call).bind(*given.args, **given.kwargs).arguments.values()
    except TypeError:  # a call that takes what its signature doesn't say
        return list(node.input_tensors)
    return [own for own in keras.tree.flatten(list(values)) if isinstance(own, keras.KerasTensor)]


def _shapes(tensors: Any) -> Any:
    """Returns the shape of a tensor or a list of those of several."""
    shapes = [tuple(tensor.shape) for tensor in tensors]
    return shapes[0] if len(shapes) == 1 else shapes


def _output(layer: keras.layers.Layer) -> tuple[int | None, ...] | None:
    try:
        output = layer.output
    except (AttributeError, ValueError):  # called several times, or out of a graph's sight
        return None
    return tuple(output.shape)[1:] if hasattr(output, "shape") else None


def _layer_names(model: keras.Model) -> dict[int, str]:
    """Returns the names of a model's layers: id -> name or, where several have one, the path to it."""
    places = {id(layer): (path, layer.name) for path, layer in NAMES.leaves_with_paths(model)}
    places |= {id(own): (path.removesuffix(f"{own.name}/"), own.name) for path, own in NAMES.models_with_paths(model)}
    short = collections.Counter(name for _, name in places.values())
    return {key: name if short[name] == 1 else f"{path}{name}" for key, (path, name) in places.items()}
