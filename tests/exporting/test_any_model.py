"""Models of any inputs and outputs: each output by its name, for batches of any size, in every format, or one line."""

import dataclasses
import logging

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras, keras3, tf
from tfprune.exporting import any_model
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.named import of_graph
from tfprune.utils.errors import ConfigError, ModelError, RunError

L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
RANDOM = np.random.default_rng(0)
LARGE, SMALL = (RANDOM.normal(size=(24, 4)).astype("float32") * scale for scale in (100, 1))


def towers():
    """Two inputs of one shape, whose order by name is another than that of the model."""
    b, a = L.Input((4,), name="b"), L.Input((4,), name="a")
    z, y = L.Dense(3, name="z"), L.Dense(2, name="y")
    return b, a, z(L.Dense(6, "relu", name="of_b")(b)), y(L.Dense(6, "relu", name="of_a")(a))


def listed():
    b, a, z, y = towers()
    return keras.Model([b, a], [z, y])


def by_keys():
    b, a, z, y = towers()
    return keras.Model({"second": b, "first": a}, {"one": z, "another": y})


def shared():
    b, a = L.Input((4,), name="b"), L.Input((4,), name="a")
    tower = L.Dense(3, name="tower")
    return keras.Model([b, a], [tower(b), tower(a)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.one, self.another = L.Dense(3), L.Dense(2)

    def call(self, inputs):
        return {"one": self.one(inputs["second"]), "another": self.another(inputs["first"])}


KEYED = {"second": LARGE, "first": SMALL}
MODELS = {  # model, examples, names of the outputs
    "lists": (listed, [LARGE, SMALL], ["z", "y"]),
    "lists, examples by name": (listed, {"a": SMALL, "b": LARGE}, ["z", "y"]),
    "dicts": (by_keys, KEYED, ["another", "one"]),
    "a layer called twice": (shared, [LARGE, SMALL], ["tower", "tower_1"]),
    "subclassed": (Subclassed, KEYED, ["another", "one"]),
}
CASES = [(name, how) for name in FORMATS for how in FORMATS[name].quantize if how in ("none", "int8")]


@pytest.mark.parametrize(("format_name", "quantize"), CASES)
@pytest.mark.parametrize("name", MODELS)
def test_each_output_by_its_name_for_batches_of_any_size(name, format_name, quantize, tmp_path):
    make, data, outputs = MODELS[name]
    model, path = make(), tmp_path / f"model{FORMATS[format_name].suffix}"
    if name == "subclassed" and format_name in ("h5", "keras"):
        with pytest.raises(ModelError, match=r"a file of Keras' layers cannot hold .*; use the format savedmodel"):
            tfprune.export(model, path, data, format=format_name)
        assert not list(tmp_path.iterdir())
        return
    done = tfprune.export(model, path, data, format=format_name, quantize=quantize)
    assert list(done.differences) == outputs and done.examples == 24 and done.raw > done.gzip > 0 and not done.unread
    answer = FORMATS[format_name].load_named(path)
    given = data if isinstance(data, dict) else {"b": data[0], "a": data[1]}
    for count in (1, 3, 7):
        batch = {key: own[:count] for key, own in given.items()}
        expected = model(batch, training=False)
        expected = expected if isinstance(expected, dict) else dict(zip(outputs, expected, strict=True))
        for key, own in answer(batch).items():
            share = 1e-5 if quantize == "none" else 0.05  # of an output that is large or small: each has its own range
            np.testing.assert_allclose(own, expected[key], atol=share * done.largest[key])


@pytest.mark.parametrize("library", [keras, keras3()], ids=["tf_keras", "keras"])
def test_a_sequential_model_in_every_format(library, tmp_path):
    layers = library.layers
    model = library.Sequential([layers.Input((4,)), layers.Dense(6, "relu"), layers.Dense(3, name="out")])
    for name in FORMATS:
        done = tfprune.export(model, tmp_path / f"model{FORMATS[name].suffix}", LARGE, format=name)
        assert list(done.differences) == ["out"] and not done.unread


@pytest.mark.parametrize("library", [keras, keras3()], ids=["tf_keras", "keras"])
def test_grouped_convolutions_which_keras_has_xla_compile(library, tmp_path):
    layers = library.layers
    image = layers.Input((6, 6, 8))
    x = layers.Conv2D(16, 3, groups=4)(layers.Conv2D(8, 3, padding="same", groups=2)(image))
    model = library.Model(image, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)))
    data = RANDOM.normal(size=(8, 6, 6, 8)).astype("float32")
    for name, quantize in CASES:
        path = tmp_path / f"{quantize}{FORMATS[name].suffix}"
        done = tfprune.export(model, path, data, format=name, quantize=quantize)
        assert done.differences["out"] < (1e-5 if quantize == "none" else 0.05 * done.largest["out"]), name


def test_int8_is_calibrated_on_each_input(tmp_path, caplog):
    swapped = [SMALL, LARGE]  # ranges of the other input
    model = listed()
    right = tfprune.export(model, tmp_path / "m.tflite", [LARGE, SMALL], quantize="int8")
    with caplog.at_level(logging.WARNING):
        served_wrong = _exported_with(model, tmp_path / "w.tflite", [LARGE, SMALL], swapped)
    assert served_wrong.differences["z"] > 10 * right.differences["z"]
    assert "as int8, output z differs" in caplog.text and "by more than 10 % of the largest number" in caplog.text


def _exported_with(model, path, data, calibrated):
    drawn = any_model._drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(any_model, "_drawn", lambda given: drawn(dict(zip(("b", "a"), calibrated, strict=True))))
        return tfprune.export(model, path, data, quantize="int8")


def test_inputs_of_other_dtypes_and_shapes(tmp_path):
    image, tokens = L.Input((6, 6, 3), dtype="uint8", name="image"), L.Input((5,), dtype="int32", name="tokens")
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(L.Rescaling(1 / 255)(image)))
    x = L.Concatenate()([x, L.Flatten()(L.Embedding(10, 4)(tokens))])
    model = keras.Model([image, tokens], {"kind": L.Dense(3, "softmax")(x), "box": L.Dense(4)(x)})
    data = {"image": RANDOM.integers(0, 256, (8, 6, 6, 3)).astype("uint8"), "tokens": RANDOM.integers(0, 10, (8, 5))}
    for name, quantize in CASES:
        done = tfprune.export(model, tmp_path / f"m{FORMATS[name].suffix}", data, format=name, quantize=quantize)
        assert done.differences.keys() == {"kind", "box"} and max(done.differences.values()) < 0.05, name
        assert quantize == "int8" or max(done.differences.values()) < 1e-6


@pytest.mark.parametrize("name", ["savedmodel", "onnx", "tflite", "h5", "keras"])
def test_an_output_that_is_wrong_is_named_and_nothing_is_left(name, tmp_path, monkeypatch):
    own = FORMATS[name]

    def swapped(path):
        answer = own.load_named(path)

        def other(given):
            answers = answer(given)
            return answers | {"y": answers["y"] + (len(given["a"]) == 3)}  # in batches of three alone

        return other

    monkeypatch.setattr(any_model, "chosen_format", lambda *_: dataclasses.replace(own, load_named=swapped))
    with pytest.raises(ModelError, match="of 3 examples output y differs from the model's by 1$"):
        tfprune.export(listed(), tmp_path / f"m{own.suffix}", [LARGE, SMALL], format=name)
    assert not list(tmp_path.iterdir())


def test_a_model_of_keras_3(tmp_path):
    theirs = keras3().layers
    b, a = theirs.Input((4,), name="b"), theirs.Input((4,), name="a")
    model = keras3().Model([b, a], [theirs.Dense(3, name="z")(b), theirs.Dense(2, name="y")(a)])
    done = tfprune.export(model, tmp_path / "m.onnx", [LARGE, SMALL])
    assert list(done.differences) == ["z", "y"]


def test_what_is_traced_does_not_ask_for_the_backend_whose_environment_autograph_would_print(monkeypatch):
    layers = keras3().layers
    named = of_graph(keras3().Sequential([layers.Input((4,)), layers.Dense(3)]))
    monkeypatch.setattr("tfprune.exporting.named.keras3", None)
    (answers,) = named.call({name: np.zeros((2, 4), np.float32) for name in named.inputs}).values()
    assert answers.shape == (2, 3)


def test_what_is_pruned_is_zero_in_the_file(tmp_path):
    model = listed()
    model.compile("adam", "mse")
    y = [np.zeros((24, 3), "float32"), np.zeros((24, 2), "float32")]
    pruned = tfprune.train(model, ([LARGE, SMALL], y), method="magnitude_at_init", sparsity=0.5, epochs=1, verbose=0)
    tfprune.export(pruned.model, tmp_path / "m.keras", [LARGE, SMALL])
    loaded = keras3().saving.load_model(tmp_path / "m.keras")
    kernels = [np.asarray(layer.kernel) for layer in loaded.layers if hasattr(layer, "kernel")]
    assert len(kernels) == 4 and sum(np.sum(own == 0) for own in kernels) == sum(own.size for own in kernels) / 2
    with pytest.raises(ModelError, match="got Trained; pass its .model"):
        tfprune.export(pruned, tmp_path / "m.keras", [LARGE, SMALL])


@pytest.mark.parametrize("given", [{}, {"mean": [1001.0] * 4, "variance": [900.0] * 4}], ids=["adapted", "given"])
def test_what_computes_in_two_precisions_is_exported_in_float32(given, tmp_path):
    layers, x = keras3().layers, 1001 + 30 * SMALL
    normal = layers.Normalization(dtype="mixed_bfloat16", **given)
    model = keras3().Sequential([layers.Input((4,)), normal, layers.Dense(2, name="out")])
    if not given:
        normal.adapt(x)
    kernel, mean, deviation = np.asarray(model.layers[-1].kernel), 1001, 30
    if not given:
        mean, deviation = np.asarray(normal.adapt_mean), np.sqrt(np.asarray(normal.adapt_variance))
    for name in ("keras", "savedmodel"):
        path = tmp_path / f"m{FORMATS[name].suffix}"
        tfprune.export(model, path, x, format=name)
        loaded = FORMATS[name].load_named(path)
        (answers,) = loaded(dict.fromkeys(loaded.inputs, x)).values()
        np.testing.assert_allclose(answers, (x - mean) / deviation @ kernel, atol=1e-4)


def words(layer):
    """A model of text and numbers, with a lookup or words that it has been adapted to."""
    text, size = L.Input((1,), dtype="string", name="text"), L.Input((3,), name="size")
    x = L.Concatenate()([layer(text), size])
    return keras.Model([text, size], [L.Dense(3, name="z")(x), L.Dense(2, name="y")(size)])


def vectorization():
    layer = L.TextVectorization(output_mode="multi_hot", pad_to_max_tokens=True, max_tokens=8)
    layer.adapt(["a b", "c d"])
    return layer


TEXTS = {"text": np.array([["a"], ["c"], ["zz"], ["b"]]), "size": np.ones((4, 3))}
NO_KERAS = (
    "'text_vectorization.*' is a TextVectorization, whose words HDF5 does not take.; use the format savedmodel, wh"
)
WORDS = {  # what comes of each format: None is a file
    "lookup": (
        lambda: L.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot"),
        {
            "tflite": "it has no .*; use the format savedmodel$",
            "onnx": "it has no tables, .*; use the format savedmodel$",
        },
    ),
    "words": (
        vectorization,
        {
            "tflite": "it has no StringLower.; use the format savedmodel$",
            "onnx": "it has no tables, .*; use the format savedmodel$",
            "h5": NO_KERAS,
            "keras": NO_KERAS,
        },
    ),
}


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", WORDS)
def test_models_of_texts(name, format_name, tmp_path):
    make, reasons = WORDS[name]
    model, path = words(make()), tmp_path / f"m{FORMATS[format_name].suffix}"
    if format_name in reasons:
        with pytest.raises(ModelError, match=reasons[format_name]) as caught:
            tfprune.export(model, path, TEXTS, format=format_name)
        assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
        return
    done = tfprune.export(model, path, TEXTS, format=format_name)
    assert max(done.differences.values()) < 1e-6 and not done.unread  # so that of HDF5 Keras 3 answers alike too
    answers = FORMATS[format_name].load_named(path)(TEXTS)["z"]
    assert len(np.unique(answers[:, 0])) == 4  # each text has an answer of its own


class Held:
    """What Keras does not look into."""


class Looking(keras.Model):
    """Looks up in a table, and reads a variable that only an object of no Keras holds."""

    def __init__(self, hidden):
        super().__init__()
        self.dense, self.object = L.Dense(3), Held()
        self.object.factor = tf.Variable(2.0)
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [0, 1]), 2)
        (self.object if hidden else self).table = table

    def call(self, words):
        table = getattr(self, "table", None) or self.object.table
        return self.dense(tf.one_hot(table.lookup(words), 3)) * self.object.factor


class Numbers(keras.Model):
    def call(self, x):
        return x * float(x.numpy().mean())


def test_tables_and_variables_of_a_persons_own_are_in_the_file(tmp_path):
    words = np.array(["a", "b", "c"])
    model = Looking(hidden=False)
    expected = model(tf.constant(words)).numpy()
    tfprune.export(model, tmp_path / "model", words)
    (answers,) = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"](tf.constant(words)).values()
    np.testing.assert_array_equal(answers, expected)


def test_a_variable_of_a_persons_own_is_in_a_file_of_tensorflow_lite(tmp_path):
    class Scaled(keras3().Model):
        def __init__(self):
            super().__init__()
            self.factor = tf.Variable(2.0)

        def call(self, x):
            return x * self.factor

    tfprune.export(Scaled(), tmp_path / "model.tflite", LARGE)
    (answers,) = FORMATS["tflite"].load_named(tmp_path / "model.tflite")({"inputs": LARGE}).values()
    np.testing.assert_allclose(answers, 2 * LARGE, rtol=1e-6)


def test_a_file_whose_library_fails_at_it_is_one_line(tmp_path):
    layers = keras3().layers
    tokens = layers.TextVectorization(output_mode="multi_hot", pad_to_max_tokens=True, max_tokens=8)
    tokens.adapt(["a b", "c d"])  # which HDF5 does not hold
    model = keras3().Sequential([layers.Input((1,), dtype="string"), tokens, layers.Dense(2)])
    with pytest.raises(ModelError, match=r"m\.h5: what was written does not answer") as caught:
        tfprune.export(model, tmp_path / "m.h5", TEXTS["text"])
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_what_has_few_digits_may_differ_in_the_last(tmp_path):
    inputs = L.Input((4,), dtype="float16", name="x")
    model = keras.Model(inputs, L.Dense(3, dtype="float16")(L.Dense(16, "relu", dtype="float16")(inputs)))
    tfprune.export(model, tmp_path / "m.onnx", SMALL)


def one(**kwargs):
    inputs = L.Input((4,), **({"name": "x"} | kwargs))
    return keras.Model(inputs, L.Dense(2, name="y")(inputs))


def passing_on():
    inputs = L.Input((4,), name="x")
    return keras.Model(inputs, [inputs, L.Dense(2)(inputs)])


def stateful():
    return keras.Sequential([L.Input(batch_shape=(2, 3, 4)), L.LSTM(3, stateful=True)])


def ragged():
    inputs = L.Input((None,), ragged=True, name="x", dtype="int32")
    return keras.Model(inputs, L.Lambda(lambda x: tf.reduce_sum(x, axis=1))(inputs))


REFUSED = {
    "too few": (listed, [LARGE], "onnx", "the model takes 2 inputs .b, a., got examples of 1; give the examples as"),
    "another name": (listed, {"b": LARGE, "c": SMALL}, "onnx", "there is no input 'c': "),
    "a name too few": (listed, {"b": LARGE}, "onnx", "no examples are given of input 'a'"),
    "not as many": (listed, [LARGE, SMALL[:3]], "onnx", "as many of each input.* 24 of b, 3 of a"),
    "none": (one, LARGE[:0], "onnx", "one at least; got 0 of x"),
    "another shape": (one, LARGE[:, :3], "onnx", r"input x takes examples of shape \(4,\), got \(3,\)"),
    "texts": (one, np.array([["a"] * 4]), "onnx", "input x takes float32, got"),
    "parts of numbers": (lambda: one(dtype="int32"), LARGE, "h5", "takes int32, and the examples hold other numbers"),
    "a batch of one size": (lambda: one(batch_size=2), LARGE, "h5", "takes batches of 2 alone; make the model without"),
    "stateful": (stateful, np.zeros((2, 3, 4)), "tflite", "the model is stateful"),
    "ragged": (ragged, np.zeros((2, 3), "int32"), "onnx", "takes RaggedTensors, which no format does"),
    "passed on": (passing_on, LARGE, "onnx", "its output x has the name of an input"),
    "a word of Python": (lambda: one(name="class"), LARGE, "onnx", "input 'class' must be called as a variable"),
    "a name of TensorFlow": (lambda: one(name="self"), LARGE, "savedmodel", "underscores, no word .* and not self"),
    "no graph": (Numbers, LARGE, "savedmodel", r"cannot be made a graph of TensorFlow \(AttributeError: .*numpy"),
    "a table of nobody": (
        lambda: Looking(hidden=True),
        *(np.array(["a"]), "savedmodel", "looks up in a table that neither it nor one of its layers has"),
    ),
    "unbuilt": (lambda: keras.Sequential([L.Dense(2)]), LARGE, "h5", "begin it with keras.layers.Input"),
    "no model": (lambda: tf.Module(), LARGE, "onnx", "only Keras models are exported, got Module$"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_one_line(name, tmp_path):
    make, data, format_name, reason = REFUSED[name]
    path = tmp_path / f"model{FORMATS[format_name].suffix}"
    with pytest.raises((ConfigError, ModelError), match=reason) as caught:
        tfprune.export(make(), path, data, format=format_name)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "format_name", "reason"),
    [
        ("m.pt", "", "'.pt' says no format; give it with format="),
        ("m", "keras", "a keras file ends with .keras, got ''"),
        ("m.onnx", "tflite", "a tflite file ends with .tflite, got '.onnx'"),
        ("m.hdf5", "savedmodel", "a savedmodel file ends with no suffix, got '.hdf5'"),
        ("m.h5", "torch", "unknown format 'torch'"),
    ],
)
def test_a_path_of_another_format_is_one_line(path, format_name, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        tfprune.export(one(), tmp_path / path, LARGE, format=format_name)
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        tfprune.export(one(), tmp_path / "file" / "m.h5", LARGE)


def test_numbers_that_are_none_are_equal_to_themselves_alone():
    numbers = np.array([1.0, np.nan, np.inf])
    assert any_model._difference(numbers, numbers) == 0
    assert any_model._difference(np.array([1.5, np.nan, np.inf]), numbers) == 0.5
    assert any_model._difference(np.array([1.0, 2.0, np.inf]), numbers) == np.inf
    assert any_model._difference(np.array([1.0, np.nan, -np.inf]), numbers) == np.inf
