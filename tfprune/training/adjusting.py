"""What suits a network no more when channels have gone: its dropout rates, and BatchNorm's statistics."""

from __future__ import annotations

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.layers import leaf_layers

RECALIBRATION_BATCH = 128


class Dropouts:
    """The layers of a model that drop activations out, and how fewer channels change their rates.

    A rate is multiplied by the share that is left of the layer's inputs: a rate that suits a wide layer is too high for
    a narrow one. Han et al. 2015 (arXiv:1506.02626) take the root of the share of connections that is left, which is
    the same where the layers on both sides lose the same share.

    Args:
        model: as it was built.
    """

    def __init__(self, model: keras.Model) -> None:
        self._known = {layer.name: (layer.rate, layer.get_input_shape_at(0)[-1]) for layer in _dropouts(model)}

    def scale(self, smaller: keras.Model) -> None:
        """Sets the rates of a narrower version of the model, before its training step is compiled."""
        for layer in _dropouts(smaller):
            rate, inputs = self._known[layer.name]
            layer.rate = rate * layer.get_input_shape_at(0)[-1] / inputs


def _dropouts(model: keras.Model) -> list[keras.layers.Dropout]:
    return [layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.Dropout)]


def recalibrate(model: keras.Model, inputs: np.ndarray) -> None:
    """Takes BatchNorm's moving statistics anew, from examples: when channels have gone, the old ones are off.

    They become the means, over batches, of what the layers see with nothing dropped out (Li et al. 2020, EagleEye,
    arXiv:2007.02491).

    Args:
        model: changed in place.
        inputs: examples.
    """
    norms = [layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta, rates = [layer.momentum for layer in norms], [layer.rate for layer in _dropouts(model)]
    for layer in _dropouts(model):
        layer.rate = 0.0
    for number, start in enumerate(range(0, len(inputs), RECALIBRATION_BATCH)):
        for layer in norms:
            layer.momentum = number / (number + 1)  # so that all batches count alike
        model(inputs[start : start + RECALIBRATION_BATCH], training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    for layer, rate in zip(_dropouts(model), rates, strict=True):
        layer.rate = rate
