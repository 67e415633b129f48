"""Small models of Keras 3, one for each kind of part that runs have stumbled over; functions that a run is given."""

import os

import keras
import numpy as np

L = keras.layers
SIDE, LENGTH, WORDS = 8, 6, 20
KINDS = (  # of images, of rows, of sequences of numbers
    *("augmented", "leaky", "hard_silu", "normalised", "spectral", "pooled", "scaled", "operations", "transposed"),
    *("dropped", "operators", "twice", "half", "mobile"),
    *("rows", "function", "several_sigmoids", "softmax_apart", "softmax_inside", "subclassed"),
    *("words", "recurrent", "both_ways", "attending"),
)
OF_ROWS = ("rows", "function", "several_sigmoids", "softmax_apart", "softmax_inside", "subclassed", "noisy")
OF_SEQUENCES = ("recurrent", "both_ways", "attending")


def _headed(inputs, x, classes):
    return keras.Model(inputs, L.Dense(classes, "softmax", name="head")(L.GlobalAveragePooling2D(name="pool")(x)))


def _images(input_shape, classes, *parts):
    inputs = x = L.Input(input_shape)
    x = L.Conv2D(6, 3, padding="same", name="conv")(L.Rescaling(1 / 255)(x))
    for part in parts:
        x = part(x)
    return _headed(inputs, x, classes)


def augmented(input_shape, classes):
    return _images(input_shape, classes, L.RandomFlip(), L.RandomRotation(0.1))


def leaky(input_shape, classes):
    return _images(input_shape, classes, L.LeakyReLU(negative_slope=0.1))


def hard_silu(input_shape, classes):
    parts = [L.Activation(name) for name in ("hard_silu", "hard_swish", "hard_sigmoid")]
    return _images(input_shape, classes, *parts)


def normalised(input_shape, classes):
    return _images(input_shape, classes, L.RMSNormalization(), L.BatchNormalization())


def spectral(input_shape, classes):
    return _images(input_shape, classes, L.SpectralNormalization(L.Conv2D(4, 3), name="spectral"))


def pooled(input_shape, classes):
    return _images(input_shape, classes, L.AdaptiveAveragePooling2D(4))


@keras.saving.register_keras_serializable("keras3_nets")
class LayerScale(L.Layer):
    """Of ConvNeXt, which keras.applications brings as a class of its own."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")

    def call(self, x):
        return x * self.gamma


def scaled(input_shape, classes):
    return _images(input_shape, classes, LayerScale(name="scale"))


def operations(input_shape, classes):
    ops = keras.ops
    return _images(input_shape, classes, ops.relu, lambda x: ops.concatenate([x, ops.square(x)], -1), ops.tanh)


def transposed(input_shape, classes):
    return _images(input_shape, classes, L.Conv2DTranspose(4, 3, name="up"))


def dropped(input_shape, classes):
    return _images(input_shape, classes, L.SpatialDropout2D(0.2), L.GaussianNoise(0.1))


def operators(input_shape, classes):
    return _images(input_shape, classes, lambda x: x * 2.0 + 1.0 - x / 3.0)


def twice(input_shape, classes):
    shared = keras.Sequential([L.Input((SIDE, SIDE, 6)), L.Conv2D(6, 3, padding="same", name="inner")], name="shared")
    return _images(input_shape, classes, shared, L.ReLU(), shared)


def half(input_shape, classes):
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return _images(input_shape, classes, L.BatchNormalization(), L.ReLU())
    finally:
        keras.config.set_dtype_policy(with_policy)


def mobile(input_shape, classes):
    return keras.applications.MobileNetV3Small(
        (32, 32, 3), alpha=0.35, minimalistic=True, weights=None, classes=classes, include_preprocessing=True
    )


def numbers(input_shape, classes):
    return keras.Sequential([L.Input(input_shape), L.Dense(12, "relu", name="hidden"), L.Dense(classes, name="head")])


def several(input_shape, classes):
    head = L.Dense(classes, "sigmoid", name="head")
    return keras.Sequential([L.Input(input_shape), L.Dense(12, "relu", name="hidden"), head])


def rows(input_shape, classes, *, width=8):
    return keras.Sequential(
        [L.Input(input_shape), L.Dense(width, "relu", name="a"), L.Dense(classes, "softmax", name="b")]
    )


def noisy(input_shape, classes):
    """With all that has a state: dropout, BatchNorm, a penalty."""
    return keras.Sequential(
        [
            *(L.Input(input_shape), L.Dense(16, "relu", name="a", kernel_regularizer="l2")),
            *(L.BatchNormalization(name="norm"), L.Dropout(0.3, name="drop")),
            L.Dense(classes, "softmax", name="b"),
        ]
    )


def residual(input_shape, classes):
    """Images of bytes, three residual branches with BatchNorm and dropout, a softmax."""
    inputs = L.Input(input_shape)
    x = L.Conv2D(8, 3, padding="same", name="stem")(inputs)
    for name in ("one", "two", "three"):
        y = L.BatchNormalization(name=f"{name}_norm")(L.Conv2D(6, 3, padding="same", name=name)(x))
        y = L.Conv2D(8, 1, name=f"{name}_back")(L.Dropout(0.2, name=f"{name}_drop")(L.ReLU()(y)))
        x = L.Add(name=f"{name}_sum")([x, y])
    return _headed(inputs, L.ReLU()(x), classes)


def function(input_shape, classes):
    return keras.Sequential([L.Input(input_shape), L.Dense(8), L.Lambda(lambda x: x * 2), L.Dense(classes)])


def several_sigmoids(input_shape, classes):
    return keras.Sequential([L.Input(input_shape), L.Dense(8, "relu"), L.Dense(classes, "sigmoid")])


def softmax_apart(input_shape, classes):
    inputs = L.Input(input_shape)
    return keras.Model(inputs, keras.ops.softmax(L.Dense(classes)(L.Dense(8, "relu")(inputs))))


def softmax_inside(input_shape, classes):
    inner = keras.Sequential([L.Input((8,)), L.Dense(classes), L.Softmax()], name="inner")
    return keras.Sequential([L.Input(input_shape), L.Dense(8, "relu"), inner])


@keras.saving.register_keras_serializable("keras3_nets")
class Subclassed(keras.Model):
    """A model of a class of one's own."""

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.a, self.b = L.Dense(8, "relu", name="a"), L.Dense(classes, name="b")

    def call(self, x):
        return self.b(self.a(x))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def subclassed(input_shape, classes):
    return Subclassed(classes)


def words(input_shape, classes):
    inputs = L.Input(input_shape, dtype="int32")
    x = L.Embedding(WORDS, 4, mask_zero=True, name="words")(inputs)
    return keras.Model(inputs, L.Dense(classes, "softmax")(L.LSTM(4, name="lstm")(x)))


def recurrent(input_shape, classes):
    layers = [L.Input(input_shape), L.LSTM(4, return_sequences=True), L.GRU(4), L.Dense(classes)]
    return keras.Sequential(layers)


def both_ways(input_shape, classes):
    return keras.Sequential([L.Input(input_shape), L.Bidirectional(L.LSTM(3)), L.Dense(classes, "softmax")])


def attending(input_shape, classes):
    inputs = L.Input(input_shape)
    x = L.LayerNormalization()(L.Dense(8, name="in")(inputs))
    x = x + L.MultiHeadAttention(2, 4, name="attention")(x, x)
    return keras.Model(inputs, L.Dense(classes)(L.GlobalAveragePooling1D()(x)))


def write_arrays(folder):
    """Writes the data that these models are for, as `.npz` files: images, rows, sequences, words."""
    random = np.random.default_rng(0)
    y = np.arange(60) % 3
    images = random.integers(0, 80, (60, SIDE, SIDE, 3)) + 60 * y[:, None, None, None]
    arrays = {
        "images": images.astype(np.uint8),
        "large": np.repeat(np.repeat(images, 4, 1), 4, 2).astype(np.uint8),
        "rows": random.normal(y[:, None], 1.0, (60, 6)).astype(np.float32),
        "sequences": random.normal(y[:, None, None], 1.0, (60, LENGTH, 4)).astype(np.float32),
        "words": random.integers(0, WORDS, (60, LENGTH)).astype(np.float32),
    }
    for name, x in arrays.items():
        np.savez(os.path.join(folder, f"{name}.npz"), x=x, y=y)


def data_of(kind):
    """Returns the name of the file of `write_arrays` that a kind of model is for."""
    if kind == "mobile":
        return "large"
    return (
        "rows" if kind in OF_ROWS else "sequences" if kind in OF_SEQUENCES else "words" if kind == "words" else "images"
    )
