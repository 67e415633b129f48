import subprocess
import sys

import numpy as np
import pytest
from readers import READERS

import tfprune
from tfprune.adapters.backend import keras
from tfprune.data._base import Data, Inputs, Split
from tfprune.data.objectives._base import softmax
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.formats._base import calibration, extra, single
from tfprune.utils.errors import ConfigError, ModelError

CASES = [(name, quantize) for name in FORMATS for quantize in FORMATS[name].quantize]


@pytest.fixture
def data(examples):
    x, y = examples
    raw = Inputs({"pixels": ("float32", (8, 8, 3))}, lambda given: given["pixels"])
    splits = {
        "train": Split(x[:48], y[:48]),
        "validation": Split(x[48:80], y[48:80]),
        "test": Split(x[80:], y[80:]),
    }
    return Data(**splits, labels=("a", "b", "c"), target="kind", inputs={"serving_default": raw})


def answers_of(model, x):
    return softmax(np.asarray(model(x, training=False)))


@pytest.mark.parametrize(("name", "quantize"), CASES)
def test_what_is_written_answers_like_the_model_for_any_batch(name, quantize, conv_net, data, tmp_path):
    chosen, path = FORMATS[name], tmp_path / f"model{FORMATS[name].suffix}"
    chosen.write(conv_net, data, path, quantize)
    answer = chosen.load(path)
    for count in (1, 5):
        x = data.test.x[:count]
        assert answer(x).shape == (count, 3)
        np.testing.assert_allclose(answer(x), answers_of(conv_net, x), atol=1e-5 if quantize == "none" else 0.1)


def test_its_own_library_reads_it_without_this_package(conv_net, data, tmp_path):
    x, code = data.test.x[:4], ["import sys, numpy as np"]
    np.save(tmp_path / "x.npy", x)
    for name in FORMATS:
        path = tmp_path / f"model{FORMATS[name].suffix}"
        FORMATS[name].write(conv_net, data, path, "none")
        code += [f"path, x = {str(path)!r}, np.load({str(tmp_path / 'x.npy')!r})", READERS[name]]
        code += [f"np.save({str(tmp_path / f'{name}.npy')!r}, answers)"]
    code += ["assert 'tfprune' not in sys.modules"]
    subprocess.run([sys.executable, "-I", "-c", "\n".join(code)], check=True, capture_output=True)
    for name in FORMATS:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), answers_of(conv_net, x), atol=1e-5, err_msg=name)


def test_a_file_of_int8_alone_is_asked_in_the_unit_of_the_inputs(tmp_path):
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")  # of which whole numbers leave little
    expected = model(x).numpy()
    tfprune.export(model, tmp_path / "model.tflite", x, quantize="int8-io")
    answer = single(FORMATS["tflite"].load_named(tmp_path / "model.tflite"), "out")
    np.testing.assert_allclose(answer(x), expected, atol=0.05 * np.abs(expected).max())


def test_int8_and_float16_are_smaller(data, tmp_path):
    layers = keras.layers
    model = keras.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(256), layers.Dense(3)])
    sizes = {}
    for quantize in FORMATS["tflite"].quantize:
        FORMATS["tflite"].write(model, data, tmp_path / "model.tflite", quantize)
        sizes[quantize] = (tmp_path / "model.tflite").stat().st_size
    assert sizes["int8"] < 0.3 * sizes["none"] and sizes["dynamic"] < 0.3 * sizes["none"]
    assert 0.4 * sizes["none"] < sizes["float16"] < 0.6 * sizes["none"]


def test_calibration_examples_are_training_examples_and_always_the_same(data):
    chosen = calibration(data, np.float32)
    np.testing.assert_array_equal(chosen, calibration(data, np.float32))
    np.testing.assert_array_equal(chosen, data.train.x)  # all of them, since they are few


def test_a_package_that_is_missing_is_named_with_the_remedy():
    with pytest.raises(ModelError, match=r"the package absent_package is missing; pip install 'tfprune\[export\]'"):
        extra("absent_package.part")


def test_an_unknown_format_lists_the_choices():
    with pytest.raises(ConfigError, match="unknown format 'tflight': did you mean tflite"):
        FORMATS["tflight"]
