"""Commands on model files of either Keras, in this process; one more process for JAX."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfprune.adapters.backend import keras, keras3
from tfprune.adapters.loading.gate import load_model
from tfprune.cli.prune import prune
from tfprune.cli.shrink import shrink
from tfprune.exporting import model_files

KINDS = ("tf_keras.keras", "tf_keras.h5", "tf_keras", "keras3.keras", "keras3.h5")
KERNELS = 6 * 16 + 16 * 24 + 24 * 3


def net(library):
    layers = library.layers
    model = library.Sequential(
        [layers.Input((6,)), layers.Dense(16, "relu"), layers.Dense(24, "relu"), layers.Dense(3)]
    )
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 6)), np.ones((2, 3)))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the same model in each kind of file, compiled and with the state of an optimizer."""
    path = tmp_path_factory.mktemp("models")
    old, new = net(keras), net(keras3())
    old.save(path / "tf_keras.keras", save_format="keras")
    old.save(path / "tf_keras", save_format="tf")
    with pytest.warns(UserWarning, match="HDF5"):
        old.save(path / "tf_keras.h5", save_format="h5")
    new.save(path / "keras3.keras")
    new.save(path / "keras3.h5")
    return path


@pytest.fixture
def call(call, monkeypatch, folder):
    """Runs a command line in the folder of the models; returns exit code, output and errors."""
    monkeypatch.chdir(folder)
    return call


def content(path):
    files = sorted(own for own in path.rglob("*") if own.is_file()) if path.is_dir() else [path]
    return [own.read_bytes() for own in files]


def kernels(path):
    return [own for own in load_model(path).get_weights() if own.ndim == 2]


def test_the_file_goes_beside_the_model_unless_it_is_named():
    for command, model, out in (
        (prune, "nets/old.keras", "nets/old-pruned.keras"),
        (prune, "saved_model", "saved_model-pruned"),
        (shrink, "old.h5", "old-shrunk.h5"),
    ):
        assert command.make_context(command.name, [model]).params["out"] == Path(out)
        assert command.make_context(command.name, ["-o", "new.h5", model]).params["out"] == Path("new.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_prune_writes_a_sparse_model_as_its_own_was_stored(call, folder, tmp_path, kind):
    before, out = content(folder / kind), tmp_path / f"sparse{os.path.splitext(kind)[1]}"
    code, text, err = call("prune", kind, "-o", out, "--sparsity", 0.75)
    assert code == 0 and err == ""
    assert content(folder / kind) == before and [own.name for own in tmp_path.iterdir()] == [out.name]
    old, new = load_model(folder / kind), load_model(out)
    assert type(new).__module__ == type(old).__module__ and getattr(new, "optimizer", None) is None
    for own, other in zip(old.get_weights(), new.get_weights(), strict=True):
        gone = (other == 0) & (own != 0)
        assert gone.sum() == (0.75 * own.size if own.ndim == 2 else 0)
        assert np.array_equal(own[~gone], other[~gone])
    zeros = round(0.75 * KERNELS)
    assert re.search(rf"kernel weights +{KERNELS} +{KERNELS} +1\.00\n.*zeros among them .* {zeros} \(75\.0 %\)", text)
    assert f"Next: tfprune bench {kind} {out}\n      tfprune prune {kind} -o {out} --sparsity 0.75 --force" in text
    assert "also holds an optimizer's state" in text or kind.startswith("keras3.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_shrink_writes_a_smaller_model_that_plain_keras_opens(call, folder, tmp_path, kind):
    out = tmp_path / f"small{os.path.splitext(kind)[1]}"
    code, text, _ = call("shrink", kind, "-o", out, "--keep", 0.5)
    assert code == 0 and re.search(r"file gzipped, kB +[\d.]+ +[\d.]+ +0\.\d\d\n", text)
    model = (keras3() if kind.startswith("keras3") else keras).models.load_model(out)
    assert [own.shape for own in model.get_weights()] == [(6, 8), (8,), (8, 16), (16,), (16, 3), (3,)]


def test_sizes_leave_out_what_an_optimizer_remembers_and_json_says_all(call, tmp_path):
    code, text, _ = call("prune", "keras3.keras", "-o", tmp_path / "s.keras", "--sparsity", 0.5, "--json")
    told = json.loads(text)
    assert code == 0 and (told["schema"], told["format"], told["written_by"]) == (1, "keras", "Keras 3")
    before, after = told["before"], told["after"]
    assert before["raw"] == after["raw"] < os.path.getsize("keras3.keras") and after["gzip"] < before["gzip"]
    assert (before["kernel_zeros"], after["kernel_zeros"], after["macs"]) == (0, KERNELS // 2, KERNELS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune", "absent.keras", "-o", "x.keras", "--sparsity", 0.5), "absent.keras: there is no such file"),
        (
            ("prune", "keras3.keras", "-o", "keras3.keras", "--sparsity", 0.5, "--force"),
            "this is the model that is read",
        ),
        (("prune", "keras3.keras", "-o", "tf_keras.keras", "--sparsity", 0.5), "is there already; --force replaces it"),
        (("prune", "keras3.keras", "-o", "x.h5", "--sparsity", 0.5), "must end in .keras; tfprune export changes"),
        (("prune", "tf_keras", "-o", "tf_keras/inner", "--sparsity", 0.5), "would change the folder of the model"),
        (("prune", "tf_keras", "-o", ".", "--sparsity", 0.5, "--force"), "would change the folder of the model"),
        (("prune", "tf_keras", "-o", "mine", "--sparsity", 0.5, "--force"), "holds no SavedModel, and is not replaced"),
        (("prune", "keras3.keras", "-o", "x.keras"), "--sparsity is missing"),
        (("prune", "keras3.keras", "-o", "x.keras", "--sparsity", 1.5), "must be a fraction in [0, 1), got 1.5"),
        (("prune", "keras3.keras", "-o", "x.keras", "--sparsity", 0.5, "--scope", "all"), "unknown --scope 'all'"),
        (("prune", "keras3.keras", "-o", "x.keras", "--sparsity", 0.5, "--exclude", "dens"), "dens"),
        (("prune", "keras3.keras", "-o", "x.keras", "--sparsity", 0.5, "--finetune-epochs", 2), "--dataset is missing"),
        (("prune", "keras3.keras", "-o", "x.keras", "--sparsity", 0.5, "--label", "a"), "--dataset is missing"),
        (
            ("shrink", "keras3.keras", "-o", "x.keras", "--learning-rate", 0.1),
            "--learning-rate is of the training that --finetune-epochs asks for, and there is none",
        ),
        (("shrink", "keras3.keras", "-o", "x.keras", "--batch-size", 4), "--dataset is missing: --batch-size"),
        (
            ("prune", "keras3.keras", "-o", "x.keras", "--sparsity", 0.5, "--dataset", "penguins"),
            "takes examples of shape (6,), the data's are",
        ),
        (
            ("prune", "tf_keras.keras", "-o", "x.keras", "--sparsity", 0.5, "--backend", "tensrflow"),
            "did you mean tensorf",
        ),
        (("prune", "lambda.keras", "-o", "x.keras", "--sparsity", 0.5), "it would execute code: layer Lambda"),
        (("shrink", "tf_keras.keras", "-o", "x.keras", "--keep", 0), "--keep must be in (0, 1], got 0"),
        (("shrink", "tf_keras.keras", "-o", "x.keras", "--criterion", "taylor"), "add --dataset, or take l1"),
        (
            ("shrink", "tf_keras.keras", "-o", "x.keras", "--keep", 0.5, "--target-macs", 0.5),
            "say how much stays by one",
        ),
        (("shrink", "tf_keras.keras", "-o", "x.keras", "--scope", "erk"), "unknown --scope 'erk'"),
        (("export", "keras3.keras", "--format", "tflite", "--quantize", "int8"), "int8 is calibrated on examples"),
        (("export", "keras3.keras", "--format", "tflit"), "unknown --format 'tflit': did you mean tflite?"),
        (("export", "keras3.keras", "--format", "h5", "-o", "keras3.h5"), "is there already; --force replaces it"),
        (("bench", "keras3.keras", "."), "name either runs or models"),
        (("bench", "keras3.keras", "lambda.keras"), "it would execute code"),
        (("summary", "mine"), "this is no SavedModel"),
        (
            ("prune", "mine/thesis.txt", "--sparsity", "0.5"),
            "thesis.txt: this is no .keras or .h5 file, and no SavedModel",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(call, folder, arguments, message):
    (folder / "mine").mkdir(exist_ok=True)
    (folder / "mine" / "thesis.txt").write_text("three years")
    if not (folder / "lambda.keras").exists():
        inputs = keras3().Input((6,))
        keras3().Model(inputs, keras3().layers.Lambda(lambda x: x * 2)(inputs)).save(folder / "lambda.keras")
    before = {own.name: content(own) for own in folder.iterdir()}
    code, out, err = call(*arguments)
    assert code == 2 and out == "" and message in err and err.count("\n") == 1, err
    assert {own.name: content(own) for own in folder.iterdir()} == before


def test_a_file_that_does_not_read_back_is_not_kept(call, tmp_path, monkeypatch):
    def altered(path):
        model = load_model(path)
        if "draft" in path.name:
            model.set_weights([own + np.float32(1e-7) for own in model.get_weights()])
        return model

    monkeypatch.setattr(model_files, "load_model", altered)
    code, _, err = call("prune", "keras3.keras", "-o", tmp_path / "s.keras", "--sparsity", 0.5)
    assert code == 2 and "holds other numbers than the model; nothing was kept" in err
    assert list(tmp_path.iterdir()) == []


def test_force_replaces_a_file_in_one_go(call, tmp_path):
    out = tmp_path / "s.keras"
    for sparsity in (0.5, 0.25):
        assert call("prune", "tf_keras.keras", "-o", out, "--sparsity", sparsity, "--force")[0] == 0
        assert sum((own == 0).sum() for own in kernels(out)) == sparsity * KERNELS
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.some(every=2)
@pytest.mark.parametrize("library", ["tf_keras", "keras3"])
def test_fine_tuning_trains_what_is_left(call, tmp_path, library):
    from tfprune.experiments.run_data import load_data
    from tfprune.training.config import Config

    own = keras if library == "tf_keras" else keras3()
    data = load_data(Config(dataset="penguins"))
    model = own.Sequential(
        [own.layers.Input(data.input_shape), own.layers.Dense(16, "relu"), own.layers.Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.train.x, data.train.y, epochs=40, verbose=0)
    model.save(tmp_path / "trained.keras", **({"save_format": "keras"} if library == "tf_keras" else {}))
    out = tmp_path / "sparse.keras"
    tuning = ("--dataset", "penguins", "--finetune-epochs", 30, "--learning-rate", 0.01, "--json")
    code, text, err = call("prune", tmp_path / "trained.keras", "-o", out, "--sparsity", 0.8, *tuning)
    assert code == 0, err
    told = json.loads(text)
    size = sum(own.size for own in kernels(out))
    assert told["after"]["kernel_zeros"] == sum((own == 0).sum() for own in kernels(out)) == round(0.8 * size)
    right = np.mean(np.argmax(load_model(out).predict_on_batch(data.test.x), -1) == data.test.y)
    assert told["accuracy"]["tuned"] == pytest.approx(right) and told["accuracy"]["tuned"] >= told["accuracy"]["after"]
    whole = np.mean(np.argmax(load_model(tmp_path / "trained.keras").predict_on_batch(data.test.x), -1) == data.test.y)
    assert told["accuracy"]["before"] == pytest.approx(whole)
    assert not np.array_equal(kernels(out)[0], kernels(tmp_path / "trained.keras")[0])
    assert getattr(load_model(out), "optimizer", None) is None


def test_summary(call):
    code, text, _ = call("summary", "keras3.keras")
    assert code == 0 and re.search(rf"total +{KERNELS + 16 + 24 + 3} +0\.0 % +{KERNELS}", text)
    assert "keras3.keras: Keras 3, " in text and "Next: tfprune prune keras3.keras -o sparse.keras" in text
    told = json.loads(call("summary", "tf_keras", "--json")[1])
    assert (told["macs"], told["written_by"], len(told["layers"])) == (KERNELS, "tf_keras", 3)


def test_export_and_bench_of_files(call, tmp_path):
    pytest.importorskip("ai_edge_litert")
    assert call("prune", "keras3.keras", "-o", tmp_path / "s.keras", "--sparsity", 0.5)[0] == 0
    code, text, _ = call("export", tmp_path / "s.keras", "--format", "tflite")
    assert code == 0 and "256 made-up examples" in text and f"Next: tfprune bench {tmp_path}/s.keras" in text
    files = ("keras3.keras", tmp_path / "s.keras", tmp_path / "s.tflite", "tf_keras")
    drawn = ("--figure", tmp_path / "times.svg")
    code, text, err = call("bench", *files, "--rounds", 2, "--batch", "3", "--json", *drawn)
    assert (tmp_path / "times.svg").is_file() and f"Figure: {tmp_path}/times.svg" in err
    told = {own["kind"]: own for own in json.loads(text)["models"][1:]}
    assert code == 0 and list(told) == ["Keras 3", "tflite", "tf_keras"]
    assert told["Keras 3"]["sparsity"] == 0.5 and told["tflite"]["macs"] is None
    assert told["tflite"]["times"][0]["ratio"] > 0 and told["tflite"]["times"][0]["batch"] == 3
    code, text, _ = call("bench", *files[:3], "--rounds", 2, "--batch", "1")
    assert code == 0 and len(re.findall(r"keras3\.keras +1 +[\d.]+ +[\d.]+ to [\d.]+ +[\d,]+\n", text)) == 1


def test_models_of_other_inputs_are_not_compared(call, tmp_path):
    layers = keras.layers
    keras.Sequential([layers.Input((7,)), layers.Dense(3)]).save(tmp_path / "o.keras", save_format="keras")
    code, _, err = call("bench", "tf_keras.keras", tmp_path / "o.keras", "--rounds", 1)
    assert code == 2 and "what is compared must take the same" in err


WITHOUT_TENSORFLOW = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tf_keras"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from tfprune.cli import main
main()
"""


def test_on_jax_without_tensorflow(folder, tmp_path):
    pytest.importorskip("jax")
    out = tmp_path / "s.keras"
    command = ("prune", "keras3.keras", "-o", out, "--sparsity", "0.5", "--backend", "jax")
    called = [sys.executable, "-c", WITHOUT_TENSORFLOW, *map(str, command)]
    done = subprocess.run(called, capture_output=True, text=True, cwd=folder)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Wrote" in said and "not compared" not in said, said
    assert sum((own == 0).sum() for own in kernels(out)) == KERNELS // 2


def test_shrink_to_a_budget_and_by_the_loss(call, tmp_path):
    layers, penguins = keras.layers, ("--dataset", "penguins")
    from tfprune.experiments.run_data import load_data
    from tfprune.training.config import Config

    shape = load_data(Config(dataset="penguins")).input_shape
    inner = [layers.Dense(32, "relu") for _ in range(2)]
    model = keras.Sequential([layers.Input(shape), *inner, layers.Dense(3, "softmax")])
    model.save(tmp_path / "m.keras", save_format="keras")
    for name, options in (("a", ("--target-parameters", 0.5)), ("b", ("--criterion", "taylor", *penguins))):
        code, text, err = call("shrink", tmp_path / "m.keras", "-o", tmp_path / f"{name}.keras", *options, "--json")
        assert code == 0, err
        told = json.loads(text)
        assert told["after"]["parameters"] <= 0.5 * told["before"]["parameters"]
        assert getattr(load_model(tmp_path / f"{name}.keras"), "optimizer", None) is None
    assert set(told["accuracy"]) == {"before", "after"}


def test_a_model_that_does_not_know_the_data_is_pointed_out_and_no_loss_is_guessed(call, tmp_path):
    from tfprune.experiments.run_data import load_data
    from tfprune.training.config import Config

    layers, shape = keras.layers, load_data(Config(dataset="penguins")).input_shape
    model = keras.Sequential([layers.Input(shape), layers.Dense(3, "sigmoid")])
    model.set_weights([np.zeros((*shape, 3), np.float32) + 0.01, np.array([-1, 1, -1], np.float32)])
    model.save(tmp_path / "m.keras", save_format="keras")
    prune = ("prune", tmp_path / "m.keras", "-o", tmp_path / "s.keras", "--sparsity", 0.5, "--dataset", "penguins")
    code, text, _ = call(*prune)  # answers with the second class, which is rare, whatever it is given
    assert code == 0 and re.search(r"Note: before, the model was right in 12\.1 % of the test split", text)
    code, _, err = call(*prune, "--force", "--finetune-epochs", 1)
    assert code == 2 and "do not add up to 1, as sigmoids do" in err and err.count("\n") == 1
