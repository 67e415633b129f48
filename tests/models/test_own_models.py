import dataclasses
import json
import os
import sys
import textwrap
import zipfile

import h5py
import numpy as np
import pytest

from tfprune import cli
from tfprune.adapters.backend import keras, keras3, tf
from tfprune.adapters.loading.gate import load_model, model_from_json
from tfprune.adapters.loading.trust import FUNCTIONS, TRUST, trust_function
from tfprune.experiments.building import initial_weights, load_data, restore
from tfprune.experiments.experiment import train
from tfprune.models._user import build_as_brought, build_model, is_function, user_model
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, ModelError

L = keras.layers


# Keras 3's own, where it saves and converts arrays.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def untrusted(monkeypatch):
    monkeypatch.delenv(TRUST, raising=False)
    monkeypatch.setenv(FUNCTIONS, "")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module beside which commands run; returns what does that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(code, name="brought"):
        (tmp_path / f"{name}.py").write_text("import tf_keras as keras\nL = keras.layers\n" + textwrap.dedent(code))
        sys.modules.pop(name, None)
        return tmp_path / f"{name}.py"

    yield write
    sys.modules.pop("brought", None)


SMALL = """
    def net(input_shape, classes, *, width=8):
        return keras.Sequential([L.Input(input_shape), L.Dense(width, activation="relu"), L.Dense(classes)])
"""


def small(classes=3, end="softmax", inputs=12):
    return keras.Sequential(
        [L.Input((inputs,)), L.Dense(8, activation="relu", name="a"), L.Dense(classes, end, name="b")]
    )


def config(model, tmp_path, **changes):
    """Returns the settings of a run whose model somebody has typed."""
    if is_function(str(model)):
        trust_function(model)
    return Config(**{"dataset": "penguins", "model": str(model), "epochs": 6, "out": str(tmp_path / "runs")} | changes)


def test_a_persons_function_is_trained_and_its_settings_are_the_models(module, tmp_path):
    module(SMALL)
    result = train(config("brought:net", tmp_path, model_settings={"width": 16}))
    assert result.metrics["sparsity"]["layers"]["dense/kernel"]["size"] == 12 * 16
    assert result.config.model_name == "net"
    again = restore(result, load_data(result.config))
    assert again.count_params() == 12 * 16 + 16 + 16 * 3 + 3


def test_a_run_of_several_sigmoids_exports_what_its_accuracy_counts(module, tmp_path, caplog):
    """The probabilities are those of a softmax: of the choice of one class, which is what is trained and counted."""
    module(SMALL.replace("L.Dense(classes)", 'L.Dense(classes, "sigmoid")'))
    with caplog.at_level("WARNING"):
        result = train(config("brought:net", tmp_path, epochs=20))
    assert "ends with 3 sigmoids: an example has one class here" in caplog.text
    test = load_data(result.config).test
    signature = tf.saved_model.load(str(result.model)).signatures["model_inputs"]
    probabilities = signature(inputs=tf.constant(test.x))["probabilities"].numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    own = result.metrics["test"]
    assert own["accuracy"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == test.y))
    assert own["loss"] == pytest.approx(-np.mean(np.log(probabilities[np.arange(len(test)), test.y])), rel=1e-4)


def test_a_function_is_not_imported_before_it_is_called_and_never_for_a_stored_run(module, tmp_path):
    path = module('raise RuntimeError("imported")')
    settings = config("brought:net", tmp_path)
    assert Config.from_dict(settings.to_dict()).run_id == settings.run_id
    path.write_text(path.read_text() + "# changed\n")
    assert config("brought:net", tmp_path).run_id != settings.run_id  # the code is part of what a run is
    with pytest.raises(RuntimeError, match="imported"):
        train(settings)


def test_a_config_file_cannot_name_a_function_to_import(module, tmp_path, monkeypatch, capsys):
    module(SMALL)
    (tmp_path / "run.json").write_text(json.dumps({"dataset": "penguins", "model": "brought:net", "epochs": 3}))
    code, _, err = call(monkeypatch, capsys, "train", "--config", "run.json")
    assert code == 2 and "would be imported, which executes code" in err and "--model brought:net" in err
    code, _, err = call(monkeypatch, capsys, "train", "--config", "run.json", "--model", "brought:net")
    assert code == 0, err


def call(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tfprune", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("code", "model", "message"),
    [
        (SMALL, "absent:net", "there is no module 'absent'"),
        (SMALL, "brought:nett", "module brought has no function 'nett': did you mean net"),
        (SMALL, "brought.deeper:net", "brought is a module and no package"),
        ("def net(): return 5", "brought:net", "a Keras model is needed, got builtins.int"),
        ("def net(depth): return None", "brought:net", "model brought:net needs 'depth'"),
        ("def net(): return keras.Sequential([L.Dense(3)])", "brought:net", None),
        ("def net(): return keras.Sequential([L.Input((5,)), L.Dense(3)])", "brought:net", r"shape \(5,\), the data's"),
        (
            "def net(): return keras.Sequential([L.Dense(1)])",
            "brought:net",
            r"returns \(1,\) an example, the data have 3",
        ),
        (
            "def net():\n  a, b = L.Input((12,)), L.Input((2,))\n"
            "  return keras.Model([a, b], L.Dense(3)(L.Concatenate()([a, b])))",
            "brought:net",
            "has 2 inputs and 1 outputs; a run takes models of one each, tfprune.train from Python any",
        ),
        (
            "def net():\n  a = L.Input((12,))\n  return keras.Model(a, [L.Dense(3, 'softmax')(a), L.Dense(1)(a)])",
            "brought:net",
            "has 1 inputs and 2 outputs",
        ),
        (
            "class Net(keras.Model):\n  def call(self, x): return x[:, :3], x[:, 3:]\ndef net(): return Net()",
            "brought:net",
            "has 1 inputs and 2 outputs",
        ),
    ],
)
def test_functions_that_do_not_fit_are_said_in_one_line(module, tmp_path, code, model, message):
    module(code)
    if message is None:
        settings = config(model, tmp_path)
        assert build_model(model, (12,), 3, settings.model_settings).built
        return
    with pytest.raises((ModelError, ConfigError), match=message) as caught:
        settings = config(model, tmp_path)
        build_model(model, (12,), 3, settings.model_settings)
    assert "\n" not in str(caught.value)


def test_unknown_settings_of_a_function_are_named(module, tmp_path):
    module(SMALL)
    trust_function("brought:net")
    with pytest.raises(ConfigError, match="has no setting 'widht': did you mean width"):
        build_model("brought:net", (12,), 3, user_model("brought:net", {"widht": 3})[1])


@pytest.mark.some(every=3)
@pytest.mark.parametrize("suffix", ["h5", "keras", "saved_model"])
def test_files_of_tf_keras_start_from_their_weights(tmp_path, suffix):
    model, path = small(), tmp_path / f"net.{suffix}"
    model.save(path) if suffix != "saved_model" else model.save(path, save_format="tf")
    settings = config(path, tmp_path, epochs=3, settings={"events": [1 / 3, 2 / 3]})
    assert settings.model == str(path) and len(settings.model_settings["fingerprint"]) == 12
    data = load_data(settings)
    for own, stored in zip(initial_weights(settings, data), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, stored)
    assert np.any(initial_weights(settings, data, "reinit")[0] != model.get_weights()[0])
    x = data.train.x[:5]
    logits = build_model(str(path), (12,), 3, settings.model_settings)(x)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(x), atol=1e-6)  # the softmax is left to the loss
    result = train(settings)
    assert result.metrics["sparsity"]["achieved"] == pytest.approx(0.31, abs=0.01)
    os.rename(path, tmp_path / "moved")
    assert restore(result, data).count_params() == model.count_params()  # needs the file no more


def test_runs_go_by_a_files_content_and_not_by_its_place(tmp_path):
    (tmp_path / "b").mkdir()
    for path in (tmp_path / "net.h5", tmp_path / "b" / "net.h5"):
        keras.utils.set_random_seed(1)
        small().save(path)
    content = (tmp_path / "net.h5").read_bytes()
    (tmp_path / "b" / "net.h5").write_bytes(content)
    one, two = (config(path, tmp_path) for path in (tmp_path / "net.h5", tmp_path / "b" / "net.h5"))
    assert one.run_id == two.run_id
    small().save(tmp_path / "net.h5")
    assert config(tmp_path / "net.h5", tmp_path).run_id != one.run_id


@pytest.mark.parametrize("suffix", ["h5", "keras", "saved_model"])
def test_a_lambda_layer_is_refused_before_anything_is_executed(tmp_path, suffix, monkeypatch):
    model = keras.Sequential([L.Input((12,)), L.Lambda(lambda x: x * 2.0, name="double"), L.Dense(3)])
    path = tmp_path / f"net.{suffix}"
    model.save(path) if suffix != "saved_model" else model.save(path, save_format="tf")
    monkeypatch.setattr(keras.layers.Lambda, "from_config", lambda *_: pytest.fail("was made"))
    with pytest.raises(ModelError, match="it would execute code: layer Lambda 'double'; .* --trust"):
        load_model(path)
    monkeypatch.undo()
    monkeypatch.setenv(TRUST, "1")
    np.testing.assert_allclose(load_model(path)(np.ones((1, 12))), model(np.ones((1, 12))), rtol=1e-6)


def test_a_lambda_layer_of_keras_3_is_refused(tmp_path):
    k = keras3()
    k.Sequential([k.Input((4,)), k.layers.Lambda(lambda x: x + 1), k.layers.Dense(3)]).save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match="it would execute code: layer Lambda 'lambda"):
        load_model(tmp_path / "net.keras")


@keras.utils.register_keras_serializable("somebody")
class Doubling(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def test_custom_objects_are_refused(tmp_path):
    keras.Sequential([L.Input((4,)), Doubling(name="twice"), L.Dense(3)]).save(tmp_path / "net.h5")
    with pytest.raises(ModelError, match="custom object somebody>Doubling 'twice'"):
        load_model(tmp_path / "net.h5")


def test_operations_that_touch_files_are_refused_and_those_of_tensors_are_not(tmp_path):
    inputs = L.Input((4,))
    keras.Model(inputs, L.Dense(3)(tf.reshape(tf.nn.relu(inputs + 1.0), (-1, 4)))).save(tmp_path / "net.h5")
    assert load_model(tmp_path / "net.h5").count_params() == 15
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace("nn.relu", "io.read_file")
    with pytest.raises(ModelError, match="it would execute code: TensorFlow's io.read_file"):
        load_model(tmp_path / "net.h5")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"nonsense"), "this is no Keras file, whatever its name says"),
        (lambda path: small().save_weights(path.with_suffix(".h5")), "it holds weights alone, without the model"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "this is no Keras file, whatever its name says"),
        (lambda path: path.mkdir(), r"this is no SavedModel \(it has no saved_model.pb\)"),
        (lambda path: tf.saved_model.save(tf.Module(), str(path)), "has a graph and no layers of Keras"),
        (lambda path: None, "there is no such file"),
    ],
)
def test_files_that_are_no_models_are_said_in_one_line(tmp_path, make, message):
    path = tmp_path / "net.keras"
    make(path)
    if path.with_suffix(".h5").exists():
        path = path.with_suffix(".h5")
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_a_stored_architecture_executes_nothing_either():
    text = keras.Sequential([L.Input((4,)), L.Lambda(lambda x: x)]).to_json()
    with pytest.raises(ModelError, match="it would execute code: layer Lambda"):
        model_from_json(text, "architecture.json")


def test_a_run_whose_function_would_have_to_be_imported_asks_for_trust(module, tmp_path):
    module(SMALL)
    result = train(config("brought:net", tmp_path))
    result.folder.architecture.unlink()
    without = {key: own for key, own in result.metrics.items() if key not in ("files", "checksum")}
    result = dataclasses.replace(result, metrics=without)
    result.folder.metrics.write_text(json.dumps(without))
    os.environ[FUNCTIONS] = ""  # as in another command
    with pytest.raises(ModelError, match="brought:net would be imported, which executes code"):
        restore(result, load_data(result.config))


def test_images_are_scaled_as_the_model_expects_them(tmp_path):
    def net(*first):
        return keras.Sequential([L.Input((4, 4, 1)), *first, L.Flatten(), L.Dense(2, name="d")])

    pixels = np.full((1, 4, 4, 1), 255, np.uint8)
    for first, rescale, ones in (
        ((), "auto", 1.0),
        ((), "none", 255.0),
        ((), "signed", 1.0),
        ((L.Rescaling(1 / 51),), "auto", 5.0),
    ):
        model = net(*first)
        model.save(tmp_path / "net.h5")
        settings = user_model(str(tmp_path / "net.h5"), {"rescale": rescale})[1]
        ours = build_model(str(tmp_path / "net.h5"), (4, 4, 1), 2, settings, dtype="uint8")
        expected = model.get_layer("d")(np.full((1, 16), ones, np.float32))
        np.testing.assert_allclose(ours(pixels), expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50V2"])
def test_applications_by_name(name):
    settings = user_model(f"applications:{name}", {"frozen": True})[1]
    model = build_model(f"applications:{name}", (32, 32, 3), 5, settings, dtype="uint8")
    assert model.output_shape == (None, 5) and model.input.dtype == "uint8"
    assert [weight.name for weight in model.trainable_weights] == ["logits/kernel:0", "logits/bias:0"]


def test_those_of_keras3_are_of_keras3():
    settings = user_model("keras3:MobileNet", {"frozen": True})[1]
    model, _ = build_as_brought("keras3:MobileNet", (32, 32, 3), 5, settings)
    assert isinstance(model, keras3().Model) and model.output_shape == (None, 5) and model.input.dtype == "uint8"
    assert [weight.path for weight in model.trainable_weights] == ["logits/kernel", "logits/bias"]
    with pytest.raises(ConfigError, match="keras3:RegNetX002: the other Keras has it, take applications:RegNetX002"):
        build_as_brought("keras3:RegNetX002", (32, 32, 3), 5, settings)


@pytest.mark.parametrize(
    ("name", "settings", "shape", "message"),
    [
        ("MobileNetV9", {}, (32, 32, 3), "unknown model applications:MobileNetV9: did you mean MobileNet"),
        ("MobileNetV2", {"alpha": 3}, (32, 32, 3), "has no setting 'alpha'"),
        ("MobileNetV2", {"pretrained": True}, (32, 32, 1), "needs images of 3 channels"),
        ("InceptionV3", {}, (8, 8, 3), "applications:InceptionV3 cannot be made"),
        ("MobileNetV2", {}, (12,), "needs images of at least 1 x 1"),
    ],
)
def test_applications_that_cannot_be_made_are_said(name, settings, shape, message):
    with pytest.raises((ModelError, ConfigError), match=message):
        build_model(f"applications:{name}", shape, 3, user_model(f"applications:{name}", settings)[1])
