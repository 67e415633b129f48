"""Small models as people have them, and what each is trained on: the models of `twins`."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf

L = keras.layers
EXAMPLES, BATCH, CLASSES = 24, 8, 3


@dataclasses.dataclass(frozen=True)
class Made:
    """A model and what it is trained on.

    Attributes:
        model: not compiled.
        x, y: arrays, or structures of them.
        loss: that fits it.
        copied: whether it can be copied; otherwise it is trained in place.
    """

    model: Any
    x: Any
    y: Any
    loss: Any
    copied: bool = True


def rows(count: int = 8) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(EXAMPLES, count)).astype(np.float32)


def images(channels: int = 3, side: int = 8) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(EXAMPLES, side, side, channels)).astype(np.float32)


def series(steps: int = 5, width: int = 4) -> np.ndarray:
    values = np.random.default_rng(3).normal(size=(EXAMPLES, steps, width)).astype(np.float32)
    values[::2, 3:] = 0.0
    return values


def tokens(steps: int = 6) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 9, (EXAMPLES, steps))


LABELS = np.arange(EXAMPLES) % CLASSES


def logits() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def of_layers(x: np.ndarray, *layers: Any, loss: Any = None, y: Any = LABELS, dtype: Any = None) -> Made:
    inputs = out = L.Input(x.shape[1:], dtype=dtype or (None if x.dtype.kind == "f" else x.dtype))
    for layer in layers:
        out = layer(out)
    return Made(keras.Model(inputs, out), x, y, loss or logits())


def mlp() -> Made:
    model = keras.Sequential([L.Input((8,)), L.Dense(16, "relu"), L.Dense(CLASSES)])
    return Made(model, rows(), LABELS, logits())


def mlp_softmax() -> Made:
    layers = [L.Dense(16, "tanh"), L.Dense(CLASSES, "softmax")]
    return of_layers(rows(), *layers, loss="sparse_categorical_crossentropy")


def mlp_binary() -> Made:
    return of_layers(
        rows(), L.Dense(16, "gelu"), L.Dense(1, "sigmoid"), loss="binary_crossentropy", y=(LABELS > 0).astype(float)
    )


def regression() -> Made:
    return of_layers(rows(), L.Dense(16, "selu"), L.Dense(2), loss="mse", y=rows(2))


def mlp_norms() -> Made:
    layers = [L.Dense(16), L.LayerNormalization(), L.PReLU(), L.Dense(8), L.UnitNormalization(), L.Dense(CLASSES)]
    return of_layers(rows(), *layers)


def mlp_dropout() -> Made:
    return of_layers(rows(), L.GaussianNoise(0.1, seed=3), L.Dense(16, "relu"), L.Dropout(0.3, seed=5), L.Dense(3))


def regularized() -> Made:
    return of_layers(
        rows(),
        L.Dense(16, "relu", kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(1.0)),
        L.Dense(16, activity_regularizer=keras.regularizers.L1(1e-3)),
        L.Dense(CLASSES, kernel_constraint="non_neg"),
    )


def function_activations() -> Made:
    layers = [L.Dense(16, tf.nn.relu6), L.Dense(16, lambda v: v * 0.5), L.Activation(tf.nn.swish), L.Dense(CLASSES)]
    return of_layers(rows(), *layers)


def lambdas() -> Made:
    return of_layers(rows(), L.Lambda(lambda v: v / 2), L.Dense(16, "relu"), L.Dense(3), L.Lambda(lambda v: v * 3))


def operators() -> Made:
    inputs = L.Input((8,))
    x = L.Dense(8)(inputs)
    x = tf.nn.relu(x * 2 + inputs) + 3.0
    return Made(keras.Model(inputs, L.Dense(CLASSES)(x)), rows(), LABELS, logits())


def float64() -> Made:
    layers = [L.Dense(16, "relu", dtype="float64"), L.Dense(CLASSES, dtype="float64")]
    return of_layers(rows().astype(np.float64), *layers, dtype="float64")


def mixed() -> Made:
    layers = [L.Dense(16, "relu", dtype="mixed_float16"), L.Dense(CLASSES, dtype="float32")]
    return of_layers(rows(), *layers)


def bfloat() -> Made:
    layers = [L.Dense(16, "relu", dtype="mixed_bfloat16"), L.Dense(CLASSES, dtype="float32")]
    return of_layers(rows(), *layers)


def frozen() -> Made:
    return of_layers(rows(), L.Dense(16, "relu", trainable=False), L.Dense(8, "relu"), L.Dense(CLASSES))


def shared() -> Made:
    one, two = L.Input((8,), name="one"), L.Input((8,), name="two")
    tower = L.Dense(8, "relu")
    model = keras.Model([one, two], L.Dense(CLASSES)(L.Subtract()([tower(one), tower(two)])))
    return Made(model, [rows(), rows()[::-1].copy()], LABELS, logits())


def called_twice() -> Made:
    body = keras.Sequential([L.Input((8,)), L.Dense(8, "relu"), L.Dense(8)])
    inputs = L.Input((8,))
    return Made(keras.Model(inputs, L.Dense(CLASSES)(body(body(inputs)))), rows(), LABELS, logits())


def same_names() -> Made:
    def body(name: str, units: int) -> Any:
        layers = [L.Input((8,)), L.Dense(units, "relu", name="d1"), L.Dense(8, name="d2")]
        return keras.Sequential(layers, name=name)

    inputs = L.Input((8,))
    total = L.Add()([body("a", 16)(inputs), body("b", 12)(inputs)])
    return Made(keras.Model(inputs, L.Dense(CLASSES, name="head")(total)), rows(), LABELS, logits())


def named_outputs() -> Made:
    inputs = L.Input((8,), name="row")
    x = L.Dense(16, "relu")(inputs)
    model = keras.Model(inputs, {"cls": L.Dense(CLASSES, name="cls")(x), "size": L.Dense(1, name="size")(x)})
    return Made(model, {"row": rows()}, {"cls": LABELS, "size": rows(1)}, {"cls": logits(), "size": "mse"})


def listed_outputs() -> Made:
    inputs = L.Input((8,))
    x = L.Dense(16, "relu")(inputs)
    model = keras.Model(inputs, [L.Dense(CLASSES, name="cls")(x), L.Dense(1, name="size")(x)])
    return Made(model, rows(), [LABELS, rows(1)], [logits(), "mae"])


def normalized() -> Made:
    layer = L.Normalization()
    layer.adapt(1000 + rows())
    made = of_layers(1000 + rows(), layer, L.Dense(16, "relu"), L.Dense(CLASSES))
    return made


def discretized() -> Made:
    layer = L.Discretization(num_bins=4)
    layer.adapt(rows(1))
    return of_layers(rows(1), layer, L.CategoryEncoding(4, "one_hot"), L.Dense(8, "relu"), L.Dense(CLASSES))


def texts() -> Made:
    words = np.array([["one two"], ["two three"], ["three one four"]] * (EXAMPLES // 3))
    layer = L.TextVectorization(output_sequence_length=4)
    layer.adapt(words)
    return of_layers(words, layer, L.Embedding(8, 6), L.GlobalAveragePooling1D(), L.Dense(CLASSES), dtype="string")


def lookup() -> Made:
    layer = L.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    words = np.array([["a"], ["b"], ["c"]] * (EXAMPLES // 3))
    return of_layers(words, layer, L.Dense(8, "relu"), L.Dense(CLASSES), dtype="string")


def rescaled() -> Made:
    pixels = np.random.default_rng(5).integers(0, 256, (EXAMPLES, 8, 8, 3)).astype(np.uint8)
    layers = [L.Rescaling(1 / 255), L.Conv2D(8, 3, activation="relu"), L.GlobalMaxPooling2D(), L.Dense(CLASSES)]
    return of_layers(pixels, *layers)


def convnet() -> Made:
    layers = [L.Conv2D(8, 3, use_bias=False), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(), L.Conv2D(8, 2)]
    return of_layers(images(), *layers, L.GlobalAveragePooling2D(), L.Dense(CLASSES))


def separable() -> Made:
    layers = [L.SeparableConv2D(8, 3, activation="relu"), L.DepthwiseConv2D(3), L.GroupNormalization(4), L.Flatten()]
    return of_layers(images(), *layers, L.Dense(CLASSES))


def grouped() -> Made:
    return of_layers(images(4), L.Conv2D(8, 3, groups=2, activation="relu"), L.Flatten(), L.Dense(CLASSES))


def spectral() -> Made:
    return of_layers(images(), L.SpectralNormalization(L.Conv2D(8, 3)), L.GlobalAveragePooling2D(), L.Dense(CLASSES))


def segmentation() -> Made:
    layers = [L.Conv2D(8, 3, 2, "same", activation="relu"), L.Conv2DTranspose(8, 3, 2, "same"), L.Conv2D(CLASSES, 1)]
    return of_layers(images(), *layers, y=np.random.default_rng(6).integers(0, CLASSES, (EXAMPLES, 8, 8)))


def residual() -> Made:
    inputs = L.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same")(inputs)
    y = L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(x))
    x = L.ReLU()(L.Add()([x, y]))
    scale = L.Dense(8, "sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))
    x = L.Multiply()([x, scale])
    return Made(keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x))), images(), LABELS, logits())


def conv1d() -> Made:
    return of_layers(series(), L.Conv1D(8, 3, activation="relu"), L.GlobalMaxPooling1D(), L.Dense(CLASSES))


def locally() -> Made:
    return of_layers(series(), L.LocallyConnected1D(4, 2, activation="relu"), L.Flatten(), L.Dense(CLASSES))


def lstm() -> Made:
    return of_layers(series(), L.Masking(), L.Dense(6), L.LSTM(6), L.Dense(CLASSES))


def gru_tokens() -> Made:
    return of_layers(tokens(), L.Embedding(9, 6, mask_zero=True), L.GRU(6), L.Dense(CLASSES))


def bidirectional() -> Made:
    layers = [L.Bidirectional(L.LSTM(4, return_sequences=True)), L.TimeDistributed(L.Dense(4)), L.Flatten()]
    return of_layers(series(), *layers, L.Dense(CLASSES))


def stacked_cells() -> Made:
    return of_layers(series(), L.RNN([L.LSTMCell(4), L.GRUCell(5)]), L.Dense(CLASSES))


def conv_lstm() -> Made:
    clips = np.random.default_rng(7).normal(size=(EXAMPLES, 3, 5, 5, 1)).astype(np.float32)
    return of_layers(clips, L.ConvLSTM2D(4, 3), L.Flatten(), L.Dense(CLASSES))


def attention() -> Made:
    inputs = L.Input((5, 4))
    x = L.MultiHeadAttention(2, 4)(inputs, inputs)
    x = L.LayerNormalization()(L.Add()([inputs, x]))
    x = L.Attention()([x, inputs])
    model = keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling1D()(x)))
    return Made(model, series(), LABELS, logits())


def added_loss() -> Made:
    inputs = L.Input((8,))
    x = L.Dense(16, "relu")(inputs)
    model = keras.Model(inputs, L.Dense(CLASSES)(x))
    model.add_loss(1e-3 * tf.reduce_mean(tf.square(x)))
    model.add_metric(tf.reduce_mean(x), name="mean", aggregation="mean")
    return Made(model, rows(), LABELS, logits())


@keras.utils.register_keras_serializable("twins")
class Gate(L.Layer):
    """A layer of a person's own, with a matrix of its own and a layer inside."""

    def build(self, shape: Any) -> None:
        self.inner = L.Dense(shape[-1], "sigmoid")
        self.inner.build(shape)
        self.matrix = self.add_weight("matrix", (shape[-1], shape[-1]), initializer="orthogonal")
        super().build(shape)

    def call(self, inputs: Any) -> Any:
        self.add_loss(1e-3 * tf.reduce_mean(inputs))
        return self.inner(inputs) * (inputs @ self.matrix)


def own_layer() -> Made:
    return of_layers(rows(), L.Dense(8, "relu"), Gate(), L.Dense(CLASSES))


@keras.utils.register_keras_serializable("twins")
class OwnStep(keras.Model):
    def train_step(self, data: Any) -> Any:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True), weights)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return {"loss": loss, "twice": 2 * loss}


def own_step() -> Made:
    inputs = L.Input((8,))
    return Made(OwnStep(inputs, L.Dense(CLASSES)(L.Dense(8, "relu")(inputs))), rows(), LABELS, logits())


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="own")
        self.blocks = [L.Dense(8, "relu"), L.Dense(8, "relu")]
        self.out = {"cls": L.Dense(CLASSES)}

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        for block in self.blocks:
            inputs = block(inputs)
        return self.out["cls"](inputs)


def subclassed() -> Made:
    model = Subclassed()
    model.build((None, 8))
    return Made(model, rows(), LABELS, logits(), copied=False)


def random_graph(seed: int) -> Made:
    """Returns a functional graph of layers drawn at random: branches, shared layers, models in models, two outputs."""
    source = random.Random(seed)
    inputs = L.Input((8,))
    tensors = [inputs]
    known: list[Any] = []
    makers = [
        lambda: L.Dense(8, source.choice(["relu", "tanh", "gelu", None])),
        lambda: L.Dense(8, use_bias=False, kernel_regularizer="l2"),
        lambda: L.BatchNormalization(),
        lambda: L.LayerNormalization(),
        lambda: L.Dropout(0.2, seed=source.randint(0, 99)),
        lambda: L.PReLU(),
        lambda: keras.Sequential([L.Input((8,)), L.Dense(4, "relu"), L.Dense(8)]),
        lambda: L.EinsumDense("ab,bc->ac", 8, bias_axes="c"),
    ]
    for _ in range(source.randint(4, 8)):
        if len(tensors) > 1 and source.random() < 0.4:
            merged = source.choice([L.Add, L.Multiply, L.Average, L.Subtract])()(source.sample(tensors, 2))
            tensors.append(merged)
            continue
        layer = source.choice(known) if known and source.random() < 0.2 else source.choice(makers)()
        known.append(layer)
        tensors.append(layer(source.choice(tensors[-3:])))
    total = L.Concatenate()([tensors[-1], tensors[len(tensors) // 2]])
    if source.random() < 0.5:
        return Made(keras.Model(inputs, L.Dense(CLASSES)(total)), rows(), LABELS, logits())
    model = keras.Model(inputs, [L.Dense(CLASSES, name="cls")(total), L.Dense(1, name="size")(tensors[-1])])
    return Made(model, rows(), [LABELS, rows(1)], [logits(), "mse"])


GRAPHS = 8
SMALL = (
    *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0"),
    *("DenseNet121", "ResNet50", "ResNet50V2", "ResNetRS50", "RegNetX002", "RegNetY002", "ConvNeXtTiny", "VGG16"),
    *("Xception", "InceptionV3"),
)  # of `keras.applications`
MODELS: dict[str, Callable[[], Made]] = {
    made.__name__: made
    for made in (
        *(mlp, mlp_softmax, mlp_binary, regression, mlp_norms, mlp_dropout, regularized, function_activations, lambdas),
        *(operators, float64, mixed, bfloat, frozen, shared, called_twice, same_names, named_outputs, listed_outputs),
        *(normalized, discretized, texts, lookup, rescaled, convnet, separable, grouped, spectral, segmentation),
        *(residual, conv1d, locally, lstm, gru_tokens, bidirectional, stacked_cells, conv_lstm, attention, added_loss),
        *(own_layer, own_step, subclassed),
    )
}
RANDOM = {f"random_graph_{seed}": functools.partial(random_graph, seed) for seed in range(GRAPHS)}
APPLICATIONS = [f"applications.{name}" for name in SMALL]
GROUPS: dict[str, list[str]] = {"named": list(MODELS), "graphs": list(RANDOM), "applications": APPLICATIONS}
MODELS |= RANDOM
UNCOMPILABLE = {"texts", "lookup", "discretized", "lstm", "gru_tokens", "bidirectional", "stacked_cells", "conv_lstm"}


def application(name: str) -> Made:
    small = {"weights": None, "classes": CLASSES, "classifier_activation": None}
    model = getattr(keras.applications, name)(input_shape=(75, 75, 3) if "ception" in name else (32, 32, 3), **small)
    x = np.random.default_rng(8).normal(size=(2 * BATCH, *model.input_shape[1:])).astype(np.float32)
    return Made(model, x, np.arange(len(x)) % CLASSES, logits())
