import gc
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorflow.python.framework.func_graph import FuncGraph

import tfprune
from tfprune import api
from tfprune.adapters.backend import keras, tf
from tfprune.experiments import compiled_models, tf_keras_runs
from tfprune.experiments.building import load_data, model_settings
from tfprune.experiments.experiment import train
from tfprune.experiments.results import SCHEMA, read_result
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.sweeps import run_all
from tfprune.exporting.savedmodel import load_weights
from tfprune.training.callbacks import PRUNED_COLOUR
from tfprune.training.checkpoints import Checkpoints
from tfprune.training.config import Config
from tfprune.training.fused import CompiledModelCache
from tfprune.training.trainer import Trainer
from tfprune.utils.errors import ConfigError, ModelError, RunError, SparsityError, TrainingError
from tfprune.utils.locks import LOCK

FILES = {
    "config.json",
    "metrics.json",
    "history.csv",
    "masks.npz",
    "curves.png",
    "sparsity.png",
    "tensorboard",
    "model",
    "model_card.md",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(Config(dataset="penguins", epochs=6, out=str(tmp_path_factory.mktemp("runs"))))


@pytest.mark.figures
def test_a_run_leaves_what_it_should_and_nothing_else(finished):
    assert {path.name for path in finished.folder.root.iterdir()} == FILES
    assert (finished.model / "saved_model.pb").is_file()
    for picture in (finished.folder.curves, finished.folder.sparsity):
        with Image.open(picture) as image:
            image.verify()


def test_metrics_follow_their_schema(finished):
    metrics = json.loads(finished.folder.metrics.read_text())
    assert metrics["schema"] == 2 and metrics["seed"] == 0 and metrics["epochs"] == 6
    for split in ("train", "validation", "test"):
        assert metrics[split]["loss"] > 0 and 0 <= metrics[split]["accuracy"] <= 1
    assert metrics["sparsity"]["requested"] == pytest.approx(1 - 0.83**2)
    assert metrics["sparsity"]["achieved"] == pytest.approx(55 / 180)
    assert metrics["sparsity"]["layers"] == {
        "dense_1/kernel": {"zeros": 44, "size": 144},
        "dense_2/kernel": {"zeros": 11, "size": 36},
    }
    assert metrics["parameters"] == 12 * 12 + 12 + 12 * 3 + 3
    assert metrics["nonzero_parameters"] <= metrics["parameters"] - 55
    assert metrics["bytes"]["raw"] > metrics["bytes"]["gzip"] > 0
    assert set(metrics["seconds"]) == {"prepare", "compile", "train", "finish", "total"}
    assert {"python", "tfprune", "tensorflow", "tf-keras", "tensorflow-model-optimization"} <= set(metrics["versions"])
    assert metrics["precision"] == {"policy": "float32", "step_seconds": {}}
    assert metrics["selection"] == {"rule": "last epoch", "split": None}
    assert metrics["machine"]["cpu"] and metrics["machine"]["cores"] >= 1


def documented(heading):
    """Returns the rows of the first table under a heading of docs/files.md: names in the first cell -> the row."""
    page = (Path(tfprune.__file__).parents[1] / "docs" / "files.md").read_text()
    table = page.split(f"\n## {heading}\n")[1].split("\n## ")[0] if heading else page.split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|(.*)$", table, re.MULTILINE)
    return {name: meaning for names, meaning in rows for name in re.findall(r"`([\w./]+)`", names)}


def test_what_a_run_leaves_is_documented_and_nothing_else_is(finished):
    always = {name for name, row in documented("").items() if "only " not in row and "of your own" not in row}
    assert always == {f"{name}/" if "." not in name else name for name in FILES}

    keys = documented(f"metrics.json, schema {SCHEMA}")
    found = set()
    for key, value in finished.metrics.items():
        found |= {key} if key in keys else {f"{key}.{inner}" for inner in value}
        if key in keys and isinstance(value, dict) and key not in ("seconds", "cpu_seconds", "versions", "files"):
            for inner in value:  # those are named by phases, packages and files
                assert f"`{inner.removesuffix('_masked')}`" in keys[key], f"{key}.{inner}"
    assert found == {name for name, row in keys.items() if "only of " not in row}

    header, *_ = finished.folder.history.read_text().splitlines()
    assert tuple(header.split(",")) == tuple(documented("history.csv"))


def test_a_result_shows_itself_in_a_notebook(finished):
    shown = re.sub(" +<", "<", finished._repr_html_())  # tabulate fills cells with spaces
    for text in (
        f"<p>{finished.config.run_id}: 30.6 % of the kernel weights are gone; 28.2 % of all weights are zero</p>",
        'src="data:image/png;base64,',
        "<tr><th>split</th><th>loss</th><th>accuracy</th></tr>",
        f"<td>{finished.metrics['test']['loss']:.4f}",
        "<td>dense_1/kernel</td><td>44</td><td>144</td><td>30.6 %</td>",
    ):
        assert text in shown, text
    finished.folder.root.rename(finished.folder.root.with_name("away"))
    try:  # what was read into memory can be shown without the folder
        assert "dense_1/kernel" in finished._repr_html_() and "data:image" not in finished._repr_html_()
    finally:
        finished.folder.root.with_name("away").rename(finished.folder.root)


def test_a_result_reads_back_as_it_was_made(finished):
    read = read_result(finished.folder)
    assert read.metrics == json.loads(json.dumps(finished.metrics))
    assert read.config.to_dict() == finished.config.to_dict()
    assert [row["epoch"] for row in read.history()] == [1, 2, 3, 4, 5, 6]
    assert [round(row["sparsity"] * 180) for row in read.history()] == [0, 30, 30, 55, 55, 55]
    assert sum(int((mask == 0).sum()) for mask in read.masks().values()) == 55


def events(folder, part):
    accumulator = EventAccumulator(str(folder / part), size_guidance={"images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def test_tensorboard_shows_curves_sparsity_histograms_masks_and_settings(finished):
    train_log = events(finished.folder.tensorboard, "train")
    tags = set(train_log.Tags()["tensors"])
    kernels = ("dense_1/kernel", "dense_2/kernel")
    assert {"loss", "accuracy", "sparsity"} <= tags
    assert {f"{kind}/{name}" for kind in ("sparsity", "weights", "masks") for name in kernels} <= tags
    assert set(events(finished.folder.tensorboard, "validation").Tags()["tensors"]) == {"loss", "accuracy"}

    values = [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in train_log.Tensors("sparsity")]
    expected = [(0, 0), (4, 0), (8, 30), (12, 30), (16, 55), (20, 55), (24, 55)]
    assert [step for step, _ in values] == [step for step, _ in expected]
    np.testing.assert_allclose([value * 180 for _, value in values], [zeros for _, zeros in expected], atol=1e-4)

    pictures = train_log.Tensors("masks/dense_1/kernel")
    assert [event.step for event in pictures] == [0, 8, 16]  # at the start and at each event
    last = tf.make_ndarray(pictures[-1].tensor_proto)[2]
    with Image.open(io.BytesIO(last)) as image:
        assert np.mean(np.all(np.asarray(image) == PRUNED_COLOUR, axis=-1)) == pytest.approx(44 / 144)

    assert train_log.summary_metadata["weights/dense_1/kernel"].plugin_data.plugin_name == "histograms"
    buckets = [tf.make_ndarray(event.tensor_proto) for event in train_log.Tensors("weights/dense_1/kernel")]
    assert [own.shape for own in buckets] == [(30, 3)] * 7 and all(own[:, 2].sum() == 144 for own in buckets)
    zeros = [left <= 0 <= right for left, right, _ in buckets[-1]]
    assert buckets[-1][zeros, 2].sum() >= 44

    settings = [own for tag, own in train_log.summary_metadata.items() if "session_start" in tag]
    assert len(settings) == 1 and b"null" not in settings[0].plugin_data.content
    (final,) = train_log.Scalars("final_by_parameters/test_accuracy")
    assert (final.step, pytest.approx(final.value)) == (140, finished.metrics["test"]["accuracy"])
    assert {path.name for path in finished.folder.tensorboard.iterdir()} == {"train", "validation"}  # two entries


def test_a_finished_run_is_not_repeated_unless_forced(finished, monkeypatch):
    before = finished.folder.metrics.stat().st_mtime_ns
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    again = train(finished.config)
    assert again.metrics["test"] == finished.metrics["test"]
    assert finished.folder.metrics.stat().st_mtime_ns == before
    monkeypatch.undo()
    forced = train(finished.config, force=True)
    assert finished.folder.metrics.stat().st_mtime_ns > before
    assert forced.metrics["test"] == finished.metrics["test"]  # the same seed gives the same numbers


def test_what_a_process_left_that_was_killed_at_its_very_end_is_removed(tiny, monkeypatch):
    config = tiny(epochs=3, checkpoint_every=1)
    with monkeypatch.context() as patched:
        patched.setattr(RunDir, "close", lambda self: None)
        folder = train(config).folder
    for read in (train, lambda config: run_all([config])):  # as `tfprune train` and `compare` do
        folder.checkpoints.mkdir(exist_ok=True)
        (folder.root / LOCK).touch()
        read(config)
        assert not folder.checkpoints.exists() and not (folder.root / LOCK).exists()


def test_a_finished_run_with_other_settings_under_the_same_name_is_refused(tiny, finished, tmp_path):
    folder = RunDir(tmp_path / "runs" / tiny().run_id)
    folder.root.mkdir(parents=True)
    stored = json.loads(finished.folder.config.read_text()) | {"batch_size": 7}
    folder.config.write_text(json.dumps(stored))
    without = {key: own for key, own in finished.metrics.items() if key not in ("files", "checksum")}
    folder.metrics.write_text(json.dumps(without))
    with pytest.raises(RunError, match="was run with batch_size=7, not 50; use --force"):
        train(tiny())


def test_an_unfinished_run_does_not_go_on_with_other_settings(tiny):
    folder = RunDir(f"{tiny().out}/{tiny().run_id}")
    folder.checkpoints.mkdir(parents=True)
    folder.config.write_text(json.dumps(tiny().to_dict() | {"batch_size": 7}))
    with pytest.raises(RunError, match="was run with batch_size=7, not 50; use --force"):
        train(tiny())


def test_a_training_that_is_cut_off_is_not_finished_and_keeps_its_history(tiny, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        train(tiny())
    folder = RunDir(f"{tiny().out}/{tiny().run_id}")
    assert not folder.finished and folder.read_failure() is None
    assert len(folder.history.read_text().splitlines()) == 7
    with pytest.raises(RunError, match="this run is not finished"):
        read_result(folder)


def test_a_run_that_goes_on_under_other_versions_or_threads_warns(tiny, monkeypatch, caplog):
    config = tiny(checkpoint_every=3)

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "finish", stop)
        train(config)
    checkpoints = Checkpoints(RunDir(f"{config.out}/{config.run_id}").checkpoints)
    checkpoint = checkpoints.latest()
    now = checkpoint.state["run"]["circumstances"]
    checkpoint.state["run"]["circumstances"] = now | {"tensorflow": "2.20.0"}
    checkpoints.write(checkpoint.state, checkpoint.arrays)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "99")
    train(config)
    said = [record.getMessage() for record in caplog.records if "bits may differ" in record.getMessage()]
    assert said == [
        f"the run began with tensorflow 2.20.0 and goes on with {now['tensorflow']}: bits may differ",
        f"the run began with threads {now['threads']} and goes on with 99: bits may differ",
    ]


@pytest.mark.some(every=2)
@pytest.mark.parametrize("loop", ["fused", "plain"])
def test_a_training_that_is_over_leaves_no_graph_in_memory(loop, tiny):
    """Or a sweep's process grows by megabytes a run."""

    def graphs():
        for _ in range(3):  # what a finalizer lets go of is garbage of the next one
            gc.collect()
        return {id(o) for o in gc.get_objects() if isinstance(o, FuncGraph) and o.name != "keras_graph"}

    train(tiny(loop=loop))
    before = graphs()
    train(tiny(loop=loop, seed=1))
    assert graphs() <= before


@pytest.mark.some(every=2)
@pytest.mark.parametrize("method", ["dynamic", "lottery"])
def test_a_model_that_an_earlier_run_compiled_comes_to_the_same_bits_and_is_charged(method, tiny, monkeypatch):
    """It saves the compiling, which XLA never frees; times stay those of a run that compiles for itself."""

    def bits(result):
        return [weights.tobytes() for weights in load_weights(result.model)], result.history()

    def model_cache():
        kept = CompiledModelCache(4)
        for module in (compiled_models, tf_keras_runs):
            monkeypatch.setattr(module, "MODEL_CACHE", kept)
        return kept

    config = tiny(method, shuffle=True)
    model_cache()
    expected = bits(train(config))
    kept = model_cache()
    earlier = train(config.as_baseline().replace(seed=5)) if method == "lottery" else train(config.replace(seed=5))
    [model] = kept.idle.values()
    again = train(config, force=True)
    assert bits(again) == expected and list(kept.idle.values()) == [model]
    if method == "dynamic":
        assert again.metrics["seconds"]["compile"] == earlier.metrics["seconds"]["compile"]
        assert model.train_tf_function.experimental_get_tracing_count() == 1
    train(config.replace(batch_size=config.batch_size + 1))
    assert len(kept.idle) == 2


def test_a_loss_that_explodes_is_one_line_and_leaves_no_result(tiny):
    config = tiny(learning_rate=1e38, optimizer="sgd", model_settings={"output_activation": "linear"})
    folder = RunDir(f"{config.out}/{config.run_id}")
    with pytest.raises(TrainingError, match="try a lower --learning-rate"):
        train(config)
    assert not folder.finished and folder.read_failure().endswith("try a lower --learning-rate")
    folder.resume()  # as the next attempt does
    assert folder.read_failure() is None


def test_a_model_that_is_not_as_sparse_as_asked_for_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr("tfprune.adapters.tf_keras.adapter.set_masks", lambda model, masks: None)
    with pytest.raises(SparsityError, match="the trained model: dense_1/kernel keeps 144 weights where 100 were asked"):
        train(tiny())


def test_spared_layers_stay_dense(tiny):
    layers = train(tiny(exclude=("dense_2",))).metrics["sparsity"]["layers"]
    assert layers == {"dense_1/kernel": {"zeros": 44, "size": 144}}
    bad = tiny(exclude=("dense_3",))
    with pytest.raises(ModelError, match="exclude names 'dense_3'"):
        train(bad)
    assert not RunDir(f"{bad.out}/{bad.run_id}").root.exists()  # nothing half-written


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_named(tiny, tmp_path):
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(RunError, match="cannot write in"):
        train(tiny())


def test_the_package_offers_what_its_readme_shows():
    assert {"Config", "callbacks", "prune", "shrink", "summary", "train"} <= set(tfprune.__all__)
    assert all(callable(getattr(tfprune, name)) for name in tfprune.__all__)
    assert tfprune.train is api.train and tfprune.Config is Config
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = tfprune.nonsense


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return train(Config(dataset="penguins", method="unpruned", epochs=6, out=str(tmp_path_factory.mktemp("dense"))))


@pytest.fixture
def trainings(monkeypatch):
    """Counts the calls of `model.fit`."""
    fit, calls = keras.Model.fit, []
    monkeypatch.setattr(keras.Model, "fit", lambda *args, **kwargs: (calls.append(1), fit(*args, **kwargs))[1])
    return calls


@pytest.mark.parametrize(("method", "repeated"), [("pruned", 0), ("lottery", 1)])
def test_a_dense_training_that_is_shared_changes_no_number(tiny, dense, method, repeated, trainings):
    alone = train(tiny(method))
    trainings.clear()
    shared = train(tiny(method), force=True, dense=dense)
    assert len(trainings) == repeated
    assert shared.history() == alone.history()
    assert shared.metrics["taken_over"] == {"dense": dense.config.run_id} and not alone.metrics["taken_over"]
    for key in ("train", "validation", "test", "sparsity", "epochs", "cost"):
        assert shared.metrics[key] == alone.metrics[key]
    for key in ("seconds", "cpu_seconds"):
        assert shared.metrics[key]["dense"] == dense.metrics[key]["dense"]
    losses = events(shared.folder.tensorboard, "train").Tensors("loss")
    assert len(losses) == 6 * (1 + repeated)


@pytest.mark.parametrize(("method", "settings"), [("dynamic", {}), ("lottery", {"rewind_epoch": 2})])
def test_a_training_that_differs_from_the_dense_one_is_not_shared(tiny, dense, method, settings, trainings):
    result = train(tiny(method, settings=settings), dense=dense)
    assert len(trainings) == (2 if method == "lottery" else 1) and not result.metrics["taken_over"]


def test_a_dense_training_with_other_settings_is_refused(tiny, dense):
    with pytest.raises(RunError, match="penguins-unpruned-seed0-.*: was run with batch_size=50, not 25"):
        train(tiny("pruned", batch_size=25), dense=dense)


def test_the_cost_counts_every_training_and_every_weight_that_lives(tiny):
    """12 x 12 + 12 x 3 weights; of 144 and 36 dynamic pruning keeps 120 and 30, then 100 and 25; 200 examples."""
    forward, examples = 144 + 36, 6 * 200
    cost = train(tiny("dynamic")).metrics["cost"]
    assert cost["forward_flops"] == 2 * forward and cost["forward_flops_masked"] == 2 * (100 + 25)
    assert cost["examples"] == examples and cost["training_flops"] == 6 * forward * examples
    assert cost["training_flops_masked"] == pytest.approx(6 * 200 * 2 * (180 + 150 + 125))
    cost = train(tiny("lottery")).metrics["cost"]
    assert cost["examples"] == 2 * examples
    assert cost["training_flops_masked"] == pytest.approx(6 * examples * (180 + 101 + 25))


@pytest.mark.slow
def test_a_late_pruning_event_saves_little(tiny):
    cost = train(tiny("dynamic", settings={"events": (0.999,)}, epochs=2000)).metrics["cost"]
    assert cost["training_flops_masked"] == pytest.approx(6 * 200 * (1998 * 180 + 2 * 150))


def test_a_small_dense_network_may_train_for_longer(tiny):
    config = tiny("small_dense", epochs=4, settings={"sparsity": 0.5, "longer": 1.5})
    assert train(config).metrics["epochs"] == 6
    assert config.run_id != tiny("small_dense", epochs=4, settings={"sparsity": 0.5}).run_id
    assert (
        config.replace(settings={"sparsity": 0.5, "longer": 1}).run_id
        == config.replace(settings={"sparsity": 0.5}).run_id
    )  # those of runs that are on disks
    with pytest.raises(ConfigError, match="longer must be a finite number of at least 1, got 0.5"):
        tiny("small_dense", settings={"longer": 0.5})


def test_a_small_dense_network_has_no_more_parameters_than_the_pruned_one(tiny):
    pruned, small = (train(tiny(name, settings={"sparsity": 0.5})).metrics for name in ("pruned", "small_dense"))
    assert pruned["nonzero_parameters"] == 195 - 90
    widths = [12 * h + h + 3 * h + 3 for h in range(1, 13)]
    assert small["parameters"] == small["nonzero_parameters"] == max(n for n in widths if n <= 105)
    assert small["sparsity"]["achieved"] == 0


def test_the_widths_of_a_small_dense_network_may_be_multiples(tiny):
    config = tiny("small_dense", settings={"sparsity": 0.3, "multiple": 4}, model_settings={"hidden": [12, 12]})
    assert model_settings(config, load_data(config))["hidden"] == [8, 8]
    plain = config.replace(settings={"sparsity": 0.3})
    assert config.replace(settings={"sparsity": 0.3, "multiple": 1}).run_id == plain.run_id != config.run_id
    odd = config.replace(settings={"sparsity": 0.01, "multiple": 8}, model_settings={"hidden": [12, 4]})
    assert model_settings(odd, load_data(odd))["hidden"] == [8, 4]  # none is wider than it was
    with pytest.raises(ModelError, match="no width of the model has as few .* lower sparsity, or a lower multiple"):
        train(config.replace(settings={"sparsity": 0.9, "multiple": 12}))
    with pytest.raises(ConfigError, match="multiple of method small_dense is of granularity weight; for filter set"):
        config.replace(granularity="filter")


@pytest.mark.slow
def test_a_longer_training_is_one_training(tiny):
    longer = train(tiny("longer", learning_rate_schedule="cosine"))
    same = train(tiny("unpruned", epochs=12, learning_rate_schedule="cosine"))
    assert longer.metrics["epochs"] == 12 and longer.metrics["test"] == same.metrics["test"]


def test_a_shuffled_ticket_keeps_its_counts_and_a_reinitialised_one_its_masks(tiny):
    ticket, shuffled, again = (train(tiny(name)) for name in ("lottery", "shuffled", "reinitialised"))
    for name, mask in ticket.masks().items():
        assert mask.sum() == shuffled.masks()[name].sum() and np.any(mask != shuffled.masks()[name])
        np.testing.assert_array_equal(mask, again.masks()[name])
    first = [run.history()[6]["loss"] for run in (ticket, shuffled, again)]
    assert len(set(first)) == 3  # other places, other weights
