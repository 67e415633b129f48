import re

import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf
from tfprune.models import MODELS
from tfprune.structured.channels import channels
from tfprune.utils.errors import ModelError

layers = keras.layers


def groups(model):
    return {group.name: (group.producers, group.protected) for group in channels(model).groups}


def test_a_residual_add_ties_and_the_output_is_protected(conv_net):
    # conv -> norm -> relu -> depthwise, added to the relu -> separable -> pool -> logits
    assert groups(conv_net) == {
        "conv": (("conv",), None),
        "separable": (("separable",), None),
        "logits": (("logits",), "the model's output"),
    }
    found = channels(conv_net)
    conv, norm, depthwise, separable = map(conv_net.get_layer, ("conv", "norm", "depthwise", "separable"))
    own = found.free["conv"].channels
    for weight, axis in (
        *((conv.kernel, 3), (norm.gamma, 0), (norm.beta, 0), (norm.moving_mean, 0), (norm.moving_variance, 0)),
        *((depthwise.depthwise_kernel, 2), (depthwise.bias, 0), (separable.depthwise_kernel, 2)),
        (separable.pointwise_kernel, 2),
    ):
        np.testing.assert_array_equal(found.axes[id(weight)][axis], own)
    np.testing.assert_array_equal(found.axes[id(separable.pointwise_kernel)][3], found.free["separable"].channels)


def test_flatten_repeats_and_a_depth_multiplier_spreads():
    model = keras.Sequential(
        [
            layers.Input((4, 4, 3)),
            layers.Conv2D(2, 3, padding="same", name="conv"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            layers.Flatten(),
            layers.Dense(5, name="dense"),
        ]
    )
    found = channels(model)
    one, other = found.free["conv"].channels
    np.testing.assert_array_equal(found.axes[id(model.get_layer("depthwise").bias)][0], [one, one, other, other])
    np.testing.assert_array_equal(found.axes[id(model.get_layer("dense").kernel)][0], [one, one, other, other] * 4)


def test_concatenations_append_and_ties_across_them_join_groups():
    inputs = layers.Input((6,))
    a, b = layers.Dense(2, name="a")(inputs), layers.Dense(3, name="b")(inputs)
    both = layers.Concatenate(name="both")([a, b])
    total = layers.Add(name="total")([both, layers.Dense(5, name="c")(inputs)])
    model = keras.Model(inputs, layers.Dense(2, name="logits")(total))
    found = channels(model)
    assert groups(model)["a"] == (("a", "b", "c"), None)
    joined = found.axes[id(model.get_layer("logits").kernel)][0]
    np.testing.assert_array_equal(joined[:2], found.axes[id(model.get_layer("a").kernel)][1])
    np.testing.assert_array_equal(joined[2:], found.axes[id(model.get_layer("b").kernel)][1])


def test_a_layer_that_is_called_twice_has_one_set_of_channels():
    inputs = layers.Input((6,))
    a, b, shared = layers.Dense(4, name="a"), layers.Dense(4, name="b"), layers.Dense(3, name="shared")
    joined = layers.Concatenate()([shared(a(inputs)), shared(b(inputs))])
    model = keras.Model(inputs, layers.Dense(2, name="logits")(joined))
    assert groups(model)["a"] == (("a", "b"), None)  # shared's kernel reads both by the same rows
    taken = channels(model).axes[id(model.get_layer("logits").kernel)][0]
    np.testing.assert_array_equal(taken[:3], taken[3:])


class Turned(layers.Dense):
    """Derived from a layer that is known; what it does with the channels is its own affair."""

    def call(self, inputs):
        return super().call(inputs - 0.1 * tf.abs(inputs[..., ::-1]))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.Activation("softmax", name="x"), r"softmax of x may mix them"),
        (layers.Softmax(name="x"), r"x \(Softmax\) mixes them"),
        (layers.Activation(lambda x: x[..., ::-1], name="x"), r"<lambda> of x may mix them"),
        (layers.Lambda(lambda x: x[..., ::-1], name="x"), r"x \(Lambda\) is not known"),
        (lambda x: tf.nn.softmax(x, name="x"), r"tf.nn.softmax(_\d+)? mixes them"),
        (lambda x: tf.cumsum(x, -1), r"tf.math.cumsum(_\d+)? \(TFOpLambda\) is not known"),
        (lambda x: tf.reduce_sum(x, -1, keepdims=True), r"tf.math.reduce_sum(_\d+)? \(TFOpLambda\) is not known"),
        (Turned(4, name="x"), r"x \(Turned\) is not known"),
    ],
)
def test_a_layer_that_is_not_known_protects_what_it_touches(layer, reason):
    inputs = layers.Input((6,))
    x = layer(layers.Dense(4, name="before")(inputs))
    x = layers.Dense(4, name="after")(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.Flatten()(x)))
    found = groups(model)
    assert re.match(reason, found["before"][1])
    assert found["after"] == (("after",), None)


def test_several_axes_of_a_tensor_have_channels():
    inputs = layers.Input((6,))
    x = layers.Reshape((4, 1), name="x")(layers.Dense(4, name="before")(inputs))
    x = layers.Dense(3, name="after")(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.Flatten()(x)))
    found = channels(model)
    before, after = (found.free[name].channels for name in ("before", "after"))
    rows, columns = found.axes[id(model.get_layer("logits").kernel)][0]
    np.testing.assert_array_equal(rows, np.repeat(before, 3))
    np.testing.assert_array_equal(columns, np.tile(after, 4))


@pytest.mark.parametrize("activation", ["softmax", tf.nn.log_softmax, lambda x: x - tf.reduce_max(x)])
def test_an_activation_that_mixes_needs_its_own_layer_alone(activation):
    model = keras.Sequential(
        [layers.Dense(64, "relu", input_shape=(6,), name="a"), layers.Dense(10, activation, name="b"), layers.Dense(2)]
    )
    assert list(channels(model).free) == ["a"]
    assert groups(model)["b"][1].endswith("of b may mix them")
    assert groups(keras.Sequential(model.layers[:2]))["b"][1] == "the model's output"


def test_what_an_unknown_layer_touches_takes_its_whole_group_along():
    inputs = layers.Input((6,))
    a, b = layers.Dense(4, name="a")(inputs), layers.Dense(4, name="b")(inputs)
    normed = layers.Lambda(lambda x: x[..., ::-1], name="norm")(b)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.Concatenate()([layers.Add()([a, b]), normed])))
    assert groups(model)["a"][0] == ("a", "b") and "norm (Lambda)" in groups(model)["a"][1]
    assert list(channels(model).free) == []


def test_nested_models_are_followed():
    inner = keras.Sequential([layers.Input((8,)), layers.Dense(5, name="a"), layers.Dense(4, name="b")], name="inner")
    inputs = layers.Input((6,))
    x = inner(layers.Dense(8, name="before")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    assert groups(model) == {
        "before": (("before",), None),
        "inner/a": (("inner/a",), None),
        "inner/b": (("inner/b",), None),
        "logits": (("logits",), "the model's output"),
    }


@pytest.mark.parametrize("name", [name for name in MODELS if name != "text_pool"])
def test_every_channel_but_the_logits_can_go_from_the_models_of_this_package(name):
    shape = (12,) if name == "mlp" else (32, 32, 3)
    found = channels(MODELS[name](shape, 10))
    assert [group.protected for group in found.groups].count("the model's output") == 1
    assert len(found.free) == len(found.groups) - 1 > 0


def test_subclassed_models_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    model = Own()
    model(tf.zeros((1, 2)))
    with pytest.raises(ModelError, match="must be functional or sequential, and built, to follow its channels"):
        channels(model)
    with pytest.raises(ModelError, match="must be functional or sequential, and built"):
        channels(keras.Sequential([layers.Dense(2)]))
