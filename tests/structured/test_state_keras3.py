"""What a model of Keras 3 knows beside its kernels stays, whatever takes channels out of it."""

import numpy as np
import pytest
from test_both_keras import answers, check, lowest, shaken

from tfprune import shrink
from tfprune.adapters.backend import keras3
from tfprune.structured.channels import OUTPUT, channels

keras = keras3()
L, ops = keras.layers, keras.ops
RANDOM = np.random.default_rng(1)
VECTORS = RANDOM.normal(size=(8, 12)).astype(np.float32)
IMAGES = RANDOM.normal(size=(8, 6, 6, 3)).astype(np.float32)
STEPS = RANDOM.normal(size=(8, 5, 4)).astype(np.float32)
NUMBERS = np.arange(40).reshape(8, 5) % 7
RAMP = np.linspace(0.5, 2.0, 8).astype(np.float32)


def bent(x):
    return ops.where(x > 0, x, 0.1 * x * x)


class Scaled:
    """A callable that is no function."""

    def __call__(self, x):
        return x * 0.3


def chain(x, *between, head=None, first=None):
    """A layer, what is tried, and two more layers."""
    inputs = L.Input(x.shape[1:], dtype=x.dtype)
    y = first(inputs) if first else (L.Dense(8, name="a") if x.ndim == 2 else L.Conv2D(8, 3, name="a"))(inputs)
    for layer in between:
        y = layer(y)
    y = L.Dense(6, "relu", name="b")(y)
    y = y if len(y.shape) == 2 else L.GlobalAveragePooling2D()(y) if len(y.shape) == 4 else L.Flatten()(y)
    return keras.Model(inputs, (head or L.Dense(3, name="logits"))(y)), x


def adapted(layer, data):
    layer.adapt(data)
    return layer


def constant(values):
    return keras.initializers.Constant(values)


def frozen():
    model, x = chain(VECTORS, L.Dense(8, "relu", name="c"), L.BatchNormalization(name="n"))
    model.get_layer("c").trainable = model.get_layer("n").trainable = False
    return model, x


MODELS = {
    "normalization": lambda: chain(
        VECTORS, first=lambda i: L.Dense(8, name="a")(adapted(L.Normalization(), 5 + 3 * VECTORS)(i))
    ),
    "normalization within": lambda: chain(VECTORS, adapted(L.Normalization(), np.outer(np.arange(9), RAMP))),
    "rescaling": lambda: chain(VECTORS, L.Rescaling(RAMP.tolist(), offset=RAMP.tolist())),
    "noise shape": lambda: chain(IMAGES, L.Dropout(0.5, noise_shape=(None, 1, 1, 8)), L.SpatialDropout2D(0.2)),
    "noise": lambda: chain(IMAGES, L.GaussianNoise(0.1), L.GaussianDropout(0.1), L.AlphaDropout(0.1)),
    "prelu": lambda: chain(IMAGES, L.PReLU(alpha_initializer="ones"), L.PReLU(shared_axes=[1, 2])),
    "operators": lambda: chain(VECTORS, lambda x: x * 2 + 3, lambda x: 1 - x, lambda x: -x / 2.0),
    "constants": lambda: chain(
        VECTORS, lambda x: x * RAMP, lambda x: x + ops.convert_to_tensor(RAMP), lambda x: ops.maximum(RAMP - 1, x)
    ),
    "constant image": lambda: chain(
        IMAGES, lambda x: x * np.ones((1, 4, 4, 1), np.float32), lambda x: x + RAMP.reshape(1, 1, 1, 8)
    ),
    "lambda": lambda: chain(VECTORS, L.Lambda(lambda v: v / 2, output_shape=None)),
    "own activation": lambda: chain(VECTORS, L.Dense(8, bent, name="c"), L.Activation(bent)),
    "lambda activation": lambda: chain(VECTORS, L.Dense(8, lambda x: x * ops.sigmoid(1.7 * x), name="c")),
    "callable activation": lambda: chain(VECTORS, L.Dense(8, Scaled(), name="c")),
    "layer as activation": lambda: chain(VECTORS, L.Dense(8, activation=L.LeakyReLU(negative_slope=0.3), name="c")),
    "every function": lambda: chain(
        VECTORS,
        *(
            getattr(keras.activations, name)
            for name in (
                "relu6",
                "silu",
                "gelu",
                "celu",
                "hard_sigmoid",
                "log_sigmoid",
                "softplus",
            )
        ),
        *(
            ops.hard_silu,
            L.Activation("mish"),
            ops.abs,
            ops.square,
            ops.tanh,
            lambda x: ops.clip(x, 0, 6),
            lambda x: ops.leaky_relu(x, 0.2),
            ops.expm1,
        ),
    ),
    "reductions": lambda: chain(
        IMAGES, lambda x: x - ops.mean(x, (1, 2), keepdims=True), lambda x: ops.max(x, axis=1), L.Dense(8, name="c")
    ),
    "softmax of places": lambda: chain(IMAGES, L.Softmax(axis=1), lambda x: ops.softmax(x, axis=2)),
    "norms": lambda: chain(IMAGES, L.GroupNormalization(-1, epsilon=0.1), L.UpSampling2D(2), L.ZeroPadding2D(1)),
    "rows": lambda: chain(IMAGES, L.Reshape((-1, 8)), L.Dense(8, name="c"), lambda x: ops.reshape(x, (-1, 128))),
    "array initializers": lambda: chain(
        VECTORS, L.PReLU(alpha_initializer=constant(RAMP)), first=L.Dense(8, name="a", bias_initializer=constant(RAMP))
    ),
    "masked": lambda: chain(NUMBERS, L.LSTM(5, name="lstm"), first=L.Embedding(7, 8, mask_zero=True, name="a")),
    "cells": lambda: chain(STEPS, L.RNN([L.LSTMCell(4), L.GRUCell(5)], name="cells"), first=L.Dense(8, name="a")),
    "frozen": frozen,
    "one of all": lambda: chain(VECTORS, L.Reshape((1, 8)), lambda x: x[..., 0:1] * x, L.UnitNormalization()),
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("name", MODELS)
def test_half_a_model_is_the_one_in_which_the_other_half_is_zero(name):
    model, x = MODELS[name]()
    shaken(model)
    found = channels(model)
    assert tuple(own.name for own in found.groups if own.protected not in (None, OUTPUT)) == ()
    same = shrink(model, 1.0)
    assert [layer.name for layer in same.layers] == [layer.name for layer in model.layers]
    for one, other in zip(answers(same, x), answers(model, x), strict=True):
        np.testing.assert_array_equal(one, other)
    smaller = check(model, x, lowest(model), 1e-5)
    assert smaller.count_params() < model.count_params()
    trained = [[layer.trainable for layer in own.layers] for own in (model, smaller)]
    assert trained[0] == trained[1] and len(smaller.trainable_weights) == len(model.trainable_weights)


@pytest.mark.filterwarnings("ignore:Layer 'flatten.* was passed an input with a mask")
def test_channels_that_are_mixed_stay():
    for mixing in (
        lambda x: ops.flip(x, -1),
        lambda x: ops.cumsum(x, -1),
        lambda x: x[..., ::3],
        lambda x: ops.softmax(x),
        lambda x: x - ops.mean(x, -1, keepdims=True),
        lambda x: ops.roll(x, 1, -1),
        L.Lambda(lambda x: x[..., ::-1]),
        L.Masking(),
    ):
        model, x = chain(VECTORS, L.Reshape((1, 8)), mixing)
        assert "a" not in channels(model).free, mixing
        shaken(model)
        check(model, x, lowest(model), 1e-5)


def test_layers_with_low_rank_updates_stay():
    model, x = chain(VECTORS, L.Dense(8, "relu", name="c"), L.Dense(8, name="d"))
    model.get_layer("c").enable_lora(2)
    shaken(model)
    assert "c" not in channels(model).free and "a" not in channels(model).free and "d" in channels(model).free
    check(model, x, lowest(model), 1e-5)
