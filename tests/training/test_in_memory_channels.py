"""A model that becomes smaller in a training of a person's own, against one that is cut by hand."""

import kinds_of_groups
import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.structured.branches import BRANCHES
from tfprune.structured.budgets import forms_of
from tfprune.structured.channels import channels
from tfprune.structured.ranking import Ranked, choose_widths
from tfprune.structured.shrinking import CRITERIA, least_important
from tfprune.structured.surgery import remove_groups
from tfprune.training.removal import copy_to_shrink
from tfprune.utils.errors import ConfigError, ModelError

L = keras.layers
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ONE = {"multiple": 1}
HALVES = {"events": (0.25, 0.5), "final_sparsity": 0.5}  # of 4 epochs: after the first and the second


def layers():
    return [L.Input((8,)), L.Dense(16, "relu", name="a"), L.BatchNormalization(name="n"), L.Dense(12, "relu", name="b")]


def compiled(optimizer="adam", more=(), seed=0, **kwargs):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([*layers(), *more, L.Dense(3, name="c")])
    model.compile(optimizer, LOSS, **kwargs)
    return model


def data(count=64):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, count)
    return random.normal(y[:, None], 1, (count, 8)).astype(np.float32), y


def shrunk(model, examples=None, **changes):
    given = {"granularity": "filter", "channels": ONE, "settings": HALVES, "epochs": 4, "verbose": 0}
    return tfprune.train(model, data() if examples is None else examples, **given | changes)


def widths(model):
    return [layer.units for layer in model.layers if isinstance(layer, L.Dense)]


def equal(one, other):
    for own, same in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(own, same)


def cut_by_hand(model, left, criterion="l1"):
    found = channels(model)
    return remove_groups(model, least_important(CRITERIA[criterion](model, found, 0, None), left))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_it_is_what_fits_and_cuts_by_hand_come_to(optimizer):
    def make():
        own = keras.optimizers.Adam(0.01) if optimizer == "adam" else keras.optimizers.SGD(0.05, momentum=0.9)
        return compiled(own, metrics=["accuracy"])

    model = make()
    before = model.get_weights()
    result = shrunk(model, shuffle=False, validation_data=data(16))
    hand = make()
    hand.fit(*data(), epochs=1, shuffle=False, verbose=0)
    hand = cut_by_hand(hand, {"a": 11, "b": 8})  # 1 - 0.5 ** 0.5 of 16 and 12 go, and then half of them has
    hand.fit(*data(), initial_epoch=1, epochs=2, shuffle=False, verbose=0)
    hand = cut_by_hand(hand, {"a": 8, "b": 6})
    hand.fit(*data(), initial_epoch=2, epochs=4, shuffle=False, verbose=0)
    assert widths(result.model) == [8, 6, 3] and int(result.model.optimizer.iterations) == 8
    equal(result.model, hand)
    for kernel, other in zip(result.model.trainable_variables, hand.trainable_variables, strict=True):
        for slot, same in zip(slots(result.model.optimizer, kernel), slots(hand.optimizer, other), strict=True):
            np.testing.assert_array_equal(slot, same)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)  # the person's own model is not touched
    assert type(result.model) is type(model)
    kernels = 8 * 16 + 16 * 12 + 12 * 3
    assert result.sparsity == pytest.approx(1 - (8 * 8 + 8 * 6 + 6 * 3) / kernels)
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    assert [row["sparsity"] for row in result.history][1:] == [result.sparsity] * 3
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(result.history[-1])
    equal_after = remove_groups(model, result.removed)
    assert widths(equal_after) == [8, 6, 3] and not result.missed
    assert repr(result) == f"Trained(dynamic, 4 epochs, {100 * result.sparsity:.1f} % of the kernel weights are gone)"


def check_competing(k, make):
    """Compares trainings in which groups compete with fits and cuts by hand, at two events."""
    given = {"granularity": "filter", "channels": ONE, "settings": HALVES, "epochs": 4, "verbose": 0, "shuffle": False}
    seen = []
    for scope in ("layer", "global", "isomorphic"):
        result, hand = tfprune.train(make(), data(), scope=scope, **given), make()
        whole = {name: len(group) for name, group in channels(hand).free.items()}
        forms = forms_of(hand, channels(hand))
        for epoch, share in ((1, 0.5**0.5), (2, 0.5)):
            hand.fit(*data(), initial_epoch=epoch - 1, epochs=epoch, shuffle=False, verbose=0)
            found = channels(hand)
            scores = CRITERIA["l1"](hand, found, 0, None)
            groups = [Ranked(name, own / own.mean(), 1, forms[name], whole[name]) for name, own in scores.items()]
            hand = remove_groups(hand, least_important(scores, choose_widths(groups, share, scope), found))
        hand.fit(*data(), initial_epoch=2, epochs=4, shuffle=False, verbose=0)
        equal(result.model, hand)
        left = {name: len(group) for name, group in channels(result.model).free.items()}
        assert sum(left.values()) == sum(whole.values()) // 2
        seen.append(tuple(left.values()))
    assert seen[0] == tuple(size // 2 for size in whole.values()) and len({*seen}) == 3


def test_groups_may_compete_for_what_stays():
    def make():
        return compiled(keras.optimizers.Adam(0.05), [L.Dense(12, "relu", name="d")])

    check_competing(keras, make)


def differentiates_grouped_convolutions():
    """Returns whether TensorFlow does: on processors for which it has oneDNN's operations."""
    images = tf.Variable(tf.ones((1, 3, 3, 4)))
    with tf.GradientTape() as tape:
        found = tf.nn.conv2d(images, tf.ones((1, 1, 2, 4)), 1, "SAME")
    try:
        return tape.gradient(found, images) is not None
    except tf.errors.InvalidArgumentError:
        return False


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("build", kinds_of_groups.WIDTHS, ids=lambda own: own.__name__)
def test_groups_of_any_kind_go_at_each_event(build):
    if build is kinds_of_groups.convolutions and not differentiates_grouped_convolutions():
        pytest.skip("TensorFlow has no gradients of grouped convolutions on this processor")
    kinds_of_groups.check(keras, build)


def batches(x, y, count=64):
    for start in range(0, 16 * count, 16):
        yield x[start % 64 : start % 64 + 16], y[start % 64 : start % 64 + 16]


class Rows(keras.utils.Sequence):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        x, y = data()
        return x[16 * index : 16 * index + 16], y[16 * index : 16 * index + 16]


def dataset():
    return tf.data.Dataset.from_tensor_slices(data())


SOURCES = {
    "shuffled arrays": lambda: (data(), {"validation_split": 0.25, "class_weight": {0: 1.0, 1: 2.0, 2: 3.0}}),
    "arrays in order": lambda: (data(50), {"shuffle": False, "batch_size": 16}),
    "weighted": lambda: ((*data(), np.linspace(0, 1, 64)), {}),
    "in fewer steps": lambda: (data(), {"steps_per_epoch": 1, "batch_size": 8}),
    "a data set": lambda: (dataset().batch(16), {"class_weight": {0: 1.0, 1: 2.0, 2: 3.0}}),
    "one without end": lambda: (dataset().repeat().batch(10), {"steps_per_epoch": 3, "validation_data": data(16)}),
    "one that is shuffled": lambda: (dataset().shuffle(64, seed=1).repeat().batch(10), {"steps_per_epoch": 3}),
    "a generator": lambda: (batches(*data()), {"steps_per_epoch": 3}),
    "a sequence": lambda: (Rows(), {"shuffle": False}),
}


@pytest.mark.some(every=2)
@pytest.mark.parametrize("source", SOURCES)
def test_where_nothing_goes_it_is_one_fit_to_the_bit(source):
    (own, arguments), (other, _) = SOURCES[source](), SOURCES[source]()
    noise = [L.Dropout(0.5, seed=1)]
    settings = {"updates": 3, "end": 0.9}
    model = compiled(more=noise, metrics=["accuracy"])
    result = shrunk(model, own, method="gradual", sparsity=0.0, settings=settings, epochs=4, **arguments)
    plain = compiled(more=noise, metrics=["accuracy"])
    x, y, weights = (*other, None)[:3] if isinstance(other, tuple) else (other, None, None)
    history = plain.fit(x, y, sample_weight=weights, epochs=4, verbose=0, **arguments)
    equal(result.model, plain)
    assert {"phase", "epoch", "sparsity"} | set(history.history) == set(result.history[0])
    for name, values in history.history.items():
        assert [row[name] for row in result.history] == values
    assert result.sparsity == 0.0 and widths(result.model) == [16, 12, 3]


def test_the_smaller_model_answers_as_the_zeroed_one_did():
    pairs, inputs = [], data(32)[0]

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.last = self.model.predict(inputs, verbose=0), self.model.count_params()

        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                pairs.append((self.last, (self.model.predict(inputs, verbose=0), self.model.count_params())))

    shrunk(compiled(), callbacks=[Watch()])
    assert [before[1] > after[1] for before, after in pairs] == [True, True, False]
    for before, after in pairs:
        np.testing.assert_allclose(before[0], after[0], rtol=0, atol=1e-6)


def test_callbacks_see_one_training_of_a_model_that_changes(tmp_path, capsys):
    seen, models = [], []

    class Watch(keras.callbacks.Callback):
        def set_model(self, model):
            super().set_model(model)
            models.append(widths(model))

        def on_train_begin(self, logs=None):
            seen.append(("begin", self.params["epochs"], self.params["steps"]))

        def on_epoch_end(self, epoch, logs=None):
            seen.append(epoch + 1)

        def on_test_end(self, logs=None):
            seen.append("test")

        def on_train_end(self, logs=None):
            seen.append(("end", widths(self.model), "loss" in logs))

    saver = keras.callbacks.ModelCheckpoint(str(tmp_path / "net_{epoch}.keras"))
    history = keras.callbacks.History()
    result = shrunk(compiled(), validation_data=data(8), callbacks=[Watch(), saver, history], verbose=2)
    epochs = [item for n in (1, 2, 3, 4) for item in ("test", n)]
    assert seen == [("begin", 4, 2), *epochs, ("end", [8, 6, 3], True)]
    assert models == [[16, 12, 3], [11, 8, 3], [8, 6, 3]]
    assert len(history.history["loss"]) == 4 and history.model is result.model
    said = capsys.readouterr().out
    assert said.count("Epoch ") == 4 and "Epoch 3/4" in said
    loaded = [keras.models.load_model(tmp_path / f"net_{epoch}.keras") for epoch in (1, 2, 4)]
    assert [widths(model) for model in loaded] == [[16, 12, 3], [11, 8, 3], [8, 6, 3]]  # zeroed at the event itself
    equal(loaded[-1], result.model)
    loaded[-1].fit(*data(), verbose=0)


@pytest.mark.some(every=2)
@pytest.mark.parametrize("method", ["pruned", "lottery", "reinitialised", "fine_tuned", "early_bird", "gradual"])
def test_every_kind_of_method_comes_to_the_widths_of_runs(method):
    settings = {"rounds": 2} if method in ("lottery", "fine_tuned") else {}
    result = shrunk(compiled(), method=method, settings=settings, sparsity=0.5, channels={"multiple": 4})
    assert widths(result.model) == [8, 8, 3] and not result.missed  # half of 12 is as near to 4 as to 8
    assert result.history[-1]["epoch"] == 4
    result.model.fit(*data(), verbose=0)


@pytest.mark.some(every=2)
@pytest.mark.parametrize("method", ["snip", "random_at_init", "magnitude_at_init"])
def test_what_goes_before_the_first_step_goes(method):
    result = shrunk(compiled(), method=method, settings={}, sparsity=0.5, epochs=1)
    assert widths(result.model) == [8, 6, 3] and len(result.history) == 1


def test_a_ticket_starts_from_the_survivors_of_its_first_weights():
    starts = []
    begin = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: starts.append(watch.model.get_weights()))
    watch = keras.callbacks.Callback()
    model = compiled()
    result = shrunk(model, method="lottery", settings={}, sparsity=0.5, callbacks=[watch, begin])
    expected = remove_groups(model, result.removed).get_weights()
    for own, same in zip(starts[1], expected, strict=True):
        np.testing.assert_array_equal(own, same)


def test_taylor_ranks_by_the_models_own_loss():
    def make():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([L.Input((8,)), L.Dense(16, "tanh", name="a"), L.Dense(1, name="c")])
        model.compile("sgd", "mse")
        return model

    x, y = data()[0], data()[0][:, :1] ** 2
    model = make()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x) - y) ** 2)
    kernel = model.layers[0].kernel
    scores = np.sum(kernel.numpy() * tape.gradient(loss, kernel).numpy(), axis=0) ** 2
    channels_given = {"multiple": 1, "criterion": "taylor"}
    last = shrunk(make(), (x, y), method="pruned", sparsity=0.5, settings={}, channels=channels_given, epochs=1)
    assert len(last.removed["a"]) == 8
    first = shrunk(make(), (x, y), method="snip", sparsity=0.5, settings={}, epochs=1)
    np.testing.assert_array_equal(first.removed["a"], np.sort(np.argsort(scores)[:8]))


def residual():
    keras.utils.set_random_seed(0)
    inputs = x = L.Input((8,))
    for n in range(4):
        x = L.Add(name=f"add_{n}")([x, L.Dense(8, name=f"out_{n}")(L.Dense(8, "relu", name=f"in_{n}")(x))])
    model = keras.Model(inputs, L.Dense(3)(x))
    model.compile("adam", LOSS)
    return model


def test_residual_branches_go():
    result = shrunk(residual(), granularity="branch", channels={}, sparsity=0.5, settings={})
    assert len(result.removed[BRANCHES]) == 2
    assert sum(layer.name.startswith("in_") for layer in result.model.layers) == 2
    named = shrunk(residual(), granularity="branch", channels={"order": ["in_2"]}, sparsity=0.25, settings={})
    assert named.removed == {BRANCHES: ["in_2"]}


def test_layers_keep_what_they_have_adapted_to_and_models_their_class():
    class OwnStep(keras.Model):
        def train_step(self, data):
            return super().train_step(data) | {"own": 1.0}

    normal, words = L.Normalization(), L.StringLookup()
    normal.adapt(1000 + data()[0])
    words.adapt(np.array(["a", "b", "c"]))
    row, word = L.Input((8,)), L.Input((1,), dtype="string")
    x = L.Concatenate()([normal(row), L.Flatten()(L.Embedding(5, 2)(words(word)))])
    model = OwnStep([row, word], L.Dense(3)(L.Dense(16, "relu", name="a")(x)))
    model.compile("sgd", LOSS)
    inputs = (1000 + data()[0], np.array([["a"], ["c"], ["d"], ["b"]] * 16))
    given = (list(map(tf.constant, inputs)), data()[1])
    for method in ("dynamic", "lottery"):
        result = shrunk(model, given, method=method, sparsity=0.5, settings={}, channels={"recalibrate": 8, **ONE})
        small = next(layer for layer in result.model.layers if isinstance(layer, L.Normalization))
        np.testing.assert_array_equal(small.mean, normal.mean)
        assert type(result.model) is OwnStep and result.history[-1]["own"] == 1.0
        assert result.model.get_layer("a").units == 8
        assert np.isfinite(result.model.predict(inputs, verbose=0)).all()


def test_learning_rates_that_events_and_callbacks_change_stay():
    settings = {"events": (0.25, 0.5), "rate": 0.3, "rate_factor": 2.0}
    result = shrunk(compiled(keras.optimizers.SGD(0.01)), settings=settings)
    assert float(result.model.optimizer.learning_rate) == pytest.approx(0.04)
    given = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
    result = shrunk(compiled(keras.optimizers.SGD(0.08)), callbacks=[given])
    assert float(result.model.optimizer.learning_rate) == pytest.approx(0.005)


# -- what stops a training early --------------------------------------------------------------------------------------


@pytest.mark.parametrize("restore", [False, True])
def test_early_stopping_keeps_the_model_and_says_what_did_not_happen(restore, caplog):
    stopping = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=99.0, restore_best_weights=restore)
    ended = []
    end = keras.callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(1))
    settings = {"events": (0.25, 0.75), "final_sparsity": 0.5}
    result = shrunk(compiled(), settings=settings, callbacks=[stopping, end], epochs=4)
    assert len(result.history) == 2 and widths(result.model) == [11, 8, 3] and ended == [1]
    assert list(result.missed) == ["the pruning at the end of epoch 3 of 4"]
    said = [record.getMessage() for record in caplog.records if "did not happen" in record.getMessage()]
    assert said == [
        "the training stopped early: the pruning at the end of epoch 3 of 4 did not happen; 32.1 % of the channels "
        "that can go are gone, and 50.0 % were asked for"
    ]
    assert ("weights of before the pruning were put back" in caplog.text) is restore
    assert np.isfinite(result.model.evaluate(*data(), verbose=0))


def test_best_weights_of_the_larger_model_are_those_of_the_channels_that_are_left():
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, min_delta=99.0, restore_best_weights=True)
    best = []

    class First(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            best.append(stopping.best_weights)

    model = compiled()
    result = shrunk(model, callbacks=[stopping, First()])  # the first epoch is the best, whatever comes
    model.set_weights(best[0])
    equal(result.model, remove_groups(model, result.removed))


class Breaks(keras.callbacks.Callback):
    def __init__(self, error, at):
        super().__init__()
        self.error, self.at = error, at

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.at:
            raise self.error


@pytest.mark.parametrize(("at", "left"), [(0, [11, 8, 3]), (1, [8, 6, 3])])
def test_an_interrupted_training_gives_back_the_model(at, left, caplog):
    result = shrunk(compiled(), callbacks=[Breaks(KeyboardInterrupt(), at)])
    assert widths(result.model) == left and "interrupted: " in caplog.text  # what was zeroed has been taken out
    assert len(result.missed) == 1 - at
    result.model.fit(*data(), verbose=0)
    with pytest.raises(RuntimeError, match="mine") as caught:
        shrunk(compiled(), callbacks=[Breaks(RuntimeError("mine"), at)])
    assert widths(caught.value.trained.model) == left


def test_data_that_run_out_lose_nothing(caplog):
    source = dataset().batch(16)  # 4 batches, and 8 are asked for
    settings = {"events": (0.2, 0.9), "final_sparsity": 0.5}
    result = shrunk(compiled(), source, steps_per_epoch=2, settings=settings, epochs=6)
    assert list(result.missed) == ["the pruning at the end of epoch 5 of 6"] and widths(result.model) == [11, 8, 3]
    assert "the pruning at the end of epoch 5 of 6 did not happen" in caplog.text
    settings = {"events": (0.4, 0.9), "final_sparsity": 0.5}  # what is left after the second epoch is nothing
    for given in (source, batches(*data(), 4)):
        result = shrunk(compiled(), given, steps_per_epoch=2, settings=settings, epochs=6)
        assert list(result.missed) == ["the pruning at the end of epoch 5 of 6"] and len(result.history) == 2
        assert widths(result.model) == [11, 8, 3]
    ticket = shrunk(
        *(compiled(), batches(*data(), 4)), steps_per_epoch=2, method="lottery", settings={}, sparsity=0.5, epochs=2
    )
    assert list(ticket.missed) == ["the training 'ticket 1'"] and widths(ticket.model) == [8, 6, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_place": True}, "granularity filter makes another, smaller model: leave in_place out"),
        ({"include": ["a/bias"]}, "include names single weights, which granularity filter does not prune"),
        ({"method": "rigl", "settings": {}}, "method rigl has no granularity 'filter'; it can be weight"),
        ({"channels": {"multipl": 4}}, "unknown setting 'channels.multipl': did you mean multiple"),
        ({"channels": {"multiple": 64}}, "has no channels that can go .* see channels.multiple"),
        ({"channels": {"criterion": "bn"}}, "criterion bn needs BatchNorm with a scale after b"),
        ({"channels": 8}, "channels must be a table of names and values, got 8"),
        ({"granularity": "weight"}, "channels.multiple is of granularity filter or branch, not weight"),
        ({"scope": "erk"}, "granularity filter ranks channels in scope layer or global or isomorphic, not erk"),
        ({"settings": {"criterion": "lamp"}, "method": "pruned"}, "ranks channels by channels.criterion"),
        ({"exclude": ["d"]}, "exclude names 'd', which is no prunable layer"),
        ({"exclude": ["a", "b"]}, "has no channels that can go"),
        ({"callbacks": [keras.callbacks.BackupAndRestore("nowhere")]}, "BackupAndRestore cannot put back a model that"),
        ({"granularity": "branch", "channels": {}}, "has no residual branches that can go"),
    ],
)
def test_mistakes_are_said_in_one_line(changes, message):
    with pytest.raises((ConfigError, ModelError), match=message) as caught:
        shrunk(compiled(), **changes)
    assert "\n" not in str(caught.value)


def test_models_and_trainings_that_cannot_shrink_are_refused_in_one_line():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.out = L.Dense(3)

        def call(self, inputs):
            return self.out(inputs)

    own = Own()
    own.build((None, 8))
    own.compile("adam", LOSS)
    with pytest.raises(ModelError, match="needs a functional or sequential model, and own is subclassed"):
        shrunk(own)
    with pytest.raises(ConfigError, match="use_ema=True averages weights over epochs"):
        shrunk(compiled(keras.optimizers.Adam(use_ema=True)))
    with pytest.raises(ConfigError, match="channels.criterion=taylor looks at some of the data, and a generator"):
        shrunk(compiled(), batches(*data()), steps_per_epoch=2, method="snip", settings={})
    with pytest.raises(ConfigError, match=r"cannot change its model: use tfprune.train\(model, data, granularity='f"):
        tfprune.callbacks(compiled(), epochs=3, granularity="filter")


def test_averages_of_one_of_several_optimizers_are_refused_too():
    from tfprune.adapters.backend import keras3

    k = keras3()
    own = k.optimizers.OptimizerMap(k.optimizers.SGD(), {".*kernel": k.optimizers.Adam(use_ema=True)})
    model = k.Sequential([k.layers.Input((8,)), k.layers.Dense(16), k.layers.Dense(3)])
    for optimizer in (
        k.optimizers.MultiOptimizer(own),
        k.optimizers.LossScaleOptimizer(k.optimizers.MultiOptimizer(own)),
    ):
        model.compile(optimizer, "mse")
        with pytest.raises(ConfigError, match="use_ema=True averages weights over epochs"):
            shrunk(model)


def test_a_share_of_which_nothing_goes_is_refused():
    with pytest.raises(ConfigError, match="no channel goes at sparsity 0.01, which of 28 rounds to none: ask for more"):
        shrunk(compiled(), settings=None, sparsity=0.01)


def test_layers_that_are_not_followed_are_named_as_shrink_names_them(caplog):
    inputs = L.Input((8, 8, 3))
    x = L.SpectralNormalization(L.Conv2D(8, 3), name="spectral")(inputs)
    model = keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Conv2D(6, 1)(x))))
    model.compile("sgd", LOSS)
    shrunk(model, (np.ones((8, 8, 8, 3), np.float32), np.arange(8) % 3))
    assert "spectral: SpectralNormalization has no setting" in caplog.text


def test_a_model_of_keras_3_with_a_function_that_it_cannot_store_is_trained():
    from tfprune.adapters.backend import keras3

    k = keras3()
    inputs = k.layers.Input((8,))
    doubled = k.layers.Lambda(lambda x: 2 * x)(k.layers.Dense(16, name="a")(inputs))
    model = k.Model(inputs, k.layers.Dense(3)(doubled))
    model.compile("sgd", k.losses.SparseCategoricalCrossentropy(from_logits=True))
    copy = copy_to_shrink(model)
    x, _ = data()
    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    trained = shrunk(model)
    assert trained.model.get_layer("a").units == 8 and model.get_layer("a").units == 16
