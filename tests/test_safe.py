"""What a file of a stranger would do when it is loaded, see `models._safe`."""

import re
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tensorflow.python.framework import op_def_registry

import tfprune
from tfprune.backend import keras, keras3, tf
from tfprune.errors import ModelError
from tfprune.export import load_weights
from tfprune.formats import FORMATS
from tfprune.inference import Predictor
from tfprune.models._files import load_graph, load_model
from tfprune.models._safe import REACHES_OUT, STORES, TRUST


@pytest.fixture(autouse=True)
def untrusted(monkeypatch):
    monkeypatch.delenv(TRUST, raising=False)


REACHING_OUT = {
    "WriteFile": lambda path: tf.io.write_file(path, "x"),
    "ReadFile": lambda path: tf.print(tf.io.read_file(path), output_stream="file:///dev/null"),
    "PrintV2": lambda path: tf.print("x", output_stream=f"file://{path}"),
    "EagerPyFunc": lambda path: tf.py_function(lambda: Path(path).write_text("x"), [], tf.int32),
    "SaveV2": lambda path: tf.raw_ops.SaveV2(prefix=path, tensor_names=["x"], shape_and_slices=[""], tensors=[1.0]),
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


def test_all_operations_of_tensorflow_that_name_files_or_hosts_are_known():
    """So that a newer TensorFlow's are looked at."""
    vocabularies = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "FixedUnigramCandidateSampler")
    names = re.compile("(^|_)(file|path|dir|logdir|address|output_stream|descriptor_source)$|_urls$|^filename|^prefix$")
    unknown = []
    for name in filter(str.isidentifier, dir(tf.raw_ops)):
        operation = op_def_registry.get(name)
        taken = [*operation.input_arg, *operation.attr] if operation else []
        if any(names.search(own.name) for own in taken) and not (REACHES_OUT.search(name) or name in STORES):
            unknown.append(name)
    assert [name for name in unknown if name not in vocabularies] == []


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
