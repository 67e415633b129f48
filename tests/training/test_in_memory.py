import re
import subprocess
import sys

import numpy as np
import pytest
from brought import LOSS, Own, compiled, data, own

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_masks, kernel_variables, kernels, set_masks
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.training.in_memory_pruning import InMemoryPruning
from tfprune.training.resolving import resolve_method
from tfprune.utils.errors import ConfigError, ModelError, TrainingError

L = keras.layers


@pytest.mark.some(every=2)
@pytest.mark.parametrize("method", ["dynamic", "pruned", "lottery", "gradual", "unpruned", "shuffled", "reinitialised"])
def test_a_persons_model_is_trained_by_every_kind_of_method(method):
    model = compiled(metrics=["accuracy"])
    before = model.get_weights()
    sparsity = None if method == "unpruned" else 0.5
    result = tfprune.train(
        model, data(), validation_data=data(32), method=method, sparsity=sparsity, epochs=4, verbose=0
    )
    assert result.sparsity == (0.0 if method == "unpruned" else 0.5)
    for name, kernel in kernels(result.model).items():
        np.testing.assert_array_equal(kernel == 0, result.masks[name] == 0)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)  # the person's own model is not touched
    assert {"phase", "epoch", "sparsity", "loss", "accuracy", "val_loss"} <= set(result.history[-1])
    assert np.isfinite(result.model.evaluate(*data(), verbose=0)[0])


def test_datasets_in_batches_without_end_and_learning_rates_that_events_change():
    batches = tf.data.Dataset.from_tensor_slices(data()).batch(16).repeat()
    model = compiled(keras.optimizers.SGD(0.1))
    result = tfprune.train(
        model, batches, steps_per_epoch=4, epochs=3, settings={"rate": 0.5, "rate_factor": 2.0}, verbose=0
    )
    assert float(result.model.optimizer.learning_rate) == pytest.approx(0.4)  # as the training left it, like `fit`
    assert [row["sparsity"] for row in result.history] == [0.5, 0.75, 0.75]
    scheduled = compiled(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(ConfigError, match="rate_factor needs an optimizer with a constant learning rate"):
        tfprune.train(scheduled, data(), epochs=3, settings={"rate_factor": 2.0}, verbose=0)


@pytest.mark.parametrize(("method", "settings"), [("fine_tuned", {}), ("rate_rewinding", {"rewind_epoch": 1})])
def test_schedules_are_refused_where_a_training_would_begin_in_their_middle(method, settings):
    scheduled = compiled(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(ConfigError, match="which begins in the middle of the schedule, needs .* a constant"):
        tfprune.train(scheduled, data(), method=method, epochs=3, settings=settings, verbose=0)
    constant = tfprune.train(compiled(), data(), method=method, epochs=3, settings=settings, verbose=0)
    assert constant.sparsity == pytest.approx(0.3, abs=0.02)


def test_an_early_bird_waits_until_its_mask_has_settled():
    settings = {"latest": 0.9, "distance": 0.99}  # any five masks are alike enough
    result = tfprune.train(
        compiled(), data(), method="early_bird", sparsity=0.5, epochs=8, settings=settings, verbose=0
    )
    assert [row["sparsity"] for row in result.history] == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5]


def test_what_comes_back_comes_back_at_zero_with_empty_slots():
    model = own()  # masked in place, where pruned weights go on pulling at the optimizer's slots
    result = tfprune.train(model, data(), method="set", sparsity=0.5, epochs=2, verbose=0, in_place=True)
    task = InMemoryPruning(model, resolve_method("dynamic", None, None, 9, "layer", "weight", None, None))
    set_masks(model, result.masks)
    model.fit(*data(), verbose=0)
    before = get_masks(model)
    task.prune(PruningEvent(rate=0.0, regrow_fraction=0.5, criterion=Criterion("signed"), growth=Criterion("random")))
    back = {name: (mask == 1) & (before[name] == 0) for name, mask in get_masks(model).items()}
    assert all(own.any() for own in back.values())
    for name, kernel in kernel_variables(model).items():
        for variable in (kernel, *slots(model.optimizer, kernel)):
            assert not np.any(variable.numpy()[back[name]]), variable.name


def test_events_fall_before_the_validation_data_are_looked_at():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_test_end(self, logs=None):
            seen.append(round(np.mean([np.mean(k == 0) for k in kernels(self.model).values()]), 2))

    tfprune.train(compiled(), data(), validation_data=data(8), epochs=3, sparsity=0.5, callbacks=[Watch()], verbose=0)
    assert seen[0] > 0.2 and seen[1] == 0.5


def test_a_subclassed_model_is_trained_in_place():
    model = own()
    with pytest.raises(ModelError, match="is subclassed and cannot be copied"):
        tfprune.train(model, data(), epochs=3, verbose=0)
    result = tfprune.train(model, data(), epochs=3, sparsity=0.5, in_place=True, verbose=0)
    assert result.model is model and result.sparsity == 0.5
    model.fit(*data(), epochs=2, verbose=0)  # and stays sparse when it is trained on
    assert tfprune.summary(model).sparsity == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: tfprune.train(m), r"training data are missing: train\(model, data\)"),
        (lambda m: tfprune.train(tfprune.Config(dataset="penguins"), data()), "data are given with a model only"),
        (lambda m: tfprune.train(m, 7), r"data must be arrays, \(x, y\) or \(x, y, weights\), or batches: .* got int"),
        (lambda m: tfprune.train(m, data() * 2), r"data must be \(x, y\) or \(x, y, weights\), got 4 parts"),
        (lambda m: tfprune.train(m, data(), method="dinamic"), "did you mean dynamic"),
        (lambda m: tfprune.train(m, data(), sparsity=50), "must be a fraction"),
        (lambda m: tfprune.train(m, data(), epochs=0), "epochs must be a whole number of at least 1"),
        (lambda m: tfprune.train(m, data(), epochs=3, seed="a"), "seed must be a number, got 'a'"),
        (lambda m: tfprune.train(m, data(), method="longer"), "method longer is there for comparisons of runs"),
        (lambda m: tfprune.train(tfprune.Config(dataset="penguins"), epochs=3), "epochs is given with a model only"),
        (lambda m: tfprune.train(m, data(), force=True), "force repeats a run"),
        (
            lambda m: tfprune.callbacks(m, method="snip", epochs=3),
            r"snip ranks weights by .* give it data=\(x, y\) too",
        ),
        (
            lambda m: tfprune.callbacks(m, method="rigl", epochs=3),
            r"rigl ranks weights by .* give it data=\(x, y\) too",
        ),
        (lambda m: tfprune.train(m, data(), granularity="blok"), "did you mean block"),
        (lambda m: tfprune.train(m, data(), granularity="block", method="snip"), "snip has no granularity 'block'"),
        (lambda m: tfprune.train(m, data(), granularity="n:m", sparsity=0.3), "2:4 is a sparsity of 0.5, and 0.3 is"),
        (lambda m: tfprune.train(m, data(), pattern="4x1"), "pattern 4x1 is of granularity block or n:m, not weight"),
        (lambda m: tfprune.prune(m), r"how sparse\? prune\(model, sparsity=0.5\)"),
        (lambda m: tfprune.prune(m, granularity="n:m", scope="global"), "granularity n:m ranks within every 4"),
        (lambda m: tfprune.train(m, data(), exclude=("c",), epochs=3), "exclude names 'c', which is no prunable layer"),
        (lambda m: tfprune.train(keras.Sequential([L.Dense(3, input_shape=(8,))]), data()), "is not compiled"),
        (lambda m: tfprune.train(5, data(), epochs=3), "a model of tf_keras.* is needed, got builtins.int"),
    ],
)
def test_mistakes_are_said_in_one_line(call, message):
    with pytest.raises((ConfigError, ModelError), match=message) as caught:
        call(compiled())
    assert "\n" not in str(caught.value)


def named():
    inputs = L.Input((8,), name="row")
    x = L.Dense(16, "relu", name="a")(inputs)
    model = keras.Model(inputs, {"cls": L.Dense(3, name="cls")(x), "size": L.Dense(1, name="size")(x)})
    model.compile("adam", {"cls": LOSS, "size": "mse"}, metrics={"cls": ["accuracy"]}, loss_weights={"size": 0.1})
    return model


def test_losses_metrics_targets_and_logs_keep_the_names_of_a_persons_outputs():
    x, y = data()
    targets = {"cls": y, "size": x[:, :1]}
    model = named()
    model.fit(x, targets, epochs=1, verbose=0, validation_data=(x, targets))
    expected = set(model.history.history)
    stopping = keras.callbacks.EarlyStopping("val_cls_loss", patience=9)
    result = tfprune.train(
        named(), (x, targets), validation_data=(x, targets), epochs=3, sparsity=0.5, callbacks=[stopping], verbose=0
    )
    assert set(result.history[0]) == {"phase", "epoch", "sparsity"} | expected
    assert stopping.best < np.inf  # it has found what it watches
    assert result.model.output_names == model.output_names and result.sparsity == 0.5


def sequences():
    return np.random.default_rng(0).integers(0, 5, (32, 6)), np.arange(32) % 3


@pytest.mark.some(every=2)
@pytest.mark.parametrize("recurrent", [L.LSTM, L.GRU])
def test_masks_of_time_steps_pass_through_pruned_layers(recurrent):
    def make():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([L.Embedding(5, 4, mask_zero=True), L.Dense(4), recurrent(4), L.Dense(3)])
        model.build((None, 6))
        model.compile(keras.optimizers.SGD(0.1), LOSS)
        return model

    x, y = sequences()
    result = tfprune.train(make(), (x, y), method="unpruned", epochs=2, verbose=0)
    assert result.history[0]["loss"] != result.history[1]["loss"]
    pruned = tfprune.train(make(), (x, y), epochs=3, sparsity=0.5, verbose=0)
    assert pruned.sparsity == pytest.approx(0.5, abs=0.01)
    padded = np.concatenate([x, np.zeros((32, 3), int)], axis=1)
    np.testing.assert_allclose(pruned.model(padded), pruned.model(x), atol=1e-6)  # what is padded is left out


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("make", [keras.optimizers.Adam, keras.optimizers.legacy.SGD])
def test_mixed_float16_and_loss_scaling(explicit, make):
    optimizer = make(0.01)
    layers = [L.Input((8,)), L.Dense(16, "relu", dtype="mixed_float16"), L.Dense(3, dtype="float32")]
    model = keras.Sequential(layers)
    model.compile(keras.mixed_precision.LossScaleOptimizer(optimizer) if explicit else optimizer, LOSS)
    result = tfprune.train(model, data(), epochs=4, settings={"rate_factor": 0.5, "rate": 0.5}, verbose=0)
    assert result.sparsity == 0.75
    assert isinstance(result.model.optimizer, keras.mixed_precision.LossScaleOptimizer) is explicit
    again = tfprune.train(model, data(), epochs=3, method="lottery", verbose=0)
    assert again.sparsity == pytest.approx(0.3, abs=0.02)


class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data) | {"own": 1.0}


def test_a_copy_is_of_the_persons_class_and_knows_what_its_layers_know():
    normal, words = L.Normalization(), L.StringLookup()
    normal.adapt(1000 + data()[0])
    words.adapt(np.array(["a", "b", "c"]))
    row, word = L.Input((8,)), L.Input((1,), dtype="string")
    x = L.Concatenate()([normal(row), L.Flatten()(L.Embedding(5, 2)(words(word)))])
    model = OwnStep([row, word], L.Dense(3)(L.Dropout(0.0)(x)))
    model.compile("sgd", LOSS)
    inputs = (1000 + data()[0], np.array([["a"], ["c"], ["d"], ["b"]] * 16))
    expected = model.predict(inputs, verbose=0)
    seen = []
    begin = keras.callbacks.LambdaCallback(on_train_begin=lambda _: seen.append(watch.model.predict(inputs, verbose=0)))
    watch = keras.callbacks.Callback()
    result = tfprune.train(
        model, (list(map(tf.constant, inputs)), data()[1]), epochs=3, sparsity=0.5, callbacks=[watch, begin], verbose=0
    )
    np.testing.assert_array_equal(seen[0], expected)
    assert type(result.model) is OwnStep and result.history[0]["own"] == 1.0
    copy = tfprune.prune(model, 0.0)
    np.testing.assert_array_equal(copy.predict(inputs, verbose=0), expected)
    assert type(copy) is OwnStep


LOADED = """
import os, sys
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tf_keras as keras

for path in sys.argv[1:]:
    saved = np.load(os.path.join(os.path.dirname(path), "saved.npz"))
    model = keras.models.load_model(path)
    for n, weight in enumerate(model.get_weights()):
        np.testing.assert_array_equal(weight, saved[f"weight_{n}"], err_msg=path)
    if not path.endswith(".tf"):  # of a SavedModel Keras does not restore the optimizer's steps
        assert int(model.optimizer.iterations) == int(saved["steps"]), path
        for n, value in enumerate(model.optimizer.variables()):
            np.testing.assert_array_equal(value, saved[f"slot_{n}"], err_msg=path)
    model.fit(saved["x"], saved["y"], verbose=0)
assert "tfprune" not in sys.modules
"""


def write_pruned(folder, by):
    """Trains and prunes a model that is saved in all formats, in mid-training too; returns the files."""
    folder.mkdir()
    names = [str(folder / f"net{suffix}") for suffix in (".keras", ".h5", ".tf")]
    savers = [keras.callbacks.ModelCheckpoint(name) for name in names]
    model = compiled(keras.optimizers.Adagrad(0.1))
    if by == "train":
        result = tfprune.train(model, data(), epochs=3, sparsity=0.5, callbacks=savers, verbose=0)
        trained = savers[0].model
        assert trained is result.model
        assert int(trained.optimizer.iterations) == 6
    else:
        trained = model
        pruning = tfprune.callbacks(model, epochs=3, sparsity=0.5)
        model.fit(*data(), epochs=3, callbacks=[*pruning, *savers], verbose=0)
        for name in names:
            model.save(name)
    assert "tfprune" not in str(trained.get_config())
    saved = {f"weight_{n}": weight for n, weight in enumerate(trained.get_weights())}
    saved |= {f"slot_{n}": variable.numpy() for n, variable in enumerate(trained.optimizer.variables())}
    steps = int(trained.optimizer.iterations)
    np.savez(folder / "saved.npz", x=data()[0], y=data()[1], steps=steps, **saved)
    return names


def test_files_of_pruned_models_and_checkpoints_open_without_tfprune(tmp_path):
    """All formats, in mid-training and afterwards, with the state of the optimizer."""
    names = [name for by in ("train", "callbacks") for name in write_pruned(tmp_path / by, by)]
    assert len(names) == 6
    done = subprocess.run([sys.executable, "-c", LOADED, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in (names[0], names[3]):
        kept = keras.models.load_model(name)
        assert all(np.mean(kernel == 0) == 0.5 for kernel in kernels(kept).values())


def test_a_summary_counts_all_kernels_of_layers_that_share_a_name():
    inputs = L.Input((8,))
    bodies = [keras.Sequential([L.Input((8,)), L.Dense(units, name="d")], name=f"body_{units}") for units in (4, 6)]
    model = keras.Model(inputs, L.Concatenate()([body(inputs) for body in bodies]))
    table = tfprune.summary(tfprune.prune(model, 0.5))
    assert [(row.zeros, row.kernel_weights, row.macs) for row in table.layers] == [(16, 32, 32), (24, 48, 48)]


def test_results_show_themselves_in_a_notebook():
    result = tfprune.train(compiled(), data(), epochs=3, sparsity=0.5, verbose=0)
    page = result._repr_html_()
    assert "<table>" in page and "data:image/png;base64," in page
    assert "Trained(dynamic, 3 epochs, 50.0 % of the kernel weights are zero)" in page
    assert repr(result.summary.layers[0]).startswith("LayerSummary(name='a', kind='Dense', output=(16,)")


def test_a_summary_counts_and_names_what_is_left_alone(conv_net):
    table = tfprune.summary(tfprune.prune(conv_net, 0.5))
    rows = {layer.name: layer for layer in table.layers}
    assert rows["conv"].zeros == 108 and rows["conv"].macs == 8 * 8 * 216 and rows["conv"].output == (8, 8, 8)
    assert rows["norm"].note == "no kernel that can be pruned" and rows["norm"].sparsity is None
    assert table.parameters == conv_net.count_params() and table.sparsity == 0.5
    assert str(table).splitlines()[0].split() == ["layer", "type", "output", "parameters", "sparsity", "MACs"]


# -- what stops a training early --------------------------------------------------------------------------------------


def zeros_are_masked(result):
    for name, kernel in kernels(result.model).items():
        np.testing.assert_array_equal(kernel == 0, result.masks[name] == 0)


@pytest.mark.parametrize("restore", [False, True])
def test_early_stopping_keeps_the_model_and_says_what_did_not_happen(restore, caplog):
    stopping = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=99.0, restore_best_weights=restore)
    result = tfprune.train(compiled(), data(), sparsity=0.5, epochs=6, callbacks=[stopping], verbose=0)
    assert len(result.history) == 2 and result.sparsity == pytest.approx(0.29, abs=0.01)
    assert list(result.missed) == ["the pruning at the end of epoch 4 of 6"]
    said = [record.getMessage() for record in caplog.records if "did not happen" in record.getMessage()]
    assert said == [
        "the training stopped early: the pruning at the end of epoch 4 of 6 did not happen; 29.0 % of the kernel "
        "weights are zero, and 50.0 % were asked for"
    ]
    zeros_are_masked(result)
    assert ("weights of before the pruning were put back" in caplog.text) is restore


@pytest.mark.parametrize("method", ["lottery", "fine_tuned", "reinitialised", "rate_rewinding"])
def test_each_training_of_a_method_may_stop_early(method):
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=99.0)
    result = tfprune.train(compiled(), data(), method=method, sparsity=0.5, epochs=6, callbacks=[stopping], verbose=0)
    assert result.sparsity == 0.5 and not result.missed
    phases = [row["phase"] for row in result.history]
    assert all(phases.count(phase) <= 2 for phase in phases) and len(set(phases)) == 2


def test_a_ticket_is_rewound_to_where_the_training_stopped(caplog):
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=99.0)
    settings = {"rewind_epoch": 4}
    result = tfprune.train(
        *(compiled(), data()), method="lottery", settings=settings, epochs=6, callbacks=[stopping], verbose=0
    )
    assert "stopped before epoch 4 was over: weights are rewound to where it did" in caplog.text
    assert [row["phase"] for row in result.history][-1] == "ticket 1"


def test_data_that_run_out_lose_nothing(caplog):
    x, y = data()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)  # 4 batches, and 12 are asked for
    result = tfprune.train(compiled(), batches, sparsity=0.5, epochs=6, steps_per_epoch=2, verbose=0)
    assert result.missed and result.sparsity == pytest.approx(0.29, abs=0.01)
    zeros_are_masked(result)

    def generator():
        for start in range(0, 64, 16):
            yield x[start : start + 16], y[start : start + 16]

    ticket = tfprune.train(compiled(), generator(), method="lottery", epochs=1, steps_per_epoch=5, verbose=0)
    assert list(ticket.missed) == ["the training 'ticket 1'"] and ticket.sparsity == pytest.approx(0.3, abs=0.02)
    assert "the generator has no more data: the training 'ticket 1' did not happen" in caplog.text


class Breaks(keras.callbacks.Callback):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            raise self.error


def test_an_interrupted_training_gives_back_the_model(caplog):
    result = tfprune.train(
        compiled(), data(), sparsity=0.5, epochs=6, callbacks=[Breaks(KeyboardInterrupt())], verbose=0
    )
    assert (
        result.sparsity == pytest.approx(0.29, abs=0.01)
        and "interrupted: the pruning at the end of epoch 4" in caplog.text
    )
    zeros_are_masked(result)
    last = tfprune.train(
        compiled(), data(), method="unpruned", epochs=6, callbacks=[Breaks(KeyboardInterrupt())], verbose=0
    )
    assert not last.missed and "interrupted: some epochs did not happen" in caplog.text


def test_an_error_of_a_persons_callback_is_raised_with_the_model():
    with pytest.raises(RuntimeError, match="mine") as caught:
        tfprune.train(compiled(), data(), sparsity=0.5, epochs=6, callbacks=[Breaks(RuntimeError("mine"))], verbose=0)
    result = caught.value.trained
    assert result.sparsity == pytest.approx(0.29, abs=0.01) and len(result.history) == 2
    zeros_are_masked(result)


def test_a_training_that_begins_late_on_dense_weights_is_refused_in_one_line():
    model = compiled()
    pruning = tfprune.callbacks(model, sparsity=0.8, epochs=9)
    message = "begins after epoch 7, when 79.5 % of the kernel weights should have been pruned and 0.0 % are"
    with pytest.raises(ConfigError, match=message):
        model.fit(*data(), epochs=9, initial_epoch=7, callbacks=pruning, verbose=0)
    with pytest.raises(ConfigError, match="something to do at the end of epoch 3, which initial_epoch=7 leaves out"):
        tfprune.train(model, data(), sparsity=0.8, epochs=9, initial_epoch=7, verbose=0)
    backup = keras.callbacks.BackupAndRestore("nowhere")
    with pytest.raises(ConfigError, match="BackupAndRestore knows one training, and method lottery does 2"):
        tfprune.train(model, data(), method="lottery", callbacks=[backup], verbose=0)


class Critic(keras.Model):
    """Two models and two optimizers, in the way of Keras' examples: it is never called itself, and never built."""

    def __init__(self):
        super().__init__(name="gan")
        self.generator = keras.Sequential([L.Input((8,)), L.Dense(8, name="make")], name="generator")
        self.critic = keras.Sequential([L.Input((8,)), L.Dense(8), L.Dense(1)], name="critic")
        self.augment = L.RandomFlip()  # has no weights, and is never built

    def compile(self, optimizer, of_critic):
        super().compile(optimizer)
        self.of_critic = of_critic

    def train_step(self, x):
        with tf.GradientTape(persistent=True) as tape:
            made, real = self.critic(self.generator(x)), self.critic(x)
            losses = -tf.reduce_mean(made), tf.reduce_mean(made) - tf.reduce_mean(real)
        for loss, part, optimizer in zip(
            losses, (self.generator, self.critic), (self.optimizer, self.of_critic), strict=True
        ):
            weights = part.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"made": losses[0]}


@pytest.mark.parametrize("host", ["train", "callbacks"])
def test_a_model_of_models_that_is_never_called_is_pruned_under_all_of_its_optimizers(host):
    model = Critic()
    model.compile(keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1))
    if host == "train":
        tfprune.train(model, data()[0], sparsity=0.5, epochs=3, exclude=["generator"], in_place=True, verbose=0)
    else:
        pruning = tfprune.callbacks(model, sparsity=0.5, epochs=3, exclude=["generator"])
        model.fit(data()[0], epochs=3, callbacks=pruning, verbose=0)
    masks = get_masks(model)
    assert [int(np.sum(mask == 0)) for mask in masks.values()] == [32, 4]
    model.fit(data()[0], verbose=0)
    for name, kernel in kernels(model).items():
        np.testing.assert_array_equal(kernel == 0, masks[name] == 0)


def test_what_is_never_called_has_no_loss_to_rank_by():
    model = Critic()
    model.compile("sgd", keras.optimizers.SGD())
    with pytest.raises(ModelError, match="model gan has no call, .* rank its weights by magnitude"):
        tfprune.train(model, data()[0], method="snip", sparsity=0.5, in_place=True, verbose=0)


def test_a_loss_that_is_one_number_an_example_is_looked_at_for_nan():
    class Rowwise(keras.Model):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = keras.losses.sparse_categorical_crossentropy(y, self(x), from_logits=True)
            self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
            return {"loss": loss}

    inputs = L.Input((8,))
    model = Rowwise(inputs, L.Dense(3)(inputs))
    model.compile("sgd")
    x, y = data(32)
    assert tfprune.train(model, (x, y), sparsity=0.5, epochs=3, verbose=0).sparsity == 0.5
    x[3] = np.nan
    with pytest.raises(TrainingError, match="the loss is nan after batch 1"):
        tfprune.train(model, (x, y), sparsity=0.5, epochs=3, verbose=0)


def test_what_a_fit_of_a_persons_own_hands_on_may_be_given():
    class Kept(keras.Model):
        def fit(self, *args, **kwargs):
            return super().fit(*args, **kwargs)

    inputs = L.Input((8,))
    model = Kept(inputs, L.Dense(3)(inputs))
    model.compile("sgd", LOSS)
    result = tfprune.train(model, data(), validation_data=data(8), sparsity=0.5, epochs=3, verbose=0)
    assert result.sparsity == 0.5 and "val_loss" in result.history[-1]


def test_a_lottery_ticket_rewinds_what_the_model_holds_itself():
    class Scaled(Own):
        def __init__(self):
            super().__init__()
            self.scale = self.add_weight("scale", (3,), initializer="ones")

        def call(self, inputs):
            return super().call(inputs) * self.scale

    model = Scaled()
    model.build((None, 8))
    model.compile(keras.optimizers.SGD(0.5), LOSS)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(model.scale.numpy()))
    tfprune.train(model, data(), method="lottery", sparsity=0.5, epochs=2, in_place=True, callbacks=[watch], verbose=0)
    assert len(seen) == 4
    np.testing.assert_array_equal(seen[2], np.ones(3))  # the second training begins where the first one did
    assert np.all(seen[1] != 1)


def test_layers_without_weights_yet_are_named(caplog):
    class Later(Own):
        def build(self, shape):
            self.inner.build(shape)
            self.built = True

    model = Later()
    model.build((None, 8))
    model.compile("sgd", LOSS)
    tfprune.train(model, data(), sparsity=0.5, epochs=3, in_place=True, verbose=0)
    assert f"not pruned, as they have no weights yet: {model.out.name}; call the model on a batch" in caplog.text
    caplog.clear()
    tfprune.train(model, data(), sparsity=0.5, epochs=3, in_place=True, verbose=0)
    assert "no weights yet" not in caplog.text


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.Adam(0.1, use_ema=True),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=1),
        lambda: keras.optimizers.legacy.Adam(0.1),
    ],
)
def test_what_is_compiled_anew_afterwards_stays_sparse_under_any_optimizer(optimizer):
    trained = tfprune.train(compiled(), data(), sparsity=0.5, epochs=3, verbose=0).model
    trained.compile(optimizer(), LOSS)
    for _ in range(2):
        trained.fit(*data(), batch_size=16, verbose=0)
        assert tfprune.summary(trained).sparsity == 0.5


def test_a_stateful_layer_is_trained_from_the_states_that_it_has_come_to():
    model = keras.Sequential([L.LSTM(4, stateful=True, batch_input_shape=(8, 2, 4)), L.Dense(3)])
    model.compile("sgd", LOSS)
    x = data(8)[0].reshape(8, 2, 4)
    model.predict(x, batch_size=8, verbose=0)
    copy = tfprune.prune(model, 0.0)
    np.testing.assert_array_equal(copy.predict(x, batch_size=8, verbose=0), model.predict(x, batch_size=8, verbose=0))


def test_what_is_compiled_in_a_way_of_its_own_is_trained_in_place():
    class Two(keras.Model):
        def compile(self, rate, **kwargs):
            super().compile(keras.optimizers.SGD(rate), LOSS, **kwargs)
            self.rate = rate

    inputs = L.Input((8,))
    model = Two(inputs, L.Dense(3)(inputs))
    model.compile(0.25)
    with pytest.raises(ModelError, match="compiles itself in a way of its own, which a copy cannot repeat"):
        tfprune.train(model, data(), sparsity=0.5, epochs=3, verbose=0)
    result = tfprune.train(model, data(), sparsity=0.5, epochs=3, in_place=True, verbose=0)
    assert result.model is model and model.rate == 0.25 and float(model.optimizer.learning_rate) == 0.25


def test_a_learning_rate_that_was_set_after_compiling_is_the_one_that_is_trained_with():
    model = compiled("sgd")  # by name, whose rate is another one
    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    result = tfprune.train(model, data(), method="unpruned", epochs=2, verbose=0)
    for one, other in zip(before, result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", ["none", "one", "nested", "list"])
def test_callbacks_come_in_any_form_that_fit_takes(form):
    seen = []
    own = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    known = keras.callbacks.CallbackList([own], model=keras.Sequential())
    given = {"none": None, "one": own, "nested": [[own], [None]], "list": known}[form]
    result = tfprune.train(compiled(), data(), sparsity=0.5, epochs=3, callbacks=given, verbose=0)
    assert result.sparsity == 0.5 and seen == ([] if form == "none" else [0, 1, 2])


def test_nested_callbacks_are_looked_through_for_those_that_cannot_be(tmp_path):
    backup = keras.callbacks.BackupAndRestore(str(tmp_path))
    with pytest.raises(ConfigError, match="BackupAndRestore knows one training"):
        tfprune.train(compiled(), data(), method="lottery", sparsity=0.5, epochs=2, callbacks=[[backup]], verbose=0)


@pytest.mark.parametrize("method", ["magnitude_at_init", "rigl"])
def test_a_backup_of_a_training_that_began_pruned_comes_back_whole(method, tmp_path):
    """Under the masks that it has, not under those of the weights that it is put on."""
    saved, seen = [], []

    def fit(*callbacks):
        backup = keras.callbacks.BackupAndRestore(str(tmp_path))
        asked = {"method": method, "sparsity": 0.5, "epochs": 6, "batch_size": 16, "verbose": 0}
        return tfprune.train(compiled(), data(), callbacks=[backup, *callbacks], **asked)

    def stop(epoch, logs):
        if epoch == 5:  # when masks stay
            saved.extend(killed.model.get_weights())
            raise ZeroDivisionError

    keras.utils.set_random_seed(0)
    killed = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
    with pytest.raises(ZeroDivisionError):
        fit(killed)
    keras.utils.set_random_seed(1)
    look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.extend(look.model.get_weights()))
    result = fit(look)
    assert [row["epoch"] for row in result.history] == [6] and result.sparsity == 0.5
    for one, other in zip(seen, saved, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_examples_are_refused_beside_batches():
    x, y = data()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    with pytest.raises(ConfigError, match="sample_weight is for arrays, and .* comes in batches: leave it out"):
        tfprune.train(compiled(), batches, sparsity=0.5, epochs=3, sample_weight=np.ones(len(x)), verbose=0)
    assert tfprune.train(compiled(), batches, sparsity=0.5, epochs=3, validation_split=0.0, verbose=0).sparsity == 0.5


# -- models that are pruned already -----------------------------------------------------------------------------------

FREED = "is pruned, and this training begins without its masks"


def test_a_training_that_frees_zeros_says_so(caplog):
    pruned = tfprune.train(compiled(), data(), sparsity=0.8, epochs=3, verbose=0).model
    assert FREED not in caplog.text
    for method, told in (("magnitude_at_init", False), ("unpruned", True), ("dynamic", True)):
        caplog.clear()
        settings = {} if method == "unpruned" else {"sparsity": 0.8}
        again = tfprune.train(pruned, data(), method=method, epochs=3, verbose=0, **settings).model
        assert (FREED in caplog.text) is told, method
        alike = [np.all(new[old == 0] == 0) for old, new in zip(*map(_matrices, (pruned, again)), strict=True)]
        assert method == "dynamic" or all(alike) is not told, method
    caplog.clear()
    tfprune.callbacks(pruned, method="dynamic", sparsity=0.8, epochs=3)
    assert FREED in caplog.text


def test_a_smaller_copy_of_a_pruned_model_keeps_its_zeros():
    pruned = tfprune.train(compiled(), data(), sparsity=0.8, epochs=3, verbose=0).model
    smaller = tfprune.shrink(pruned, 0.5, multiple=1)
    zeros = [own == 0 for own in _matrices(smaller)]
    assert any(map(np.any, zeros))
    smaller.fit(*data(), verbose=0)
    for kernel, gone in zip(_matrices(smaller), zeros, strict=True):
        np.testing.assert_array_equal(kernel == 0, gone)


def _matrices(model):
    return [own for own in model.get_weights() if own.ndim > 1]


@pytest.mark.parametrize("form", ["set_weights", "load_weights"])
def test_weights_that_are_put_back_get_the_masks(form, tmp_path, caplog):
    model = compiled()
    dense = [np.ones_like(own) for own in model.get_weights()]
    model.set_weights(dense)
    model.save_weights(tmp_path / "dense.h5")
    pruned = tfprune.train(model, data(), sparsity=0.5, epochs=3, verbose=0).model
    if form == "set_weights":
        pruned.set_weights(dense)
    else:
        pruned.load_weights(tmp_path / "dense.h5")
    assert tfprune.summary(pruned).sparsity == 0.5
    assert re.search(r"weights of before the pruning were put back, .*: \d+ of them are pruned", caplog.text)
    caplog.clear()
    pruned.set_weights(pruned.get_weights())
    assert caplog.text == ""


# -- what moves weights past the optimizer, and other masks ------------------------------------------------------------


class Descends(keras.Model):
    """Makes its steps by itself."""

    def train_step(self, batch):
        x, y = batch[:2]
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        for variable, slope in zip(
            self.trainable_variables, tape.gradient(loss, self.trainable_variables), strict=True
        ):
            variable.assign_sub(0.1 * slope)
        return {"loss": loss}


def test_steps_of_ones_own_are_masked_at_ends_of_epochs_and_named(tmp_path, caplog):
    plain = compiled()
    model = Descends(plain.inputs, plain.outputs)
    model.compile("sgd", "mse")
    saving = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True)
    pruning = tfprune.callbacks(model, sparsity=0.5, epochs=4)
    seen = model.fit(*data(), epochs=4, verbose=0, callbacks=[*pruning, saving]).history["sparsity"]
    assert seen[-1] == 0.5 and caplog.text.count("something else moves them than the optimizer") == 1
    other = keras.models.clone_model(plain)
    other.load_weights(tmp_path / "4.weights.h5")
    assert tfprune.summary(other).sparsity == 0.5


def test_the_callbacks_that_were_made_last_prune():
    model = compiled()
    first, last = (tfprune.callbacks(model, sparsity=sparsity, epochs=3) for sparsity in (0.8, 0.5))
    with pytest.raises(ConfigError, match="was given other masks after these callbacks were made"):
        model.fit(*data(), epochs=3, verbose=0, callbacks=[*first, *last])
    model.fit(*data(), epochs=3, verbose=0, callbacks=last)
    assert tfprune.summary(model).sparsity == 0.5


def test_masks_of_a_model_inside_are_no_longer_held_when_the_whole_is_pruned(caplog):
    inner = tfprune.train(compiled(), data(), sparsity=0.8, epochs=3, verbose=0).model
    whole = keras.Sequential([inner, keras.layers.Dense(3)])
    whole.build(inner.input_shape)
    whole.compile("sgd", "mse")
    done = tfprune.train(
        whole, (data()[0], np.ones((len(data()[0]), 3))), sparsity=0.5, epochs=3, in_place=True, verbose=0
    )
    assert FREED in caplog.text and done.sparsity == pytest.approx(tfprune.summary(whole).sparsity)


def test_a_training_that_keras_ends_at_a_loss_that_is_no_number_comes_back():
    x, y = data()
    weights = np.full(len(y), np.nan)  # the loss is none on any processor: some take relu of no number for 0
    done = tfprune.train(compiled(), (x, y, weights), sparsity=0.5, epochs=3, verbose=0,
                         callbacks=[keras.callbacks.TerminateOnNaN()])  # fmt: skip
    assert len(done.missed) == 2 and done.sparsity == 0.0


def test_two_data_sets_are_not_taken_for_inputs_and_targets():
    batches = tf.data.Dataset.from_tensor_slices(data()).batch(8)
    with pytest.raises(ConfigError, match="data to validate on as validation_data="):
        tfprune.train(compiled(), (batches, batches), sparsity=0.5, epochs=3, verbose=0)


@pytest.mark.parametrize(("method", "told"), [("lottery", True), ("dynamic", False)])
def test_optimizers_of_a_models_own_step_that_do_not_begin_anew_are_named(method, told, caplog):
    class Two(keras.Model):
        def train_step(self, given):
            x, y = given
            with tf.GradientTape() as tape:
                loss = self.compiled_loss(y, self(x))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.other.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
            return {"loss": loss}

    inputs = L.Input((8,))
    model = Two(inputs, L.Dense(3)(inputs))
    model.compile("sgd", LOSS)
    model.other = keras.optimizers.Adam()
    tfprune.train(model, data(), method=method, sparsity=0.5, epochs=3, in_place=True, verbose=0)
    assert int(model.other.iterations) == (12 if told else 6)
    assert ("other of its own go on as they are, with what they remember" in caplog.text) == told
