"""What layers draw at random (dropout, noise): a function of the seed, the layer and the epoch, and of nothing else.

Keras' own draws hang on a generator hidden in TensorFlow's kernels, which nobody can read or put back. These come from
one with a variable, that is set anew for each epoch; a training can be picked up at any epoch, and with
`get_rng_states` at any step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.utils.seeds import derive


def random_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers that may draw something, those within others too, always in the same order."""
    return [part for part in model.submodules if isinstance(part, keras.__internal__.layers.BaseRandomLayer)]


def _generator(layer: keras.layers.Layer) -> tf.random.Generator:
    own = layer._random_generator
    if own._rng_type != own.RNG_STATEFUL or not own._built:
        own._rng_type, own._built, own._generator = own.RNG_STATEFUL, True, tf.random.Generator.from_seed(0)
    return own._generator


class ReseedEachEpoch(keras.callbacks.Callback):
    """Sets what a model's layers draw in an epoch.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._generators = [_generator(layer) for layer in random_layers(model)]  # a search of all that a model tracks

    def on_epoch_begin(self, epoch: int, logs: Mapping | None = None) -> None:
        for number, generator in enumerate(self._generators):
            generator.reset_from_seed(derive(self.seed, f"fit {number} {epoch}"))


def get_rng_states(model: keras.Model) -> list[np.ndarray]:
    """Returns where the generators of a model's layers stand."""
    return [_generator(layer).state.numpy() for layer in random_layers(model)]


def set_rng_states(model: keras.Model, states: Sequence[np.ndarray]) -> None:
    """Puts back what `get_rng_states` returned."""
    for layer, state in zip(random_layers(model), states, strict=True):
        _generator(layer).state.assign(state)
