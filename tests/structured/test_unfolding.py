"""Layers that hold others: what is in them can go, and stands in their place in what is left."""

import functools
import re
import sys
import types

import both_keras
import numpy as np
import pytest
from test_both_keras import answers, lowest, shaken

import tfprune
from tfprune.adapters import adapter_of
from tfprune.adapters.loading.trust import FUNCTIONS
from tfprune.experiments.experiment import train
from tfprune.experiments.exports import restore_model
from tfprune.experiments.run_data import load_data
from tfprune.structured.channels import OUTPUT, channels
from tfprune.structured.surgery import remove_groups, zero_groups
from tfprune.structured.unfolding import unfolded
from tfprune.training.config import Config
from tfprune.utils.errors import ModelError

LIBRARIES = ("tf_keras", "keras")
STEPS = np.random.default_rng(0).normal(size=(6, 5, 8)).astype(np.float32)
IMAGES = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype(np.float32)


@functools.cache
def layers(name):
    """Returns a person's own layers, in one Keras."""
    k, ops = both_keras.library(name)
    L = k.layers

    class Mlp(L.Layer):
        def __init__(self, wide, **kwargs):
            super().__init__(**kwargs)
            self.wide = wide
            self.norm, self.up = L.LayerNormalization(name="norm"), L.Dense(wide, "relu", name="up")
            self.down, self.drop = L.Dense(8, name="down"), L.Dropout(0.5, name="drop")

        def call(self, x, training=None):
            return x + 0.5 * self.drop(self.down(self.up(self.norm(x))), training=training)

        def get_config(self):
            return super().get_config() | {"wide": self.wide}

    class Attend(L.Layer):
        """Its shapes name the batch."""

        def __init__(self, heads=4, **kwargs):
            super().__init__(**kwargs)
            self.heads = heads
            self.query, self.key, self.value = (L.Dense(16, name=own) for own in ("query", "key", "value"))
            self.out = L.Dense(8, name="out")

        def call(self, x):
            batch, steps = ops.shape(x)[0], x.shape[1]
            heads = [ops.reshape(own(x), (batch, steps, self.heads, -1)) for own in (self.query, self.key, self.value)]
            query, key, value = (ops.transpose(own, (0, 2, 1, 3)) for own in heads)
            scores = ops.softmax(ops.matmul(query * 0.5, ops.transpose(key, (0, 1, 3, 2))))
            found = ops.transpose(ops.matmul(scores, value), (0, 2, 1, 3))
            return self.out(ops.reshape(found, (batch, steps, 16)))

        def get_config(self):
            return super().get_config() | {"heads": self.heads}

    class Block(L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.attend, self.mlp = Attend(name="attend"), Mlp(32, name="mlp")

        def call(self, x, training=None):
            return self.mlp(x + self.attend(x), training=training)

    class Residual(L.Layer):
        def __init__(self, filters=16, **kwargs):
            super().__init__(**kwargs)
            self.filters = filters
            self.wide, self.back = L.Conv2D(24, 3, padding="same", name="wide"), L.Conv2D(filters, 1, name="back")
            self.norms = [L.BatchNormalization(name=own) for own in ("one", "two")]
            self.gates = [L.Dense(4, "relu", name="few"), L.Dense(filters, "sigmoid", name="all")]

        def call(self, x, training=None):
            y = self.norms[0](self.wide(x), training=training)
            y = self.norms[1](self.back(y), training=training)
            gate = ops.mean(y, (1, 2))
            for own in self.gates:
                gate = own(gate)
            return x + y * ops.reshape(gate, (-1, 1, 1, self.filters))

        def get_config(self):
            return super().get_config() | {"filters": self.filters}

    class Root(L.Layer):
        """A normalization that has no rule."""

        def build(self, shape):
            self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")

        def call(self, x):
            return self.scale * x / (ops.mean(x * x, -1)[..., None] + 1e-6) ** 0.5

    class Projection(L.Dense):
        """May do anything, and makes channels."""

        def call(self, x):
            return super().call(x) * 2.0

    return {own.__name__: own for own in (Mlp, Attend, Block, Residual, Root, Projection)}


def blocks(k, own):
    """In a row, one of them twice, and in a model in the model."""
    i = k.layers.Input((5, 8))
    block = own["Block"](name="b")
    x = block(block(k.layers.Dense(8, name="embed")(i)))
    inner = k.Sequential([k.layers.Input((5, 8)), own["Mlp"](16, name="m"), k.layers.Dense(12, name="d")], name="s")
    return k.Model(i, k.layers.Dense(3, name="logits")(inner(x))), STEPS


def images(k, own):
    L = k.layers
    stages = [L.Conv2D(16, 3, padding="same", name="stem"), own["Residual"](name="r"), L.GlobalAveragePooling2D()]
    return k.Sequential([L.Input((8, 8, 3)), *stages, L.Dense(3, name="logits")]), IMAGES


def tried(k, own):
    """Layers that hold no others: tried, and kept as they are."""
    i = k.layers.Input((5, 8))
    x = own["Projection"](16, name="p")(k.layers.Dense(8, name="embed")(i))
    return k.Model(i, k.layers.Dense(3, name="logits")(own["Root"](name="root")(x))), STEPS


def of_a_class(k, own):
    class Net(k.Model):
        def __init__(self, wide):
            i = k.layers.Input((5, 8))
            x = own["Mlp"](wide, name="m")(k.layers.Dense(8, name="embed")(i))
            super().__init__(i, k.layers.Dense(3, name="logits")(x))

    return Net(16), STEPS


FREE = {
    blocks: {"embed": 8, "b_attend_query": 4, "b_attend_value": 4, "b_mlp_up": 32, "m_up": 16, "d": 12},
    images: {"stem": 16, "r_wide": 24, "r_few": 4},
    tried: {"embed": 8, "p": 16},
    of_a_class: {"embed": 8, "m_up": 16},
}


@pytest.mark.some(every=3)
@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("build", FREE, ids=lambda own: own.__name__)
def test_what_is_in_layers_can_go(build, name, tmp_path):
    k, _ = both_keras.library(name)
    model, x = build(k, layers(name))
    shaken(model)
    nodes = [len(own._inbound_nodes) for own in model._flatten_layers()]
    before = [np.array(own) for own in model.get_weights()]
    whole, reasons = unfolded(model)
    assert {own: reason for own, reason in reasons.items() if "weights of its own" not in reason} == {}
    assert [len(own._inbound_nodes) for own in model._flatten_layers()] == nodes
    for own, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, same)
    for own, same in zip(answers(whole, x), answers(model, x), strict=True):
        np.testing.assert_allclose(own, same, rtol=1e-6, atol=1e-6)
    graphs = adapter_of(model).graphs
    if build in (blocks, of_a_class):  # dropout drops out in training
        assert np.ptp(graphs.call(lambda: whole(x, training=True)) - graphs.call(lambda: whole(x, training=True)))
    found = channels(whole)
    assert {own: len(group) for own, group in found.free.items()} == FREE[build]
    assert not [own.protected for own in found.groups if own.protected not in (None, OUTPUT)]
    exact = {own: places for own, places in lowest(whole).items() if not found.free[own].inexact}
    zeroed = remove_groups(whole, {})
    zero_groups(zeroed, exact)
    for own, same in zip(answers(remove_groups(whole, exact), x), answers(zeroed, x), strict=True):
        np.testing.assert_allclose(own, same, rtol=0, atol=1e-5 * np.abs(same).max())
    model.compile("sgd", "mse")
    smaller = tfprune.shrink(model, 0.5, multiple=1)
    assert {own: len(group) for own, group in channels(smaller).free.items()} == {
        own: size // 2 for own, size in FREE[build].items()
    }
    smaller.save(tmp_path / "model.keras")
    loaded = k.models.load_model(tmp_path / "model.keras", custom_objects=layers(name))
    for own, same in zip(answers(loaded, x), answers(smaller, x), strict=True):
        np.testing.assert_allclose(own, same, rtol=1e-6, atol=1e-6)
    smaller.fit(x, answers(smaller, x)[0], batch_size=3, verbose=0)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_training_makes_what_is_in_layers_smaller(name, caplog):
    k, _ = both_keras.library(name)
    model, x = blocks(k, layers(name))
    model.compile("sgd", "mse")
    given = {"granularity": "filter", "channels": {"multiple": 1}, "method": "pruned", "sparsity": 0.5, "epochs": 2}
    result = tfprune.train(model, (x, np.zeros((6, 5, 3), np.float32)), verbose=0, **given)
    assert {own: len(group) for own, group in channels(result.model).free.items()} == {
        own: size // 2 for own, size in FREE[blocks].items()
    }
    assert "taken apart, with the layers that are in them in their place: b" in caplog.text


def unclear(k, ops):
    """Returns layers that a list of calls does not tell, with why."""
    L = k.layers

    def layer(call, **kwargs):
        def init(self, **rest):
            L.Layer.__init__(self, **rest)
            self.inner = L.Dense(8, name="inner")
            self.inner.build((None, 5, 8))
            for key, make in kwargs.items():
                setattr(self, key, make(self))

        return type("Own", (L.Layer,), {"__init__": init, "call": call})(name="own")

    def drawn(self, x):
        return self.inner(x) * np.random.default_rng().normal()

    def in_training(self, x, training=None):
        return self.inner(x) * 2.0 if training else self.inner(x)

    def loss(self, x):
        self.add_loss(ops.mean(x, (0, 1, 2)))
        return self.inner(x)

    def baked(self, x):
        return self.inner(x) * ops.mean(ops.sigmoid(self.inner.kernel), (0, 1))

    def counted(self, x):
        return self.inner(x) * (x.shape[0] or 1)

    def symbolic(self, x):
        return self.inner(x) * (1.0 if hasattr(x, "_keras_history") else 2.0)

    return {
        "numbers in it go by the batch, the weights, chance or training": [layer(drawn), layer(baked), layer(counted)],
        "it does other things in training": [layer(in_training)],
        "the calls in it do not give what it gives": [layer(symbolic)],
        "it adds to the loss": [layer(loss)],
        "it has weights of its own": [
            layer(lambda self, x: self.inner(x) * self.own, own=lambda self: self.add_weight(name="own", shape=()))
        ],
    }


@functools.cache
def behaving(name):
    """Returns classes of models that say themselves how they are called or trained, in one Keras."""
    k, ops = both_keras.library(name)

    class Skipping(k.Sequential):
        def call(self, x, training=None, mask=None):
            return x + super().call(x)

    class Soft(k.Model):
        def call(self, x, training=None, mask=None):
            return ops.softmax(super().call(x))

    class Trained(k.Sequential):
        def train_step(self, *data):
            return {"own": ops.mean(self.trainable_variables[0], (0, 1)) * 0 + 7.0}

    return {own.__name__: own for own in (Skipping, Soft, Trained)}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_model_with_a_call_of_its_own_stays_whole(name):
    k, _ = both_keras.library(name)
    L, own, blocks = k.layers, behaving(name), layers(name)
    for inside in ([L.Dense(16, name="b")], [blocks["Mlp"](16, name="m")]):
        i, j = L.Input((8,)), L.Input((8,))
        skips = own["Skipping"]([L.Input((8,)), *inside, L.Dense(8, name="c")], name="skips")
        x = skips(L.Dense(8, name="a")(i))
        soft = own["Soft"](j, L.Dense(8, name="e")(blocks["Mlp"](16, name="n")(j)), name="soft")
        model = shaken(k.Model(i, L.Dense(3, name="logits")(L.Dense(16, name="g")(soft(L.Dense(8, name="d")(x))))))
        x = STEPS[:, 0]
        whole, reasons = unfolded(model)
        assert whole is model and reasons["soft"].endswith("its class says itself how it is called")
        found = channels(model)
        assert {name: len(group) for name, group in found.free.items()} == {"g": 16}
        assert "skips (Skipping) is not known to work channel by channel" in {group.protected for group in found.groups}
        model.compile("sgd", "mse")
        for keep in (1.0, 0.5):
            smaller = tfprune.shrink(model, keep, multiple=1)
            assert smaller.get_layer("g").units == 16 * keep
            assert [type(smaller.get_layer(own)).__name__ for own in ("skips", "soft")] == ["Skipping", "Soft"]
            inner = [answers(k.Model(own.input, own.get_layer("g").input), x)[0] for own in (model, smaller)]
            np.testing.assert_allclose(*inner, rtol=1e-6, atol=1e-6)
        for top in (skips, soft):
            for granularity in ("filter", "branch"):
                with pytest.raises(ModelError, match="with a call of its own, (Skipping|Soft)") as caught:
                    tfprune.shrink(top, 0.5, granularity=granularity)
                assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_model_that_trains_itself_stays_of_its_class(name):
    k, _ = both_keras.library(name)
    wide = k.layers.Dense(8, name="wide")
    model = behaving(name)["Trained"]([k.layers.Input((8,)), wide, layers(name)["Mlp"](8, name="m"), k.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ModelError, match=r"\(Trained\) is not taken apart: its class says itself how it is trained"):
        tfprune.shrink(model, 0.5, multiple=1)
    model = behaving(name)["Trained"]([k.layers.Input((8,)), wide, k.layers.Dense(3)])
    model.compile("sgd", "mse")
    smaller = tfprune.shrink(model, 0.5, multiple=1)
    assert smaller.layers[0].units == 4
    assert smaller.fit(STEPS[:, 0], np.zeros((6, 3)), verbose=0).history["own"] == [7.0]


def told(k):
    """Returns models that call what is in them with `training=False`, with why that is not taken apart in Keras 3."""
    L = k.layers

    def block(call):
        def init(self, **kwargs):
            L.Layer.__init__(self, **kwargs)
            self.dense, self.norm, self.drop = L.Dense(8), L.BatchNormalization(momentum=0.5), L.Dropout(0.5)
            j = L.Input((8,))
            self.model = k.Model(j, L.Dropout(0.5)(L.BatchNormalization(momentum=0.5)(j)))

        return type("Block", (L.Layer,), {"__init__": init, "call": call})(name="block")

    def base(own, **kwargs):
        j = L.Input((8,))
        return k.Model(j, own(L.Dense(8, name="in")(j), **kwargs), name="base")

    def relying(self, x, training=None):
        return self.drop(self.norm(self.dense(x)))

    def handing_on(self, x, training=None):
        return self.drop(self.norm(self.dense(x), training=training), training=training)

    literal = "it calls .* with training=False"
    cases = [
        (block(relying), {"training": False}, None),
        (block(handing_on), {"training": False}, None),
        (base(block(relying)), {"training": False}, None),
        (base(block(handing_on)), {"training": False}, None),
        (base(block(handing_on), training=False), {}, None),
        (base(block(lambda self, x: self.drop(self.norm(self.dense(x))))), {"training": False}, None),
        (block(lambda self, x: self.norm(self.dense(x), training=False)), {}, literal),
        (block(lambda self, x: self.model(self.norm(self.dense(x)), training=False)), {}, literal),
    ]
    for own, given, reason in cases:
        i = L.Input((8,))
        own = own(L.Dense(8, name="a")(i), **given)
        yield k.Model(i, L.Dense(3, name="logits")(L.Dense(8, name="b")(own))), reason


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_told_of_training_is_told_what_is_in_it(name):
    k, _ = both_keras.library(name)
    for model, reason in told(k):
        shaken(model)
        whole, reasons = unfolded(model)
        if reason and name == "keras":
            assert whole is model and re.search(reason, reasons["block"])
        else:
            assert not reasons and "block" not in [own.name for own in whole._flatten_layers()]
        call = adapter_of(model).graphs.call
        for training in (None, False, True):
            found = [
                [call(lambda own=own, training=training: own(STEPS[:, 0], training=training)) for _ in "12"]
                for own in (model, whole)
            ]
            drops = [not np.array_equal(*own) for own in found]
            assert drops[0] == drops[1] == (name == "keras" and bool(training) and reason is None)
            if not drops[0]:
                np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
        before = [np.array(own) for own in model.get_weights()]
        for own in whole.get_weights():  # statistics move alike
            assert any(own.shape == old.shape and np.allclose(own, old, rtol=1e-5) for old in before)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("kind", ["add_loss", "add_metric"])
def test_losses_and_metrics_that_a_model_adds_stay(kind, nested):
    k, _ = both_keras.library("tf_keras")
    L = k.layers
    i, j = L.Input((8,)), L.Input((8,))

    def adding(model, tensor, adds):
        if adds:
            given = {} if kind == "add_loss" else {"name": "own"}
            getattr(model, kind)(k.backend.sum(tensor**2) * 0.1, **given)
        return model

    inner = layers("tf_keras")["Mlp"](16, name="m")(j)
    x = adding(k.Model(j, inner, name="base"), inner, nested)(L.Dense(8)(i))
    top = adding(k.Model(i, L.Dense(3)(L.Dense(8, name="g")(x))), x, not nested)
    top.compile("sgd", "mse")
    smaller = tfprune.shrink(top, 0.5, multiple=1)
    assert smaller.get_layer("g").units == 4
    data = STEPS[:, 0], np.zeros((6, 3))
    results = [own.evaluate(*data, verbose=0, return_dict=True).keys() for own in (top, smaller)]
    assert results[0] == results[1] == ({"loss"} if kind == "add_loss" else {"loss", "own"})
    answers(smaller, data[0])
    assert len(smaller.losses) == (kind == "add_loss")
    reason = "base (Functional) is not taken apart: it adds to the loss or the metrics"
    assert unfolded(top)[1] == ({"base": reason, "m": reason} if nested else {})


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_a_list_of_calls_does_not_tell_stays_and_is_said(name):
    k, ops = both_keras.library(name)
    for message, several in unclear(k, ops).items():
        for own in several:
            i = k.layers.Input((5, 8))
            model = k.Model(i, k.layers.Dense(3, name="logits")(own(k.layers.Dense(8, name="embed")(i))))
            before = [np.array(weight) for weight in model.get_weights()]
            with pytest.raises(ModelError, match=f"own: Own is not taken apart: {message}") as caught:
                tfprune.shrink(model, 0.5, multiple=1)
            assert "\n" not in str(caught.value)
            for weight, same in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(weight, same)


def test_an_optimizer_goes_on():
    for name in LIBRARIES:
        k, _ = both_keras.library(name)
        model, x = of_a_class(k, layers(name))
        model.compile(k.optimizers.SGD(0.01, momentum=0.9), "mse")
        model.fit(x, np.zeros((6, 5, 3), np.float32), batch_size=3, verbose=0)
        whole, _ = unfolded(model)
        assert int(whole.optimizer.iterations) == 2 and type(whole) is not type(model)
        slots = [
            np.asarray(own) for own in getattr(whole.optimizer, "momentums", None) or whole.optimizer.variables[2:]
        ]
        assert len(slots) == len(whole.trainable_variables) and all(np.ptp(own) for own in slots)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_smaller_model_keeps_the_masks_of_what_is_left(name, caplog):
    k, _ = both_keras.library(name)
    model, x = blocks(k, layers(name))
    shaken(model)
    model.compile("adam", "mse")
    adapter, random = adapter_of(model), np.random.default_rng(0)
    masked = adapter.attach(model)
    masked.set_masks({own: random.permuted(np.arange(mask.size) % 2).reshape(mask.shape)
                      for own, mask in masked.masks().items()})  # fmt: skip
    smaller = tfprune.shrink(model, 0.5, multiple=1)
    zeros = [own == 0 for own in _matrices(smaller)]
    assert 0.4 < sum(map(np.sum, zeros)) / sum(map(np.size, zeros)) < 0.6
    smaller.fit(x, answers(smaller, x)[0] + 1, batch_size=3, verbose=0)
    for own, gone in zip(_matrices(smaller), zeros, strict=True):
        np.testing.assert_array_equal(own == 0, gone)
    smaller.set_weights([np.ones_like(own) for own in smaller.get_weights()])
    for own, gone in zip(_matrices(smaller), zeros, strict=True):
        np.testing.assert_array_equal(own == 0, gone)
    assert f"{sum(map(np.sum, zeros))} of them are pruned" in caplog.text


def _matrices(model):
    return [own for own in model.get_weights() if own.ndim > 1]


@pytest.mark.parametrize("name", LIBRARIES)
def test_layers_that_take_no_name_keep_theirs_in_copies_and_smaller_models(name):
    """Keras leaves a name and a policy that a class does not take out of its settings."""
    k, _ = both_keras.library(name)

    class Bare(k.layers.Layer):
        def __init__(self, **given):
            super().__init__(**{"name": "mine", "dtype": "mixed_bfloat16"} | given)
            self.early = k.layers.Dense(8)

        def build(self, shape):
            self.late = k.layers.Dense(8)

        def call(self, x):
            return self.late(self.early(x))

    k.layers.Dense(1), k.layers.Dense(1)  # names are counted
    i = k.layers.Input((8,))
    x = k.layers.Dense(8, name="out")(Bare()(k.layers.Dense(8, "relu", name="first")(i)))
    model = k.Model(i, k.layers.Dense(3, name="logits")(x))
    model.compile("sgd", "mse")
    data = np.ones((8, 8), np.float32), np.zeros((8, 3), np.float32)
    given = {"channels": {"multiple": 1}, "settings": {"events": (0.4, 0.7), "final_sparsity": 0.5}}
    trained = tfprune.train(model, data, granularity="filter", epochs=3, verbose=0, **given).model
    assert trained.get_layer("out").units == 4
    for own in (tfprune.prune(model, 0.5), trained):
        for layer, same in zip(own._flatten_layers(), model._flatten_layers(), strict=True):
            assert layer.name == same.name
        assert own.get_layer("mine").compute_dtype == "bfloat16"
        assert [row.name for row in tfprune.summary(own).layers] == [row.name for row in tfprune.summary(model).layers]


@pytest.fixture
def run_of(monkeypatch, tmp_path):
    """Makes the settings of a run of a model that holds a layer of one's own, in one Keras."""

    def config(name, **changes):
        k, _ = both_keras.library(name)

        class Backwards(k.layers.Layer):
            """Has its layers in another order than it calls them in."""

            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.last, self.first = k.layers.Dense(8, name="last"), k.layers.Dense(8, "relu", name="first")

            def call(self, x):
                return self.last(self.first(x))

        def made(input_shape, classes):
            i = k.layers.Input(input_shape)
            x = Backwards(name="backwards")(k.layers.Dense(8, "relu", name="first")(i))
            return k.Model(i, k.layers.Dense(classes, name="logits")(layers(name)["Mlp"](32, name="mlp")(x)))

        module = types.ModuleType("composed")
        module.made = made
        monkeypatch.setitem(sys.modules, "composed", module)
        monkeypatch.setenv(FUNCTIONS, "composed:made")
        (tmp_path / "composed.py").touch()  # it is looked for, to know when it changes
        monkeypatch.syspath_prepend(tmp_path)
        return Config(
            dataset="penguins", model="composed:made", epochs=3, granularity="filter", out=str(tmp_path),
            channel_settings={"multiple": 1}, **changes,
        )  # fmt: skip

    return config


@pytest.mark.parametrize("name", LIBRARIES)
def test_runs_take_them_apart_too(name, run_of):
    config = run_of(name, settings={"final_sparsity": 0.5, "events": (0.4, 0.7)})
    result = train(config)
    groups = result.metrics["channels"]["groups"]
    assert groups["mlp_up"]["after"] == groups["mlp_up"]["before"] / 2 == 16
    assert restore_model(result, load_data(config)).get_layer("mlp_up").units == 16


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
def test_such_a_run_takes_a_dense_training_over(name, run_of):
    """The weights of the whole layer have another order than those of the layers in it."""
    config = run_of(name, method="lottery", settings={"sparsity": 0.5})
    taken = train(config, dense=train(config.as_baseline()))
    alone = train(config.replace(out=f"{config.out}/alone"))
    assert taken.metrics["taken_over"] and taken.history() == alone.history()


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_penalty_says_that_it_does_not_reach_into_them(name, caplog):
    k, _ = both_keras.library(name)
    i = k.layers.Input((8,))
    x = k.layers.Dense(8, name="first")(k.layers.Dense(16, "relu", name="wide")(i))
    model = k.Model(i, k.layers.Dense(3, name="logits")(layers(name)["Mlp"](32, name="mlp")(x)))
    model.compile("sgd", "mse")
    tfprune.regularize(model)
    assert "no penalty is on what is in mlp" in caplog.text and "tfprune.shrink(model, keep=1)" in caplog.text
    caplog.clear()
    apart = tfprune.shrink(model, keep=1)
    caplog.clear()
    callback = tfprune.regularize(apart)
    assert "no penalty" not in caplog.text
    apart.fit(np.ones((8, 8), np.float32), np.ones((8, 3), np.float32), verbose=0, callbacks=[callback])
