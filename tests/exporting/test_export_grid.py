"""Models as people have them, in every format: a file that answers alike, or one line; see `scripts/export_table`."""

import numpy as np
import pytest

from tfprune.adapters.backend import keras
from tfprune.data._base import Data, Inputs, Split
from tfprune.exporting.conversion import TOLERANCE, convert
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.formats._base import calibration
from tfprune.utils.errors import ModelError

L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def functional(shape, *layers, dtype=None):
    inputs = x = L.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def normalization():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (16, 8)).astype("float32"))
    return layer


def batch_normalization():
    ones = keras.initializers.Constant
    return L.BatchNormalization(moving_mean_initializer=ones(128), moving_variance_initializer=ones(5000))


def attention():
    inputs = L.Input((6, 8))
    x = L.MultiHeadAttention(2, 4)(inputs, inputs)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


MODELS = {
    "Rescaling": lambda: functional((8, 8, 3), L.Rescaling(1 / 255), L.Conv2D(4, 3), L.Flatten(), L.Dense(3)),
    "BatchNormalization": lambda: functional(
        (8, 8, 3), batch_normalization(), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(3)
    ),
    "Normalization": lambda: functional((8,), normalization(), L.Dense(8, "relu"), L.Dense(3)),
    "LSTM": lambda: functional((5, 4), L.LSTM(6), L.Dense(3)),
    "masked LSTM": lambda: functional((5, 4), L.Masking(), L.LSTM(6), L.Dense(3)),
    "bidirectional GRU": lambda: functional((5, 4), L.Bidirectional(L.GRU(4)), L.Dense(3)),
    "stacked cells": lambda: functional((5, 4), L.RNN([L.LSTMCell(4), L.GRUCell(4)]), L.Dense(3)),
    "masked Embedding": lambda: functional(
        (5,), L.Embedding(20, 4, mask_zero=True), L.SimpleRNN(4), L.Dense(3), dtype="int32"
    ),
    "any length": lambda: functional((None, 4), L.LSTM(6), L.Dense(3)),
    "ConvLSTM2D": lambda: functional((3, 6, 6, 2), L.ConvLSTM2D(4, 3), L.Flatten(), L.Dense(3)),
    "attention": attention,
    "LeakyReLU": lambda: functional((8,), L.Dense(8), L.LeakyReLU(0.1), L.Dense(3)),
    "nested": lambda: functional((8,), functional((8,), L.Dense(6)), keras.Sequential([L.Input((6,)), L.Dense(3)])),
    "Lambda": lambda: functional((8,), L.Lambda(lambda x: 2 * x), L.Dense(3)),
    "lookup": lambda: functional((1,), L.IntegerLookup(vocabulary=[1, 2], output_mode="one_hot"), L.Dense(3)),
}
UINT8 = ("Rescaling", "BatchNormalization")
ONE_LINE = {  # what cannot be, by model and format; all else is a file
    (
        "any length",
        "tflite",
    ): "'lstm' takes sequences of any length.; give the model's input a length, or use the format savedmodel$",
    ("ConvLSTM2D", "tflite"): "it has no such loop as that of 'conv_lstm2d'.; use the format savedmodel$",
    (
        "ConvLSTM2D",
        "keras",
    ): "ConvLSTM2D 'conv_lstm2d' with the hard_sigmoid of tf_keras; use the format savedmodel, which holds",
    ("Lambda", "h5"): "layer Lambda 'lambda'.*, or use the format savedmodel",
    ("Lambda", "keras"): "layer Lambda 'lambda'.*, or use the format savedmodel",
    ("lookup", "tflite"): "it has no HashTableV2.; use the format savedmodel$",
    ("lookup", "onnx"): "it has no tables, .*; use the format savedmodel$",
    (
        "masked Embedding",
        "tflite",
        "int8",
    ): r"TensorFlow Lite cannot hold this model \(RuntimeError\); do not quantize it, or use the format savedmodel$",
    ("attention", "keras"): "Keras 3 has no such model .*; use the format savedmodel",
    ("masked LSTM", "tflite", "int8"): "cannot answer .*; do not quantize it$",
}
NOT_FOR_KERAS_3 = ("ConvLSTM2D", "attention", "LeakyReLU", "nested")  # as .h5; tf_keras reads it


def data_for(model, name):
    random = np.random.default_rng(0)
    shape = (64, *(side or 5 for side in model.input_shape[1:]))
    if name in UINT8:
        x = random.integers(0, 256, shape).astype("uint8")
    elif name in ("masked Embedding", "lookup"):
        x = random.integers(0, 4, shape).astype(model.input.dtype.as_numpy_dtype)
    else:
        x = random.normal(size=shape).astype("float32")
    if name.startswith("masked"):
        x[::2, 3:] = 0
    y = random.integers(0, 3, len(x))
    raw = Inputs({"x": (x.dtype.name, tuple(model.input_shape[1:]))}, lambda given: given["x"])
    parts = {"train": slice(32), "validation": slice(32, 56), "test": slice(56, None)}
    return Data(
        **{split: Split(x[rows], y[rows]) for split, rows in parts.items()},
        labels=("a", "b", "c"), target="kind", inputs={"serving_default": raw},
    )  # fmt: skip


SLOW = ("masked LSTM", "stacked cells", "bidirectional GRU")  # to write; as LSTM in most formats
QUANTIZED = ("Normalization", "BatchNormalization", "masked Embedding", "nested", "lookup")
CASES = [
    (name, format_name, quantize)
    for name in MODELS
    for format_name in FORMATS
    for quantize in FORMATS[format_name].quantize
    if (name, format_name, quantize) in ONE_LINE
    or (quantize == "none" and (name not in SLOW or format_name in ("onnx", "keras")))
    or (quantize == "int8" and name in QUANTIZED)
]


@pytest.mark.some(every=4)
@pytest.mark.parametrize(
    ("name", "format_name", "quantize"),
    [
        *CASES,
        *(
            pytest.param(name, format_name, quantize, marks=pytest.mark.slow)
            for name in MODELS
            for format_name in FORMATS
            for quantize in FORMATS[format_name].quantize
            if (name, format_name, quantize) not in CASES
        ),
    ],
)
def test_a_file_that_answers_alike_or_one_line(name, format_name, quantize, tmp_path):
    model = MODELS[name]()
    data, path = data_for(model, name), tmp_path / f"model{FORMATS[format_name].suffix}"
    reason = ONE_LINE.get((name, format_name, quantize)) or ONE_LINE.get((name, format_name))
    if reason:
        with pytest.raises(ModelError, match=reason) as caught:
            convert(model, data, path, format_name, quantize)
        assert (
            "\n" not in str(caught.value) and str(caught.value).count("/tmp") <= 1 and ".draft" not in str(caught.value)
        )
        assert not list(tmp_path.iterdir())
        return
    done = convert(model, data, path, format_name, quantize)
    assert done.difference <= (TOLERANCE if quantize == "none" else 0.2)
    assert bool(done.unread) == (format_name == "h5" and name in NOT_FOR_KERAS_3)
    assert all(line.startswith("Keras 3 ") for line in done.unread)


def test_calibration_is_in_the_dtype_of_the_model():
    model = MODELS["Rescaling"]()
    data = data_for(model, "Rescaling")
    assert data.train.x.dtype == "uint8" and calibration(data, np.float32).dtype == "float32"


def test_a_recurrent_tflite_file_does_not_remember_the_last_call(tmp_path):
    model = MODELS["LSTM"]()
    data = data_for(model, "LSTM")
    convert(model, data, tmp_path / "model.tflite", "tflite")
    answer = FORMATS["tflite"].load(tmp_path / "model.tflite")
    first = answer(data.test.x[:1])
    answer(100 * data.test.x[1:3])
    np.testing.assert_array_equal(answer(data.test.x[:1]), first)
    assert not model.layers[1].unroll  # the model itself stays as it was


def test_a_model_that_is_no_classifier_of_these_classes_is_one_line(tmp_path):
    inputs = L.Input((8,))
    model = keras.Model(inputs, [L.Dense(3)(inputs), L.Dense(1)(inputs)])
    data = data_for(MODELS["Normalization"](), "Normalization")
    with pytest.raises(ModelError, match="this has 1 inputs and 2 outputs"):
        convert(model, data, tmp_path / "model.tflite", "tflite")
