"""What each kind of layer makes of channels: the smaller model is the one in which they are zero."""

import logging

import numpy as np
import pytest
from test_state import IMAGES, NUMBERS, RAMP, STEPS, VECTORS, chain, check_equal, masked, outputs, trembling

import tfprune
from tfprune import shrink
from tfprune.adapters.backend import keras, tf
from tfprune.structured.channels import channels
from tfprune.structured.compaction import compact
from tfprune.utils.errors import ModelError

L = keras.layers
CONVNEXT = keras.src.applications.convnext


def squeezed(kind):
    """Squeeze and excite, as keras.applications has it."""

    def block(x):
        width = x.shape[-1]
        if kind == "reshape":
            y = L.Reshape((1, 1, width))(L.GlobalAveragePooling2D()(x))
        else:
            y = L.GlobalAveragePooling2D(keepdims=True)(x)
        y = L.Conv2D(4, 1, activation="swish", name="reduce")(y)
        y = L.Conv2D(width, 1, name="expand")(y)
        y = L.ReLU(6.0)(y + 3.0) * (1.0 / 6.0) if kind == "operators" else L.Activation("sigmoid")(y)
        return L.Multiply()([x, y])

    return block


def gated(x):
    """Every channel times one number."""
    return L.Multiply()([x, L.Dense(1, "sigmoid", name="gate")(x)]) + L.Dense(1, name="shift")(x)


def heads(x):
    """Channels in rows of two, and back."""
    y = L.Reshape((5, 2, 4))(x)
    y = L.Dense(6, name="inner")(L.Activation("tanh")(y))
    return L.Reshape((5, 12))(y)


ACTIVATIONS = (
    "relu",
    "silu",
    "swish",
    "gelu",
    "elu",
    "selu",
    "mish",
    "hard_sigmoid",
    "sigmoid",
    "softplus",
    "exponential",
    "tanh",
    "softsign",
)
FUNCTIONS = (
    tf.nn.relu6,
    tf.nn.gelu,
    tf.nn.silu,
    tf.nn.elu,
    tf.nn.leaky_relu,
    tf.abs,
    tf.square,
    tf.sin,
    tf.nn.softplus,
)

MODELS = {
    **{
        f"activation {name}": lambda name=name: chain(VECTORS, L.Dense(8, name, name="c"))
        for name in ACTIVATIONS
        if hasattr(keras.activations, name)
    },
    **{f"function {f.__name__}": lambda f=f: chain(VECTORS, f, L.Dense(8, f, name="c")) for f in FUNCTIONS},
    **{
        f"excite by {kind}": lambda kind=kind: chain(IMAGES, squeezed(kind))
        for kind in ("reshape", "keepdims", "operators")
    },
    "gate": lambda: chain(IMAGES, gated),
    "heads": lambda: chain(STEPS, heads, first=L.Dense(8, name="a")),
    "rows": lambda: chain(IMAGES, L.Reshape((16, 8)), L.Dense(8, "relu", name="c")),
    "rows of unknown length": lambda: chain(IMAGES, L.Reshape((-1, 8)), L.Dense(8, "relu", name="c")),
    "flattened by reshape": lambda: chain(IMAGES, L.Reshape((4, 32)), L.Dense(8, "relu", name="c")),
    "reshape operator": lambda: chain(IMAGES, lambda x: tf.reshape(x, (-1, 16, 8)), L.Dense(8, "relu", name="c")),
    "everything in a row": lambda: chain(IMAGES, lambda x: tf.reshape(x, (-1, 128)), L.Dense(8, "relu", name="c")),
    "means": lambda: chain(
        IMAGES, lambda x: x - tf.reduce_mean(x, (1, 2), keepdims=True), lambda x: tf.reduce_max(x, axis=1)
    ),
    "sums of operators": lambda: chain(
        IMAGES, lambda x: x + L.Conv2D(8, 1, name="c")(x), lambda x: tf.maximum(x, 0.1) * tf.sigmoid(x)
    ),
    "expanded": lambda: chain(
        VECTORS,
        lambda x: tf.expand_dims(x, 1),
        L.Dense(8, name="c"),
        lambda x: tf.concat([x, -x], -1),
        lambda x: tf.concat([x, x], 1),
    ),
    "clipped": lambda: chain(VECTORS, lambda x: tf.clip_by_value(x, -0.5, 0.5), lambda x: tf.cast(x, tf.float32)),
    "chosen": lambda: chain(VECTORS, lambda x: tf.where(x > 0, x, x * RAMP)),
    "repeated": lambda: chain(VECTORS, L.RepeatVector(3), L.Permute((1, 2))),
    "softmax over places": lambda: chain(IMAGES, L.Softmax(axis=1), L.Softmax(axis=[1, 2])),
    "grouped": lambda: chain(
        IMAGES,
        L.Conv2D(24, 1, name="w"),
        L.Conv2D(32, 1, groups=4, name="g"),
        L.Conv2D(16, 1, groups=8, activation="relu", name="h"),
    ),
    "few a group": lambda: chain(
        IMAGES, L.Conv2D(24, 1, name="w"), L.Conv2D(48, 3, padding="same", groups=12, name="g"), L.BatchNormalization()
    ),
    "depthwise by groups": lambda: chain(
        IMAGES, L.Conv2D(16, 1, groups=8, name="g"), L.Conv2D(16, 1, groups=16, name="h")
    ),
    "one channel a group": lambda: chain(IMAGES, L.GroupNormalization(8, name="n", epsilon=0.1)),
    "instances": lambda: chain(IMAGES, L.GroupNormalization(-1, name="n", epsilon=0.1)),
    "softmax head": lambda: chain(VECTORS, L.Dense(8, "relu", name="c"), head=L.Dense(3, "softmax", name="logits")),
    "softmax of logits": lambda: chain(
        VECTORS, L.Dense(8, "relu", name="c"), head=keras.Sequential([L.Dense(3), L.Softmax()])
    ),
    "softmax operator": lambda: chain(VECTORS, head=lambda x: tf.nn.log_softmax(L.Dense(3, name="logits")(x))),
    "scale": lambda: chain(IMAGES, CONVNEXT.LayerScale(0.5, 8), CONVNEXT.StochasticDepth(0.1)),
    "embedding": lambda: chain(NUMBERS, L.Conv1D(8, 3, name="c"), first=L.Embedding(7, 8, name="a")),
    "constant rows": lambda: chain(STEPS, lambda x: x + np.ones((5, 1), np.float32) * RAMP, first=L.Dense(8, name="a")),
}


@pytest.mark.some(every=3)
@pytest.mark.parametrize("name", MODELS)
def test_half_a_model_is_the_one_in_which_the_other_half_is_zero(name, tmp_path):
    model, x = MODELS[name]()
    trembling(model)
    found = channels(model)
    assert "a" in found.free and "b" in found.free
    before = outputs(model, x)
    smaller = shrink(model, 0.5, multiple=1)
    for group, own in channels(smaller).free.items():
        assert len(own) == max(1, round(0.5 * len(found.free[group])))
    check_equal(outputs(smaller, x), outputs(masked(model, 0.5), x))
    check_equal(outputs(compact(model).model, x), before)
    smaller.save(tmp_path / "model.keras")
    scope = {own.__name__: own for own in (*FUNCTIONS, CONVNEXT.LayerScale, CONVNEXT.StochasticDepth)}
    with keras.utils.custom_object_scope(scope):
        check_equal(outputs(keras.models.load_model(tmp_path / "model.keras"), x), outputs(smaller, x))


@pytest.mark.parametrize(
    "layer",
    [L.LayerNormalization(name="n"), L.GroupNormalization(2, name="n"), L.GroupNormalization(1, name="n")],
    ids=["layer", "two groups", "one group"],
)
def test_statistics_are_those_of_the_channels_that_stay(layer):
    model, x = chain(IMAGES, L.Conv2D(16, 1, name="c"), layer)
    trembling(model)
    group = channels(model).free["c"]
    assert group.inexact == f"n ({type(layer).__name__}) takes its statistics over them"
    assert group.copies == (2 if getattr(layer, "groups", 1) == 2 else 1)
    smaller = shrink(model, 0.5)
    assert smaller.get_layer("c").filters == 8
    kernel, small = model.get_layer("c").kernel.numpy(), smaller.get_layer("c").kernel.numpy()
    kept = [
        int(np.flatnonzero([np.array_equal(kernel[..., k], small[..., n]) for k in range(16)])[0]) for n in range(8)
    ]
    cut = keras.Model(model.inputs, model.get_layer("c").output)(x).numpy()[..., kept]
    normed = type(layer)(**{key: own for key, own in layer.get_config().items() if key not in ("axis", "name")})
    normed.build(cut.shape)
    normed.set_weights([weight[kept] for weight in layer.get_weights()])
    b, head = model.get_layer("b"), model.get_layer("logits")
    hidden = np.maximum(normed(cut).numpy() @ b.kernel.numpy()[kept] + b.bias.numpy(), 0)
    assert len(smaller.get_layer("b").get_weights()[1]) == 6  # no multiple of 8 can go
    np.testing.assert_allclose(smaller(x), head(hidden.mean((1, 2))), atol=1e-5, rtol=1e-5)
    assert compact(model).widths.get("c") is None  # others would change
    check_equal(outputs(compact(model).model, x), outputs(model, x))


def test_what_stays_is_named(caplog):
    inputs = L.Input((5, 12))
    x = L.Dense(64, "relu", name="wide")(inputs)
    x = L.Dense(16, name="mixed")(x)
    x = L.Dense(4, "relu", name="narrow")(L.Lambda(lambda x: x[..., ::-1], name="turned")(x))
    model = keras.Model(inputs, L.Dense(10, "softmax", name="head")(L.RNN(L.LSTMCell(6), name="lstm")(x)))
    with caplog.at_level(logging.WARNING, "tfprune"):
        smaller = shrink(model, 0.5)
    assert smaller.get_layer("wide").units == 32
    (message,) = caplog.messages
    assert message == (
        "left alone, as wide as before: mixed (turned (Lambda) is not known to work channel by channel); "
        "narrow (4 channels, of which no multiple of 8 can go); "
        "lstm (RNN has no setting that says how many channels it makes)"
    )
    caplog.clear()
    shrink(keras.Sequential([L.Dense(64, input_shape=(4,)), L.Dense(2)]), 0.5)
    assert not caplog.messages


def test_a_model_of_which_nothing_can_go_is_one_line():
    narrow = keras.Sequential([L.Dense(6, input_shape=(4,), name="a"), L.Dense(2, name="b")])
    with pytest.raises(
        ModelError, match="has no channels that can go .b: the model's output; a: 6 channels, of which no"
    ):
        shrink(narrow, 0.5)
    assert shrink(narrow, 0.5, multiple=1).get_layer("a").units == 3
    recurrent = keras.Sequential([L.RNN(L.LSTMCell(8), input_shape=(4, 3), name="lstm"), L.Dense(2, name="b")])
    with pytest.raises(ModelError, match="b: the model's output; lstm: RNN has no setting that says how many"):
        shrink(recurrent, 0.5)


def test_a_class_that_cannot_be_made_again_is_one_line():
    class Own(keras.Model):
        def __init__(self, units):
            inputs = L.Input((4,))
            super().__init__(inputs, L.Dense(2)(L.Dense(units, name="a")(inputs)))

        def train_step(self, data):
            return super().train_step(data)

    class Stubborn(L.Layer):
        def build(self, shape):
            self.scale = self.add_weight("scale", ())

        def get_config(self):
            raise NotImplementedError("it is made by hand")

    with pytest.raises(ModelError, match="is of a class of its own, Own, which cannot be made again from inputs and"):
        shrink(Own(16))
    model = keras.Sequential([L.Dense(16, input_shape=(4,)), L.Dense(16), Stubborn()])
    with pytest.raises(ModelError, match="stubborn .Stubborn. cannot be made again from its get_config"):
        shrink(model)


def test_a_models_own_class_stays():
    class Own(keras.Model):
        def train_step(self, data):
            return {"loss": tf.constant(7.0)}

    inputs = L.Input((4,))
    model = Own(inputs, L.Dense(2)(L.Dense(16)(inputs)))
    model.compile("sgd", "mse")
    smaller = shrink(model, 0.5)
    assert type(smaller) is Own and smaller.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0).history == {"loss": [7.0]}


def test_the_public_network_of_the_issue_shrinks():
    model = keras.Sequential([L.Dense(64, "relu", input_shape=(20,)), L.Dense(10, "softmax")])
    assert [layer.units for layer in tfprune.shrink(model, 0.5).layers] == [32, 10]
