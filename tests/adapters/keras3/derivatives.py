"""Writes the derivatives of a small model: `KERAS_BACKEND=jax python tests/adapters/keras3/derivatives.py FILE.npz`."""

import sys

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.batches import Batch
from tfprune.pruning.events import Criterion

KINDS = ("gradients", "hessian_gradients", "squared_gradients", "flow_gradients")


def small_model(*, subclassed=False):
    """Returns a model of fixed weights with a convolution, BatchNorm, dropout, attention and a shared layer."""
    layers = keras.layers
    inputs = layers.Input((6, 5))
    x = layers.Conv1D(8, 3, padding="same", use_bias=False, activation="tanh", name="conv")(inputs)
    x = layers.Dropout(0.5)(layers.BatchNormalization(name="norm")(x))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, dropout=0.5, name="attention")(x, x)])
    shared = layers.Dense(8, activation="tanh", name="shared")
    x = layers.GlobalAveragePooling1D()(shared(shared(x)))
    model = keras.Model(inputs, layers.Dense(3, name="logits")(x))
    random = np.random.default_rng(0)
    for variable in model.weights:
        values = random.normal(size=variable.shape) * 0.5
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.name else values)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def derivatives(model):
    """Returns all kinds of derivatives, `kind:kernel` -> array."""
    random = np.random.default_rng(1)
    batch = Batch(random.normal(size=(6, 6, 5)).astype(np.float32), np.array([0, 1, 2, 0, 1, 2]))
    provider = adapter_of(model).gradients(model, lambda per_class: batch)
    criterion = Criterion("gradient", per_class=2, temperature=2.0)
    return {f"{kind}:{name}": own for kind in KINDS for name, own in provider(kind, criterion).items()}


if __name__ == "__main__":
    model = small_model()
    before = [np.asarray(keras.ops.convert_to_numpy(own.value)) for own in model.variables]
    np.savez(sys.argv[1], **derivatives(model))
    for own, values in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(own.value), values)
