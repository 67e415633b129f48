"""Architectures as people bring them. Run as a script it writes the table of docs/compatibility.md.

Each is pruned to half of its kernel weights, trained for a step, exported as a SavedModel, loaded again and counted.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.kernel_names import kernels_of
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.adapters.tf_keras.mask_values import kernels
from tfprune.reporting.tables import update_page
from tfprune.utils.errors import TfpruneError

L = keras.layers
PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
SPARSITY = 0.5
HEADERS = ("architecture", "pruned", "of its weights", "left alone")


def functional(shape, *layers, dtype=None):
    inputs = x = L.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def sequential():
    return keras.Sequential([L.Input((8,)), L.Dense(16, "relu"), L.Dropout(0.5), L.Dense(3)])


def branches():
    inputs = L.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same")(inputs)
    y = L.Conv2D(8, 1, padding="same")(inputs)
    x = L.Concatenate()([L.Add()([x, y]), L.MaxPooling2D(1)(y)])
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def nested():
    inner = keras.Sequential([L.Input((8,)), L.Dense(8, "relu"), L.Dense(8)], name="inner")
    outer = functional((8,), L.Dense(8), inner)
    inputs = L.Input((8,))
    return keras.Model(inputs, L.Dense(3)(outer(inputs)))


def shared():
    one, two = L.Input((8,)), L.Input((8,))
    tower = L.Dense(8, "relu")
    return keras.Model([one, two], L.Dense(3)(L.Subtract()([tower(one), tower(two)])))


def several_inputs():
    image, row = L.Input((8, 8, 1)), L.Input((5,))
    x = L.Concatenate()([L.Flatten()(L.Conv2D(4, 3)(image)), L.Dense(4)(row)])
    return keras.Model([image, row], L.Dense(3)(x))


def several_outputs():
    inputs = L.Input((8,))
    x = L.Dense(16, "relu")(inputs)
    return keras.Model(inputs, [L.Dense(3)(x), L.Dense(1)(x)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = L.Dense(16, "relu"), L.Dense(3)

    def call(self, inputs):
        return self.second(self.first(inputs))


class Block(L.Layer):
    """A layer of somebody's own, made of others."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner, self.outer, self.norm = L.Dense(units, "relu"), L.Dense(units), L.LayerNormalization()

    def call(self, inputs):
        return self.norm(inputs + self.outer(self.inner(inputs)))

    def get_config(self):
        return super().get_config() | {"units": self.units}


class Scale(L.Layer):
    """A layer of somebody's own with weights of its own."""

    def build(self, shape):
        self.scale = self.add_weight("scale", (shape[-1], shape[-1]))

    def call(self, inputs):
        return inputs @ self.scale


class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


def subclassed():
    return Subclassed()


def subclassed_inside():
    return functional((8,), L.Dense(8), Subclassed())


def own_train_step():
    inputs = L.Input((8,))
    return OwnStep(inputs, L.Dense(3)(L.Dense(8)(inputs)))


def transformer():
    tokens = L.Input((6,), dtype="int32")
    x = L.Embedding(20, 8)(tokens)
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)]))
    return keras.Model(tokens, L.Dense(3)(L.GlobalAveragePooling1D()(Block(8)(x))))


def operators():
    inputs = L.Input((8,))
    x = L.Dense(8)(inputs) * 2.0 + inputs
    return keras.Model(inputs, L.Dense(3)(tf.nn.relu(x)))


def unet():
    inputs = L.Input((16, 16, 1))
    down = L.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = L.Conv2D(8, 3, padding="same", activation="relu")(L.MaxPooling2D()(down))
    x = L.Concatenate()([L.Conv2DTranspose(4, 2, strides=2)(x), down])
    return keras.Model(inputs, L.Conv2D(1, 1)(x))


def autoencoder():
    return functional((16,), L.Dense(4, "relu"), L.Dense(16, "sigmoid"))


def preprocessing():
    inside = (L.Resizing(8, 8), L.Rescaling(1 / 255), L.RandomFlip(), L.RandomRotation(0.1), L.CenterCrop(6, 6))
    return functional((10, 10, 3), *inside, L.Conv2D(4, 3), L.Flatten(), L.Dense(3))


def normalized():
    normal = L.Normalization()
    normal.adapt(np.random.default_rng(0).normal(size=(16, 8)))
    return functional((8,), normal, L.Dense(8, "relu"), L.Dense(3))


def application(name, side=32):
    def make():
        body = getattr(keras.applications, name)(
            weights=None, include_top=False, input_shape=(side, side, 3), pooling="avg"
        )
        body.trainable = False
        return functional((side, side, 3), body, L.Dense(3))

    return make


def mixed():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        return functional((8,), L.Dense(16, "relu"), L.Dense(3, dtype="float32"))
    finally:
        keras.mixed_precision.set_global_policy("float32")


ZOO = {
    "Sequential": sequential,
    "functional with branches": branches,
    "models in models": nested,
    "shared layers": shared,
    "several inputs": several_inputs,
    "several outputs": several_outputs,
    "subclassed": subclassed,
    "subclassed in a functional one": subclassed_inside,
    "own `train_step`": own_train_step,
    "own layer made of layers": lambda: functional((8,), Block(8), L.Dense(3)),
    "own layer with weights": lambda: functional((8,), Scale(), L.Dense(3)),
    "LSTM": lambda: functional((6, 4), L.LSTM(8), L.Dense(3)),
    "GRU, bidirectional": lambda: functional((6, 4), L.Bidirectional(L.GRU(4)), L.Dense(3)),
    "stacked RNN cells": lambda: functional((6, 4), L.RNN([L.LSTMCell(4), L.LSTMCell(4)]), L.Dense(3)),
    "ConvLSTM2D": lambda: functional((3, 6, 6, 2), L.ConvLSTM2D(4, 3), L.Flatten(), L.Dense(3)),
    "TimeDistributed": lambda: functional((6, 4), L.TimeDistributed(L.Dense(8)), L.Flatten(), L.Dense(3)),
    "Conv1D": lambda: functional((12, 4), L.Conv1D(8, 3), L.GlobalMaxPooling1D(), L.Dense(3)),
    "Conv3D": lambda: functional((6, 6, 6, 2), L.Conv3D(4, 3), L.GlobalAveragePooling3D(), L.Dense(3)),
    "U-Net with transposed convolutions": unet,
    "depthwise and separable": lambda: functional(
        (8, 8, 4), L.DepthwiseConv2D(3), L.SeparableConv2D(8, 3), L.GlobalAveragePooling2D(), L.Dense(3)
    ),
    "MultiHeadAttention, Embedding, LayerNorm": transformer,
    "EinsumDense": lambda: functional((6, 4), L.EinsumDense("abc,cd->abd", (6, 8)), L.Flatten(), L.Dense(3)),
    "Embedding": lambda: functional((6,), L.Embedding(20, 8), L.Flatten(), L.Dense(3), dtype="int32"),
    "BatchNorm": lambda: functional((8, 8, 3), L.Conv2D(8, 3), L.BatchNormalization(), L.Flatten(), L.Dense(3)),
    "GroupNorm, UnitNorm": lambda: functional(
        (8, 8, 3), L.Conv2D(8, 3), L.GroupNormalization(4), L.UnitNormalization(), L.Flatten(), L.Dense(3)
    ),
    "PReLU": lambda: functional((8,), L.Dense(8), L.PReLU(), L.Dense(3)),
    "Rescaling, Resizing, random flips": preprocessing,
    "Normalization": normalized,
    "Lambda": lambda: functional((8,), L.Lambda(lambda x: 2 * x), L.Dense(8), L.Dense(3)),
    "TensorFlow operators": operators,
    "autoencoder": autoencoder,
    "mixed precision": mixed,
    "frozen MobileNetV2": application("MobileNetV2"),
    "frozen EfficientNetB0": application("EfficientNetB0"),
    "frozen ResNet50": application("ResNet50"),
    "frozen DenseNet121": application("DenseNet121"),
}
LARGE = [name for name in ZOO if name.startswith("frozen")]
IN_PLACE = {"subclassed"}  # cannot be copied


def examples(model, count=4):
    """Returns a batch that fits the model, and zeros for it to learn."""
    random = np.random.default_rng(0)
    x = []
    for tensor in model.inputs or [L.Input((8,))]:
        shape = (count, *tensor.shape[1:])
        x.append(random.integers(0, 8, shape) if tensor.dtype.is_integer else random.normal(size=shape))
    x = [own.astype("int32" if own.dtype == np.int64 else "float32") for own in x]
    x = x[0] if len(x) == 1 else x
    y = [np.zeros(output.shape, np.float32) for output in tf.nest.flatten(model(x))]
    return x, y[0] if len(y) == 1 else y


def run(name, folder):
    """Prunes, trains, exports and counts one; returns its row of the table."""
    keras.utils.set_random_seed(0)
    model = ZOO[name]()
    x, y = examples(model)
    model.compile("adam", "mse")
    result = tfprune.train(
        model, (x, y), method="magnitude_at_init", scope="layer", sparsity=SPARSITY, epochs=1, verbose=0,
        in_place=name in IN_PLACE,
    )  # fmt: skip
    for kernel, mask in result.masks.items():
        assert mask.sum() == round(SPARSITY * mask.size), kernel
    trained = kernels(result.model)
    for kernel, mask in result.masks.items():
        np.testing.assert_array_equal(trained[kernel] == 0, mask == 0, err_msg=kernel)
    tf.saved_model.save(result.model, str(folder))
    loaded = tf.saved_model.load(str(folder))
    stored = sorted((v.name, int(np.count_nonzero(v.numpy()))) for v in loaded.variables)
    assert stored == sorted((v.name, int(np.count_nonzero(v.numpy()))) for v in result.model.variables)
    total = sum(int(np.prod(v.shape)) for v in result.model.weights)
    pruned = sum(mask.size for mask in result.masks.values())
    alone = sorted(
        {type(layer).__name__ for layer in leaf_layers(result.model) if layer.weights and not kernels_of(layer)}
    )
    return name, "in place" if name in IN_PLACE else "yes", f"{100 * pruned / total:.0f} %", ", ".join(alone)


def rows_of_page():
    """Returns the rows that the page has: architecture -> cells."""
    lines = PAGE.read_text(encoding="utf-8").partition("<!-- zoo -->")[2].partition("<!-- /zoo -->")[0].splitlines()
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines]
    return {row[0]: row for row in rows if row and row[0] in ZOO}


def main(names):
    """Renews the rows of these architectures, or of all."""
    from tabulate import tabulate

    rows = rows_of_page()
    for name in names or ZOO:
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows[name] = run(name, Path(folder) / "model")
            except TfpruneError as error:
                rows[name] = (name, "no", "", str(error))
        keras.backend.clear_session()
        print(rows[name], file=sys.stderr, flush=True)
        ordered = [rows[known] for known in ZOO if known in rows]
        update_page(PAGE, "zoo", tabulate(ordered, HEADERS, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main(sys.argv[1:])
