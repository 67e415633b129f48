"""The weights of tf_keras models and their names, see `adapters.kernel_names`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.kernel_names import KernelNames, variables_of
from tfprune.adapters.tf_keras.layers import has_graph, kernel_attributes
from tfprune.adapters.tf_keras.wrappers import Masked


class TfKerasNames(KernelNames):
    """Those of tf_keras."""

    def key(self, variable: tf.Variable) -> Hashable:
        return variable._unique_id

    def has_graph(self, model: Any) -> bool:
        return has_graph(model)

    def kernels(self, layer: keras.layers.Layer) -> dict[str, tf.Variable]:
        found = {name: getattr(layer, name, None) for name in kernel_attributes(layer)}
        return {name: kernel for name, kernel in found.items() if hasattr(kernel, "assign")}  # a quantized one has none

    def own_weights(self, layer: keras.layers.Layer) -> list[tf.Variable]:
        return variables_of([*layer._trainable_weights, *layer._non_trainable_weights])

    def is_float(self, variable: tf.Variable) -> bool:
        return variable.dtype.is_floating

    def inner(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.layer if isinstance(layer, Masked) else layer


NAMES = TfKerasNames()
every_kernel, kernels_of = NAMES.every_kernel, NAMES.kernels_of
leaves_with_paths, models_with_paths = NAMES.leaves_with_paths, NAMES.models_with_paths
named_kernels, other_weights, own_weights = NAMES.named_kernels, NAMES.other_weights, NAMES.own_weights
prunable_names, report_unprunable, unbuilt = NAMES.prunable_names, NAMES.report_unprunable, NAMES.unbuilt
