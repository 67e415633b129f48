import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from readers import READERS
from removing import run, trainer_of

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.mask_values import get_weights
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.data.objectives._base import softmax
from tfprune.experiments.building import build, load_data, restore
from tfprune.experiments.experiment import train
from tfprune.experiments.sweeps import run_all
from tfprune.exporting.conversion import convert
from tfprune.exporting.formats import FORMATS
from tfprune.structured.channels import channels
from tfprune.structured.surgery import remove_groups, zero_groups
from tfprune.training.channel_tracker import ChannelTracker
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.config import Config
from tfprune.training.removal import removable
from tfprune.utils.errors import ConfigError, ModelError, SparsityError, TrainingError

SMALL = {"filters": (16, 16), "hidden": (24,), "dropout": 0.0}


@pytest.fixture
def small(copies, tmp_path):
    """Makes the config of a run on 32 images that removes channels, down to multiples of 4."""

    def make(method="dynamic", channels=None, **changes):
        given = {"dataset": "fashion_mnist", "method": method, "data_dir": copies, "out": tmp_path / "runs"}
        given |= {"epochs": 4, "limit": 32, "batch_size": 8, "model_settings": SMALL, "granularity": "filter"}
        given |= {"channel_settings": {"multiple": 4} | (channels or {})}
        return Config(**given | changes)

    return make


class Zeroing(ChannelTrainer):
    """Trains on with zeros where `ChannelTrainer` takes channels out, put back after every step."""

    def _take_out(self):
        pass

    def _fit_stretch(self, start, end, logged, callbacks):
        again = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda *_, **__: zero_groups(self.model, self.channel_tracker.removed)
        )
        super()._fit_stretch(start, end, logged, [again, *callbacks])

    def _prune(self, event):
        """The channels that are gone have the lowest scores."""
        self.channel_tracker.alive = {name: np.arange(size) for name, size in self.channel_tracker.sizes.items()}
        super()._prune(event)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_goes_on_as_that_of_the_zeroed_model_would(small, optimizer, monkeypatch):
    monkeypatch.setattr("tfprune.training.compiling.STEPS_IN_ONE_CALL", 0)  # so that zeros are put back after each step
    settings = {"momentum": 0.9} if optimizer == "sgd" else {}
    config = small(
        settings={"events": (0.25, 0.5), "final_sparsity": 0.5, "rate_factor": 1.5},
        optimizer=optimizer, optimizer_settings=settings, learning_rate=3e-3, warmup_epochs=1.0,
    )  # fmt: skip
    shrunk, zeroed = run(config), run(config, Zeroing)
    assert shrunk.channel_tracker.removed == zeroed.channel_tracker.removed
    assert shrunk.channel_tracker.widths == {"conv_1": 8, "conv_2": 8, "dense_1": 12}
    for own, other in zip(
        get_weights(shrunk.model),
        zeroed.channel_tracker.prune_weights(get_weights(zeroed.model), shrunk.model),
        strict=True,
    ):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-4)
    for own, other in zip(shrunk.history, zeroed.history, strict=True):
        assert {key: own[key] for key in ("epoch", "step", "sparsity")} == {
            key: other[key] for key in ("epoch", "step", "sparsity")
        }
        assert own["val_loss"] == pytest.approx(other["val_loss"], abs=1e-3)
    assert int(shrunk.model.optimizer.iterations) == 16


def test_outputs_just_before_and_after_an_event_agree(small, monkeypatch):
    pairs, original = [], ChannelTrainer._take_out

    def watched(self):
        inputs = self.data.validation.x
        before = np.asarray(self.model(inputs, training=False))
        original(self)
        pairs.append((before, np.asarray(self.model(inputs, training=False))))

    monkeypatch.setattr(ChannelTrainer, "_take_out", watched)
    trainer = run(small(settings={"events": (0.25, 0.5), "final_sparsity": 0.6}))
    assert len(pairs) == 3  # the last stretch ends without an event
    for before, after in pairs:
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-5)
    assert [round(row["sparsity"] * 56) for row in trainer.history] == [16, 32, 32, 32]


def test_what_listens_sees_one_training(small):
    seen = []
    listener = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs=None: seen.append("begin"),
        on_epoch_end=lambda epoch, logs: seen.append(epoch + 1),
        on_train_end=lambda logs=None: seen.append("end"),
    )
    config = small(settings={"events": (0.25, 0.5), "final_sparsity": 0.5})
    trainer = trainer_of(config)
    trainer.fit("train", events=dict(zip((1, 4), config.pruning.pruning_events, strict=True)), callbacks=[listener])
    assert seen == ["begin", 1, 2, 3, 4, "end"]
    assert trainer.seconds.keys() == {"train"}
    assert [row["step"] for row in trainer.history] == [4, 8, 12, 16]
    assert channels(trainer.model).free["conv_1"].channels.size == 8  # the event after the last epoch counts too


def test_the_optimizers_slots_are_kept_or_emptied(small):
    for setting, empty in (("keep", False), ("reset", True)):
        config = small(channels={"slots": setting}, settings={"events": (0.999,), "final_sparsity": 0.5}, epochs=2)
        trainer = trainer_of(config)
        trainer.fit("train", events={2: config.pruning.pruning_events[0]})
        kernel = trainer.model.get_layer("conv_2").kernel
        momentum, _ = slots(trainer.model.optimizer, kernel)
        assert momentum.shape == kernel.shape and bool(np.any(momentum)) is not empty
        assert int(trainer.model.optimizer.iterations) == 8


@pytest.mark.usefixtures("eagerly")
def test_dropout_is_kept_or_shrinks_with_what_it_sees(small):
    def rates(model):
        return [model.get_layer(f"{name}_dropout").rate for name in ("dense_1", "logits")]

    for setting, expected in (("keep", [0.4, 0.4]), ("scale", [0.2, 0.4 * 16 / 24])):
        config = small(
            channels={"dropout": setting}, model_settings=SMALL | {"dropout": 0.4},
            settings={"events": (0.25, 0.5), "final_sparsity": 0.4}, exclude=("conv_1",),
        )  # fmt: skip
        trainer = run(config)
        assert trainer.channel_tracker.widths == {"conv_2": 8, "dense_1": 16}
        assert rates(trainer.model) == expected
        resumed = trainer_of(config)
        resumed.rebuild(trainer.structure())
        assert rates(resumed.model) == expected
        narrow = config.replace(method="small_dense", settings={"sparsity": 0.4})
        assert rates(build(narrow, trainer.data)) == expected


def test_batch_norms_statistics_are_those_of_the_smaller_network(small, monkeypatch):
    monkeypatch.setattr("tfprune.training.adjusting.RECALIBRATION_BATCH", 8)
    config = small("pruned", channels={"recalibrate": 32}, model_settings=SMALL | {"dropout": 0.4}, epochs=1)
    trainer = run(config)
    before_norm = keras.Model(trainer.model.inputs, trainer.model.get_layer("dense_1").output)
    batches = [before_norm(trainer.data.train.x[start : start + 8]).numpy() for start in range(0, 32, 8)]
    norm = trainer.model.get_layer("dense_1_bn")
    # What dense_1 sees has passed BatchNorm in training, whose statistics are each batch's own: close, not the same.
    np.testing.assert_allclose(norm.moving_mean, np.mean(batches, axis=(0, 1)), atol=0.3)
    conv = keras.Model(trainer.model.inputs, trainer.model.get_layer("conv_1").output)(trainer.data.train.x).numpy()
    first = trainer.model.get_layer("conv_1_bn")
    np.testing.assert_allclose(first.moving_mean, conv.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    assert first.momentum == 0.99 and trainer.model.get_layer("dense_1_dropout").rate == 0.4


@pytest.mark.some(every=2)
@pytest.mark.parametrize("rewind_epoch", [0, 1])
def test_a_ticket_starts_from_the_survivors_of_the_remembered_weights(small, rewind_epoch):
    starts, epochs = [], []

    class Watched(ChannelTrainer):
        def _fit_stretch(self, start, end, logged, callbacks):
            watch = keras.callbacks.LambdaCallback(
                on_train_begin=lambda logs: starts.append(get_weights(self.model)),
                on_epoch_end=lambda *_, **__: epochs.append(get_weights(self.model)),
            )
            super()._fit_stretch(start, end, logged, [*callbacks, watch])

    config = small("lottery", settings={"sparsity": 0.5, "rounds": 2, "rewind_epoch": rewind_epoch})
    trainer = run(config, Watched)
    assert trainer.channel_tracker.widths == {"conv_1": 8, "conv_2": 8, "dense_1": 12}
    assert [row["phase"] for row in trainer.history if row["epoch"] == 4] == ["dense", "ticket 1", "ticket 2"]
    remembered = starts[0] if rewind_epoch == 0 else epochs[0]
    for weight, expected in zip(
        starts[-1], trainer.channel_tracker.prune_weights(remembered, trainer.model), strict=True
    ):
        np.testing.assert_array_equal(weight, expected)


def test_new_initial_weights_lose_the_same_channels(small):
    trainer = trainer_of(small("reinitialised", settings={"sparsity": 0.5}))
    trainer.prune(trainer.config.pruning.pruning_events[0])
    trainer.reinitialise()
    for weight, expected in zip(
        get_weights(trainer.model),
        trainer.channel_tracker.prune_weights(trainer._reinit_fn(), trainer.model),
        strict=True,
    ):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.some(every=2)
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("criterion", ["l1", "l2", "bn", "taylor", "random"])
def test_any_criterion_meets_the_widths(small, criterion):
    config = small("pruned", channels={"criterion": criterion}, settings={"sparsity": 0.5}, epochs=1)
    trainer = run(config)
    trainer.check(dict(zip(trainer.masks(), _kernels(trainer.model), strict=True)), "the model")
    assert trainer.channel_tracker.widths == {"conv_1": 8, "conv_2": 8, "dense_1": 12}
    assert trainer.history[-1]["phase"] == "pruned" and trainer.history[-1]["sparsity"] == 0.5


def _kernels(model):
    return [model.get_layer(name).kernel.numpy() for name in ("conv_1", "conv_2", "dense_1", "logits")]


@pytest.mark.usefixtures("eagerly")
def test_method_random_draws_the_channels(small):
    settings = {"events": (0.5,), "final_sparsity": 0.5}
    by_lot, smallest = (run(small(name, settings=settings, epochs=2)).channel_tracker for name in ("random", "dynamic"))
    assert by_lot.widths == smallest.widths and by_lot.removed != smallest.removed


@pytest.mark.some(every=2)
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("method", ["random_at_init", "magnitude_at_init", "snip"])
def test_methods_at_initialisation_train_the_smaller_network_from_the_first_step(small, method):
    trainer = run(small(method, settings={"sparsity": 0.5}))
    assert trainer.channel_tracker.widths == {name: size // 2 for name, size in trainer.channel_tracker.sizes.items()}
    assert trainer.costs.trained_masked == 4 * 32 * trainer.costs.forward
    assert trainer.history[0]["sparsity"] == 0.5


@pytest.mark.usefixtures("eagerly")
def test_an_inverted_ranking_keeps_what_would_have_gone(small):
    kept = [
        run(small("magnitude_at_init", settings={"sparsity": 0.5, "invert": i})).channel_tracker.alive
        for i in (False, True)
    ]
    for name, own in kept[0].items():
        assert not set(own) & set(kept[1][name])


def test_shuffling_is_of_single_weights(small):
    with pytest.raises(ConfigError, match="shuffle=true moves single weights; with granularity filter take"):
        small("snip", settings={"shuffle": True})


@pytest.mark.some(every=2)
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("distance", "drawn"), [(0.99, 5), (0.0, 9)])
def test_an_early_bird_is_drawn_once_its_channels_have_settled_and_else_at_the_latest(small, distance, drawn):
    settings = {"sparsity": 0.5, "looks": 10, "latest": 0.9, "distance": distance}
    trainer = run(small("early_bird", epochs=10, settings=settings, learning_rate=0.05))
    assert [row["sparsity"] for row in trainer.history] == [0.0] * (drawn - 1) + [0.5] * (11 - drawn)
    assert trainer.channel_tracker.widths == {name: size // 2 for name, size in trainer.channel_tracker.sizes.items()}


@pytest.mark.usefixtures("eagerly")
def test_masks_and_flops_are_those_of_the_smaller_model(small):
    trainer = run(small(settings={"events": (0.25, 0.5), "final_sparsity": 0.5}))
    full, half = (9 * 16 * 784 + 9 * 256 * 196 + 49 * 16 * 24 + 240), (9 * 8 * 784 + 9 * 64 * 196 + 49 * 8 * 12 + 120)
    middle = 9 * 12 * 784 + 9 * 144 * 196 + 49 * 12 * 16 + 160  # 0.707 of 16 and of 24, to the nearest 4
    assert sum(trainer.channel_tracker.macs.values()) == full
    assert trainer.costs.forward == trainer.costs.forward_masked == half
    assert trainer.costs.trained(trainer.trained_epochs) == 32 * (full + middle + 2 * half)
    masks = trainer.masks()
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "conv_1/kernel": 72, "conv_2/kernel": 576, "dense_1/kernel": 4704, "logits/kernel": 120,
    }  # fmt: skip
    assert masks["dense_1/kernel"].shape == (784, 24)


def test_what_is_left_alone_is_said_with_the_reason(small):
    config = small(channels={"multiple": 16}, exclude=("dense_1",), settings={"events": (0.5,), "final_sparsity": 0.5})
    channel_tracker = trainer_of(config).channel_tracker
    assert channel_tracker.skipped == {
        "dense_1": "dense_1 is excluded",
        "logits": "the model's output",
        "conv_1": "it has 16 channels, no more than the multiple of 16 that widths are rounded to",
        "conv_2": "it has 16 channels, no more than the multiple of 16 that widths are rounded to",
    }
    inputs = keras.layers.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(inputs))
    with pytest.raises(ModelError, match="model .* has no channels that can go .logits: the model's output"):
        removable(model)


def test_a_criterion_that_the_model_has_no_use_for_is_said_before_anything_is_written(small):
    config = small(channels={"criterion": "bn"}, model_settings=SMALL | {"batch_norm": False})
    with pytest.raises(ModelError, match="criterion bn needs BatchNorm with a scale after conv_1, conv_2, dense_1"):
        train(config)
    assert not (Path(config.out) / config.run_id).exists()


def test_a_width_that_was_not_asked_for_is_an_error(small, monkeypatch):
    def one_short(scores, widths, found=None):
        return {name: np.arange(len(own) - widths[name] - 1) for name, own in scores.items()}

    monkeypatch.setattr("tfprune.training.removal.least_important", one_short)
    with pytest.raises(SparsityError, match="the trained model: conv_1 has 9 channels where 8 were asked for"):
        train(small("pruned", settings={"sparsity": 0.5}, epochs=1))


def test_a_network_that_diverged_is_one_line(small):
    trainer = trainer_of(small("pruned"))
    trainer.model.get_layer("conv_1").kernel.assign(np.full((3, 3, 1, 16), np.nan))
    with pytest.raises(TrainingError, match="conv_1 is no longer finite where it is to be pruned"):
        trainer.prune(trainer.config.pruning.pruning_events[0])


@pytest.fixture(scope="module")
def finished(copies, tmp_path_factory):
    return train(
        Config(
            dataset="fashion_mnist",
            data_dir=copies,
            out=tmp_path_factory.mktemp("runs"),
            granularity="filter",
            epochs=3,
            limit=32,
            batch_size=8,
            model_settings=SMALL,
            channel_settings={"multiple": 4},
            settings={"events": (0.4,), "final_sparsity": 0.5},
            precision="mixed_bfloat16",
        )
    )


def test_a_run_says_what_went(finished):
    metrics = json.loads(finished.folder.metrics.read_text())
    assert metrics["channels"]["groups"] == {
        "conv_1": {"layers": ["conv_1"], "before": 16, "after": 8},
        "conv_2": {"layers": ["conv_2"], "before": 16, "after": 8},
        "dense_1": {"layers": ["dense_1"], "before": 24, "after": 12},
    }
    assert metrics["channels"]["left_alone"] == {"logits": "the model's output"}
    assert metrics["channels"]["parameters"] == {"before": 21738, "after": metrics["parameters"]}
    assert metrics["channels"]["macs"]["after"] * 2 == metrics["cost"]["forward_flops"]
    assert metrics["sparsity"]["requested"] == metrics["sparsity"]["achieved"] == 0.5
    assert metrics["sparsity"]["layers"]["dense_1/kernel"] == {"zeros": 784 * 24 - 392 * 12, "size": 784 * 24}
    assert {name: len(places) for name, places in finished.removed_channels().items()} == {
        "conv_1": 8, "conv_2": 8, "dense_1": 12,
    }  # fmt: skip


def test_the_smaller_model_is_restored_and_exported_to_files_that_need_no_tfprune(finished, tmp_path):
    data = load_data(finished.config)
    model = restore(finished, data)
    assert model.get_layer("conv_2").kernel.shape == (3, 3, 8, 8)
    x = data.test.x[:4]
    np.save(tmp_path / "x.npy", x)
    code = [
        "import sys, numpy as np, tensorflow as tf",
        f"model = tf.saved_model.load({str(finished.model)!r})",
        "answer = model.signatures['serving_default'](images=tf.zeros((2, 40, 40, 1), tf.uint8))",
        "assert answer['probabilities'].shape == (2, 10)",
        "assert sorted(w.shape.num_elements() for w in model.weights)[-1] == 392 * 12",
        f"x = np.load({str(tmp_path / 'x.npy')!r})",
    ]
    for name in ("tflite", "onnx", "h5", "keras"):
        path = tmp_path / f"model{FORMATS[name].suffix}"
        done = convert(model, data, path, name)
        assert done.before == done.after == pytest.approx(finished.metrics["validation"]["accuracy"])
        code += [f"path = {str(path)!r}", READERS[name], f"np.save({str(tmp_path / name)!r}, answers)"]
    code.append("assert 'tfprune' not in sys.modules")
    done = subprocess.run([sys.executable, "-I", "-c", "\n".join(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("tflite", "onnx", "h5", "keras"):
        answers = softmax(np.asarray(model(x, training=False)))
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), answers, atol=1e-5)


def test_methods_share_the_dense_training_and_a_narrow_network_has_the_same_widths(small):
    own = {"sparsity": 0.5}
    base = small("unpruned", epochs=2)
    configs = [base, *(small(name, epochs=2, settings=own) for name in ("pruned", "lottery", "small_dense"))]
    assert configs[0].granularity == "weight"
    results, failures = run_all(configs)
    assert not failures
    for result in results[1:3]:
        assert result.metrics["taken_over"] == {"dense": base.run_id}
    assert len({result.metrics["parameters"] for result in results[1:]}) == 1
    small_dense = results[3]
    assert small_dense.metrics["cost"]["forward_flops"] == results[1].metrics["cost"]["forward_flops"]
    restored = restore(small_dense, load_data(small_dense.config))
    assert restored.get_layer("dense_1").units == 12


def test_a_ledger_numbers_channels_as_the_model_was_built(conv_net):
    config = Config(dataset="penguins", granularity="filter", channel_settings={"multiple": 1})
    channel_tracker = ChannelTracker(conv_net, config)
    channel_tracker.remove({"conv": [0, 5]})
    channel_tracker.remove({"conv": [0, 4], "separable": [2]})  # the second and the seventh of the eight
    assert channel_tracker.removed == {"conv": [0, 1, 5, 6], "separable": [2]}
    smaller = remove_groups(conv_net, channel_tracker.removed)
    for weight, expected in zip(
        get_weights(smaller), channel_tracker.prune_weights(get_weights(conv_net), smaller), strict=True
    ):
        np.testing.assert_array_equal(weight, expected)
    assert channel_tracker.share == pytest.approx(5 / 14)
