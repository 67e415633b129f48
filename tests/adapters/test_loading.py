"""What a file from elsewhere would do when it is loaded, see `adapters.loading`."""

import inspect
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from tensorflow.python.framework import op_def_registry

import tfprune
from tfprune import cli
from tfprune.adapters.backend import keras, keras3, saved_model, tf
from tfprune.adapters.loading import allowed
from tfprune.adapters.loading.configs import BESIDE, UNREAD, check_config
from tfprune.adapters.loading.gate import load_graph, load_model, load_onnx, load_tflite, model_from_json
from tfprune.adapters.loading.trust import FUNCTIONS, TRUST
from tfprune.experiments.run_files import read_json
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.inference import Predictor
from tfprune.exporting.savedmodel import load_weights
from tfprune.training.config import Config
from tfprune.utils.errors import ModelError

L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def untrusted(monkeypatch):
    monkeypatch.delenv(TRUST, raising=False)
    monkeypatch.setenv(FUNCTIONS, "")


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command; returns its exit code and what it wrote to stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tfprune", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, capsys.readouterr().err

    return run


def small(*first):
    return keras.Sequential([L.Input((12,)), *first, L.Dense(8, "relu", name="a"), L.Dense(3, name="b")])


# F1, F2: functions are imported only if they were typed


def stored(tmp_path, **changes):
    """Writes a run's folder that holds nothing but settings, as a stranger would."""
    config = Config(dataset="penguins", epochs=6)
    folder = tmp_path / "runs" / config.run_id
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict() | changes))
    return folder


CALLS = {"model": "os:system", "model_settings": {"command": "touch PWNED", "fingerprint": ""}}


def test_a_runs_settings_import_nothing(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    folder = stored(tmp_path, **CALLS)
    code, said = command("resume", folder)
    assert code == 2 and re.fullmatch(
        "Error: model os:system would be imported.*add --model os:system or --trust\n", said
    )
    code, said = command("train", "--config", folder / "config.json")
    assert code == 2 and "os:system would be imported" in said
    assert not Path("PWNED").exists()


def test_a_plan_imports_nothing(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("s.json").write_text(json.dumps({"dataset": "penguins", "epochs": 6, **CALLS}))
    for words in (("sweep", "s.json"), ("sweep", "s.json", "--dry-run"), ("train", "--config", "s.json")):
        code, said = command(*words)
        assert code == 2 and said.count("\n") == 1 and "os:system would be imported" in said
    assert not Path("PWNED").exists()


# F6: places that a run's settings name


def test_places_in_a_runs_settings_count_only_if_they_are_typed(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    data_dir = tmp_path / "prepared"
    folder = stored(tmp_path, mlflow=str(tmp_path / "tracked"), data_dir=str(data_dir), out=str(tmp_path / "out"))
    code, said = command("resume", folder)
    assert code == 0, said
    assert f"left aside, as nobody typed it: mlflow={tmp_path}/tracked, data_dir={data_dir}" in said
    assert f"to have it, add --mlflow {tmp_path}/tracked --data-dir {data_dir}, or --trust" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
    assert "mlflow" not in {key for key, value in read_json(folder / "config.json").items() if value is not None}


def test_files_that_a_runs_settings_name_are_read_only_if_they_are_typed(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{n % 7},{n % 5},{'ab'[n % 2]}" for n in range(60))
    Path("own.csv").write_text(f"x,z,label\n{rows}\n")
    small_table = keras.Sequential([L.Input((2,)), L.Dense(4, "relu", name="a"), L.Dense(2, name="b")])
    small_table.save("own.h5")
    config = Config(dataset="own.csv", data_settings={"label": "label"}, model="own.h5", epochs=6, out="runs")
    folder = Path("runs", config.run_id)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    code, said = command("resume", folder)
    assert (code, said) == (
        2,
        f"Error: the run's data set is read only if it is typed: add --dataset {tmp_path}/own.csv, or --trust\n",
    )
    code, said = command("resume", folder, "--dataset", "own.csv")
    assert (code, said) == (
        2,
        f"Error: the run's model is read only if it is typed: add --model {tmp_path}/own.h5, or --trust\n",
    )
    assert command("resume", folder, "--dataset", "own.csv", "--model", "own.h5")[0] == 0
    code, said = command("export", folder, "--format", "h5")
    assert code == 2 and "add --dataset" in said
    assert command("export", folder, "--format", "h5", "--dataset", "own.csv")[0] == 0
    small_table.get_layer("a").bias.assign(np.ones(4))
    small_table.save("other.h5")
    shutil.rmtree(folder / "model")
    (folder / "metrics.json").unlink()
    code, said = command("resume", folder, "--dataset", "own.csv", "--model", "other.h5")
    assert code == 2 and "a folder with these settings must be called" in said


@pytest.mark.parametrize("changes", [{"dataset": "tfds:own"}, {"dataset": "own.csv"}, {"model": "own.h5"}, CALLS])
def test_what_a_run_names_is_not_opened_to_look_at_it(tmp_path, monkeypatch, command, changes):
    """A run's settings always have the fingerprints of what they name; without one it would be looked for."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("own.csv")
    os.mkfifo("own.h5")
    folder = stored(tmp_path, **changes | {"model_settings": {"command": "x"}} if "model" in changes else changes)
    code, said = command("resume", folder)
    assert code == 2 and re.fullmatch(r"Error: .*config\.json: .* has no fingerprint, which a run's always has\n", said)
    code, said = command("train", "--config", folder / "config.json")
    assert code == 2 and said.count("\n") == 1


def test_a_link_to_a_runs_settings_is_a_runs_settings(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("mine.json").symlink_to(stored(tmp_path, mlflow="http://127.0.0.1:9/", epochs=0) / "config.json")
    code, said = command("train", "--config", "mine.json")
    assert code == 2 and "left aside, as nobody typed it: mlflow=" in said


def test_models_of_a_run_that_are_links_are_not_followed(tmp_path, command):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (run / "exports").mkdir(parents=True)
    reaching_out(elsewhere, REACHING_OUT["WriteFile"], tmp_path / "written")
    (run / "model").symlink_to(elsewhere)
    code, said = command("predict", run, tmp_path / "x.csv")
    assert code == 2 and f"{run}/model: this is a symbolic link" in said
    (run / "model").unlink()
    (run / "exports" / "model.h5").symlink_to("/etc/passwd")
    code, said = command("predict", run, tmp_path / "x.csv")
    assert code == 2 and f"{run}/exports/model.h5: this is a symbolic link" in said


# F3, F13: containers


def test_no_archive_hides_behind_another_format(tmp_path):
    path = tmp_path / "poly.h5"
    small(L.Lambda(lambda x: x, name="evil")).save(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
        file.writestr("metadata.json", "{}")
    for load in (load_model, FORMATS["h5"].load):
        with pytest.raises(ModelError, match="two formats in one file"):
            load(path)
    for suffix in (".keras", ".hdf5"):
        shutil.copy(path, path.with_suffix(suffix))
        with pytest.raises(ModelError, match="whatever its name says|two formats in one file"):
            load_model(path.with_suffix(suffix))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", ["external storage", "external link", "soft link", "virtual"])
def test_weights_come_from_the_file_itself(tmp_path, suffix, kind):
    secret, path = tmp_path / "secret", tmp_path / f"net{suffix}"
    secret.write_bytes(np.arange(96, dtype="float32").tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.ones((12, 8), "float32")
    small().save(path)
    inner = path
    if suffix == ".keras":
        with zipfile.ZipFile(path) as file:
            file.extractall(tmp_path / "parts")
        inner = tmp_path / "parts" / "model.weights.h5"
    with h5py.File(inner, "r+") as file:
        name = []
        file.visititems(lambda at, item: name.append(at) if getattr(item, "shape", ()) == (12, 8) else None)
        del file[name[0]]
        if kind == "external storage":
            file.create_dataset(name[0], (12, 8), "float32", external=[(str(secret), 0, 384)])
        elif kind == "external link":
            file[name[0]] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
        elif kind == "soft link":
            file[name[0]] = h5py.SoftLink("/nowhere")
        else:
            layout = h5py.VirtualLayout((12, 8), "float32")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (12, 8))
            file.create_virtual_dataset(name[0], layout)
    if suffix == ".keras":
        with zipfile.ZipFile(path, "w") as file:
            for part in (tmp_path / "parts").iterdir():
                file.write(part, part.name)
    with pytest.raises(ModelError, match="are in another file|is a link, through which"):
        load_model(path)


def test_a_file_claims_no_more_than_it_holds(tmp_path):
    path = tmp_path / "net.h5"
    small().save(path)
    with h5py.File(path, "r+") as file:
        file.create_dataset("bomb", (2**40,), "float32", chunks=(2**20,))
    with pytest.raises(ModelError, match="bomb claims 4,398,046,511,104 bytes"):
        load_model(path)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("../evil.txt", "holds no '../evil.txt'"),
        ("evil.py", "holds no 'evil.py'"),
        ("config.json", "two files of one name"),
    ],
)
def test_a_keras_file_holds_a_model_and_nothing_else(tmp_path, name, match):
    path = tmp_path / "net.keras"
    small().save(path)
    with pytest.warns(UserWarning) if name == "config.json" else open("/dev/null"), zipfile.ZipFile(path, "a") as file:
        file.writestr(name, "{}")
    with pytest.raises(ModelError, match=match):
        load_model(path)


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".onnx", ".tflite"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense", b"\x89HDF\r\n\x1a\nnonsense"])
def test_broken_files_are_one_line(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    load = next(own.load for own in map(FORMATS.__getitem__, FORMATS) if own.suffix == suffix)
    with pytest.raises(ModelError) as caught:
        load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["tflite", "onnx"])
def test_files_with_altered_bytes_are_one_line(tmp_path, name, capfd):
    path, draw = tmp_path / f"net.{name}", np.random.default_rng(0)
    FORMATS[name].write(small(), None, path, "none")
    content, refused = path.read_bytes(), 0
    for _ in range(100):
        altered = bytearray(content)
        altered[draw.integers(len(content))] ^= 1 << draw.integers(8)
        path.write_bytes(altered)
        try:
            FORMATS[name].load(path)
        except ModelError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused and not capfd.readouterr().out


# F4: what is made of a configuration


def configured(layer, **beside):
    """Returns the text of a model that has one layer more."""
    model = small()
    described = json.loads(model.to_json())
    described["config"]["layers"].insert(1, layer | beside)
    return json.dumps(described)


def of(name, module=None, registered=None, **config):
    return {"class_name": name, "config": {"name": "s", **config}, "module": module, "registered_name": registered}


BAD = {
    "slicing": of("SlicingOpLambda", function="io.write_file"),
    "operator": of("TFOpLambda", function="load_library"),
    "operator of private names": of("TFOpLambda", function="__internal__.saved_model.load"),
    "a function that reads a vocabulary": of("TFOpLambda", function="nn.fixed_unigram_candidate_sampler"),
    "a class method": of("ClassMethod", cls_symbol="io.RaggedFeature", method_name="x"),
    "lambda": of("Lambda", function="x"),
    "a vocabulary's path": of("StringLookup", vocabulary="/etc/passwd"),
    "text for numbers": of("Dense", units="/etc/passwd"),
    "a setting that is none": of("Dense", units=3, filepath="x"),
    "an activation that is none": of("Dense", units=3, activation="deserialize"),
    "a function of another module": of(
        "Activation",
        activation={"class_name": "function", "module": "os", "config": "system", "registered_name": "system"},
    ),
    "a registered name": of("Dense", registered="tfprune>Masked", units=3),
    "a module": of("Dense", module="os", units=3),
    "a class of Keras that is no layer": of("Model", module="keras.callbacks"),
    "a Lambda within": of("TimeDistributed", layer=of("Lambda", function="x")),
    "a Lambda among arguments": of("Dense", units=3)
    | {"inbound_nodes": [[["a", 0, 0, {"x": of("Lambda", function="x")}]]]},
    "a Lambda as an initializer": of("Dense", units=3, kernel_initializer=of("Lambda", function="x")),
    "a layer as an array": of(
        "Dense", units=3, kernel_initializer={"class_name": "Constant", "config": {"value": of("Dense")}}
    ),
    "no layer": {"class_name": ["Dense"], "config": {}},
    "settings that are a list": {"class_name": "Dense", "config": [1]},
}
OUTSIDE = {"module": "os", "registered_name": "PathLike", "config": {}}  # what Keras would import, and make
BAD |= {
    "a value of another module": of("Embedding", input_dim={"class_name": "TensorShape", **OUTSIDE}, output_dim=3),
    "a slice of another module": of("TextVectorization", standardize={"class_name": "__slice__", **OUTSIDE}),
    "a metric of another module": of("Embedding", input_dim={"class_name": "Sum", "module": "os", "config": {}}),
    "an array of another module": of(
        "Dense",
        units=3,
        kernel_initializer={"class_name": "Constant", "config": {"value": {"class_name": "TensorShape", **OUTSIDE}}},
    ),
    "shapes of another module": of("Dense", units=3)
    | {"build_config": {"input_shape": {"class_name": "TensorShape", **OUTSIDE}}},
    "a class that is no text": of("Dense", units=3) | {"build_config": {"class_name": ["x"]}},
    "an activation that is no text": of("Dense", units=3, activation={"class_name": "function", "config": ["x"]}),
    "lists in lists": of("Dense", units=json.loads("[" * 300 + "]" * 300)),
}
# tf_keras makes these while it reads the JSON, wherever they are
MADE_BY_READER = of("Lambda", function="x") | {"__passive_serialization__": True}
BAD |= {
    f"beside it: {key}": of("Dense", units=3) | {key: MADE_BY_READER}
    for key in (*sorted(BESIDE - {"class_name", "config"}), UNREAD)
}
BAD |= {
    "within a function": of(
        "Dense", units=3, activation={"class_name": "function", "config": "relu", "x": MADE_BY_READER}
    ),
    "within a value": of("Dense", units={"class_name": "__tensor__", "x": {"y": MADE_BY_READER}}),
}
BAD["layers in layers"] = of("Dense", units=3)
for _ in range(150):
    BAD["layers in layers"] = of("TimeDistributed", layer=BAD["layers in layers"])


@pytest.mark.parametrize("name", BAD)
def test_what_is_on_no_list_is_not_made(tmp_path, name, monkeypatch):
    text = configured(BAD[name])
    monkeypatch.setattr(keras.models, "model_from_json", lambda *_: pytest.fail("was made"))
    with pytest.raises(ModelError, match="it would execute code: |it is not made of Keras' layers alone, ") as caught:
        model_from_json(text, "architecture.json")
    assert "\n" not in str(caught.value)
    path = tmp_path / "net.h5"
    small().save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    with pytest.raises(ModelError, match="it would execute code: |it is not made of Keras' layers alone, "):
        load_model(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"class_name": "Sequential"}', "[" * 100_000, '{"class_name": 3}']
)
def test_configurations_that_are_none_are_one_line(text):
    with pytest.raises(ModelError) as caught:
        model_from_json(text, "architecture.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [
        of("TFSMLayer", module="keras.layers", filepath="/tmp"),
        of("TorchModuleWrapper", module="keras.layers", module_=""),
        of("JaxLayer", module="keras.layers", call_fn="x"),
        of("Map", module="keras.src.ops.core", function="x"),
        of("Add", module="keras.src.ops.operation"),
    ],
)
def test_what_executes_code_in_keras_3_is_on_no_list(layer):
    with pytest.raises(ModelError, match="custom object"):
        check_config({"class_name": "Sequential", "config": {"layers": [layer]}}, "net.keras", keras3())


# What is allowed


def default(library, name):
    """Returns a layer with settings that suit most kinds."""
    layers = library.layers
    kind = getattr(layers, name, None) or getattr(getattr(layers, "experimental", None), name, None)
    if kind is None:
        return None
    known = {
        **{
            "units": 3,
            "filters": 4,
            "kernel_size": 3,
            "rate": 0.5,
            "stddev": 0.1,
            "activation": "relu",
            "num_heads": 2,
        },
        **{
            "key_dim": 2,
            "input_dim": 5,
            "output_dim": 3,
            "target_shape": (4, 1),
            "dims": (2, 1),
            "axes": 1,
            "height": 4,
        },
        **{
            "width": 4,
            "factor": 0.1,
            "num_bins": 4,
            "equation": "ab,bc->ac",
            "output_shape": (3,),
            "scale": 2.0,
            "n": 2,
        },
        **{"cell": layers.LSTMCell(3), "cells": [layers.LSTMCell(3), layers.GRUCell(2)], "num_tokens": 4},
        "layer": layers.LSTM(3) if name == "Bidirectional" else layers.Conv2D(3, 3),
    }
    asked = {"CategoryEncoding": ["num_tokens"], "Discretization": ["num_bins"]}.get(name, [])
    given = {"RandomPosterization": {"factor": 4}, "InputLayer": {"name": "x"}}.get(name, {})
    parameters = inspect.signature(kind.__init__).parameters.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"
    ]
    if name == "InputLayer":
        needed = []
        given = {"input_shape": (3,)} if library is not keras3() else {"shape": (3,)}
    return kind(**{key: known.get(key, 1) for key in (*needed, *asked)} | given)


@pytest.mark.parametrize("library", ["tf_keras", "keras"])
def test_all_layers_on_the_list_pass_as_keras_stores_them(library):
    library = keras3() if library == "keras" else sys.modules[keras.Model.__module__.partition(".")[0]]
    passed = 0
    for name in allowed.LAYERS:
        layer = default(library, name)
        if layer is not None:
            passed += 1
            for stored in (
                library.saving.serialize_keras_object(layer),
                {"class_name": name, "config": layer.get_config()},
            ):
                check_config(json.loads(json.dumps(stored, default=float)), name, library)
    assert passed > 100


def test_what_tensorflow_does_to_tensors_passes(tmp_path):
    inputs = L.Input((4, 3))
    x = tf.nn.relu(inputs[:, 1:] + 1.0) * tf.constant([2.0, 3.0, 4.0])
    x = tf.pad(tf.squeeze(keras.backend.expand_dims(x, 1), 1), [[0, 0], [0, 0], [0, 0]])
    x = tf.concat(
        [tf.transpose(x, (0, 2, 1)), tf.math.reduce_sum(x, axis=1, keepdims=True)[:, :, :3]], axis=1
    ) @ tf.ones((3, 2))
    keras.Model(inputs, x).save(tmp_path / "net.h5")
    again = load_model(tmp_path / "net.h5")
    np.testing.assert_array_equal(again(np.ones((2, 4, 3))), keras.Model(inputs, x)(np.ones((2, 4, 3))))


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
def test_a_model_that_has_been_trained_passes(tmp_path, suffix):
    model = small(L.BatchNormalization(), L.Dropout(0.5))
    model.compile(
        "adam", "sparse_categorical_crossentropy", ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)]
    )
    model.fit(np.ones((8, 12)), np.arange(8) % 3, verbose=0)
    path = tmp_path / f"net{suffix}"
    model.save(path) if suffix else model.save(path, save_format="tf")
    np.testing.assert_array_equal(load_model(path)(np.ones((2, 12))), model(np.ones((2, 12))))


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
def test_a_vocabulary_that_a_model_brings_passes(tmp_path, suffix):
    inputs = L.Input((1,), dtype="string")
    model = keras.Model(inputs, L.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(inputs))
    path = tmp_path / f"net{suffix}"
    model.save(path) if suffix else model.save(path, save_format="tf")
    np.testing.assert_array_equal(load_model(path)(np.array([["b"]])), [[0, 0, 1]])


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
def test_recurrent_layers_pass(tmp_path, suffix):
    model = keras.Sequential([L.Input((7, 4)), L.Bidirectional(L.LSTM(3, return_sequences=True)), L.GRU(3)])
    path = tmp_path / f"net{suffix}"
    model.save(path) if suffix else model.save(path, save_format="tf")
    np.testing.assert_array_equal(load_model(path)(np.ones((2, 7, 4))), model(np.ones((2, 7, 4))))


def own_loss(labels, outputs):
    return outputs


def test_how_a_model_in_a_model_was_compiled_is_not_read(tmp_path):
    library = keras3()
    inner = library.Sequential([library.layers.Input((4,)), library.layers.Dense(3)])
    inner.compile("adam", own_loss)
    inputs = library.layers.Input((4,))
    library.Model(inputs, inner(inputs)).save(tmp_path / "net.keras")
    assert getattr(load_model(tmp_path / "net.keras").layers[-1], "optimizer", None) is None


def test_the_lists_name_what_there_is_and_nothing_that_names_files():
    for name in allowed.FUNCTIONS:
        place = tf
        for part in name.split("."):
            place = getattr(place, part)
        assert callable(place)
        taken = inspect.signature(place).parameters
        assert not [key for key in taken if re.search("(^|_)(file|path|dir|vocab_file|filename)$", key)], name
    names = re.compile(
        "(^|_)(file|path|dir|logdir|address|output_stream|descriptor_source|memory_region_name)$|_urls$|^prefix$"
    )
    for name in allowed.GRAPH_OPERATIONS:
        operation = op_def_registry.get(name)
        assert operation is not None, name
        assert not [own.name for own in (*operation.input_arg, *operation.attr) if names.search(own.name)], name


# F5: graphs


REACHING_OUT = {
    "WriteFile": lambda path: tf.io.write_file(path, "x"),
    "ReadFile": lambda path: tf.print(tf.io.read_file(path), output_stream="file:///dev/null"),
    "PrintV2": lambda path: tf.print("x", output_stream=f"file://{path}"),
    "EagerPyFunc": lambda path: tf.py_function(lambda: Path(path).write_text("x"), [], tf.int32),
    "SaveV2": lambda path: tf.raw_ops.SaveV2(prefix=path, tensor_names=["x"], shape_and_slices=[""], tensors=[1.0]),
    "ImmutableConst": lambda path: tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=[4], memory_region_name=path),
    "InitializeTableFromTextFileV2": lambda path: tf.raw_ops.InitializeTableFromTextFileV2(
        table_handle=tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64),
        filename=__file__,
        key_index=-2,
        value_index=-1,
    ),
    "TensorDataset": lambda path: tf.data.Dataset.from_tensors("x").reduce("", lambda _, x: x),
}


def reaching_out(folder, do, path):
    """Writes a SavedModel that answers like one of tfprune's, and does something else beside."""

    @tf.function(input_signature=[tf.TensorSpec([None, 12], name="inputs")], autograph=False)
    def serve(inputs):
        do(str(path))
        return {"class": inputs, "label": inputs, "probabilities": inputs}

    module = tf.Module()
    module.weights = [tf.Variable(1.0)]
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve, "model_inputs": serve})


@pytest.mark.parametrize("operation", REACHING_OUT)
def test_a_graph_that_reaches_out_is_refused(tmp_path, operation, monkeypatch):
    reaching_out(tmp_path / "model", REACHING_OUT[operation], tmp_path / "written")
    with pytest.raises(ModelError, match=rf"its graph has the operations .*{operation}.* --trust"):
        load_graph(tmp_path / "model")
    assert not (tmp_path / "written").exists()
    monkeypatch.setenv(TRUST, "1")
    assert load_graph(tmp_path / "model").weights[0] == 1


def edited(folder, do):
    """Changes the protocol buffer of a SavedModel."""
    stored = saved_model.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    do(stored.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(stored.SerializeToString())


def harmless_twin(graph):
    """Adds to each function one of its name that does nothing."""
    for function in list(graph.graph_def.library.function):
        twin = graph.graph_def.library.function.add()
        twin.CopyFrom(function)
        del twin.node_def[:]


def called_like_an_operation(graph):
    graph.graph_def.library.function.add().signature.name = "WriteFile"


def an_object_that_saves(graph):
    """Gives an object the function that stores weights, so that it is called with whatever the graph says."""
    (saves,) = [node for node in graph.graph_def.node if node.name == graph.saver_def.save_tensor_name.split(":")[0]]
    graph.object_graph_def.nodes.add().function.concrete_functions.append(saves.attr["f"].func.name)


@pytest.mark.parametrize(
    ("do", "named"),
    [
        (harmless_twin, "which it defines itself"),
        (called_like_an_operation, "WriteFile, which it defines itself"),
        (an_object_that_saves, "SaveV2"),
        # without objects TensorFlow calls what the saver names, with whatever path that has
        (lambda graph: graph.ClearField("object_graph_def"), "SaveV2"),
    ],
)
def test_what_stores_weights_and_what_is_defined_twice_cannot_be_called(tmp_path, do, named):
    folder = tmp_path / "model"
    reaching_out(folder, lambda path: None, tmp_path / "written")
    load_graph(folder)
    edited(folder, do)
    with pytest.raises(ModelError, match=f"its graph has the operations .*{named}"):
        load_graph(folder)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables", "variables/variables.index"])
def test_a_saved_model_has_no_links(tmp_path, name):
    folder = tmp_path / "model"
    reaching_out(folder, lambda path: None, tmp_path / "written")
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match=f"{name} is a link, through which"):
        load_graph(folder)


@pytest.mark.parametrize("name", ["net.h5", "net.keras", "net.onnx", "net.tflite", "model/saved_model.pb"])
def test_what_has_no_end_is_not_read(tmp_path, name):
    load = {".onnx": lambda path: load_onnx(path, 1), ".tflite": lambda path: load_tflite(path, 1)}
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(ModelError, match="no regular file"):
        load_graph(path.parent) if path.suffix == ".pb" else load.get(path.suffix, load_model)(path)


def of_keras(path):
    """Puts a graph beside layers of Keras that look harmless."""
    keras.Sequential([keras.layers.Dense(3, input_shape=(4,))]).save(path.with_name("keras"), save_format="tf")
    shutil.copy(path / "saved_model.pb", path.with_name("keras"))
    return load_model(path.with_name("keras"))


@pytest.mark.parametrize("load", [Predictor, load_weights, FORMATS["savedmodel"].load, of_keras])
def test_whatever_loads_a_graph_looks_through_it(tmp_path, load):
    reaching_out(tmp_path / "model", REACHING_OUT["WriteFile"], tmp_path / "written")
    with pytest.raises(ModelError, match="its graph has the operations WriteFile"):
        load(tmp_path / "model")


@pytest.mark.parametrize(("name", "library"), [("h5", lambda: keras), ("keras", keras3)])
def test_an_exported_file_that_would_execute_code_is_not_measured(tmp_path, name, library):
    path, layers = tmp_path / f"model.{name}", library().layers
    library().Sequential([layers.Input((4,)), layers.Lambda(lambda x: x + 1, name="double")]).save(path)
    with pytest.raises(ModelError, match="it would execute code: layer Lambda 'double'"):
        FORMATS[name].load(path)


@pytest.mark.slow  # it imports TensorFlow
@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="sockets are looked up as Linux lists them")
def test_tensorboard_as_the_docs_start_it_listens_to_this_machine_alone(tmp_path):
    readme = (Path(tfprune.__file__).parents[1] / "README.md").read_text()
    name, *documented = re.search(r"^tensorboard .*$", readme, re.MULTILINE)[0].split()
    command = [sys.executable, "-m", f"{name}.main", *documented, "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as server:
        try:
            port = next(found[1] for line in server.stderr if (found := re.search(r"http://\S+:(\d+)/", line)))
            assert listening(int(port)) and listening(int(port)) <= {"127.0.0.1", "::1"}
        finally:
            server.kill()


def listening(port):
    """Returns the addresses of the sockets that listen at a port."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, own = line.split()[1].split(":")
            if line.split()[3] == "0A" and int(own, 16) == port:
                words = struct.unpack(f">{len(address) // 8}I", bytes.fromhex(address))
                found.add(socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words)))
    return found
