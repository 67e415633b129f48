import numpy as np
import pytest

from tfprune.adapters.backend import keras
from tfprune.structured import compaction
from tfprune.structured.compaction import compact
from tfprune.utils.errors import ModelError

layers = keras.layers


def zero(layer, places, axis):
    """Zeroes slices of a layer's kernel."""
    value = layer.kernel.numpy()
    np.moveaxis(value, axis, 0)[places] = 0.0
    layer.kernel.assign(value)


def check_same(model, found):
    x = np.random.default_rng(3).normal(size=(5, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(np.asarray(found.model(x)), np.asarray(model(x)), atol=1e-5)


def dense_net(activation="relu", use_bias=True):
    model = keras.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(6, activation, name="a", bias_initializer="ones"),
            layers.Dense(5, "tanh", name="b", use_bias=use_bias),
            layers.Dense(3, name="logits"),
        ]
    )
    return model, *model.layers


def test_units_that_nothing_reads_go():
    model, _, b, logits = dense_net()
    zero(b, [1, 4], 0)
    zero(logits, [0], 0)
    found = compact(model)
    assert found.widths == {"a": (6, 4), "b": (5, 4)} and found.removed == 3
    assert found.parameters == (4 * 6 + 6 + 6 * 5 + 5 + 5 * 3 + 3, 4 * 4 + 4 + 4 * 4 + 4 + 4 * 3 + 3)
    assert found.multiplications == (24 + 30 + 15, 16 + 16 + 12)
    check_same(model, found)


def test_units_that_nothing_makes_go_into_the_next_bias():
    model, a, b, _ = dense_net()
    zero(a, [2, 3], 1)
    before = b.bias.numpy()
    found = compact(model)
    assert found.widths["a"] == (6, 4)
    folded = before + b.kernel.numpy()[[2, 3]].sum(axis=0)  # relu(bias of 1) times what reads it
    np.testing.assert_allclose(found.model.get_layer("b").bias.numpy(), folded, rtol=1e-6)
    np.testing.assert_array_equal(b.bias.numpy(), before)
    check_same(model, found)


def test_units_whose_constant_has_nowhere_to_go_stay():
    model, a, _, _ = dense_net(use_bias=False)
    zero(a, [2, 3], 1)
    assert compact(model).widths["a"] == (6, 6)
    a.bias.assign([1, 1, -1, 1, 1, 1.0])  # of the third nothing is left after its relu
    found = compact(model)
    assert found.widths["a"] == (6, 5)
    check_same(model, found)


@pytest.mark.parametrize(("padding", "left"), [("same", 5), ("valid", 4)])
def test_filters_fold_where_no_padding_breaks_the_constant(padding, left):
    inputs = layers.Input((7, 7, 3))
    x = layers.Conv2D(6, 3, activation="relu", bias_initializer="ones", name="a")(inputs)
    x = layers.MaxPooling2D()(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(4, 2, padding=padding, bias_initializer="ones", name="b")(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.Flatten()(x)))
    model.get_layer("norm").beta.assign(np.arange(6) / 6)
    zero(model.get_layer("a"), [0, 1], 3)  # both constant, the second not zero after BatchNorm
    a = model.get_layer("a")
    a.bias.assign([-1, 1, 1, 1, 1, 1.0])
    found = compact(model)
    assert found.widths["a"] == (6, left) and found.widths["b"] == (4, 4)
    check_same(model, found)


def test_a_residual_stream_loses_what_none_of_its_makers_makes(conv_net):
    conv, norm, depthwise = (conv_net.get_layer(name) for name in ("conv", "norm", "depthwise"))
    zero(conv, [3], 3)
    norm.beta.assign(-np.ones(8))
    kernel = depthwise.depthwise_kernel.numpy()
    depthwise.depthwise_kernel.assign(kernel)
    found = compact(conv_net)
    assert found.widths == {"conv": (8, 7), "separable": (6, 6)}  # relu(-1) = 0, and the depthwise bias is zero
    check_same(conv_net, found)


def test_one_channel_of_a_group_always_stays():
    model, a, _, _ = dense_net()
    zero(a, range(6), 1)
    found = compact(model)
    assert found.widths["a"] == (6, 1)
    check_same(model, found)


def test_a_model_without_dead_channels_stays_as_it_is(conv_net):
    found = compact(conv_net)
    assert found.removed == 0 and found.parameters[0] == found.parameters[1]


def test_a_smaller_model_that_answers_differently_is_refused(monkeypatch):
    model, a, _, _ = dense_net()
    zero(a, [2], 1)
    monkeypatch.setattr(compaction, "_folds", lambda *given: ())
    with pytest.raises(ModelError, match="without its dead channels answers differently, by"):
        compact(model)
