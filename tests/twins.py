"""Random combinations of model, optimizer, `compile`, `fit` and callbacks, each trained by Keras and by tfprune.

Two things must hold of each. Pruning to nothing is plain Keras: the same weights, the same logs, the same calls of a
callback, the same state of the optimizer. Pruning to a share leaves exactly that many zeros at the end of every batch
and in every file. Run as a script it tries many and writes the table of docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import functools
import json
import logging
import random
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.kernel_names import named_kernels
from tfprune.adapters.tf_keras.mask_values import get_masks
from tfprune.pruning.events import PruningEvent
from tfprune.reporting.tables import update_page
from tfprune.utils.errors import TfpruneError

L = keras.layers
PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
EXAMPLES, BATCH, EPOCHS, CLASSES = 24, 8, 3, 3
STEPS = EXAMPLES // BATCH


# -- models -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Made:
    """A model and what it is trained on.

    Attributes:
        model: not compiled.
        x, y: arrays, or structures of them.
        loss: that fits it.
        copied: whether it can be copied; otherwise it is trained in place.
        drawn: whether it draws at random in training, from seeds that a copy does not have.
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


# -- optimizers -------------------------------------------------------------------------------------------------------

NEW = ("SGD", "Adam", "AdamW", "RMSprop", "Nadam", "Adagrad", "Adadelta", "Adamax", "Ftrl", "Lion", "Adafactor")
OLD = ("SGD", "Adam", "RMSprop", "Nadam", "Adagrad", "Adadelta", "Adamax", "Ftrl")
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    **{name: functools.partial(getattr(keras.optimizers, name), 0.02) for name in NEW},
    **{f"legacy.{name}": functools.partial(getattr(keras.optimizers.legacy, name), 0.02) for name in OLD},
    "SGD nesterov": lambda: keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True, global_clipnorm=0.5),
    "SGD decayed": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.05, EPOCHS * STEPS), momentum=0.9, clipvalue=0.1
    ),
    "Adam amsgrad": lambda: keras.optimizers.Adam(0.02, amsgrad=True, clipnorm=0.5, weight_decay=1e-3),
    "Adam averaged": lambda: keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.5),
    "SGD averaged, overwriting": lambda: keras.optimizers.SGD(
        0.02, 0.9, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
    "RMSprop centered": lambda: keras.optimizers.RMSprop(0.02, momentum=0.5, centered=True),
    "Adam scaled": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(0.02)),
    "legacy.SGD decayed": lambda: keras.optimizers.legacy.SGD(0.02, momentum=0.9, decay=0.01, clipnorm=0.5),
    "Adam, no XLA": lambda: keras.optimizers.Adam(0.02, jit_compile=False),
    "by name": lambda: "adam",
}


# -- compile and fit --------------------------------------------------------------------------------------------------

COMPILES = ("plain", "metrics", "weighted metrics", "loss weights", "eager", "steps per execution", "XLA")


def compiled(made: Made, optimizer: Any, how: str) -> None:
    arguments: dict[str, Any] = {}
    several = isinstance(made.loss, (dict, list))
    if how == "metrics":
        arguments["metrics"] = {"cls": ["accuracy"], "size": "mse"} if several else ["accuracy", keras.metrics.Mean]
        arguments["metrics"] = arguments["metrics"] if several else ["accuracy"]
    elif how == "weighted metrics":
        arguments["weighted_metrics"] = {"cls": ["accuracy"]} if several else ["mae"]
    elif how == "loss weights" and several:
        arguments["loss_weights"] = {"cls": 0.3, "size": 0.7} if isinstance(made.loss, dict) else [0.3, 0.7]
    elif how == "eager":
        arguments["run_eagerly"] = True
    elif how == "steps per execution":
        arguments["steps_per_execution"] = 2
    elif how == "XLA":
        arguments["jit_compile"] = True
    made.model.compile(optimizer=optimizer, loss=made.loss, **arguments)


class Batches(keras.utils.Sequence):
    """What a person wrote to read their batches."""

    def __init__(self, parts: tuple) -> None:
        super().__init__()
        self.parts = parts

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> Any:
        return tf.nest.map_structure(lambda a: a[index * BATCH : (index + 1) * BATCH], self.parts)


def forever(parts: tuple) -> Any:
    batches = Batches(parts)
    while True:
        for index in range(len(batches)):
            yield batches[index]


FITS = (
    *("arrays", "weights", "weights apart", "class weights", "validation data", "validation split", "validation set"),
    *("data set", "repeated data set", "sequence", "generator", "late start", "shuffled", "tensors"),
)


def fit_arguments(made: Made, how: str) -> tuple[Any, dict[str, Any]]:
    """Returns the data and the further arguments of `fit`."""
    x, y = made.x, made.y
    x = {key: value for key, value in x.items()} if isinstance(x, dict) else tuple(x) if isinstance(x, list) else x
    y_tuple = tuple(y) if isinstance(y, list) else y
    weights = np.linspace(0.5, 1.5, len(tf.nest.flatten(x)[0])).astype(np.float32)
    weights = tf.nest.map_structure(lambda own: weights, y_tuple)
    own: dict[str, Any] = {"shuffle": False, "batch_size": BATCH}
    batched = {"batch_size": None, "shuffle": None}
    if how == "weights":
        return (x, y, weights), own
    if how == "weights apart":
        return (x, y), own | {"sample_weight": weights}
    if how == "class weights" and not isinstance(y, (dict, list)) and np.ndim(y) == 1:
        return (x, y), own | {"class_weight": {0: 0.5, 1: 1.0, 2: 2.0}}
    if how == "validation data":
        return (x, y), own | {"validation_data": (x, y), "validation_batch_size": 5}
    if how == "validation split" and not isinstance(x, (dict, tuple)) and x.dtype.kind != "U":
        return (x, y), own | {"validation_split": 0.25}
    if how == "validation set":
        batches = tf.data.Dataset.from_tensor_slices((x, y_tuple)).batch(5).repeat()
        return (x, y), own | {"validation_data": batches, "validation_steps": 2, "validation_freq": 2}
    if how == "data set":
        return tf.data.Dataset.from_tensor_slices((x, y_tuple)).batch(BATCH), batched
    if how == "repeated data set":
        parts = (x, y_tuple, weights)
        return tf.data.Dataset.from_tensor_slices(parts).repeat().batch(BATCH), batched | {"steps_per_epoch": 2}
    if how == "sequence":
        return Batches((x, y_tuple)), batched | {"shuffle": False}
    if how == "generator":
        return forever((x, y_tuple, weights)), batched | {"steps_per_epoch": STEPS}
    if how == "late start":
        return (x, y), own | {"initial_epoch": 1}
    if how == "shuffled":
        return (x, y), {"batch_size": BATCH}
    if how == "tensors":
        return (tf.nest.map_structure(tf.constant, x), tf.nest.map_structure(tf.constant, y)), own
    return (x, y), own


# -- callbacks --------------------------------------------------------------------------------------------------------


class Counting(keras.callbacks.Callback):
    """Counts the calls of each hook, and keeps the logs of the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: collections.Counter[str] = collections.Counter()
        self.logs: list[dict[str, float]] = []
        for name in ("on_train_begin", "on_train_end", "on_epoch_begin", "on_test_begin", "on_test_end"):
            setattr(self, name, functools.partial(self._count, name))

    def _count(self, name: str, *_: Any) -> None:
        self.calls[name] += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls[f"batch {batch}"] += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls[f"epoch {epoch}"] += 1
        self.logs.append({name: float(value) for name, value in logs.items() if name != "sparsity"})


class SecondEpoch(keras.callbacks.ModelCheckpoint):
    """Saves at the end of every second epoch: a SavedModel traces all layers anew, which takes longer than a `fit`."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch % 2:
            super().on_epoch_end(epoch, logs)


CALLBACKS: dict[str, Callable[[Path], Any]] = {
    "EarlyStopping": lambda _: keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True),
    "EarlyStopping at once": lambda _: keras.callbacks.EarlyStopping("loss", patience=0, min_delta=99.0),
    "ReduceLROnPlateau": lambda _: keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1.0),
    "LearningRateScheduler": lambda _: keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 / (1 + epoch)),
    "ModelCheckpoint .keras": lambda d: keras.callbacks.ModelCheckpoint(str(d / "c.keras")),
    "ModelCheckpoint .h5": lambda d: keras.callbacks.ModelCheckpoint(str(d / "c.h5"), save_best_only=False),
    "ModelCheckpoint SavedModel": lambda d: SecondEpoch(str(d / "c.tf"), save_format="tf"),
    "ModelCheckpoint weights": lambda d: keras.callbacks.ModelCheckpoint(str(d / "w.h5"), save_weights_only=True),
    "ModelCheckpoint batches": lambda d: keras.callbacks.ModelCheckpoint(
        str(d / "b"), save_weights_only=True, save_freq=2
    ),
    "BackupAndRestore": lambda d: keras.callbacks.BackupAndRestore(str(d / "backup")),
    "CSVLogger": lambda d: keras.callbacks.CSVLogger(str(d / "log.csv")),
    "TensorBoard": lambda d: keras.callbacks.TensorBoard(str(d / "board"), histogram_freq=1),
    "LambdaCallback": lambda _: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "TerminateOnNaN": lambda _: keras.callbacks.TerminateOnNaN(),
}
STOPPING = {"EarlyStopping", "EarlyStopping at once"}
SCHEDULED = {"SGD decayed"}  # whose rate callbacks cannot set


@dataclasses.dataclass(frozen=True)
class Combination:
    """What is trained, and how."""

    model: str
    optimizer: str
    compile: str
    fit: str
    callbacks: tuple[str, ...]
    host: str
    method: str


METHODS = ("dynamic", "gradual", "magnitude_at_init", "set", "pruned", "snip")


def drawn(count: int, seed: int, models: Sequence[str] | None = None) -> list[Combination]:
    """Returns random combinations; each name of each axis comes about equally often."""
    source = random.Random(seed)
    models, combinations = _deck(models or MODELS, source), []
    optimizers, compiles, fits = _deck(OPTIMIZERS, source), _deck(COMPILES, source), _deck(FITS, source)
    methods, hosts, listening = _deck(METHODS, source), _deck(("train", "callbacks"), source), _deck(CALLBACKS, source)
    while len(combinations) < count:
        callbacks = tuple({next(listening): None for _ in range(source.randint(0, 3))})
        own = Combination(*map(next, (models, optimizers, compiles, fits)), callbacks, next(hosts), next(methods))
        if own.compile == "XLA" and own.model in UNCOMPILABLE:  # where TensorFlow itself may take the process down
            own = dataclasses.replace(own, compile="plain")
        combinations.append(own)
    return combinations


def _deck(names: Any, source: random.Random) -> Any:
    """Yields names, each once before any comes again."""
    while True:
        yield from source.sample(list(names), len(list(names)))


# -- training ---------------------------------------------------------------------------------------------------------


class KerasRefuses(Exception):
    """Plain Keras itself cannot do it."""


@dataclasses.dataclass
class Outcome:
    """What a training leaves."""

    weights: list[np.ndarray]
    slots: list[np.ndarray]
    logs: list[dict[str, float]]
    calls: Mapping[str, int]
    history: Mapping[str, Any]
    names: list[str]


def made_for(own: Combination) -> Made:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    kind, _, name = own.model.rpartition(".")
    made = application(name) if kind else MODELS[name]()
    compiled(made, OPTIMIZERS[own.optimizer](), own.compile)
    keras.utils.set_random_seed(1)
    return made


def make_slots(model: Any) -> None:
    """Makes what the optimizer remembers now: TensorFlow traces a step twice whose first call makes variables."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if model.built:
        build = optimizer.build if hasattr(optimizer, "build") else optimizer._create_all_weights
        build(model.trainable_variables)


def trained(own: Combination, folder: Path, sparsity: float | None, watching: Sequence[Any] = ()) -> Outcome:
    """Trains a combination, by Keras alone if `sparsity` is None."""
    made = made_for(own)
    data, arguments = fit_arguments(made, own.fit)
    counting = Counting()
    callbacks = [*(CALLBACKS[name](folder) for name in own.callbacks), counting, *watching]
    arguments = {name: value for name, value in arguments.items() if value is not None}
    method = "unpruned" if sparsity == 0.0 else own.method
    asked = {"method": method, "epochs": EPOCHS} | ({"sparsity": sparsity} if sparsity else {})
    if sparsity is not None and own.host == "train":
        result = tfprune.train(
            made.model, data, callbacks=callbacks, in_place=not made.copied, verbose=0, **asked, **arguments
        )
        model, history = result.model, {}
    else:
        if sparsity is not None:
            callbacks = [*tfprune.callbacks(made.model, data=data, **asked), *callbacks]
        parts = {"x": data}
        if isinstance(data, tuple):
            parts = dict(zip(("x", "y", "sample_weight"), data, strict=False))
        history = made.model.fit(**parts, **arguments, epochs=EPOCHS, callbacks=callbacks, verbose=0).history
        model = made.model
    slots = model.optimizer.variables() if callable(model.optimizer.variables) else model.optimizer.variables
    values = [np.asarray(slot) for slot in slots]
    return Outcome(model.get_weights(), values, counting.logs, counting.calls, history, model.output_names)


class Watch(keras.callbacks.Callback):
    """Looks whether what is pruned is zero, exactly as many as asked for, at the end of every batch and epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.seen = 0

    def look(self, when: str) -> None:
        masks = get_masks(self.model)
        for kernel in named_kernels(self.model):
            if kernel.name not in masks:
                continue
            off = np.count_nonzero(kernel.variable.numpy()[masks[kernel.name] == 0])
            self.seen += int(np.count_nonzero(masks[kernel.name] == 0))
            if off:
                self.wrong.append(f"{off} pruned weights of {kernel.name} are not zero {when}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.look(f"after batch {batch}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.look(f"after epoch {epoch}")

    def on_train_end(self, logs: Any = None) -> None:
        self.last = self.model


def tried(own: Combination) -> tuple[str, str]:
    """Trains a combination plainly, pruned to nothing and pruned to a half.

    Returns:
        `equal` (to the bit), `rounded` (equal but for rounding: another graph), `unsteady` (Keras does not come to
        the same twice), `keras` (plain Keras cannot do it), `refused` (in one line) or `wrong`; and what is to be said
        of it.
    """
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / own for own in ("plain", "again", "nothing", "half")]
        for folder in folders:
            folder.mkdir()
        try:
            plain = trained(own, folders[0], None)
        except Exception as error:
            return "keras", f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100] if str(error) else ''}"
        try:
            nothing = trained(own, folders[2], 0.0)
            outcome, difference = "equal", differences(plain, nothing)
            if difference:
                outcome, difference = "rounded", differences(plain, nothing, exact=False)
            if difference and differences(plain, trained(own, folders[1], None), exact=False):
                outcome, difference = "unsteady", ""
            difference = difference or half(own, folders[3]) or _files_differ(folders[0], folders[2])
        except TfpruneError as error:
            return "refused", str(error)
        except Exception:
            return "wrong", traceback.format_exc()
        return ("wrong", difference) if difference else (outcome, "")


def differences(one: Outcome, other: Outcome, exact: bool = True) -> str:
    """Returns in what two trainings differ; nothing if in nothing."""
    if one.calls != other.calls:
        return f"calls of callbacks: {dict(one.calls)} and {dict(other.calls)}"
    if one.names != other.names:
        return f"names of outputs: {one.names} and {other.names}"
    if [list(row) for row in one.logs] != [list(row) for row in other.logs]:
        return f"names in the logs: {one.logs[0]} and {other.logs[0]}"
    equal = np.array_equal if exact else functools.partial(np.allclose, rtol=1e-4, atol=1e-5)
    pairs = [
        ("logs", *([value for row in own.logs for value in row.values()] for own in (one, other))),
        *(("a weight", a, b) for a, b in zip(one.weights, other.weights, strict=True)),
        *(("a slot", a, b) for a, b in zip(one.slots, other.slots, strict=True)),
    ]
    for what, a, b in pairs:
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind not in "fiub":
            same = np.array_equal(a, b)
        else:
            same = a.shape == b.shape and equal(np.nan_to_num(a), np.nan_to_num(b))
        if not same:
            return f"{what}: by {np.max(np.abs(a - b)) if a.shape == b.shape else (a.shape, b.shape)}"
    return ""


def half(own: Combination, folder: Path) -> str:
    """Prunes a combination to a half; returns what is wrong."""
    if own.method == "snip" and own.fit == "generator":
        own = dataclasses.replace(own, method="dynamic")
    if own.fit == "late start":
        own = dataclasses.replace(own, method="pruned")
    watch = Watch()
    trained(own, folder, 0.5, [watch])
    watch.look("after the training")
    if watch.wrong:
        return watch.wrong[0]
    masks = get_masks(watch.last)
    stopped = STOPPING & set(own.callbacks) and own.method not in ("pruned", "magnitude_at_init", "snip")
    total, zeros = sum(m.size for m in masks.values()), sum(int(np.sum(m == 0)) for m in masks.values())
    event = PruningEvent(sparsity=0.5)
    if own.method in ("dynamic", "gradual", "pruned") and not stopped:
        for name, mask in masks.items():
            if int(mask.sum()) != event.keep(mask.size, mask.size):
                return f"{name} keeps {int(mask.sum())} of {mask.size}"
    if not stopped and abs(zeros / total - 0.5) > 0.5 * len(masks) / total:
        return f"{zeros} of {total} weights are pruned"
    return "" if own.method == "pruned" else _files_are_sparse(folder, watch.last, masks)


def _files_are_sparse(folder: Path, model: Any, masks: Mapping[str, np.ndarray]) -> str:
    """Returns which file, written at the end of the last epoch, is not as sparse as the model."""
    for name in ("c.keras", "c.h5", "c.tf"):
        path = folder / name
        if not path.exists():
            continue
        with contextlib.suppress(ValueError, TypeError, NotImplementedError):  # Keras cannot read what it wrote
            loaded = keras.models.load_model(path, compile=False, safe_mode=False)
            kernels = {own.name: own.variable.numpy() for own in named_kernels(loaded)}
            known = {key: mask for key, mask in masks.items() if key in kernels}
            written = sum(int(np.sum(kernels[key] == 0)) for key in known)
            if name != "c.tf" and written == 0 and sum(int(np.sum(m == 0)) for m in known.values()):
                return f"{name} is dense"
    return ""


def _files_differ(one: Path, other: Path) -> str:
    """Returns what a training wrote and another did not."""
    names = [sorted(own.name for own in folder.iterdir()) for folder in (one, other)]
    return "" if names[0] == names[1] else f"files: {names[0]} and {names[1]}"


OUTCOMES = {
    "equal": "to the bit",
    "rounded": "but for rounding",
    "unsteady": "Keras unsteady",
    "keras": "Keras cannot",
    "refused": "refused",
    "wrong": "wrong",
}


def table(path: Path) -> str:
    """Returns what a file of JSON lines says, a row a model, as Markdown."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    counts = collections.defaultdict(collections.Counter)
    for own in found:
        counts[own["model"]][own["outcome"]] += 1
        counts["all"][own["outcome"]] += 1
    shown = [key for key in OUTCOMES if counts["all"][key]]
    lines = [["model", "combinations", *(OUTCOMES[key] for key in shown)]]
    lines += [
        [name.replace("_", " "), counts[name].total(), *(counts[name][key] or "" for key in shown)]
        for name in [*(name for group in GROUPS.values() for name in group if name in counts), "all"]
    ]
    said = sorted({f"{own['model'].replace('_', ' ')}: {own['said']}" for own in found if own["outcome"] == "refused"})
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "tf-keras"))
    text = f"{len(found)} combinations, with {packages}:\n\n{markdown(lines)}\n"
    return text + "".join(f"\n* {line}" for line in said) + ("\n" if said else "")


def markdown(lines: Sequence[Sequence[object]]) -> str:
    head, *rest = lines
    return tabulate([list(map(str, row)) for row in rest], list(map(str, head)), tablefmt="github")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one to try")
    parser.add_argument("--group", choices=GROUPS, default="named", help="of models")
    parser.add_argument("--out", type=Path, help="a file of JSON lines to write")
    parser.add_argument("--table", type=Path, help="write the page from such a file, and try nothing")
    options = parser.parse_args()
    if options.table:
        update_page(PAGE, "twins", table(options.table))
        return
    counts: collections.Counter[str] = collections.Counter()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    for number, own in enumerate(drawn(options.count, options.seed, GROUPS[options.group])):
        if number < options.first:
            continue
        outcome, said = tried(own)
        counts[outcome] += 1
        if outcome in ("wrong", "refused") or options.out:
            print(number, outcome, own, said, sep=" | ", flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(
                    json.dumps({"number": number, **dataclasses.asdict(own), "outcome": outcome, "said": said}) + "\n"
                )
    print(dict(counts))


if __name__ == "__main__":
    sys.exit(main())
