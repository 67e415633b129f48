"""What is known of the layers of a tf_keras model, see `adapters.layer_facts`."""

from __future__ import annotations

from collections.abc import Collection

from tfprune.adapters.backend import keras
from tfprune.adapters.layer_facts import LayerSummary, Reader, layer_summaries
from tfprune.adapters.tf_keras.kernel_names import NAMES
from tfprune.adapters.tf_keras.mask_values import kernel_variables
from tfprune.adapters.tf_keras.multiply_adds import layer_names, macs_of_layers
from tfprune.adapters.tf_keras.wrapping import in_place_masks


def layers_of(model: keras.Model, include: Collection[str] = ()) -> list[LayerSummary]:
    """Returns what is known of each layer that holds numbers or multiplies; weights that have masks are kernels."""
    masked = kernel_variables(model).values() if in_place_masks(model) is not None else ()
    reader = Reader(NAMES, lambda variable: variable.numpy(), _output)
    return layer_summaries(reader, model, include, masked, macs_of_layers(model), layer_names(model))


def _output(layer: keras.layers.Layer) -> tuple[int | None, ...] | None:
    try:
        shape = layer.output_shape
    except (AttributeError, RuntimeError):  # called several times on different shapes, or out of a graph's sight
        return None
    return shape[1:] if isinstance(shape, tuple) else None
