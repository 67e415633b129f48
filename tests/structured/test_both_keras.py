"""The same rules for both Keras: a smaller model is the one in which what went is zero."""

import json

import both_keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfprune import shrink
from tfprune.adapters import adapter_of
from tfprune.adapters.backend import tf
from tfprune.structured.channels import OUTPUT, channels
from tfprune.structured.compaction import compact
from tfprune.structured.labels import goes
from tfprune.structured.shrinking import CRITERIA, layers_left_alone, least_important
from tfprune.structured.surgery import labels_of, remove_groups, take_out, zero_groups
from tfprune.structured.widths import width
from tfprune.utils.errors import ModelError
from tfprune.utils.trees import leaves

LIBRARIES = ("tf_keras", "keras")


def shaken(model):
    """Gives all weights values of their own, those of BatchNorm's statistics too."""
    graphs, random = adapter_of(model).graphs, np.random.default_rng(0)
    for layer in graphs.leaf_layers(model):
        for weight in () if hasattr(layer, "finalize_state") else layer.weights:  # what it has adapted to
            shape = tuple(weight.shape)
            graphs.assign(
                weight,
                (random.uniform(0.1, 0.6, shape) * random.choice([-1, 1], shape) ** (len(shape) > 1)).astype("f4"),
            )
    return model


def answers(model, x):
    graphs = adapter_of(model).graphs
    return [np.asarray(own) for own in leaves(graphs.call(lambda: model(x, training=False)))]


def foreseen(model, removed):
    """Returns how many numbers the weights have of which some channels go."""
    found = channels(model)
    gone, total = labels_of(found, removed), 0
    for weight in {id(own): own for own in model.weights if hasattr(own, "shape")}.values():
        axes = found.axes.get(id(weight), {})
        sides = [
            size - (int(goes(axes[axis], gone).sum()) if axis in axes else 0) for axis, size in enumerate(weight.shape)
        ]
        total += int(np.prod(sides))
    return total


def check(model, x, removed, tolerance=2e-6):
    """Returns the smaller model, which answers as the one in which the channels are zero."""
    before = [np.array(own) for own in model.get_weights()]
    smaller = remove_groups(model, removed)
    for own, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, same)
    assert adapter_of(model).graphs.parameters(smaller) == foreseen(model, removed)
    whole = remove_groups(model, {})
    for one, same in zip(answers(whole, x), answers(model, x), strict=True):
        np.testing.assert_array_equal(one, same)
    zero_groups(whole, removed)
    for one, other in zip(answers(smaller, x), answers(whole, x), strict=True):
        assert one.shape == other.shape and np.ptp(other) > 0
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())
    return smaller


def lowest(model, keep=0.5):
    found = channels(model)
    widths = {name: width(len(group), keep, 1) for name, group in found.free.items()}
    return least_important(CRITERIA["l1"](model, found, 0, None), widths, found)


@pytest.mark.some(every=3)
@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("build", both_keras.MODELS, ids=lambda own: own.__name__)
def test_half_a_model_is_the_one_in_which_the_other_half_is_zero(build, name, tmp_path):
    keras, ops = both_keras.library(name)
    model, x = build(keras, ops)
    shaken(model)
    found = channels(model)
    stay = tuple(group.name for group in found.groups if group.protected not in (None, OUTPUT))
    assert stay == both_keras.MODELS[build]
    assert not [group.inexact for group in found.groups if group.inexact]
    before = answers(model, x)
    smaller = check(model, x, lowest(model))
    assert {own: len(group) for own, group in channels(smaller).free.items()} == {
        own: width(len(group), 0.5, 1) for own, group in found.free.items()
    }
    check(smaller, x, lowest(smaller))  # and once more
    for one, other in zip(answers(compact(model).model, x), before, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())
    if build not in both_keras.UNSAVED and (build, name) not in both_keras.UNSAVED:
        smaller.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        for one, other in zip(answers(loaded, x), answers(smaller, x), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())


def form(model, found):
    """Returns what was found of a model's channels, labels numbered in the order in which weights have them."""
    graphs, numbers = adapter_of(model).graphs, {}

    def numbered(labels):
        return [numbers.setdefault(int(own), len(numbers)) for own in labels.ravel()], labels.shape

    def fixed(several):
        return sorted((str(own.key), str(own.place), str(own.axis), numbered(own.labels)) for own in several)

    layers = list(graphs.leaf_layers(model))
    weights = [weight for layer in layers for weight in layer.weights if id(weight) in found.axes]
    return {
        "axes": [{axis: numbered(own) for axis, own in found.axes[id(weight)].items()} for weight in weights],
        "made": [found.made.get(id(weight)) for weight in weights],
        "roots": [id(weight) in found.roots_of for weight in weights],
        "groups": [
            (own.name, own.producers, numbered(own.channels), own.protected, own.scaled, str(own.parts))
            for own in found.groups
        ],
        "settings": {layer.name: fixed(found.settings.get(id(layer), ())) for layer in layers},
        "arguments": [fixed(found.arguments.get(node.key, ())) for node in graphs.graph(model).nodes],
        "read": sorted(numbers.get(label, -1) for label in found.read if label in numbers),
    }


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("build", ["residual", "picked", "attention"])
def test_what_is_left_of_the_channels_is_what_following_the_smaller_model_finds(build, name):
    model, _ = getattr(both_keras, build)(*both_keras.library(name))
    smaller, left = take_out(model, lowest(model), channels(model))
    assert form(smaller, left) == form(smaller, channels(smaller))


@pytest.mark.parametrize("build", both_keras.MODELS, ids=lambda own: own.__name__)
def test_both_keras_have_the_same_groups(build):
    def groups(name):
        found = channels(build(*both_keras.library(name))[0])
        return [(own.name, own.producers, len(own), own.protected is None, own.copies) for own in found.groups]

    one, other = map(groups, LIBRARIES)
    assert json.dumps(one) == json.dumps(other) and len(one) > 1


@pytest.mark.parametrize("name", LIBRARIES)
def test_queries_grow_where_places_of_keys_go(name):
    keras, ops = both_keras.library(name)
    model, x = both_keras.attention(keras, ops)
    shaken(model)
    smaller = check(model, x, {"self/key_dim": [1, 2]})
    before, after = (own.get_layer("self")._query_dense.kernel for own in (model, smaller))
    left = np.delete(np.asarray(before), [1, 2], -1)
    np.testing.assert_allclose(np.asarray(after), left * (6 / 8) ** 0.5, rtol=1e-6)
    heads = channels(model).free["self/num_heads"]
    assert (heads.copies, len(heads), heads.scaled, heads.producers) == (2, 4, False, ("self",))
    assert smaller.get_layer("self").get_config()["key_dim"] == 6


@pytest.mark.parametrize("gate", [False, True])
def test_heads_of_keys_go_with_all_heads_of_queries_that_attend_to_them(gate):
    keras, _ = both_keras.library("keras")
    L = keras.layers
    i = L.Input((5, 12))
    x = L.Dense(16, name="embed")(i)
    y, scores = L.GroupQueryAttention(8, 4, 2, use_gate=gate, name="heads")(x, x, return_attention_scores=True)
    x = L.Concatenate()([L.Flatten()(L.Add()([x, y])), L.Flatten()(scores)])
    model = shaken(keras.Model(i, L.Dense(4, name="logits")(x)))
    found = channels(model)
    assert {name: (len(own), own.copies, own.scaled) for name, own in found.free.items()} == {
        "embed": (16, 1, False),
        "heads/num_key_value_heads": (2, 8, False),
        "heads/head_dim": (8, 2, True),
    }
    smaller = check(model, both_keras.STEPS, lowest(model))
    config = smaller.get_layer("heads").get_config()
    assert [config[name] for name in ("num_query_heads", "num_key_value_heads", "head_dim")] == [2, 1, 4]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_part_keeps_a_channel_and_one_that_is_taken_alone_stays(name):
    model, _ = both_keras.picked(*both_keras.library(name))
    found = channels(model)
    assert [part.tolist() for part in found.free["c"].parts] == [[13]]
    for gone, part in (({"c": [2, 13]}, r"\[13\] of c"), ({"a": range(8)}, r"\[0, 1, .* 7\] of a")):
        with pytest.raises(ModelError, match=f"at least one of the channels {part} must stay: they are a part"):
            remove_groups(model, gone)


def test_what_goes_by_a_number_of_channels_keeps_them():
    keras, _ = both_keras.library("tf_keras")
    L, shape = keras.layers, both_keras.TfOps.shape
    i = L.Input((5, 12))
    x, y = (L.Dense(16, name=name)(i) for name in "ab")
    divided = L.Dense(16, name="c")(i) / tf.cast(shape(x)[2], tf.float32)
    tied = tf.reshape(L.Dense(16, name="d")(i), (-1, shape(y)[2]))
    flat = tf.reshape(L.Dense(16, name="e")(i), tf.concat([shape(y)[:-1], [16]], 0))
    own = L.Dense(16, name="f")(i)
    joined = L.Concatenate()([x, y, divided, flat, tf.reshape(own, shape(own))])
    model = keras.Model(i, [L.Dense(4, name="logits")(joined), L.Dense(4, name="rows")(tied)])
    reasons = {group.name: group.protected for group in channels(model).groups}
    assert reasons["a"].endswith("goes by their number") and reasons["b"].endswith("goes by their number")
    assert reasons["d"].endswith("is not known to work channel by channel")
    assert reasons["e"].endswith("is not known to work channel by channel")
    assert [name for name, reason in reasons.items() if reason is None] == ["f"]


def test_a_smaller_model_of_keras_3_goes_on_training():
    keras, ops = both_keras.library("keras")
    model, x = both_keras.residual(keras, ops)
    y = np.arange(len(x)) % 4
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=2, verbose=0)
    smaller = shrink(model, 0.5)
    assert int(smaller.optimizer.iterations) == int(model.optimizer.iterations) == 2
    assert adapter_of(model).graphs.parameters(smaller) < 0.5 * adapter_of(model).graphs.parameters(model)
    slots = adapter_of(model).slots
    kernel, own = model.get_layer("wide").kernel, smaller.get_layer("wide").kernel
    for old, new in zip(slots(model.optimizer, kernel), slots(smaller.optimizer, own), strict=True):
        assert np.isin(new, old).all() and new.shape == tuple(own.shape)
    assert np.isfinite(smaller.fit(x, y, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_subclassed_model_is_one_line(name):
    keras, _ = both_keras.library(name)

    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.layer = keras.layers.Dense(16)

        def call(self, x):
            return self.layer(x)

    model = Own()
    model(np.zeros((1, 4), np.float32))
    for smaller in (shrink, compact, channels):
        with pytest.raises(ModelError, match="model own must be functional or sequential, and built, to follow its"):
            smaller(model)


@pytest.mark.parametrize("name", LIBRARIES)
def test_each_layer_that_makes_some_of_a_sum_keeps_its_best(name):
    keras, _ = both_keras.library(name)
    L = keras.layers
    i = L.Input((12,))
    x = L.Concatenate()([L.Dense(2, name="few")(i), L.Dense(14, name="many")(i)])
    model = keras.Model(i, L.Dense(2, name="logits")(L.Add()([x, L.Dense(16, name="all")(i)])))
    shaken(model)
    graphs = adapter_of(model).graphs
    for layer in ("few", "all"):
        kernel = graphs.numbers(model.get_layer(layer).kernel)
        kernel[:, :2] *= 1e-3  # those would go
        graphs.assign(model.get_layer(layer).kernel, kernel)
    (group,) = channels(model).free.values()
    assert [len(part) for part in group.parts] == [2, 14]
    smaller = check(model, both_keras.VECTORS, lowest(model))
    assert [smaller.get_layer(own).units for own in ("few", "many", "all")] == [1, 7, 8]


KINDS = ("dense", "gate", "join", "add", "heads", "places", "attention", "units", "grouped", "parts", "norm", "product")


def network(keras, ops, steps):
    """Returns a network of steps, each a kind, a stream that it reads, another one, and a width."""
    L = keras.layers
    inputs = L.Input((6, 8))
    streams = [L.Dense(8, name="first")(inputs)]
    for number, (kind, first, second, size) in enumerate(steps):
        x, y = streams[first % len(streams)], streams[second % len(streams)]
        name, count = f"{kind}_{number}", x.shape[-1]
        if kind == "dense":
            x = L.Dense(size, "relu", name=name)(x)
        elif kind == "gate":
            x = L.Multiply()([x, L.Dense(1, "sigmoid", name=name)(y)])
        elif kind == "join":
            x = ops.concatenate([x, y], -1)
        elif kind == "add":
            x = x + (y if y.shape[-1] == count else L.Dense(count, name=name)(y))
        elif kind == "heads":
            x = L.Reshape((6, 2, size))(L.Dense(2 * size, name=name)(x))
            x = ops.reshape(L.Dense(4, name=f"{name}_in")(ops.transpose(x, (0, 1, 3, 2))), (-1, 6, 4 * size))
        elif kind == "places":
            x = L.Permute((2, 1))(L.Dense(6, name=name)(L.Dense(size, name=f"{name}_in")(L.Permute((2, 1))(x))))
        elif kind == "attention":
            x = L.MultiHeadAttention(2, size, value_dim=3, name=name)(x, y)
        elif kind == "units":
            x = L.GRU(size, return_sequences=True, name=name)(x)
        elif kind == "grouped":
            x = L.Conv1D(2 * size, 3, padding="same", groups=2, name=name)(L.Conv1D(2 * size, 1, name=f"{name}_in")(x))
        elif kind == "parts":
            one, other = ops.split(L.Dense(2 * size, name=name)(x), 2, -1)
            x = one * ops.sigmoid(other)[:, :, : max(1, size)]
        elif kind == "norm":
            x = L.BatchNormalization(name=name)(x)
        else:
            one, other = (L.Dense(size, name=f"{name}_{own}")(own_x) for own, own_x in (("one", x), ("other", y)))
            x = ops.matmul(ops.softmax(ops.einsum("btc,bsc->bts", one, other)), x)
        streams.append(x)
    return keras.Model(inputs, L.Dense(2, name="logits")(L.Flatten()(streams[-1])))


@pytest.mark.parametrize("name", LIBRARIES)
@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9), st.integers(1, 5)), max_size=6),
    st.integers(0, 9),
)
def test_any_network_is_the_one_in_which_channels_are_zero(name, steps, seed):
    keras, ops = both_keras.library(name)
    model = shaken(network(keras, ops, steps))
    random = np.random.default_rng(seed)
    found = channels(model)
    widths = {own: max(1, len(group) - int(0.4 * len(group) + 0.5)) for own, group in found.free.items()}
    removed = least_important({own: random.random(len(group)) for own, group in found.free.items()}, widths, found)
    check(model, random.normal(size=(3, 6, 8)).astype(np.float32), removed, 2e-5)
    keras.backend.clear_session()


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("length", [None, 9])
def test_channels_that_are_averaged_stay_whatever_is_known_of_the_length(name, length):
    """A cut of an axis of unknown length once left nothing to follow, and so nothing that said that they are read."""
    keras, ops = both_keras.library(name)
    inputs = keras.layers.Input((length, 12))
    x = keras.layers.Conv1D(16, 3, padding="same", name="a")(inputs)
    with pytest.raises(ModelError, match="a: .* is not known to work channel by channel"):
        shrink(keras.Model(inputs, ops.mean(x[:, 2:], -1)))
    turned = ops.transpose(ops.transpose(keras.layers.Dense(16, name="a")(inputs), (1, 0, 2))[2:5, :, :], (1, 0, 2))
    with pytest.raises(ModelError, match="a: .* is not known to work channel by channel"):
        shrink(keras.Model(inputs, ops.mean(turned, -1)))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_layer_that_is_shared_with_another_ones_inside_is_refused(name):
    """Its copies would answer alike, and be moved apart by training."""
    keras, _ = both_keras.library(name)
    L, shared = keras.layers, keras.layers.Dense(16, name="shared")
    inputs = L.Input((5, 12))
    both = L.Concatenate()([L.Flatten()(L.TimeDistributed(shared)(inputs)), shared(inputs[:, 0])])
    with pytest.raises(ModelError, match="share the weight .*: call one layer twice, or give each its own"):
        shrink(keras.Model(inputs, L.Dense(4)(both)), 1)


def test_an_activation_with_weights_of_its_own_is_made_again():
    keras, _ = both_keras.library("keras")
    L, inputs = keras.layers, keras.layers.Input((12,))
    x = L.Dense(16, activation=L.PReLU(alpha_initializer="ones"), name="a")(inputs)
    model = keras.Model(inputs, L.Dense(4)(L.Dense(16, name="b")(x)))
    for keep in (1, 0.5):
        smaller = shrink(model, keep)
        assert not model.get_layer("a").activation.built  # by what was tried with it
        assert smaller.get_layer("b").units == 16 * keep
        smaller(both_keras.VECTORS)
        assert [own.shape for own in smaller.get_layer("a").variables] == [(12, 16), (16,), (16,)]
    model(both_keras.VECTORS)  # makes the weights
    for one, other in zip(
        answers(shrink(model, 1), both_keras.VECTORS), answers(model, both_keras.VECTORS), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_layer_that_makes_more_than_a_setting_of_it_says_is_named(name, caplog):
    keras, ops = both_keras.library(name)

    class Gated(keras.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, shape):
            self.w = self.add_weight(name="w", shape=(shape[-1], 2 * self.units))
            self.built = True

        def call(self, x):
            x = ops.matmul(x, self.w)
            return x[..., : self.units] * ops.sigmoid(x[..., self.units :])

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    inputs = keras.layers.Input((12,))
    model = keras.Model(inputs, keras.layers.Dense(4)(Gated(6, name="gated")(keras.layers.Dense(16)(inputs))))
    assert "gated" in layers_left_alone(model, channels(model))
    shrink(model)
    assert "gated (" in caplog.text


def named(name, by):
    def function(x):
        return x * by

    function.__name__ = name
    return function


def each_step_by(k, *functions):
    L = k.layers
    dense = [L.TimeDistributed(L.Dense(16, activation=own)) for own in functions]
    return k.Sequential([L.Input((5, 12)), *dense, L.Flatten(), L.Dense(3)]), both_keras.STEPS


def own_gelu(k):
    L = k.layers
    return k.Sequential([L.Input((12,)), L.Dense(16, named("gelu", 3.0)), L.Dense(16, "gelu"), L.Dense(3)]), (
        both_keras.VECTORS
    )


def two_recurrent(k):
    L = k.layers
    recurrent = [L.LSTM(8, activation=named("act", by), return_sequences=True) for by in (0.1, 0.7)]
    return k.Sequential([L.Input((5, 12)), *recurrent, L.Flatten(), L.Dense(3)]), both_keras.STEPS


def two_classes(k):
    def scaled(by):
        class Scaled(k.layers.Dense):
            def call(self, x):
                return super().call(x) * by

        return Scaled(16)

    L = k.layers
    dense = [L.TimeDistributed(scaled(by)) for by in (0.1, 3.0)]
    return k.Sequential([L.Input((5, 12)), *dense, L.Flatten(), L.Dense(3)]), both_keras.STEPS


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "build",
    [own_gelu, two_recurrent, two_classes, lambda k: each_step_by(k, named("act", 0.1), named("act", 2.0))],
    ids=["keras-name", "recurrent", "classes", "each-step"],
)
def test_functions_and_classes_of_one_name_stay_what_they_are(build, library):
    model, x = build(both_keras.library(library)[0])
    np.testing.assert_allclose(answers(remove_groups(shaken(model), {}), x)[0], answers(model, x)[0], rtol=1e-5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_functions_of_one_name_in_one_layer_are_an_error(library):
    k, _ = both_keras.library(library)
    cells = [k.layers.GRUCell(8, activation=named("act", by)) for by in (0.1, 0.7)]
    model = k.Sequential([k.layers.Input((5, 12)), k.layers.RNN(cells), k.layers.Dense(3)])
    with pytest.raises(ModelError, match="act of .* is not the only function or class of that name"):
        remove_groups(model, {})


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("last", "gone"), [("other", "b1"), ("b2", "b2")])
def test_layers_of_nested_models_are_no_branches_whatever_their_names(library, last, gone):
    k, _ = both_keras.library(library)
    L = k.layers
    j = L.Input((16,))
    sums = L.Add(name="add")([j, L.Dense(16, name="n1")(j), L.Dense(16, name="n2")(j)])
    inner = k.Model(j, L.Dense(16, name=last)(sums), name="inner")
    i = L.Input((12,))
    x = L.Dense(16, name="stem")(i)
    for name, place in (("b1", "add"), ("b2", "add_1")):
        kernel = "zeros" if name == gone else "glorot_uniform"
        x = L.Add(name=place)([x, L.Dense(16, name=name, kernel_initializer=kernel)(x)])
    model = k.Model(i, L.Dense(4)(inner(x)))
    smaller = shrink(model, 0.5, granularity="branch", criterion="l1")
    assert [own.name for own in smaller.get_layer("inner").layers] == [own.name for own in inner.layers]
    assert len(smaller.layers) == len(model.layers) - 1
    np.testing.assert_allclose(
        answers(smaller, both_keras.VECTORS)[0], answers(model, both_keras.VECTORS)[0], rtol=1e-5
    )


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("norm", "keep", "left"),
    [("GroupNormalization", 0.5, 16), ("GroupNormalization", 0.1, 4), ("LayerNormalization", 0.01, 2)],
)
def test_what_is_normalized_keeps_two_of_which_it_does_not_make_a_constant(library, norm, keep, left):
    k, _ = both_keras.library(library)
    L = k.layers
    layer = L.LayerNormalization() if norm == "LayerNormalization" else L.GroupNormalization(8 if left == 16 else 2)
    model = k.Sequential([L.Input((12,)), L.Dense(16, name="a"), layer, L.Dense(12, name="b"), L.Dense(3)])
    smaller = shrink(shaken(model), keep, multiple=1)
    assert smaller.get_layer("a").units == left and np.ptp(answers(smaller, both_keras.VECTORS)[0], axis=0).min() > 0
    group = channels(model).groups[0]
    assert (group.protected or "").endswith("would make a constant of one of two") is (left == 16)
    if left != 16:
        with pytest.raises(ModelError, match="at least two of the channels .* of a must stay"):
            remove_groups(model, {"a": range(1, len(group))})


def test_two_directions_of_other_widths_stay():
    k, _ = both_keras.library("tf_keras")  # Keras 3 takes both for as wide as the first
    L = k.layers
    both = L.Bidirectional(L.GRU(16), backward_layer=L.GRU(8, go_backwards=True), name="both")
    model = k.Sequential([L.Input((5, 12)), both, L.Dense(16, name="a"), L.Dense(3)])
    smaller = check(shaken(model), both_keras.STEPS, lowest(model))
    assert smaller.get_layer("a").units == 8 and list(channels(model).free) == ["a"]


def test_a_tensor_that_a_nested_model_takes_with_one_more_axis_stays():
    k, _ = both_keras.library("tf_keras")
    L = k.layers
    inner = k.Sequential([L.Input((8, 1)), L.Conv1D(8, 3, name="c"), L.Flatten()], name="inner")
    i = L.Input((12,))
    model = k.Model(i, L.Dense(3)(inner(L.Dense(8, name="a")(i))))
    smaller = check(shaken(model), both_keras.VECTORS, lowest(model))
    assert smaller.get_layer("inner").get_layer("c").filters == 4
    assert {own.name: own.protected for own in channels(model).groups}["a"] == "inner takes them with 3 axes"


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("shape", [None, (-1, 16), (6, 6, 16), (36, 4, 4)])
def test_a_batch_of_a_fixed_size_is_no_part_of_what_is_reshaped(library, shape):
    k, _ = both_keras.library(library)
    L = k.layers
    i = L.Input(batch_shape=(6, 8, 8, 3))
    x = L.Conv2D(16, 3, name="a")(i)
    x = L.Flatten()(L.Reshape(shape)(x) if shape else x)
    model = k.Model(i, L.Dense(3)(x))
    assert check(shaken(model), both_keras.IMAGES, lowest(model)).get_layer("a").filters == 8


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_weight_that_a_call_has_among_its_arguments_stays_one_with_its_layers(library):
    k, ops = both_keras.library(library)
    L = k.layers
    i = L.Input((5,), dtype="int32")
    embedding = L.Embedding(9, 16, name="tied")
    x = L.Dense(16, name="a")(L.GRU(8, name="units")(embedding(i)))
    model = k.Model(i, ops.einsum("bc,nc->bn", x, embedding.embeddings))
    smaller = shrink(shaken(model), 0.5, multiple=1)
    assert smaller.get_layer("units").units == 4
    groups = {own.name: own.protected for own in channels(model).groups}
    assert groups["tied"] == "a call has the weight itself among its arguments"
    before = answers(smaller, both_keras.NUMBERS)[0]
    graphs, own = adapter_of(model).graphs, smaller.get_layer("tied").embeddings
    expected = answers(model, both_keras.NUMBERS)[0]
    graphs.assign(model.get_layer("tied").embeddings, np.zeros((9, 16), "f4"))
    np.testing.assert_array_equal(answers(smaller, both_keras.NUMBERS)[0], before)  # it has weights of its own
    graphs.assign(own, np.zeros((9, 16), "f4"))
    assert np.ptp(expected) > 0 and not answers(smaller, both_keras.NUMBERS)[0].any()


def test_of_what_two_layers_make_together_and_is_normalized_each_keeps_one():
    k, _ = both_keras.library("tf_keras")
    L = k.layers
    i = L.Input((12,))
    x = L.LayerNormalization()(L.Concatenate()([L.Dense(2, name="a")(i), L.Dense(14, name="b")(i)]))
    smaller = shrink(k.Model(i, L.Dense(3)(x)), 0.1, multiple=1)
    assert [smaller.get_layer(name).units for name in "ab"] == [1, 1]


def first_axis(L, x):
    """BatchNorm of channels that stand first, as in models that come from elsewhere."""
    x = L.Permute((2, 1))(L.Dense(16, name="a")(x))
    return L.GlobalAveragePooling1D()(L.Permute((2, 1))(L.BatchNormalization(axis=1)(x)))


def places_normalized(L, x):
    x = L.Reshape((5, 1, 16))(L.Dense(16, name="a")(x))
    return L.Flatten()(L.Conv2D(8, 1, name="c")(L.LayerNormalization(axis=[1, 2])(x)))


def both_normalized(L, x):
    return L.Flatten()(L.LayerNormalization(axis=[1, 2])(L.Dense(16, name="a")(x)))


def attending(L, x):
    query, value, key = (L.Dense(16, name=name)(x) for name in "abc")
    return L.Flatten()(
        L.Concatenate()([L.Attention(use_scale=True)([query, value, key]), L.Attention()([value, value])])
    )


def multiplied(L, x):
    query, key = (L.Dense(16, name=name)(x) for name in "ab")
    scores = L.Dot(axes=(2, 2))([query, key])
    mixed = L.Dot(axes=(2, 1))([scores, L.Dense(16, name="c")(x)])
    pooled = [L.Dense(8, name=name)(L.GlobalAveragePooling1D()(x)) for name in "de"]
    return L.Concatenate()([L.Flatten()(mixed), L.Dot(axes=1)(pooled)])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (first_axis, {"a"}),
        (places_normalized, {"a", "c"}),
        (both_normalized, {"a"}),
        (attending, {"a", "b"}),
        (multiplied, {"a", "c", "d"}),
    ],
)
def test_axes_that_are_normalized_and_products_of_layers_are_followed(library, build, expected):
    k, _ = both_keras.library(library)
    i = k.layers.Input((5, 12))
    model = shaken(k.Model(i, k.layers.Dense(3, name="logits")(build(k.layers, i))))
    free = channels(model).free
    assert set(free) == expected
    gone = lowest(model)
    check(model, both_keras.STEPS, {name: own for name, own in gone.items() if not free[name].inexact})
    smaller = remove_groups(model, gone)
    assert adapter_of(model).graphs.parameters(smaller) == foreseen(model, gone)
    before = answers(model, both_keras.STEPS)[0]
    np.testing.assert_allclose(answers(compact(model).model, both_keras.STEPS)[0], before, rtol=1e-4, atol=1e-4)
