"""A run that is cut off anywhere and taken up again ends in the same bits as one that never was."""

import functools
import subprocess
import sys
from pathlib import Path

import alone
import numpy as np
import pytest

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.mask_values import get_masks
from tfprune.experiments.building import build, initial_weights, load_data
from tfprune.methods import METHODS
from tfprune.methods._base import Task
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.checkpoints import Checkpoints, Interval
from tfprune.training.config import Config
from tfprune.training.resuming import CheckpointPolicy, TrainingPosition
from tfprune.training.stopping import SignalHandler
from tfprune.training.tf_keras_checkpoints import CheckpointCallback
from tfprune.training.trainer import Trainer


def trainer_of(config, folder, resumed, shared):
    make = ChannelTrainer if config.removes else Trainer
    data = load_data(config)
    reinit_fn = functools.partial(initial_weights, config, data, "reinit")
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoint = checkpoints.latest() if resumed else None
    checkpointing = CheckpointPolicy(
        checkpoints=checkpoints,
        every=Interval.parse(config.checkpoint_every),
        signals=SignalHandler(),
        checkpoint=checkpoint,
    )
    kind, model = alone.compiled(config, data) if shared else (None, build(config, data))
    trainer = make(model, data, config, reinit_fn=reinit_fn, checkpointing=checkpointing)
    if shared:
        alone.COMPILED[kind] = trainer.model
    return trainer


def run(config, folder, resumed=False, shared=False):
    """Trains a run, or what is left of it; a `shared` model was compiled by another one, and has its optimizer."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer = trainer_of(config, folder, resumed, shared)
    config.pruning.run(trainer)
    trainer.finish()
    return trainer


def everything(trainer):
    """All that a training came to, but for the clock."""
    arrays = [*trainer.model.weights, *trainer.model.optimizer.variables]
    counters = trainer.counters()
    return (
        [array.numpy() for array in arrays],
        get_masks(trainer.model),
        trainer.history,
        counters,
        set(trainer.seconds),
    )


def check_same(own, other):
    """Compares what two trainings came to, see `everything`."""
    for a, b in zip(own[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert own[1].keys() == other[1].keys()
    for name, mask in own[1].items():
        np.testing.assert_array_equal(mask, other[1][name])
    assert own[2:] == other[2:]


def kept_after_each_save(monkeypatch):
    """Keeps what lies in the folder of checkpoints after each save: what a process that is killed then leaves."""
    save, left = CheckpointCallback._save, []

    def kept(self, position):
        save(self, position)
        left.append({path.name: path.read_bytes() for path in self.checkpointing.checkpoints.folder.glob("*")})

    monkeypatch.setattr(CheckpointCallback, "_save", kept)
    return left


SETTINGS = {
    "fused": {"epochs": 4, "loop": "fused", "shuffle": True},
    "plain": {"epochs": 3, "loop": "plain", "shuffle": True, "optimizer": "sgd", "learning_rate_schedule": "cosine"},
}


def check_cuts(config, folder, monkeypatch, saves, shared=False):
    """Compares a run with what comes of it if it ends after so many saves and goes on elsewhere; returns it."""
    with monkeypatch.context() as patched:
        left = kept_after_each_save(patched)
        whole = run(config, folder / "whole", shared=shared)
    expected = everything(whole)
    for count in saves:
        cut = folder / f"cut{count}"
        (cut / "checkpoints").mkdir(parents=True)
        for name, content in left[count - 1].items():
            (cut / "checkpoints" / name).write_bytes(content)
        check_same(everything(run(config, cut, resumed=True, shared=shared)), expected)
    return whole


@pytest.mark.some(every=2)
@pytest.mark.parametrize("method", METHODS)
def test_a_run_of_any_method_that_is_cut_goes_on_to_the_same_bits(method, tiny, tmp_path, monkeypatch):
    """In models that were compiled before, which takes longest; the next test goes on in new ones."""
    config = tiny(method, checkpoint_every=1, **SETTINGS["fused"])
    total = config.pruning.total_epochs(config.epochs)
    check_cuts(config, tmp_path, monkeypatch, [total // 2 + 1], shared=True)


@pytest.mark.some(every=3)
@pytest.mark.parametrize("loop", SETTINGS)
@pytest.mark.parametrize("method", ["dynamic", "lottery"])
def test_a_run_may_be_cut_after_any_checkpoint(method, loop, tiny, tmp_path, monkeypatch):
    config = tiny(method, checkpoint_every=1, **SETTINGS[loop])
    total = config.pruning.total_epochs(config.epochs)
    check_cuts(config, tmp_path, monkeypatch, sorted({1, total // 2, total}))


@pytest.mark.some(every=2)
@pytest.mark.parametrize("method", ["dynamic", "lottery"])
def test_a_run_that_is_cut_in_the_middle_of_an_epoch_goes_on_at_its_step(method, copies, tmp_path, monkeypatch):
    """With dropout, BatchNorm, augmentation and an order drawn anew, at any step of an epoch."""
    config = Config(
        dataset="flowers",
        method=method,
        epochs=3,
        batch_size=16,
        limit=48,
        data_dir=str(copies),
        checkpoint_every="1e-9s",
        settings={"rewind_epoch": 1} if method == "lottery" else {"rate_factor": 1.5},
        learning_rate_schedule="cosine",
        model_settings={"dropout": 0.3, "widths": (8, 8, 16)},
    )
    monkeypatch.setattr("tfprune.training.compiling.STEPS_IN_ONE_CALL", 0)
    whole = check_cuts(config, tmp_path, monkeypatch, [2, 7])
    if method == "dynamic":  # with images that stay in their files the run is the same, too
        streamed = check_cuts(config.replace(stream="shards"), tmp_path / "shards", monkeypatch, [5])
        check_same(everything(streamed), everything(whole))


@pytest.mark.some(every=7)
@pytest.mark.parametrize(
    ("method", "granularity"),
    [("dynamic", "filter"), ("early_bird", "filter"), ("dynamic", "branch"), ("dynamic", "n:m"), ("snip", "filter"),
     ("lottery", "branch"), ("lottery", "filter")],
)  # fmt: skip
def test_a_run_that_has_lost_channels_or_more_goes_on_in_its_form(method, granularity, tiny, tmp_path, monkeypatch):
    model = "residual:tower" if granularity == "branch" else None
    config = tiny(method, checkpoint_every=1, granularity=granularity, epochs=4, shuffle=True, model=model)
    check_cuts(config, tmp_path, monkeypatch, [2, 3])


NORMALIZED = """
import tf_keras as keras
L = keras.layers

def net(input_shape, classes):
    i = L.Input(input_shape)
    x = L.BatchNormalization(name="n")(L.LayerNormalization(name="l")(L.Dense(16, "relu", name="a")(i)))
    return keras.Model(i, L.Dense(classes, name="c")(L.Dense(8, "relu", name="b")(x)))
"""


@pytest.mark.some(every=2)
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_a_run_goes_on_after_two_removals_under_a_layer_normalization(scope, tiny, tmp_path, monkeypatch):
    (tmp_path / "normalized.py").write_text(NORMALIZED)
    monkeypatch.syspath_prepend(tmp_path)
    settings = {"events": (0.2, 0.5), "final_sparsity": 0.5}  # after the first and the third of six epochs
    channels = {"multiple": 1, "recalibrate": 32}
    config = tiny(
        model="normalized:net", checkpoint_every=1, shuffle=True, granularity="filter", scope=scope, settings=settings,
        channel_settings=channels,
    )  # fmt: skip
    whole = check_cuts(config, tmp_path, monkeypatch, [2, 4])
    widths = whole.channel_tracker.widths
    assert sum(widths.values()) == 12 and (widths == {"a": 8, "b": 4}) == (scope == "layer")


RECURRENT = """
import tf_keras as keras
L = keras.layers

def net(input_shape, classes):
    return keras.Sequential([L.Input(input_shape), L.Reshape((4, 3)), L.LSTM(4, name="a"), L.Dense(classes, name="b")])
"""


@pytest.mark.some(every=2)
@pytest.mark.parametrize("loop", ["auto", "plain"])
def test_a_persons_model_goes_on_with_the_masks_that_it_has_in_place(loop, tiny, tmp_path, monkeypatch):
    (tmp_path / "recurrent.py").write_text(RECURRENT)
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny(model="recurrent:net", checkpoint_every=1, epochs=4, loop=loop, settings={"final_sparsity": 0.8})
    whole = check_cuts(config, tmp_path, monkeypatch, [2, 3])
    assert {name: int(mask.sum()) for name, mask in get_masks(whole.model).items()} == {
        "a/cell/kernel": 10, "a/cell/recurrent_kernel": 13, "b/kernel": 2,
    }  # fmt: skip
    assert whole.costs.forward_masked < whole.costs.forward


def test_weights_that_are_not_finite_are_never_saved(caplog):
    model = keras.Sequential([keras.layers.Dense(2, input_shape=(3,), name="broken")])
    model.set_weights([np.full((3, 2), np.nan), np.zeros(2)])
    checkpointing = CheckpointPolicy(checkpoints=None, every=Interval(epochs=1), signals=SignalHandler())
    callback = CheckpointCallback(
        checkpointing, lambda _: pytest.fail("saved"), None, TrainingPosition(0), 1, lambda: True
    )
    callback.set_model(model)
    callback.on_epoch_end(0)
    assert "not saved: broken has weights that are not finite" in caplog.text


@pytest.mark.slow
def test_a_process_that_is_killed_at_random_goes_on_to_the_same_bits():
    command = [sys.executable, Path(__file__).with_name("chaos.py"), "--kills", "4", "--only", "dynamic, plain"]
    done = subprocess.run([*command, "--jobs", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ended identical to one that was never killed, 0 did not" in done.stdout


@pytest.mark.parametrize("trainer", [Trainer, ChannelTrainer])
def test_everything_that_a_method_can_ask_for_is_an_operation_or_does_nothing(trainer):
    asked = {name for name, value in vars(Task).items() if callable(value) and not name.startswith("_")}
    for name in asked - {"rewinding"}:
        assert hasattr(getattr(trainer, name), "__wrapped__"), name
