"""Models that are made alike in both Keras, and what of them cannot go."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3, tf

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(6, 12)).astype(np.float32)
IMAGES = RANDOM.normal(size=(6, 8, 8, 3)).astype(np.float32)
STEPS = RANDOM.normal(size=(6, 5, 12)).astype(np.float32)
CLIPS = RANDOM.normal(size=(6, 3, 4, 4, 2)).astype(np.float32)
NUMBERS = RANDOM.integers(0, 9, (6, 5))


class TfOps:
    """TensorFlow's functions under Keras 3's names."""

    reshape = staticmethod(lambda x, shape: tf.reshape(x, shape))
    transpose = staticmethod(lambda x, axes: tf.transpose(x, axes))
    matmul = staticmethod(lambda x, y: tf.matmul(x, y))
    softmax = staticmethod(lambda x: tf.nn.softmax(x))
    shape = staticmethod(lambda x: tf.shape(x))
    take = staticmethod(lambda x, place, axis: tf.gather(x, place, axis=axis))
    concatenate = staticmethod(lambda xs, axis: tf.concat(xs, axis))
    stack = staticmethod(lambda xs, axis: tf.stack(xs, axis))
    expand_dims = staticmethod(lambda x, axis: tf.expand_dims(x, axis))
    squeeze = staticmethod(lambda x, axis: tf.squeeze(x, axis))
    mean = staticmethod(lambda x, axis: tf.reduce_mean(x, axis))
    einsum = staticmethod(lambda text, *xs: tf.einsum(text, *xs))
    sigmoid = staticmethod(lambda x: tf.sigmoid(x))
    unstack = staticmethod(lambda x, axis: tf.unstack(x, axis=axis))
    flip = staticmethod(lambda x, axis: tf.reverse(x, [axis]))
    arange = staticmethod(lambda count, dtype: tf.range(count, dtype=dtype))

    @staticmethod
    def split(x, parts, axis):
        """Splits into a number of parts, or at places."""
        sizes = parts if isinstance(parts, int) else np.diff([0, *parts, x.shape[axis]]).tolist()
        return tf.split(x, sizes, axis)


def library(name: str) -> tuple[Any, Any]:
    """Returns a Keras and its operations."""
    return (tf_keras, TfOps) if name == "tf_keras" else (keras3(), keras3().ops)


def softmax_head(k, ops):
    L = k.layers
    i = L.Input((12,))
    return k.Model(i, L.Dense(10, "softmax", name="head")(L.Dense(16, "relu", name="a")(i))), VECTORS


def residual(k, ops):
    L = k.layers
    i = L.Input((8, 8, 3))
    x = L.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(i)
    x = L.ReLU()(L.BatchNormalization()(x))
    y = L.Conv2D(24, 1, name="wide")(x)
    y = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(y)
    y = L.Activation("gelu")(L.BatchNormalization()(y))
    y = L.Conv2D(16, 1, name="back")(y)
    x = L.Add()([x, y])
    x = L.Concatenate()([x, L.SeparableConv2D(8, 3, padding="same", name="separable")(x)])
    x = L.GlobalAveragePooling2D()(L.MaxPooling2D()(x))
    return k.Model(i, L.Dense(4, name="logits")(L.Dropout(0.5)(x))), IMAGES


def grouped(k, ops):
    """Few inputs a group, and many; statistics over groups."""
    L = k.layers
    i = L.Input((8, 8, 3))
    x = L.Conv2D(64, 3, name="stem")(i)
    x = L.Conv2D(64, 1, groups=2, activation="relu", name="many")(x)
    x = L.Conv2D(48, 3, groups=8, name="few")(x)
    x = L.Conv2D(48, 1, groups=48, name="depthwise")(x)
    return k.Model(i, L.Dense(4, name="logits")(L.Flatten()(x))), IMAGES


def excited(k, ops):
    L = k.layers
    i = L.Input((8, 8, 3))
    x = L.Conv2D(16, 3, name="stem")(i)
    y = L.Reshape((1, 1, 16))(L.GlobalAveragePooling2D()(x))
    y = L.Conv2D(8, 1, activation="relu", name="reduce")(y)
    y = L.Conv2D(16, 1, activation="sigmoid", name="expand")(y)
    x = L.Multiply()([x, y])
    z = ops.expand_dims(ops.expand_dims(ops.mean(x, (1, 2)), 1), 1)
    x = x * ops.sigmoid(L.Dense(16, name="gate")(z)) * 0.5 + 1.0
    return k.Model(i, L.Dense(4, name="logits")(L.Flatten()(x))), IMAGES


def shuffled(k, ops):
    """The channel shuffle of ShuffleNet, by reshaping and transposing."""
    L = k.layers
    i = L.Input((8, 8, 3))
    x = L.Conv2D(16, 3, name="stem")(i)
    x = ops.reshape(x, (-1, 6, 6, 2, 8))
    x = ops.reshape(ops.transpose(x, (0, 1, 2, 4, 3)), (-1, 6, 6, 16))
    x = L.Conv2D(8, 1, activation="relu", name="next")(x)
    x = L.Reshape((36, 8))(x)
    x = L.Dense(8, name="places")(L.Permute((2, 1))(x))  # channels x places
    return k.Model(i, L.Dense(4, name="logits")(L.Flatten()(x))), IMAGES


def split(k, ops):
    L = k.layers
    i = L.Input((12,))
    one, other = ops.split(L.Dense(32, name="both")(i), 2, -1)
    x = one * ops.sigmoid(other)
    x = ops.concatenate([x[:, 8:], ops.squeeze(ops.stack([x[:, :8]], 1), 1)], -1)
    x = L.Dense(16, "relu", name="next")(x)
    return k.Model(
        i, L.Dense(4, name="logits")(ops.concatenate(ops.unstack(ops.stack([x, -x], 1), axis=1), -1))
    ), VECTORS


def picked(k, ops):
    """Parts of several sizes, every other channel, one alone, one place alone, a shape of numbers from the graph."""
    L = k.layers
    i = L.Input((5, 12))
    few, rest = ops.split(L.Dense(24, "relu", name="a")(i), [8], -1)
    x = L.Dense(16, name="b")(ops.concatenate([rest, few], -1))
    x = x[:, :, ::2] * ops.sigmoid(x[:, :, 1::2])
    x = L.Dense(16, name="c")(x)
    x = x * ops.expand_dims(x[:, :, -3], -1)
    y = L.Dense(8, name="first")(x[:, 0]) + L.Dense(8, name="taken")(ops.take(x, 2, 1))
    x = L.Dense(16, name="d")(x)
    rows = -1 if ops.shape(x)[0] is None else ops.shape(x)[0]  # Keras 3 knows it when the model is built, or not
    x = ops.reshape(x, (rows, 5, 2, 8))
    x = ops.reshape(x, (rows, 5 * 16))
    return k.Model(i, L.Dense(4, name="logits")(ops.concatenate([x, y], -1))), STEPS


def counted(k, ops):
    """Slices and parts of one channel, and shapes of parts and multiples of numbers from the graph."""
    L = k.layers
    i = L.Input((5, 12))
    x = L.Dense(16, name="a")(i)
    x = x * ops.sigmoid(x[:, :, 3:4]) + x[:, :, -1:]
    one, few, rest = ops.split(L.Dense(12, name="b")(x), [1, 6], -1)
    x = L.Dense(16, name="heads")(ops.concatenate([one * few, rest * one], -1))
    _, steps, count = (ops.shape(x)[own] for own in range(3))
    x = ops.reshape(x, (-1, steps, 4, count // 4))
    x = ops.transpose(ops.matmul(ops.softmax(ops.matmul(x, ops.transpose(x, (0, 1, 3, 2)))), x), (0, 2, 1, 3))
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, steps, 4 * ops.shape(x)[3]))
    return k.Model(i, L.Dense(4, name="logits")(ops.reshape(x, (-1, steps, count)))), STEPS


def attention(k, ops):
    L = k.layers
    i = L.Input((5, 12))
    x = L.Dense(16, name="embed")(i)
    values = 8 if k.backend.backend() == "jax" else 6  # others do not work there
    y = L.MultiHeadAttention(4, 8, value_dim=values, name="self")(x, x)
    x = L.Add()([x, y])
    y = L.MultiHeadAttention(2, 8, output_shape=8, name="cross")(x, L.Dense(8, name="other")(i))
    y = L.Dense(16, name="back")(L.Dense(32, "gelu", name="wide")(y))
    x = L.Add()([x, y])
    return k.Model(i, L.Dense(4, name="logits")(L.GlobalAveragePooling1D()(x))), STEPS


def transformer(k, ops):
    """Attention by hand: heads in a reshape, scores by products."""
    L = k.layers
    i = L.Input((5, 12))
    x = L.Dense(16, name="embed")(i)

    def heads(name):
        y = ops.reshape(L.Dense(24, name=name)(x), (-1, 5, 3, 8))
        return ops.transpose(y, (0, 2, 1, 3))

    query, key, value = heads("query") * 0.35, heads("key"), heads("value")
    scores = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))))
    y = ops.reshape(ops.transpose(ops.matmul(scores, value), (0, 2, 1, 3)), (-1, 5, 24))
    x = x + L.Dense(16, name="project")(y)
    z = ops.einsum("bthd,bshd->bhts", *(L.Reshape((5, 2, 8))(L.Dense(16, name=n)(x)) for n in ("left", "right")))
    return k.Model(i, L.Dense(4, name="logits")(L.Concatenate()([L.Flatten()(x), L.Flatten()(z)]))), STEPS


def projected(k, ops):
    L = k.layers
    i = L.Input((5, 12))
    x = L.EinsumDense("abc,cde->abde", (5, 2, 8), bias_axes="de", name="heads")(i)
    x = L.EinsumDense("abde,def->abf", (5, 16), bias_axes="f", activation="relu", name="back")(x)
    x = L.EinsumDense("...x,xy->...y", 8, name="last")(x)
    return k.Model(i, L.Dense(4, name="logits")(L.Flatten()(x))), STEPS


def mixer(k, ops):
    L = k.layers
    i = L.Input((5, 12))
    x = L.Dense(16, name="embed")(i)
    y = L.Permute((2, 1))(x)
    y = L.Dense(5, name="tokens_back")(L.Dense(24, "gelu", name="tokens")(y))
    x = L.Add()([x, L.Permute((2, 1))(y)])
    y = L.Dense(16, name="channels_back")(L.Dense(32, "gelu", name="channels")(x))
    return k.Model(i, L.Dense(4, name="logits")(L.GlobalAveragePooling1D()(L.Add()([x, y])))), STEPS


def recurrent(k, ops):
    L = k.layers
    i = L.Input((5,), dtype="int32")
    x = L.Embedding(9, 16, name="words")(i)
    x = L.Bidirectional(L.GRU(8, return_sequences=True), name="both")(x)
    x = L.LSTM(16, return_sequences=True, name="lstm")(x)
    x = L.SimpleRNN(8, name="simple")(L.TimeDistributed(L.Dense(8, "relu"), name="each")(x))
    return k.Model(i, L.Dense(4, name="logits")(x)), NUMBERS


def film(k, ops):
    L = k.layers
    i = L.Input((3, 4, 4, 2))
    x = L.TimeDistributed(L.Conv2D(8, 3, padding="same", activation="relu"), name="each")(i)
    x = L.ConvLSTM2D(8, 3, padding="same", name="through")(x)
    return k.Model(i, L.Dense(4, name="logits")(L.Flatten()(L.Conv2DTranspose(8, 2, name="up")(x)))), CLIPS


def unet(k, ops):
    L = k.layers
    i = L.Input((8, 8, 3))
    a = L.Conv2D(8, 3, padding="same", activation="relu", name="a")(i)
    b = L.Conv2D(16, 3, padding="same", activation="relu", name="b")(L.MaxPooling2D()(a))
    c = L.Conv2DTranspose(8, 2, strides=2, name="up")(b)
    x = L.Concatenate()([a, c, L.UpSampling2D()(b)])
    x = L.PReLU(shared_axes=[1, 2], alpha_initializer="ones")(L.Conv2D(8, 3, padding="same", name="d")(x))
    return k.Model(i, L.Conv2D(2, 1, activation="softmax", name="classes")(x)), IMAGES


def nested(k, ops):
    """Models within models, called twice; two inputs, two outputs by name."""
    L = k.layers
    body = k.Sequential([L.Input((16,)), L.Dense(16, "relu", name="in"), L.Dense(8, name="out")], name="body")
    i, j = L.Input((12,), name="i"), L.Input((12,), name="j")
    x, y = L.Dense(16, name="one")(i), L.Dense(16, name="two")(j)
    z = L.Subtract()([body(x), body(y)])
    inner = L.Input((8,))
    block = k.Model(inner, L.Add()([inner, L.Dense(8, name="inner")(inner)]), name="block")
    outputs = {"p": L.Dense(3, "softmax", name="p")(block(z)), "q": L.Dense(2, name="q")(z)}
    return k.Model({"i": i, "j": j}, outputs), {"i": VECTORS, "j": VECTORS[::-1].copy()}


def own_layers(k, ops):
    """Layers of a person's own: those that work channel by channel, and those that only seem to."""
    L = k.layers

    def layer(name, call, **weights):
        def build(self, shape):
            sizes = {own: shape[-1] if side == "width" else side for own, side in weights.items()}
            for own, side in sizes.items():
                setattr(self, own, self.add_weight(name=own, shape=(side,), initializer="ones"))

        return type(name, (L.Layer,), {"build": build, "call": call})(name=f"own_{name.lower()}")

    class Scale(L.Layer):
        def __init__(self, width, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.factor = self.add_weight(name="factor", shape=(width,), initializer="ones")

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return super().get_config() | {"width": self.width}

    i = x = L.Input((12,))
    for name, own in {
        "scaled": layer("Scaled", lambda self, x: x * self.scale, scale="width"),
        "counted": Scale(16, name="width"),
        "plain": layer("Plain", lambda self, x: x * x + 1),
        "rooted": layer("Rooted", lambda self, x: x / float(x.shape[-1]) ** 0.5),
        "numbered": layer("Numbered", lambda self, x: x * ops.arange(x.shape[-1], dtype="float32")),
        "turned": layer("Turned", lambda self, x: ops.flip(x, -1)),
        "shifted": layer("Shifted", lambda self, x: x - 0.01 * x[..., :1]),
    }.items():
        x = own(L.Dense(16, name=name)(x))
    x = L.Dense(16, name="start")(x)
    for name, own in {
        "together": layer("Together", lambda self, xs: xs[0] + 0.3 * xs[1] * self.scale, scale=1),
        "across": layer("Across", lambda self, xs: xs[0] + 0.3 * ops.flip(xs[1], -1)),
    }.items():
        x = own([x, L.Dense(16, name=name)(x)])
        x = L.Dense(16, "relu", name=f"{name}_on")(x)
    return k.Model(i, L.Dense(4, name="logits")(x)), VECTORS


def stepped(k, ops):
    """Steps of a time axis of unknown length, alone and in slices."""
    L = k.layers
    i = L.Input((None, 12))
    x = L.Conv1D(16, 3, padding="same", name="stem")(i)
    x = L.Conv1D(16, 1, name="step")(x[:, 2:] - x[:, :-2]) + x[:, 1:-1]
    x = L.Concatenate()([x[:, -3], x[:, 1], L.GlobalAveragePooling1D()(x[:, ::2])])
    return k.Model(i, L.Dense(4, name="logits")(x)), STEPS


def in_front(k, ops):
    """Parts side by side on the first axis, which are taken from there: queries, keys and values of one layer."""
    L = k.layers
    i = L.Input((5, 12))
    x = L.Dense(16, name="stem")(i)
    parts = ops.transpose(ops.reshape(L.Dense(3 * 2 * 8, name="all")(x), (-1, 5, 3, 2, 8)), (2, 0, 3, 1, 4))
    weights = ops.softmax(ops.matmul(parts[0], ops.transpose(parts[1], (0, 1, 3, 2))))
    y = ops.reshape(ops.transpose(ops.matmul(weights, parts[2]), (0, 2, 1, 3)), (-1, 5, 16))
    pair = ops.stack([L.Dense(16, name="back")(y), x], 0)
    return k.Model(i, L.Dense(4, name="logits")(L.Flatten()(pair[0] * pair[1]))), STEPS


MODELS = {  # -> what cannot go, beside the outputs, and what is not the same to the bit as zeros
    softmax_head: (),
    residual: (),
    grouped: (),
    excited: (),
    shuffled: (),
    split: (),
    picked: (),
    counted: (),
    attention: (),
    transformer: (),
    projected: (),
    mixer: ("tokens_back",),
    recurrent: (),
    stepped: (),
    in_front: (),
    film: (),
    unet: (),
    nested: (),
    own_layers: ("rooted", "numbered", "turned", "shifted", "together_on", "across"),
}
UNSAVED = (own_layers, (transformer, "tf_keras"))  # what Keras cannot load: classes it does not know, `tf.einsum`
