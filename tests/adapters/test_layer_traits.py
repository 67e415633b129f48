import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras, keras3, tf, tfmot_registry
from tfprune.adapters.layer_traits import ACTIVATIONS, TRAITS, LayerTraits, activation_traits, count_macs, traits_of
from tfprune.adapters.tf_keras.layers import kernel_attributes
from tfprune.adapters.tf_keras.mask_values import kernels
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel, uncounted
from tfprune.adapters.tf_keras.wrapping import mask_in_place, wrap
from tfprune.structured.channels import channels
from tfprune.structured.table import RULES

L = keras.layers


def functional(shape, *layers, dtype=None):
    inputs = x = L.Input(shape, dtype=dtype)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def macs(model):
    assert not uncounted(model)
    return {name: count for name, (count, _) in macs_per_kernel(model).items()}


class QDense(L.Dense):
    """As QKeras derives it: other arithmetic, the same weights."""

    def call(self, inputs):
        return self.activation(inputs @ tf.sign(self.kernel) + self.bias)


class Gated(L.Dense):
    def build(self, input_shape):
        super().build(input_shape)
        self.gate = self.add_weight("gate", (input_shape[-1], self.units))

    def call(self, inputs):
        return super().call(inputs) * (inputs @ self.gate)


class NoKernel(L.Dense):
    def build(self, input_shape):
        self.scale = self.add_weight("scale", (self.units,))
        self.built = True

    def call(self, inputs):
        return inputs[..., : self.units] * self.scale


class Scale(L.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1], input_shape[-1]))

    def call(self, inputs):
        return inputs @ self.scale


class Gram(L.Layer):
    """Multiplies without weights."""

    def call(self, inputs):
        return tf.reshape(inputs[..., None] @ inputs[..., None, :], (-1, 16))[:, :4]


class Padded(L.Dropout):
    """Of a known layer without kernels, with a matrix."""

    def build(self, input_shape):
        self.matrix = self.add_weight("matrix", (input_shape[-1], 4))

    def call(self, inputs):
        return super().call(inputs) @ self.matrix


class Block(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = L.Dense(4)

    def call(self, inputs):
        return self.inner(inputs)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.first = L.Dense(16, name="first")
        self.second = functional((16,), L.Dense(3, name="second"))

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_every_entry_is_a_layer_and_every_rule_is_used():
    inside = {"LSTMCell", "GRUCell", "SimpleRNNCell", "ConvLSTMCell", "StackedRNNCells"}
    hidden = {
        "TFOpLambda",
        "SlicingOpLambda",
        "ClassMethod",
        "InstanceMethod",
        "InstanceProperty",
        "LayerScale",
        "StochasticDepth",
        "SyncBatchNormalization",
        "CuDNNLSTM",
        "CuDNNGRU",
    }
    for name, traits in TRAITS.items():
        assert isinstance(traits, LayerTraits)
        assert "." in name or hasattr(L, name) or name in inside | hidden, name
        assert traits.zero in (None, "weights", "inputs")
    assert {traits.channels for traits in TRAITS.values()} == {None, *RULES}
    assert all(activation(name) for name in ACTIVATIONS)


def test_what_tfmot_prunes_is_pruned_here():
    for kind, names in tfmot_registry.PruneRegistry._LAYERS_WEIGHTS_MAP.items():
        own = {name for name in names if "." not in name}  # kernels of layers within layers are those of these layers
        known = TRAITS.get(kind.__name__, LayerTraits())
        assert own <= {*known.kernels}, kind


def activation(name):
    """Returns a function of tf_keras, or of Keras 3 where the other has none of the name."""
    return getattr(keras.activations, name, None) or getattr(keras3().activations, name)


def test_activations_go_by_who_made_them():
    assert activation_traits(None).zero and activation_traits(keras.activations.get("relu")).stackable
    assert activation_traits(keras.activations.softmax) is None
    assert activation_traits(tf.nn.relu) is None and activation_traits(lambda x: x) is None
    for name, traits in ACTIVATIONS.items():
        values = activation(name)(tf.constant([0.0, 2.0]))
        assert (float(values[0]) == 0) == traits.zero, name


def test_traits_that_say_zero_are_kept_by_the_layers():
    """A layer that is said to give zero for zero weights or inputs does."""
    shapes = {1: (6, 4), 2: (6, 6, 4), 3: (6, 6, 6, 4)}
    settings = {"Dense": (3,), "Activation": ("relu",), "GroupNormalization": (2,)}
    for name, traits in TRAITS.items():
        if traits.zero is None or name.startswith("keras."):
            continue
        rank = next((rank for rank in shapes if name.removesuffix("Transpose").endswith(f"{rank}D")), 2)
        convolution = (2,) if name.startswith("Depthwise") else (3, 2)
        needed = convolution if "Conv" in name else (0.5,) if "Dropout" in name else ()
        layer = getattr(L, name)(*settings.get(name, needed))
        x = np.random.default_rng(0).normal(size=(2, *shapes[rank])).astype(np.float32)
        layer(x)
        if traits.zero == "weights":
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
        assert not np.any(layer(x if traits.zero == "weights" else 0 * x)), name


@pytest.mark.parametrize(
    ("equation", "output", "shape", "count"),
    [
        ("ab,bc->ac", 5, (4,), 4 * 5),
        ("abc,cd->abd", (6, 8), (6, 4), 6 * 4 * 8),
        ("abc,bcd->ad", 8, (6, 4), 6 * 4 * 8),
        ("abc,cde->abde", (6, 2, 3), (6, 4), 6 * 4 * 2 * 3),
        ("abc,bd->acd", (4, 8), (6, 4), 4 * 6 * 8),
        ("...x,xy->...y", 7, (5, 3, 4), 5 * 3 * 4 * 7),
        ("ab...,bc->ac...", (7, 3), (5, 3), 3 * 5 * 7),
    ],
)
def test_einsum_dense_is_counted_by_hand(equation, output, shape, count):
    assert macs(functional(shape, L.EinsumDense(equation, output, name="e"))) == {"e/kernel": count}


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (lambda: L.SimpleRNN(8, name="r"), (6, 4), {"cell/kernel": 6 * 4 * 8, "cell/recurrent_kernel": 6 * 8 * 8}),
        (lambda: L.LSTM(8, name="r"), (6, 4), {"cell/kernel": 6 * 4 * 32, "cell/recurrent_kernel": 6 * 8 * 32}),
        (lambda: L.GRU(8, name="r"), (6, 4), {"cell/kernel": 6 * 4 * 24, "cell/recurrent_kernel": 6 * 8 * 24}),
        (
            lambda: L.GRU(8, name="r", return_sequences=True, reset_after=False), (6, 4),
            {"cell/kernel": 6 * 4 * 24, "cell/recurrent_kernel": 6 * 8 * 24},
        ),
        (
            lambda: L.RNN([L.LSTMCell(5, name="one"), L.GRUCell(3, name="two")], name="r"), (6, 4),
            {
                "cell/one/kernel": 6 * 4 * 20, "cell/one/recurrent_kernel": 6 * 5 * 20,
                "cell/two/kernel": 6 * 5 * 9, "cell/two/recurrent_kernel": 6 * 3 * 9,
            },
        ),
        (
            lambda: L.Bidirectional(L.LSTM(8, name="l"), name="r"), (6, 4),
            {
                "forward_l/cell/kernel": 6 * 4 * 32, "forward_l/cell/recurrent_kernel": 6 * 8 * 32,
                "backward_l/cell/kernel": 6 * 4 * 32, "backward_l/cell/recurrent_kernel": 6 * 8 * 32,
            },
        ),
        (  # 3 steps of 7 x 5 pixels: without padding (7 - 2) x (5 - 2) positions, in each a 3 x 3 kernel
            lambda: L.ConvLSTM2D(4, 3, name="r"), (3, 7, 5, 2),
            {"cell/kernel": 3 * 15 * 9 * 2 * 16, "cell/recurrent_kernel": 3 * 15 * 9 * 4 * 16},
        ),
        (
            lambda: L.ConvLSTM1D(4, 3, strides=2, padding="same", name="r"), (3, 7, 2),
            {"cell/kernel": 3 * 4 * 3 * 2 * 16, "cell/recurrent_kernel": 3 * 4 * 3 * 4 * 16},
        ),
        (lambda: L.TimeDistributed(L.Dense(8, name="d"), name="r"), (6, 4), {"d/kernel": 6 * 4 * 8}),
        (
            lambda: L.TimeDistributed(L.Conv2D(8, 3, name="c"), name="r"), (2, 6, 5, 3),
            {"c/kernel": 2 * (4 * 3) * 9 * 3 * 8},
        ),
        (lambda: L.Conv3DTranspose(2, 2, strides=2, name="r"), (3, 4, 5, 6), {"kernel": 60 * 8 * 6 * 2}),
        (lambda: L.Conv1DTranspose(2, 2, strides=2, name="r"), (3, 6), {"kernel": 3 * 2 * 6 * 2}),
        (lambda: L.LocallyConnected1D(5, 3, name="r"), (8, 2), {"kernel": 6 * 3 * 2 * 5}),
        (lambda: QDense(5, name="r"), (7, 4), {"kernel": 7 * 4 * 5}),
    ],
)  # fmt: skip
def test_kernels_of_other_layers_are_counted_by_hand(layer, shape, expected):
    model = functional(shape, layer())
    assert macs(model) == {f"r/{name}": count for name, count in expected.items()}
    assert [*macs(model)] == [*kernels(model)]  # each kernel, under the name that its mask has


def test_convolutions_with_channels_first_are_counted_by_their_pixels():
    layer = L.DepthwiseConv2D(3, data_format="channels_first")
    layer.build((None, 4, 8, 8))
    assert count_macs(layer, (None, 4, 8, 8), (None, 4, 6, 6)) == {"depthwise_kernel": 9 * 4 * 36}


def test_attention_is_counted_with_its_products():
    """Queries of 5 positions and 8 numbers, values of 7 and 6; 2 heads with keys of 3 numbers and values of 4."""
    query, value = L.Input((5, 8)), L.Input((7, 6))
    outputs = L.MultiHeadAttention(2, 3, value_dim=4, name="m")(query, value)
    model = keras.Model([query, value], outputs)
    expected = {
        "m/query/kernel": 5 * 8 * 2 * 3,
        "m/key/kernel": 7 * 6 * 2 * 3,
        "m/value/kernel": 7 * 6 * 2 * 4,
        "m/attention_output/kernel": 5 * 2 * 4 * 8,
        "m/scores": 2 * 5 * 7 * 3,
        "m/mixture": 2 * 5 * 7 * 4,
    }
    assert macs(model) == expected
    wrapped = macs_per_kernel(mask_in_place(model))
    assert {name: count for name, (count, _) in wrapped.items()} == expected
    assert {name for name, (_, mask) in wrapped.items() if mask is None} == {"m/scores", "m/mixture"}
    [row] = tfprune.summary(model).layers
    assert row.macs == sum(expected.values()) and not row.note


def test_attention_over_two_axes_pairs_all_positions():
    inputs = L.Input((3, 4, 8))
    model = keras.Model(inputs, L.MultiHeadAttention(2, 5, attention_axes=(1, 2), name="m")(inputs, inputs))
    assert macs(model)["m/scores"] == 2 * 12 * 12 * 5
    model = keras.Model(inputs, L.MultiHeadAttention(2, 5, attention_axes=(2,), name="m")(inputs, inputs))
    assert macs(model)["m/scores"] == 2 * 12 * 4 * 5


@pytest.mark.parametrize("kind", ["Attention", "AdditiveAttention"])
def test_attention_without_kernels_is_counted_too(kind):
    query, value, key = L.Input((5, 8)), L.Input((7, 6)), L.Input((7, 8))
    model = keras.Model([query, value, key], getattr(L, kind)(use_scale=False, name="a")([query, value, key]))
    assert macs(model) == {"a/scores": 5 * 7 * 8, "a/mixture": 5 * 7 * 6}
    [row] = tfprune.summary(model).layers[-1:]
    assert (row.name, row.macs) == ("a", 5 * 7 * 14)


def test_products_of_two_inputs():
    one, other = L.Input((5, 8)), L.Input((7, 8))
    assert macs(keras.Model([one, other], L.Dot(2, name="d")([one, other]))) == {"d/product": 5 * 7 * 8}
    assert macs(keras.Model([one, other], L.Dot((-1, -1), name="d")([one, other]))) == {"d/product": 5 * 7 * 8}


def test_each_call_of_a_layer_counts():
    tower, inner = L.Dense(4, name="tower"), functional((4,), L.Dense(4, name="inner"))
    one, two = L.Input((3, 4)), L.Input((4,))
    outputs = L.Dense(2, name="head")(inner(inner(tower(two))))
    assert macs(keras.Model([one, two], [tower(one), outputs])) == {
        "tower/kernel": (3 + 1) * 16, "inner/kernel": 2 * 16, "head/kernel": 8,
    }  # fmt: skip


def test_a_layer_that_other_models_call_too_counts_the_calls_of_its_own_model():
    shared = L.Dense(4, name="shared")
    one, other = functional((4,), shared), functional((9, 4), shared)
    assert macs(one) == {"shared/kernel": 16} and macs(other) == {"shared/kernel": 9 * 16}
    assert macs(wrap(one)) == {"shared/kernel": 16}


@pytest.mark.parametrize(
    ("model", "missing", "counted"),
    [
        (lambda: functional((4,), Scale(name="s"), L.Dense(3)), {"s": "nothing is known of Scale"}, 12),
        (lambda: functional((4,), Block(name="b"), L.Dense(3)), {"b": "nothing is known of Block"}, 12),
        (lambda: functional((4,), Gated(4, name="g"), L.Dense(3)), {"g": "Gated has weights that nothing"}, 12),
        (lambda: functional((4,), L.Dense(4), lambda x: tf.matmul(x, x, transpose_b=True)), {"": "tf.linalg."}, 16),
        (lambda: functional((None, 4), L.Dense(4, name="d"), L.LSTM(3, name="l")), {"d": "a side", "l": "a side"}, 100),
        (lambda: functional((4,), L.Lambda(lambda x: 2 * x, name="l"), L.Dense(3)), {"l": "those of Lambda"}, 12),
        (lambda: functional((4,), Gram(name="g"), L.Dense(3)), {"g": "nothing is known of Gram"}, 12),
        (lambda: functional((4,), Padded(0.5, name="p"), L.Dense(3)), {"p": "Padded has weights that nothing"}, 12),
        (lambda: functional((4,), Subclassed()), {"own": "nothing is known of Subclassed"}, 0),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_named(model, missing, counted):
    model = model()
    found = uncounted(model)
    for name, reason in missing.items():
        assert any(own.startswith(name) and reason in said for own, said in found.items()), found
    table = tfprune.summary(model)
    assert table.macs == counted
    assert {*found} == {*table.uncounted}
    total = table.rows()[-1]
    assert total[5] == f"≥ {counted:,}" and total[6].endswith(f"MACs are incomplete: {', '.join(table.uncounted)}")


def test_of_a_subclassed_model_what_has_a_graph_is_counted():
    model = Subclassed()
    model(np.zeros((1, 8), np.float32))
    assert uncounted(model) == {
        "first": "no graph shows how it is called",
        "second": "no graph shows how often it is called",
    }
    assert {name: count for name, (count, _) in macs_per_kernel(model).items()} == {"second/kernel": 48}
    assert "≥ 48" in str(tfprune.summary(model)) and "MACs are incomplete: first, second" in str(tfprune.summary(model))


def test_a_complete_count_says_nothing_of_it():
    noise = (L.BatchNormalization(), L.LayerNormalization(), L.PReLU(), L.Dropout(0.5))
    model = functional((4,), L.Dense(8), *noise, L.Dense(3))
    assert tfprune.summary(model).uncounted == ()
    assert tfprune.summary(model).rows()[-1][5] == "56" and "incomplete" not in str(tfprune.summary(model))


def test_what_is_derived_from_a_known_layer_has_its_kernels_and_nothing_else():
    model = functional((4,), L.Dense(6, name="a"), QDense(5, name="b"), L.Dense(3, name="c"))
    assert [*kernels(model)] == ["a/kernel", "b/kernel", "c/kernel"]
    traits = traits_of(model.get_layer("b"))
    assert traits == LayerTraits(kernels=("kernel",), width="units", macs=TRAITS["Dense"].macs)
    assert [*channels(model).free] == ["a", "b"]  # tried on numbers
    pruned = tfprune.prune(model, 0.5)
    assert [row.zeros for row in tfprune.summary(pruned).layers] == [12, 15, 7]


def test_what_is_derived_and_makes_no_kernel_has_none():
    model = functional((4,), NoKernel(3, name="own"), L.Dense(2))
    assert kernel_attributes(model.get_layer("own")) == () and len(kernels(model)) == 1


def test_an_entry_makes_a_layer_of_another_package_known(monkeypatch):
    monkeypatch.setitem(TRAITS, f"{QDense.__module__.partition('.')[0]}.QDense", TRAITS["Dense"])
    model = functional((4,), L.Dense(6, name="a"), QDense(5, name="b"), L.Dense(3, name="c"))
    assert [*channels(model).free] == ["a", "b"]


def test_kernels_inside_of_a_layer_that_has_some_of_its_own_are_found():
    class Both(L.Dense):
        def __init__(self, units, **kwargs):
            super().__init__(units, **kwargs)
            self.inner = L.Dense(units, name="inner")

        def call(self, inputs):
            return super().call(inputs) + self.inner(inputs)

    assert [*kernels(functional((4,), Both(3, name="both")))] == ["both/kernel", "both/inner/kernel"]


@pytest.mark.slow
def test_a_run_says_which_layers_its_cost_leaves_out(tmp_path):
    import csv

    from tfprune.experiments.experiment import train
    from tfprune.training.config import Config

    table = tmp_path / "rows.csv"
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([("a", "b", "kind"), *((n, n % 7, "xy"[n % 2]) for n in range(60))])
    common = {
        "dataset": str(table),
        "data_settings": {"label": "kind"},
        "method": "pruned",
        "epochs": 1,
        "out": tmp_path,
    }
    own = train(Config(**common, model="test_layer_traits:own_model"))
    assert own.metrics["cost"]["uncounted"] == ["scaled"] and own.metrics["cost"]["forward_flops"] == 2 * 4 * 2
    assert "uncounted" not in train(Config(**common, model="mlp")).metrics["cost"]


def own_model(input_shape, classes):
    inputs = L.Input(input_shape)
    scaled = Scale(name="scaled")(L.Reshape((-1,))(inputs))
    return keras.Model(inputs, L.Dense(classes, name="logits")(L.Concatenate()([scaled, scaled])))
