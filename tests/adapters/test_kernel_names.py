import numpy as np
import pytest
from test_wrapping import KERNELS

import tfprune
from tfprune.adapters.backend import keras, keras3, tf
from tfprune.adapters.tf_keras.adapter import TfKeras
from tfprune.adapters.tf_keras.kernel_names import named_kernels, other_weights, prunable_names
from tfprune.adapters.tf_keras.mask_values import get_masks, kernel_variables
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel, uncounted
from tfprune.adapters.tf_keras.wrapping import hold_masks, mask_in_place
from tfprune.utils.errors import ModelError


def body(name, units=16):
    dense = keras.layers.Dense
    return keras.Sequential([keras.layers.Input((8,)), dense(units, "relu", name="d1"), dense(8, name="d2")], name=name)


def two_bodies(units=16):
    inputs = keras.layers.Input((8,))
    x = keras.layers.Add()([body("a")(inputs), body("b", units)(inputs)])
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


class Twins(keras.layers.Layer):
    """A layer of somebody's own with two layers of one name."""

    def __init__(self):
        super().__init__(name="twins")
        self.one, self.two = keras.layers.Dense(4, name="d"), keras.layers.Dense(4, name="d")

    def call(self, inputs):
        return self.one(inputs) + self.two(inputs)


def test_kernels_of_layers_that_share_a_name_have_names_of_their_own():
    names = ["a/d1/kernel", "a/d2/kernel", "b/d1/kernel", "b/d2/kernel", "head/kernel"]
    for units in (16, 24):
        model = two_bodies(units)
        assert list(kernel_variables(model)) == names
        assert len({id(kernel) for kernel in kernel_variables(model).values()}) == 5
        assert list(macs_per_kernel(model).values()) == [
            *((8 * 16, None), (16 * 8, None), (8 * units, None), (units * 8, None), (8 * 3, None))
        ]
    inputs = keras.layers.Input((4,))
    assert list(kernel_variables(keras.Model(inputs, Twins()(inputs)))) == ["twins/d/kernel", "twins/d_1/kernel"]


def test_names_that_were_unique_stay_those_of_the_layers(conv_net):
    inputs = keras.layers.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(conv_net(inputs)))
    assert list(kernel_variables(model)) == [*KERNELS, "logits/kernel", "head/kernel"]


def test_a_model_that_is_called_twice_has_one_mask_a_kernel():
    one, two = keras.layers.Input((8,)), keras.layers.Input((8,))
    tower = body("tower")
    model = mask_in_place(keras.Model([one, two], keras.layers.Add()([tower(one), tower(two)])))
    assert list(get_masks(model)) == ["d1/kernel", "d2/kernel"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (("a/d1",), ["a/d2", "b/d1", "b/d2", "head"]),
        (("a",), ["b/d1", "b/d2", "head"]),
        (("d1",), ["a/d2", "b/d2", "head"]),
        (("first", "last"), ["a/d2", "b/d1", "b/d2"]),
    ],
)
def test_layers_of_one_name_are_spared_by_path_model_or_together(exclude, left):
    assert prunable_names(two_bodies(), exclude) == left


def test_spare_names_what_is_inside_of_a_layer_and_what_is_frozen():
    layers = keras.layers
    model = keras.Sequential([layers.Dense(4, input_shape=(3, 4), name="a"), layers.LSTM(4, name="b")])
    model.add(layers.Dense(2, name="c"))
    assert prunable_names(model) == ["a", "b/cell", "c"]
    assert prunable_names(model, ("b",)) == ["a", "c"]
    model.get_layer("a").trainable = False
    assert prunable_names(model, ("frozen", "last")) == ["b/cell"]


L = keras.layers


class Own(L.Layer):
    """A layer of somebody's own with weights of its own."""

    def build(self, input_shape):
        self.w = self.add_weight("matrix", (input_shape[-1], 6))
        self.more = [self.add_weight(f"more_{n}", (6, 6)) for n in range(2)]
        self.b = self.add_weight("bias", (6,))
        self.steps = self.add_weight("steps", (2, 2), trainable=False)
        self.table = self.add_weight("table", (2, 2), dtype="int32", initializer="zeros", trainable=False)

    def call(self, inputs):
        return inputs @ self.w @ self.more[0] @ self.more[1] + self.b


class Embedding(keras.Model):
    """As those of other people: a matrix in the model, layers of one name in a list."""

    def __init__(self):
        super().__init__(name="whole")
        self.weight = self.add_weight("weight", (10, 8))
        self.blocks = [Twins(), Twins()]
        self.tower = body("tower")

    def call(self, inputs):
        return self.tower(tf.gather(self.weight, inputs)) + sum(
            tf.pad(b(tf.gather(self.weight, inputs)), [[0, 0], [0, 4]]) for b in self.blocks
        )


def built(model, *arguments):
    model(*arguments)
    return model


def with_own():
    inputs = L.Input((8,))
    return keras.Model(inputs, L.Dense(2, name="head")(L.GRU(3, name="gru")(Own(name="own")(inputs)[:, None])))


def nested():
    """The same names at each level, in models of different widths."""

    def inner(units):
        return keras.Sequential([L.Input((8,)), L.Dense(units, name="d"), L.Dense(8, name="e")], name="a")

    inputs = L.Input((8,))
    deep = keras.Model(inputs, L.Dense(8, name="d")(inner(5)(inputs)), name="a")
    inputs = L.Input((8,))
    other = keras.Model(inputs, inner(7)(inputs), name="b")
    inputs = L.Input((8,))
    return keras.Model(inputs, L.Dense(2, name="d")(L.Add()([deep(inputs), other(inputs)])), name="a")


def wrapped():
    inputs = L.Input((5, 8))
    x = L.TimeDistributed(body("td", 6), name="seq")(inputs)
    x = L.TimeDistributed(L.Dense(4, name="d1"), name="step")(x)
    return keras.Model(inputs, L.Bidirectional(L.LSTM(3, name="d1"), name="both")(x))


MODELS = {
    nested: (["a/a/d", "a/a/e", "a/d", "b/a/d", "b/a/e", "d"], [40, 40, 64, 56, 56, 16]),
    wrapped: (
        [
            "seq/td/d1",
            "seq/td/d2",
            "step/d1",
            *(f"both/{way}_d1/cell" for way in ("forward", "backward") for _ in "kr"),
        ],
        [5 * 48, 5 * 48, 5 * 32, *[5 * 4 * 12, 5 * 3 * 12] * 2],
    ),
    lambda: built(Embedding(), np.zeros((1,), int)): (
        ["twins/d", "twins/d_1", "twins/d_2", "twins/d_3", "d1", "d2"],
        [128, 128],
    ),
}


@pytest.mark.parametrize("make", MODELS)
def test_each_kernel_has_a_name_a_mask_and_multiply_adds_of_its_own(make):
    layers, macs = MODELS[make]
    model = make()
    kernels = named_kernels(model)
    assert [kernel.layer for kernel in kernels] == layers
    assert len({kernel.name for kernel in kernels}) == len({id(kernel.variable) for kernel in kernels}) == len(layers)
    assert [count for count, _ in macs_per_kernel(model).values()] == macs
    pruned = tfprune.prune(model, 0.5, in_place=True)
    assert all(np.mean(kernel.variable.numpy() == 0) == 0.5 for kernel in named_kernels(pruned))
    table = tfprune.summary(pruned)
    assert table.parameters == pruned.count_params() and table.sparsity == 0.5 and table.macs == sum(macs)
    masked = mask_in_place(pruned, (layers[-1],))
    assert set(get_masks(masked)) == {kernel.name for kernel in kernels if kernel.layer != layers[-1]}


def test_cells_of_one_name_leave_the_multiply_adds_incomplete():
    inputs = L.Input((5, 8))
    model = keras.Model(inputs, L.RNN([L.LSTMCell(3, name="c"), L.LSTMCell(4, name="c")], name="rnn")(inputs))
    assert uncounted(model) == {"rnn": "layers inside of it have one name"} and not macs_per_kernel(model)
    assert len(named_kernels(model)) == 4


def test_other_weights_are_those_that_could_be_pruned():
    found = other_weights(with_own())
    assert [(own.name, own.kind) for own in found if not own.auxiliary] == [
        ("own/w", "Own"),
        ("own/more_0", "Own"),
        ("own/more_1", "Own"),
    ]
    assert [own.name for own in found if own.auxiliary] == ["gru/cell/bias"]
    assert [own.name for own in other_weights(built(Embedding(), np.zeros((1,), int)))] == ["whole/weight"]
    outer = L.Input((8,))
    inner = [keras.Sequential([L.Input((8,)), Own(name="own")], name=name) for name in "ab"]
    names = [own.name for own in other_weights(keras.Model(outer, [model(outer) for model in inner]))]
    assert names == [f"{model}/own/{weight}" for model in "ab" for weight in ("w", "more_0", "more_1")]


def test_a_vocabulary_is_no_weight():
    lookup = L.StringLookup(vocabulary=["a", "b"], name="lookup")
    inputs = L.Input((), dtype="string")
    model = keras.Model(inputs, L.Dense(2, name="d")(L.Embedding(4, 3, name="e")(lookup(inputs))))
    assert other_weights(model) == [] and [row.name for row in tfprune.summary(model).layers] == ["e", "d"]


def test_no_name_of_a_kernel_moves_for_what_is_included():
    model = with_own()
    plain = [kernel.name for kernel in named_kernels(model)]
    included = [kernel.name for kernel in named_kernels(model, ["own"])]
    assert included == ["own/w", "own/more_0", "own/more_1", *plain]  # in the order of the layers


@pytest.mark.parametrize(
    ("include", "names"),
    [
        (["own"], ["own/w", "own/more_0", "own/more_1"]),
        (["own/w", "own/w"], ["own/w"]),
        (["gru/cell/bias"], ["gru/cell/bias"]),
        (["gru"], ["gru/cell/bias"]),
        (["head"], []),
    ],
)
def test_weights_are_included_by_their_names_and_those_of_their_layers(include, names):
    model = with_own()
    plain = [kernel.name for kernel in named_kernels(model)]
    assert [own.name for own in named_kernels(model, include) if own.name not in plain] == names
    assert set(get_masks(mask_in_place(model, (), include))) == {*plain, *names}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own/ww", "include names 'own/ww', which is no weight with two axes or more: did you mean own/w"),
        ("own/b", "include names 'own/b', .*: did you mean own/w"),  # which has one axis
        ("zzz", "there are own/w, own/more_0, own/more_1, gru/cell/bias$"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(name, message):
    with pytest.raises(ModelError, match=message) as refused:
        tfprune.prune(with_own(), 0.5, include=[name])
    assert "\n" not in str(refused.value)


def test_one_name_needs_no_list():
    assert prunable_names(with_own(), "head", "own") == ["own", "gru/cell"]


@pytest.mark.parametrize("callbacks", [False, True])
def test_train_and_callbacks_take_what_is_included_through(tmp_path, callbacks):
    model = with_own()
    model.compile("adam", "sparse_categorical_crossentropy")
    data = (np.random.default_rng(0).normal(size=(20, 8)), np.arange(20) % 2)
    asked = {"sparsity": 0.5, "epochs": 3, "include": ["own/w"], "exclude": ["head"]}
    if callbacks:
        model.fit(*data, epochs=3, callbacks=tfprune.callbacks(model, **asked), verbose=0)
    else:
        trained = tfprune.train(model, data, verbose=0, **asked)
        model = trained.model
        assert set(trained.masks) == {"own/w", "gru/cell/kernel", "gru/cell/recurrent_kernel"}
        assert trained.total_sparsity == tfprune.summary(model).total_sparsity < trained.sparsity
    assert np.mean(model.get_layer("own").w.numpy() == 0) == 0.5 and np.all(model.get_layer("head").kernel.numpy())
    model.save_weights(str(tmp_path / "kept"))
    loaded = with_own()
    loaded.load_weights(str(tmp_path / "kept")).expect_partial()
    np.testing.assert_array_equal(loaded.get_layer("own").w.numpy(), model.get_layer("own").w.numpy())


def test_what_is_included_can_be_excluded_by_place():
    assert prunable_names(with_own(), ("first",), ("own",)) == ["gru/cell", "head"]
    assert prunable_names(with_own(), ("last",), ("own",)) == ["own", "gru/cell"]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adagrad"])
def test_included_weights_are_exactly_as_sparse_through_training_and_in_plain_keras(tmp_path, optimizer):
    model = built(Embedding(), np.zeros((1,), int))
    model.compile(optimizer, "mse")
    masked = TfKeras().attach(model, include=["whole/weight"])
    mask = np.arange(80).reshape(10, 8) % 3 != 0
    masked.set_masks(masked.masks() | {"whole/weight": mask})
    hold_masks(model)
    before = model.weight.numpy()
    model.fit(np.arange(10), np.ones((10, 8)), batch_size=4, epochs=3, verbose=0)
    np.testing.assert_array_equal(model.weight.numpy() == 0, ~mask)
    assert np.any(model.weight.numpy() != before)
    model.save_weights(str(tmp_path / "kept"))
    loaded = built(Embedding(), np.zeros((1,), int))
    loaded.load_weights(str(tmp_path / "kept")).expect_partial()
    np.testing.assert_array_equal(loaded.weight.numpy(), model.weight.numpy())


@pytest.mark.parametrize("method", ["snip", "magnitude_at_init"])
def test_included_weights_are_ranked_by_derivatives_too(method):
    model = with_own()
    model.compile("adam", "sparse_categorical_crossentropy")
    data = (np.random.default_rng(0).normal(size=(20, 8)), np.arange(20) % 2)
    asked = {"method": method, "scope": "layer", "sparsity": 0.5, "epochs": 1}
    trained = tfprune.train(model, data, include=["own"], verbose=0, **asked)
    for name in ("own/w", "own/more_0", "own/more_1"):
        assert trained.masks[name].mean() == 0.5
    np.testing.assert_array_equal(trained.model.get_layer("own").w.numpy() == 0, trained.masks["own/w"] == 0)


def test_a_kernel_that_a_layer_makes_of_its_weight_in_each_call_is_none():
    model = keras.Sequential([keras.layers.Dense(4, input_shape=(4,), name="a"), keras.layers.Dense(3, name="b")])
    model.layers[0].kernel = tf.round(model.layers[0].kernel)  # as tfmot's layers for quantization do
    assert [own.name for own in named_kernels(model)] == ["b/kernel"]


def test_layers_of_keras_3_that_are_quantized_are_named_where_others_are_pruned(caplog):
    k = keras3()
    model = k.Sequential([k.layers.Input((8,)), *(k.layers.Dense(8, name=name) for name in "abc")])
    model.get_layer("b").quantize("int8")
    pruned = tfprune.prune(model, 0.5)
    assert "not pruned, as they are quantized: b; prune the model before" in caplog.text
    assert 0.3 < tfprune.summary(pruned).sparsity < 0.5
