"""Runs of models of Keras 3: trained, pruned, resumed and exported in their own Keras.

Keras 3 works on one backend a process: `KERAS_BACKEND=jax pytest tests/experiments/test_keras3_runs.py` is held to the
same.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfprune import cli
from tfprune.adapters.backend import OF_KERAS, choose_backend, keras3
from tfprune.adapters.loading.trust import FUNCTIONS, TRUST
from tfprune.experiments.experiment import train
from tfprune.experiments.keras3_runs import brought, restore
from tfprune.experiments.libraries import library_of
from tfprune.experiments.results import read_result
from tfprune.experiments.run_data import load_data
from tfprune.experiments.rundir import RunDir
from tfprune.methods import METHODS
from tfprune.training.checkpoints import Checkpoints, Interval
from tfprune.training.config import Config
from tfprune.training.resuming import CheckpointListener, CheckpointPolicy
from tfprune.training.stopping import SignalHandler
from tfprune.utils.errors import ConfigError, ModelError

BACKEND = os.environ.get(OF_KERAS, "tensorflow")
HERE = Path(__file__).parent
SLOWLY = pytest.mark.slow
OF_CODE = {  # kinds that are refused without --trust, and what is said
    "scaled": "custom object LayerScale",
    "subclassed": "custom object Subclassed",
    "function": "layer Lambda",
}
ON_TENSORFLOW = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's")

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",  # Keras 3's own, where it saves and converts arrays
    "ignore:The structure of `inputs`:UserWarning",
)


@pytest.fixture(autouse=True, scope="module")
def nets():
    """Makes the models' module importable, as it is beside where a command runs."""
    sys.path.insert(0, str(HERE))
    keras3()
    import keras3_nets

    yield keras3_nets
    sys.path.remove(str(HERE))


@pytest.fixture(scope="module")
def data(nets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    nets.write_arrays(folder)
    return folder


@pytest.fixture
def config(data, nets, tmp_path, monkeypatch):
    """Makes the settings of a short run of one of the models, by its name."""
    monkeypatch.setenv(FUNCTIONS, ",".join(f"keras3_nets:{name}" for name in (*nets.KINDS, "noisy", "residual")))

    def make(kind, **changes):
        settings = {
            "dataset": str(data / f"{nets.data_of(kind)}.npz"),
            "data_settings": {"standardise": kind != "words"},
            "model": f"keras3_nets:{kind}",
            "backend": BACKEND,
            "epochs": 2,
            "batch_size": 16,
            "settings": {"final_sparsity": 0.5, "events": [0.5]},
            "augment": (),
            "out": str(tmp_path / "runs"),
        }
        return Config(**settings | changes)

    return make


def opened(result):
    """Opens the file that a run left as somebody without tfprune does."""
    return keras3().saving.load_model(result.keras_model, compile=False)


def probabilities(model, x):
    return keras3().ops.convert_to_numpy(model.predict(x, verbose=0))


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["tfprune", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code, *capsys.readouterr()


def kinds():
    import ast

    tree = ast.parse((HERE / "keras3_nets.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "KINDS":
            return [own.value for star in node.value.elts for own in star.value.elts]


@pytest.mark.some(every=8)
@pytest.mark.parametrize("kind", kinds())
def test_a_file_of_each_kind_is_trained_pruned_kept_and_comes_back_equal(
    kind, nets, data, tmp_path, monkeypatch, capsys
):
    """By one command with one epoch, as people try it first; classes and functions of one's own are code."""
    arrays = data / f"{nets.data_of(kind)}.npz"
    with np.load(arrays) as file:
        shape = file["x"].shape[1:]
    model = getattr(nets, kind)(shape, 3)
    if not model.built:
        model(np.zeros((1, *shape), np.float32))  # a file of one that is only built has no weights, says Keras
    model.save(tmp_path / "net.keras")
    words = ("--dataset", arrays, "--model", tmp_path / "net.keras", "--backend", BACKEND, "--epochs", 1)
    words += ("--method", "magnitude_at_init", "--sparsity", 0.5, "--batch-size", 16, "--out", tmp_path / "runs")
    words += ("--set", f"data.standardise={str(kind != 'words').lower()}", "--set", "augment=[]")
    if kind in OF_CODE:
        monkeypatch.delenv(TRUST, raising=False)
        code, _, err = command(monkeypatch, capsys, "train", *words)
        assert code == 2 and OF_CODE[kind] in err and "--trust" in err and err.count("\n") == 1
        assert not (tmp_path / "runs").exists()
        words += ("--trust",)
        monkeypatch.setenv(TRUST, "1")  # what the option sets, and is undone after the test
    code, _, err = command(monkeypatch, capsys, "train", *words)
    assert code == 0, err
    (folder,) = (tmp_path / "runs").iterdir()
    result = read_result(RunDir(folder))
    assert result.sparsity == pytest.approx(0.5, abs=0.02) and result.of_keras3
    data = load_data(result.config)
    x = data.validation.x
    again = restore(result, data)
    trained = again.classifier.predict(x, verbose=0)
    accuracy = float(np.mean(trained.argmax(axis=-1) == data.validation.y))
    assert accuracy == pytest.approx(result.metrics["validation"]["accuracy"])
    masks = result.masks()
    for name, kernel in again.kernels().items():
        assert not np.any(kernel[masks[name] == 0])
    assert [row["epoch"] for row in result.history()] == [1]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        served = tf.saved_model.load(str(result.model)).signatures["model_inputs"]
        dtype = served.structured_input_signature[1]["inputs"].dtype
        answers = served(inputs=tf.constant(x, dtype))["probabilities"].numpy()
        powers = np.exp(trained - trained.max(axis=-1, keepdims=True)).astype(np.float64)
        close = 2e-3 if kind == "half" else 1e-5
        np.testing.assert_allclose(answers, powers / powers.sum(axis=-1, keepdims=True), atol=close)


def test_what_comes_back_is_the_model_that_was_brought_with_its_softmax_and_zeros(config, nets):
    result = train(config("rows", method="dynamic"))
    model = opened(result)
    assert [layer.name for layer in model.layers] == ["a", "b"] and isinstance(model, keras3().Sequential)
    assert model.layers[-1].activation is keras3().activations.softmax
    x = load_data(result.config).validation.x
    np.testing.assert_allclose(probabilities(model, x).sum(axis=-1), 1.0, atol=1e-5)
    zeros = {f"{layer.name}/kernel": int((np.asarray(layer.kernel) == 0).sum()) for layer in model.layers}
    assert zeros == {name: own["zeros"] for name, own in result.metrics["sparsity"]["layers"].items()}
    assert not model.compiled and "tfprune" not in json.dumps(model.get_config())
    versions = result.metrics["versions"]
    assert versions["keras"].startswith("3.") and result.metrics["backend"] == BACKEND
    assert result.metrics["cost"]["forward_flops"] == 2 * (6 * 8 + 8 * 3)


@pytest.mark.parametrize("granularity", ["weight", "filter"])
def test_what_is_measured_after_half_precision_is_the_model_that_is_kept(granularity, config):
    own = {"granularity": "filter", "channel_settings": {"multiple": 1}} if granularity == "filter" else {}
    result = train(config("rows", precision="mixed_bfloat16", **own))
    model, test = opened(result), load_data(result.config).test
    answers = probabilities(model, test.x)
    assert model.dtype_policy.name == "float32"
    assert -np.mean(np.log(answers[np.arange(len(answers)), test.y])) == pytest.approx(
        result.metrics["test"]["loss"], abs=1e-6
    )


def test_the_loss_that_is_logged_has_no_penalties_in_it(config):
    result = train(config("noisy", method="unpruned", settings={}))
    assert result.history()[-1]["loss"] < 2.0
    model = restore(result, load_data(result.config)).classifier
    assert float(keras3().ops.convert_to_numpy(sum(model.losses))) > 0.01


@pytest.mark.some(every=5)
@pytest.mark.parametrize("method", [name for name in METHODS if name != "small_dense"])
def test_every_method_comes_to_its_sparsity(method, config):
    settings = {"dynamic": {"final_sparsity": 0.5, "events": [0.5]}}.get(method, {})
    result = train(config("rows", method=method, settings=settings, epochs=4))
    asked = result.config.requested_sparsity
    assert result.sparsity == pytest.approx(asked, abs=0.03)


@pytest.mark.some(every=2)
@pytest.mark.parametrize(
    "changes",
    [
        {"granularity": "n:m", "pattern": "2:4", "settings": {"events": [0.5]}},
        {"granularity": "block", "pattern": "2x1"},
        {"scope": "global"},
        {"scope": "erk"},
        {"exclude": ("last",)},
    ],
)
def test_patterns_scopes_and_excluded_layers(changes, config):
    result = train(config("rows", **changes))
    zeros = {name: own["zeros"] / own["size"] for name, own in result.metrics["sparsity"]["layers"].items()}
    assert zeros["a/kernel"] > 0 and ("b/kernel" not in zeros) == ("exclude" in changes)


# --- resuming


def task_of(config, folder, resumed):
    data = load_data(config)
    checkpoints = Checkpoints(folder / "checkpoints")
    policy = CheckpointPolicy(
        checkpoints=checkpoints,
        every=Interval.parse(config.checkpoint_every),
        signals=SignalHandler(),
        checkpoint=checkpoints.latest() if resumed else None,
    )
    return library_of(config, data).trainer((config.precision, {}), None, None, policy)


def run(config, folder, resumed=False):
    folder.mkdir(parents=True, exist_ok=True)
    task = task_of(config, folder, resumed)
    config.pruning.run(task)
    task.finish()
    return task


def check_same(own, other):
    for part, values in own.arrays(in_epoch=True).items():
        np.testing.assert_array_equal(values, other.arrays(in_epoch=True)[part], err_msg=part)
    assert own.history == other.history and own.counters() == other.counters()
    assert set(own.seconds) == set(other.seconds)


def check_cuts(config, folder, monkeypatch, saves):
    """Compares a run with what comes of it if it ends after so many saves and goes on in another task."""
    save, left = CheckpointListener._save, []

    def kept(self, position):
        save(self, position)
        files = {path.name: path.read_bytes() for path in self.checkpointing.checkpoints.folder.glob("*")}
        left.append((position, files))

    with monkeypatch.context() as patched:
        patched.setattr(CheckpointListener, "_save", kept)
        whole = run(config, folder / "whole")
    places = []
    for count in saves:
        cut = folder / f"cut{count}"
        (cut / "checkpoints").mkdir(parents=True)
        position, files = left[count - 1]
        places.append(position)
        for name, content in files.items():
            (cut / "checkpoints" / name).write_bytes(content)
        check_same(run(config, cut, resumed=True), whole)
    return places, len(left)


RESUMED = {
    "dynamic": {"settings": {"final_sparsity": 0.6, "events": [0.4, 0.8], "rate_factor": 1.5}},
    "lottery": {"settings": {"rounds": 2, "rewind_epoch": 1}},
    "rigl": {"settings": {}},
    "snip": {"settings": {}},
}


@pytest.mark.some(every=4)
@pytest.mark.parametrize("method", RESUMED)
def test_a_run_that_is_cut_at_any_step_goes_on_to_the_same_bits(method, config, tmp_path, monkeypatch):
    """With dropout, BatchNorm, a schedule and an order drawn anew: saved after each step."""
    settings = config(
        "noisy", method=method, epochs=3, checkpoint_every="1e-9s", shuffle=True, **RESUMED[method],
        learning_rate_schedule="cosine", optimizer="adam",
    )  # fmt: skip
    places, count = check_cuts(settings, tmp_path, monkeypatch, [1, 3, 5, 6])
    assert {place.step for place in places} == {0, 1, 2} and count >= 9


@pytest.mark.slow
def test_augmented_images_and_drawing_layers_go_on_too(config, tmp_path, monkeypatch):
    settings = config("augmented", augment=("flip", "crop"), checkpoint_every="1e-9s", epochs=2)
    check_cuts(settings, tmp_path, monkeypatch, [2, 4])


@pytest.mark.slow
def test_half_precision_goes_on_with_the_scale_of_its_loss(config, tmp_path, monkeypatch):
    check_cuts(config("half", checkpoint_every="1e-9s"), tmp_path, monkeypatch, [2, 3])


def test_a_run_that_ended_in_the_middle_is_resumed_by_the_same_call(config, monkeypatch):
    settings = config("noisy", epochs=3, checkpoint_every="1e-9s")
    whole = train(settings.replace(out=settings.out + "-whole"))
    save, saved = CheckpointListener._save, []

    def twice(self, position):
        save(self, position)
        saved.append(position)
        if len(saved) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CheckpointListener, "_save", twice)
        train(settings)
    again = train(settings)
    assert again.history() == whole.history()
    for own, other in zip(opened(again).weights, opened(whole).weights, strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.slow
def test_a_run_takes_the_dense_training_of_another_over(config):
    dense = train(config("rows", method="unpruned", settings={}, epochs=4))
    settings = config("rows", method="lottery", settings={"rounds": 2}, epochs=4)
    own, other = train(settings, dense=dense), train(settings.replace(out=settings.out + "-alone"))
    assert own.metrics["taken_over"] == {own.history()[0]["phase"]: dense.config.run_id}
    assert own.history() == other.history() and own.metrics["test"] == other.metrics["test"]


# --- runs that remove channels or residual branches

REMOVED = {
    "dynamic": ("noisy", {"settings": {"final_sparsity": 0.5, "events": [0.34, 0.67], "rate_factor": 1.5}}),
    "lottery": ("noisy", {"settings": {"rounds": 2, "rewind_epoch": 1}}),
    "gradual": ("residual", {"settings": {"sparsity": 0.5}, "channel_settings": {"criterion": "taylor"}}),
    "random": ("attending", {"settings": {"final_sparsity": 0.75, "events": [0.34, 0.67]}}),
    "fine_tuned": ("residual", {"granularity": "branch", "channel_settings": {}, "settings": {"sparsity": 0.5}}),
}
SLOW = ("lottery", "gradual", "random", "fine_tuned")


@pytest.mark.parametrize("method", [own if own not in SLOW else pytest.param(own, marks=SLOWLY) for own in REMOVED])
def test_a_run_that_makes_its_model_smaller_and_is_cut_goes_on_to_the_same_bits(method, config, tmp_path, monkeypatch):
    """Saved after each step but at the end of an epoch with an event: also right before and after a removal."""
    kind, changes = REMOVED[method]
    settings = {"granularity": "filter", "channel_settings": {"multiple": 1}} | changes
    settings = config(
        kind, method=method, epochs=3, checkpoint_every="1e-9s", shuffle=True, optimizer="adam",
        learning_rate_schedule="cosine", **settings,
    )  # fmt: skip
    check_cuts(settings, tmp_path, monkeypatch, [2, 3])


@pytest.mark.parametrize("kind", ["noisy", pytest.param("residual", marks=SLOWLY)])
def test_what_is_kept_of_it_is_the_smaller_model_with_its_softmax(kind, config, nets):
    changes = {"granularity": "filter", "channel_settings": {"multiple": 1, "dropout": "scale", "recalibrate": 8}}
    result = train(config(kind, **changes))
    model, whole = opened(result), getattr(nets, kind)({"noisy": (6,), "residual": (8, 8, 3)}[kind], 3)
    assert type(model) is type(whole) and [own.name for own in model.layers[-2:]] == [
        own.name for own in whole.layers[-2:]
    ]
    assert model.layers[-1].activation is keras3().activations.softmax
    dropped = [[own.rate for own in net.layers if isinstance(own, keras3().layers.Dropout)] for net in (model, whole)]
    np.testing.assert_allclose(dropped[0], np.multiply(0.5, dropped[1]))
    counted = result.metrics["channels"]
    assert model.count_params() == result.metrics["parameters"] == counted["parameters"]["after"]
    assert all(own["after"] == own["before"] / 2 for own in counted["groups"].values())
    history, data = result.history(), load_data(result.config)
    assert [row["sparsity"] for row in history] == [0.5, 0.5] and result.sparsity == 0.5
    answers = probabilities(model, data.validation.x.astype(np.float32))
    assert -np.mean(np.log(answers[np.arange(len(answers)), data.validation.y])) == pytest.approx(
        history[-1]["val_loss"], abs=1e-4
    )


def test_a_dense_network_of_the_same_widths_is_trained_beside_it(config):
    settings = {"granularity": "filter", "channel_settings": {"multiple": 1}, "method": "small_dense"}
    result = train(config("noisy", settings={"sparsity": 0.5}, **settings))
    assert opened(result).get_layer("a").units == 8 and result.metrics["parameters"] == 8 * 6 + 8 + 4 * 8 + 8 * 3 + 3


def test_what_cannot_be_made_again_is_said_before_the_training(config, nets, monkeypatch):
    class Own(keras3().Model):
        def __init__(self, inputs, outputs, extra):
            super().__init__(inputs, outputs, name="own")

        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    noisy = nets.noisy

    def made(input_shape, classes):
        plain = noisy(input_shape, classes)
        return Own(plain.inputs[0], plain.outputs[0], 1)

    monkeypatch.setattr(nets, "noisy", made)
    monkeypatch.setattr("tfprune.experiments.keras3_runs.why_not_kept", lambda *given: None)
    with pytest.raises(ModelError, match="model own is of a class of its own, Own, which cannot be made again"):
        train(config("noisy", granularity="filter", channel_settings={"multiple": 1}))


# --- which Keras, which backend


def test_run_ids_know_of_a_backend_only_where_it_is_not_the_usual_one(config):
    usual = config("rows", backend="tensorflow")
    assert usual.backend == "tensorflow" and config("rows", backend=None).run_id == usual.run_id
    assert config("rows", backend="jax").run_id != usual.run_id
    assert Config(dataset="penguins", backend="tensorflow").run_id == "penguins-dynamic-seed0"
    assert Config.from_dict(usual.to_dict()) == usual


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loop": "fused"}, "loop fused is for models of tf_keras"),
        ({"strategy": "mirrored", "batch_size": 16}, "strategy mirrored is for models of tf_keras"),
        ({"precision": "auto"}, "precision auto is measured for models of tf_keras"),
        ({"method": "small_dense", "settings": {}}, "small_dense narrows .* it needs granularity filter or branch"),
        ({"xla": True, "loop": "fused"}, "loop fused is for"),
    ],
)
def test_what_is_not_there_for_models_of_keras3_is_said_before_anything_is_trained(changes, said, config):
    with pytest.raises(ConfigError, match=said) as caught:
        train(config("rows", **changes))
    assert "\n" not in str(caught.value)


def test_a_backend_is_only_for_models_of_keras3(config, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="backend jax is for models of Keras 3, and mlp is made in tf_keras"):
        Config(dataset="penguins", backend="jax")
    with pytest.raises(ConfigError, match="applications:MobileNetV2 is made in tf_keras"):
        Config(dataset="penguins", model="applications:MobileNetV2", backend="torch")
    with pytest.raises(ConfigError, match="xla is a compiler of TensorFlow and JAX; on torch leave it out"):
        config("rows", backend="torch", xla=True)
    with pytest.raises(ConfigError, match="unknown backend 'mxnet': Choices: tensorflow, jax, torch"):
        Config(dataset="penguins", backend="mxnet")


def test_keras_that_was_imported_on_another_backend_is_said_with_the_remedy():
    other = "jax" if BACKEND == "tensorflow" else "tensorflow"
    with pytest.raises(ConfigError, match=f"has imported Keras on {BACKEND}, .* set KERAS_BACKEND={other} before"):
        choose_backend(other)
    if importlib.util.find_spec("torch") is None:
        with pytest.raises(ConfigError, match=r"backend torch is not installed: pip install 'tfprune\[torch\]'"):
            choose_backend("torch")


def test_a_model_that_cannot_be_kept_is_said_before_the_training(config, nets, monkeypatch, caplog):
    class Silent(keras3().Model):
        def __init__(self, classes):
            super().__init__()
            self.dense = keras3().layers.Dense(classes)

        def call(self, x):
            return self.dense(x)

    monkeypatch.setattr(nets, "subclassed", lambda input_shape, classes: Silent(classes))
    if BACKEND != "tensorflow":
        with pytest.raises(ModelError, match="could not be kept as a .keras file"):
            train(config("subclassed"))
        return
    result = train(config("subclassed"))
    assert "cannot be kept as a .keras file" in caplog.text
    assert not result.keras_model.exists() and result.model.is_dir()


def test_files_of_keras3_start_from_their_weights_and_lose_nothing(config, nets, tmp_path, monkeypatch):
    model = nets.rows((6,), 3)
    model.save(tmp_path / "net.keras")
    settings = config("rows", model=str(tmp_path / "net.keras"))
    built = brought(settings, load_data(settings))
    for own, stored in zip(built.classifier.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, stored)
    result = train(settings)
    os.remove(tmp_path / "net.keras")
    assert opened(result).count_params() == model.count_params()


def test_commands_on_such_runs(config, data, monkeypatch, capsys):
    settings = config("rows", epochs=6)
    run = Path(settings.out) / settings.run_id
    typed = ("--dataset", settings.dataset, "--model", settings.model, "--backend", BACKEND, "--epochs", 6)
    words = ("--batch-size", 16, "--set", "final_sparsity=0.5", "--set", "events=[0.5]", "--out", settings.out)
    code, out, err = command(monkeypatch, capsys, "train", *typed, *words, "--set", "augment=[]")
    assert code == 0, err
    assert f"Keras 3      {run / 'model.keras'}" in out
    for words in (("show", run), ("runs", settings.out), ("report", settings.out, "--out", data / "page.html")):
        code, out, err = command(monkeypatch, capsys, *words)
        assert code == 0, err
    own = ("--dataset", settings.dataset)
    code, out, err = command(monkeypatch, capsys, "export", run, "--format", "keras", *own)
    assert code == 0 and (run / "exports" / "model.keras").is_file(), err
    code, out, err = command(monkeypatch, capsys, "compact", run, *own)
    assert code == 0 and ("Nothing is dead" in out or (run / "exports" / "compact.keras").is_file()), err
    code, out, err = command(monkeypatch, capsys, "export", run, "--format", "h5", *own)
    assert code == 2 and "format h5 is for models of tf_keras" in err
    code, out, err = command(monkeypatch, capsys, "bench", run, "--batch", 1, "--rounds", 2, *own)
    assert code == 0 and "model.keras" in out, err
    if BACKEND != "tensorflow":
        code, out, err = command(monkeypatch, capsys, "predict", run, settings.dataset)
        assert code == 2 and "tfprune export" in err and "--format savedmodel" in err
        code, out, err = command(monkeypatch, capsys, "export", run, "--format", "savedmodel", *own)
        assert code == 2 and "KERAS_BACKEND=tensorflow" in err
        return
    code, out, err = command(monkeypatch, capsys, "predict", run, settings.dataset)
    assert code == 0 and "row" in out, err
    code, out, err = command(monkeypatch, capsys, "export", run, "--format", "savedmodel", *own)
    assert code == 0 and "largest difference" in out, err


def test_commands_on_runs_that_make_their_model_smaller(config, monkeypatch, capsys):
    settings = config("noisy")
    typed = ("--dataset", settings.dataset, "--model", settings.model, "--backend", BACKEND, "--granularity", "filter")
    words = ("--epochs", 2, "--batch-size", 16, "--out", settings.out, "--set", "channels.multiple=1")
    code, out, err = command(monkeypatch, capsys, "plan", *typed, "--keep", 0.5, "--rounds", 2, *words[4:])
    assert code == 0 and "a training step, ms" in out and "Next: tfprune train" in out, err
    more = ("--method", "dynamic", "--sparsity", 0.5, "--set", "augment=[]", "--set", "events=[0.5]")
    code, out, err = command(monkeypatch, capsys, "train", *typed, *words, *more)
    assert code == 0, err
    (run,) = Path(settings.out).iterdir()
    own = ("--dataset", settings.dataset)
    for words in (
        *(("show", run), ("report", settings.out, "--out", run / "page.html"), ("compact", run, *own)),
        *(("export", run, "--format", "keras", *own), ("bench", run, "--batch", 1, "--rounds", 2, *own)),
    ):
        code, out, err = command(monkeypatch, capsys, *words)
        assert code == 0, err
    assert keras3().saving.load_model(run / "exports" / "model.keras").get_layer("a").units == 8


def test_a_dry_run_measures_such_a_model(config, monkeypatch, capsys):
    settings = config("rows")
    typed = ("--dataset", settings.dataset, "--model", settings.model, "--backend", BACKEND, "--out", settings.out)
    code, out, err = command(monkeypatch, capsys, "train", *typed, "--epochs", 4, "--batch-size", 16, "--dry-run")
    assert code == 0 and "a step (of " in out and "model.keras" in out, err
    assert not Path(settings.out).exists()


@pytest.mark.slow
def test_a_comparison_trains_each_in_its_own_keras(config, monkeypatch, capsys):
    settings = config("rows")
    typed = ("--dataset", settings.dataset, "--model", settings.model, "--backend", BACKEND, "--out", settings.out)
    words = ("--methods", "unpruned,dynamic,lottery", "--seeds", 2, "--epochs", 4, "--batch-size", 16)
    code, out, err = command(monkeypatch, capsys, "compare", *typed, *words, "--set", "augment=[]")
    assert code == 0 and "dynamic" in out, err
    assert len(list(Path(settings.out).glob("*/model.keras"))) == 6


# --- other backends, in processes of their own

WITHOUT_TENSORFLOW = """
import os, sys
HIDDEN = ("tensorflow", "tf_keras", "tensorflow_model_optimization", "tensorboard")
sys.modules.update(dict.fromkeys(HIDDEN))  # as where it is not installed: where it is, Keras imports it to save a model
sys.argv = ["tfprune", "train", *{arguments}]
from tfprune.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert not any(map(sys.modules.get, HIDDEN))
assert sys.modules["keras"].backend.backend() == "{backend}"
"""
ON_OTHERS = ["jax", pytest.param("torch", marks=pytest.mark.slow)]


@ON_TENSORFLOW
@pytest.mark.parametrize("backend", ON_OTHERS)
def test_a_run_on_another_backend_needs_no_tensorflow(backend, config, tmp_path, monkeypatch, capsys):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    settings = config("rows", backend=backend)
    words = ["--dataset", settings.dataset, "--model", settings.model, "--backend", backend, "--out", settings.out]
    words += ["--epochs", "4", "--batch-size", "16", "--set", "augment=[]"]
    code = WITHOUT_TENSORFLOW.format(arguments=words, backend=backend)
    environment = {name: value for name, value in os.environ.items() if name != OF_KERAS}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = Path(settings.out).iterdir()
    assert "SavedModel" not in done.stdout and f"Keras 3      {run / 'model.keras'}" in done.stdout
    code, out, err = command(
        monkeypatch, capsys, "export", run, "--format", "savedmodel", "--dataset", settings.dataset
    )
    assert code == 0 and "largest difference" in out, err  # here, on TensorFlow
    code, out, err = command(monkeypatch, capsys, "predict", run / "exports" / "savedmodel", settings.dataset)
    assert code == 0, err


ALL = "cut_at_any_step or smaller or comes_back or takes_the_dense or ended_in_the_middle or commands or dry_run"
ALL += " or another_task or logged or every_method"
SOME = "cut_at_any_step and lottery or smaller_and and dynamic or comes_back and numbers"


@pytest.mark.slow
@ON_TENSORFLOW
@pytest.mark.parametrize("chosen", [SOME, pytest.param(ALL, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("backend", ON_OTHERS)
def test_other_backends_are_held_to_the_same(backend, chosen):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-m", "", "-k", chosen]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, __file__],
        env=os.environ | {OF_KERAS: backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("kind", ["numbers", "several"])
def test_a_model_of_another_task_comes_back_and_answers_in_the_unit_of_its_targets(kind, nets, tmp_path, monkeypatch):
    monkeypatch.setenv(FUNCTIONS, f"keras3_nets:{kind}")
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 6)).astype(np.float32)
    y = 1000 + 300 * x[:, :2] if kind == "numbers" else x[:, :2] > 0
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    own = {"backend": BACKEND, "epochs": 3, "settings": {"final_sparsity": 0.5, "events": [0.5]}}
    config = Config(dataset=str(tmp_path / "rows.npz"), model=f"keras3_nets:{kind}", out=str(tmp_path), **own)
    result = train(config)
    data = load_data(config)
    assert config.task == {"numbers": "regression", "several": "multilabel"}[kind]
    assert result.sparsity == pytest.approx(0.5, abs=0.02)
    answers = probabilities(opened(result), data.test.x)
    found = data.objective.compared(data.test.y, answers)
    assert {name: result.metrics["test"][name] for name in found} == pytest.approx(found, rel=1e-4)
    again = restore(result, data)
    np.testing.assert_allclose(
        data.objective.answers(again.classifier.predict(data.test.x, verbose=0)), answers, rtol=1e-5
    )
