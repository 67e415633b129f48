"""Small models of Keras 3 as people bring them, each with data and a loss that fit."""

import random

import numpy as np

from tfprune.adapters.backend import keras3_module as keras

L = keras.layers
BACKEND = keras.backend.backend()
EXAMPLES, CLASSES = 24, 3
SOURCE = np.random.default_rng(0)
ROWS = SOURCE.normal(size=(EXAMPLES, 8)).astype(np.float32)
IMAGES = SOURCE.normal(size=(EXAMPLES, 8, 8, 3)).astype(np.float32)
SERIES = SOURCE.normal(size=(EXAMPLES, 5, 4)).astype(np.float32)
TOKENS = SOURCE.integers(0, 9, (EXAMPLES, 6))
CLIPS = SOURCE.normal(size=(EXAMPLES, 3, 6, 6, 2)).astype(np.float32)
LABELS = np.arange(EXAMPLES) % CLASSES


def logits():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def of_layers(x, *layers, y=LABELS, head=True, loss=None, kind=None):
    inputs = out = L.Input(x.shape[1:], dtype=str(x.dtype))
    for layer in (*layers, *([L.Dense(CLASSES, name="out")] if head else [])):
        out = layer(out)
    return (kind or keras.Model)(inputs, out), x, y, loss or logits()


def mlp():
    return keras.Sequential([L.Input((8,)), L.Dense(16, "relu"), L.Dense(3)]), ROWS, LABELS, logits()


def regularized():
    penalties = {"kernel_regularizer": "l2", "kernel_constraint": keras.constraints.MaxNorm(1.0)}
    return of_layers(ROWS, L.Dense(16, "relu", **penalties), L.Dense(8, activity_regularizer="l1"))


def dropout():
    return of_layers(ROWS, L.Dense(16, "relu"), L.Dropout(0.3, seed=5), L.GaussianNoise(0.1, seed=3))


def convnet():
    layers = [L.Conv2D(8, 3, use_bias=False), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D()]
    return of_layers(IMAGES, *layers, L.GlobalAveragePooling2D())


def separable():
    return of_layers(IMAGES, L.SeparableConv2D(8, 3), L.DepthwiseConv2D(3), L.GroupNormalization(4), L.Flatten())


def recurrent():
    return of_layers(SERIES, L.Bidirectional(L.LSTM(4, return_sequences=True)), L.GRU(6))


def lookup():
    return of_layers(TOKENS, L.Embedding(9, 6), L.Conv1D(8, 3, activation="gelu"), L.GlobalMaxPooling1D())


def attention():
    inputs = L.Input((5, 4))
    x = L.LayerNormalization()(L.Add()([inputs, L.MultiHeadAttention(2, 4)(inputs, inputs)]))
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x))), SERIES, LABELS, logits()


def shared():
    body = keras.Sequential([L.Input((8,)), L.Dense(8, "relu"), L.Dense(8)], name="body")
    inputs = L.Input((8,))
    return keras.Model(inputs, L.Dense(3)(body(body(inputs)))), ROWS, LABELS, logits()


def several():
    inputs = L.Input((8,), name="row")
    x = L.Dense(16, "relu", name="first")(inputs)
    model = keras.Model({"row": inputs}, {"cls": L.Dense(3, name="cls")(x), "size": L.Dense(1, name="size")(x)})
    return model, {"row": ROWS}, {"cls": LABELS, "size": ROWS[:, :1]}, {"cls": logits(), "size": "mse"}


def frozen():
    return of_layers(ROWS, L.Dense(16, "relu", trainable=False), L.Dense(8, "relu"))


def mixed():
    return of_layers(ROWS, L.Dense(16, "relu", dtype="mixed_bfloat16"), L.Dense(8, dtype="mixed_float16"))


def branches():
    inputs = L.Input((8, 8, 3))
    x, y = L.Conv2D(8, 3, padding="same")(inputs), L.Conv2D(8, 1, padding="same")(inputs)
    x = L.Concatenate()([L.Add()([x, y]), L.MaxPooling2D(1)(y)])
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x))), IMAGES, LABELS, logits()


def nested():
    """Models in models, whose layers have the same names."""

    def body(name, units):
        layers = [L.Input((8,)), L.Dense(units, "relu", name="d1"), L.Dense(8, name="d2")]
        return keras.Sequential(layers, name=name)

    inputs = L.Input((8,))
    inner = keras.Model(inputs, L.Add()([body("a", 16)(inputs), body("b", 12)(inputs)]), name="inner")
    outer = L.Input((8,))
    return keras.Model(outer, L.Dense(3, name="head")(inner(outer))), ROWS, LABELS, logits()


def two_inputs():
    image, row = L.Input((8, 8, 3)), L.Input((8,))
    x = L.Concatenate()([L.Flatten()(L.Conv2D(4, 3)(image)), L.Dense(4)(row)])
    return keras.Model([image, row], L.Dense(3)(x)), [IMAGES, ROWS], LABELS, logits()


def two_outputs():
    inputs = L.Input((8,))
    x = L.Dense(16, "relu")(inputs)
    model = keras.Model(inputs, [L.Dense(3, name="cls")(x), L.Dense(1, name="size")(x)])
    return model, ROWS, [LABELS, ROWS[:, :1]], [logits(), "mse"]


def siamese():
    one, two = L.Input((8,), name="one"), L.Input((8,), name="two")
    tower = L.Dense(8, "relu")
    return (
        *(keras.Model([one, two], L.Dense(3)(L.Subtract()([tower(one), tower(two)]))), [ROWS, ROWS[::-1].copy()]),
        *(LABELS, logits()),
    )


def volumes():
    return of_layers(CLIPS, L.Conv3D(4, 2, activation="relu"), L.GlobalAveragePooling3D())


def each_step():
    return of_layers(CLIPS, L.TimeDistributed(L.Conv2D(3, 3)), L.TimeDistributed(L.Flatten()), L.SimpleRNN(6))


def conv_lstm():
    return of_layers(CLIPS, L.ConvLSTM2D(4, 3), L.Flatten())


def stacked_cells():
    return of_layers(SERIES, L.RNN([L.LSTMCell(4), L.GRUCell(5)]))


def masked_steps():
    series = SERIES.copy()
    series[::2, 3:] = 0.0
    return of_layers(series, L.Masking(), L.LSTM(6))


def masked_words():
    return of_layers(TOKENS, L.Embedding(9, 6, mask_zero=True), L.GRU(6))


def unet():
    inputs = L.Input((8, 8, 3))
    down = L.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = L.Conv2D(8, 3, padding="same", activation="relu")(L.MaxPooling2D()(down))
    x = L.Concatenate()([L.Conv2DTranspose(4, 2, strides=2)(x), down])
    return keras.Model(inputs, L.Conv2D(1, 1)(x)), IMAGES, IMAGES[..., :1], "mse"


def autoencoder():
    return of_layers(ROWS, L.Dense(4, "relu"), L.Dense(8), y=ROWS, head=False, loss="mse")


def einsum():
    return of_layers(SERIES, L.EinsumDense("abc,cd->abd", (5, 8), bias_axes="d"), L.Flatten())


def shared_keys():
    inputs = L.Input((5, 4))
    x = L.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)(inputs, inputs)
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(x))), SERIES, LABELS, logits()


def transformer():
    tokens = L.Input((6,), dtype="int64")
    x = L.Embedding(9, 8)(tokens)
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)]))
    x = L.LayerNormalization(rms_scaling=True)(L.Add()([x, L.Dense(8)(L.Dense(16, "gelu")(x))]))
    return keras.Model(tokens, L.Dense(3)(L.GlobalAveragePooling1D()(x))), TOKENS, LABELS, logits()


def norms():
    layers = [L.Dense(16), L.LayerNormalization(), L.PReLU(), L.Dense(8), L.UnitNormalization()]
    return of_layers(ROWS, *layers)


def spectral():
    return of_layers(IMAGES, L.SpectralNormalization(L.Conv2D(8, 3)), L.GlobalAveragePooling2D())


def grouped():
    return of_layers(IMAGES, L.Conv2D(9, 3, groups=3, activation="relu"), L.Flatten())


def normalized():
    layer = L.Normalization()
    layer.adapt(1000 + ROWS)
    return of_layers(1000 + ROWS, layer, L.Dense(16, "relu"))


def preprocessing():
    return of_layers(IMAGES, L.Rescaling(1 / 255), L.Resizing(6, 6), L.CenterCrop(5, 5), L.Conv2D(4, 3), L.Flatten())


def operators():
    inputs = L.Input((8,))
    x = L.Dense(8)(inputs) * 2.0 + inputs
    x = keras.ops.concatenate([keras.ops.relu(x), keras.ops.reshape(inputs, (-1, 8))], axis=-1)
    return keras.Model(inputs, L.Dense(3)(x)), ROWS, LABELS, logits()


def float64():
    """On JAX, which has float32 alone unless asked, it is that."""
    return of_layers(ROWS, L.Dense(16, "relu", dtype="float64"), L.Dense(8, dtype="float64"))


@keras.saving.register_keras_serializable("architectures")
class Gate(L.Layer):
    """A layer of a person's own, with a matrix of its own and a layer inside."""

    def build(self, shape):
        self.inner = L.Dense(shape[-1], "sigmoid")
        self.inner.build(shape)
        self.matrix = self.add_weight(name="matrix", shape=(shape[-1], shape[-1]), initializer="orthogonal")
        super().build(shape)

    def call(self, inputs):
        self.add_loss(1e-3 * keras.ops.mean(inputs))
        return self.inner(inputs) * keras.ops.matmul(inputs, self.matrix)


def own_layer():
    return of_layers(ROWS, L.Dense(8, "relu"), Gate())


@keras.saving.register_keras_serializable("architectures")
class Own(keras.Model):
    """A model of a person's own."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.blocks = [L.Dense(16, "relu"), L.Dense(16, "relu")]
        self.head = {"cls": L.Dense(3)}

    def build(self, shape):
        for block, width in zip(self.blocks, (8, 16), strict=True):
            block.build((None, width))
        self.head["cls"].build((None, 16))
        super().build(shape)

    def call(self, inputs, training=None):
        for block in self.blocks:
            inputs = block(inputs)
        return self.head["cls"](inputs)


def subclassed():
    model = Own()
    model.build((None, 8))
    return model, ROWS, LABELS, logits()


def subclassed_inside():
    inputs = L.Input((8,))
    return keras.Model(inputs, Own()(L.Dense(8, "relu")(inputs))), ROWS, LABELS, logits()


def own_step():
    return of_layers(ROWS, L.Dense(16, "relu"), kind=stepping())


def stepping():
    """Returns a class of models with a training step of a person's own, as Keras' guides have it for each backend."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        class Stepping(keras.Model):
            def train_step(self, data):
                x, y = data[:2]
                with tf.GradientTape() as tape:
                    value = self.compute_loss(y=y, y_pred=self(x, training=True))
                own = self.trainable_variables
                self.optimizer.apply_gradients(zip(tape.gradient(value, own), own, strict=True))
                return {"loss": value}
    elif BACKEND == "torch":
        import torch

        class Stepping(keras.Model):
            def train_step(self, data):
                x, y = data[:2]
                self.zero_grad()
                value = self.compute_loss(y=y, y_pred=self(x, training=True))
                value.backward()
                own = self.trainable_weights
                with torch.no_grad():
                    self.optimizer.apply([weight.value.grad for weight in own], own)
                return {"loss": value}
    else:
        import jax

        class Stepping(keras.Model):
            def train_step(self, state, data):
                trained, others, optimizer, metrics = state
                x, y = data[:2]

                def value(trained, others):
                    out, others = self.stateless_call(trained, others, x, training=True)
                    return self.compute_loss(x, y, out), others

                (found, others), grads = jax.value_and_grad(value, has_aux=True)(trained, others)
                trained, optimizer = self.optimizer.stateless_apply(optimizer, grads, trained)
                return {"loss": found}, (trained, others, optimizer, metrics)

    return keras.saving.register_keras_serializable("architectures")(Stepping)


def random_graph(seed):
    """Returns a graph of layers drawn at random: branches, shared layers, models in models, two outputs."""
    source = random.Random(seed)
    inputs = L.Input((8,))
    tensors, known = [inputs], []
    makers = [
        lambda: L.Dense(8, source.choice(["relu", "tanh", "gelu", None])),
        lambda: L.Dense(8, use_bias=False, kernel_regularizer="l2"),
        L.BatchNormalization,
        L.LayerNormalization,
        lambda: L.Dropout(0.2, seed=source.randint(0, 99)),
        L.PReLU,
        lambda: keras.Sequential([L.Input((8,)), L.Dense(4, "relu"), L.Dense(8)]),
        lambda: L.EinsumDense("ab,bc->ac", 8, bias_axes="c"),
    ]
    for _ in range(source.randint(4, 8)):
        if len(tensors) > 1 and source.random() < 0.4:
            tensors.append(source.choice([L.Add, L.Multiply, L.Average, L.Subtract])()(source.sample(tensors, 2)))
            continue
        layer = source.choice(known) if known and source.random() < 0.2 else source.choice(makers)()
        known.append(layer)
        tensors.append(layer(source.choice(tensors[-3:])))
    total = L.Concatenate()([tensors[-1], tensors[len(tensors) // 2]])
    if source.random() < 0.5:
        return keras.Model(inputs, L.Dense(3)(total)), ROWS, LABELS, logits()
    model = keras.Model(inputs, [L.Dense(3, name="cls")(total), L.Dense(1, name="size")(tensors[-1])])
    return model, ROWS, [LABELS, ROWS[:, :1]], [logits(), "mse"]


def _graph(seed):
    def made():
        return random_graph(seed)

    made.__name__ = f"random_graph_{seed}"
    return made


ARCHITECTURES = {
    made.__name__: made
    for made in (
        *(mlp, regularized, dropout, convnet, separable, recurrent, lookup, attention, shared, several, frozen, mixed),
        *(branches, nested, two_inputs, two_outputs, siamese, volumes, each_step, conv_lstm, stacked_cells),
        *(masked_steps, masked_words, unet, autoencoder, einsum, shared_keys, transformer, norms, spectral, grouped),
        *(normalized, preprocessing, operators, float64, own_layer, subclassed, subclassed_inside, own_step),
        *map(_graph, range(6)),
    )
}
IN_PLACE = {"subclassed", "subclassed_inside"}  # cannot be copied
STRUCTURED = {"several", "two_outputs", *(name for name in ARCHITECTURES if name.startswith("random"))}
SLOW_TO_COMPILE = {"recurrent", "each_step", "conv_lstm", "stacked_cells", "masked_steps", "masked_words"}  # by XLA
