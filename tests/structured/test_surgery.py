import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.adapters.tf_keras.optimizers import slots, unwrapped
from tfprune.models import MODELS
from tfprune.structured.channels import channels
from tfprune.structured.surgery import remove_groups, zero_groups
from tfprune.utils.errors import ModelError

layers = keras.layers


@pytest.fixture
def exact():
    """Computes in float64, in which the order of additions leaves no traces in a deep network."""
    keras.backend.set_floatx("float64")
    keras.mixed_precision.set_global_policy("float64")
    yield
    keras.backend.set_floatx("float32")
    keras.mixed_precision.set_global_policy("float32")


def shaken(model, seed=0):
    """Gives every weight, BatchNorm's too, a value of its own."""
    random = np.random.default_rng(seed)
    model.set_weights(
        [
            random.uniform(0.2, 0.8, w.shape) * random.choice([-1, 1], w.shape) ** (w.ndim > 1)
            for w in model.get_weights()
        ]
    )
    return model


def some_of(model, random, share=0.4):
    """Draws channels to remove, and leaves at least one in each group."""
    free = channels(model).free.items()
    return {
        name: random.permutation(len(group))[: min(int(share * len(group) + 0.5), len(group) - 1)]
        for name, group in free
    }


def check_surgery(model, inputs, seed=0):
    removed = some_of(model, np.random.default_rng(seed))
    smaller = remove_groups(model, removed)
    before = model.get_weights()
    zero_groups(model, removed)
    expected, got = np.asarray(model(inputs)), np.asarray(smaller(inputs))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())  # logits are float32
    for name, group in channels(smaller).free.items():
        assert len(group) == len(channels(model).free[name]) - len(removed[name])
    model.set_weights(before)
    return smaller


@pytest.mark.some(every=2)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "text_pool"])
def test_surgery_on_every_model_equals_zeroing(name, exact):
    shape = (12,) if name == "mlp" else (32, 32, 3)
    model = shaken(MODELS[name](shape, 10))
    inputs = np.random.default_rng(1).integers(0, 256, (3, *shape)).astype(model.input.dtype.as_numpy_dtype)
    smaller = check_surgery(model, inputs)
    assert smaller.count_params() < 0.7 * model.count_params()


@st.composite
def networks(draw):
    """Networks with branches: convolutions, norms, depthwise layers, pools, additions and concatenations."""
    x = inputs = layers.Input((8, 8, 3))
    streams = [x]
    for step in range(draw(st.integers(1, 6))):
        x = draw(st.sampled_from(streams))
        kind = draw(
            st.sampled_from(["conv", "strided", "transposed", "norm", "depthwise", "separable", "add", "join", "nest"])
        )
        width = draw(st.integers(1, 5))
        if kind == "conv":
            x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv_{step}")(x)
        elif kind == "strided":
            x = layers.Conv2D(width, 1, use_bias=False, name=f"point_{step}")(x)
            x = layers.UpSampling2D()(layers.MaxPooling2D()(x))
        elif kind == "transposed":
            x = layers.Conv2DTranspose(width, 3, padding="same", name=f"transposed_{step}")(x)
        elif kind == "norm":
            x = layers.ReLU()(layers.BatchNormalization(name=f"norm_{step}")(x))
        elif kind == "depthwise":
            x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=draw(st.integers(1, 2)), name=f"dw_{step}")(
                x
            )
        elif kind == "separable":
            x = layers.SeparableConv2D(width, 3, padding="same", depth_multiplier=2, name=f"sep_{step}")(x)
        elif kind == "add":
            other = draw(st.sampled_from(streams))
            if other.shape[-1] != x.shape[-1]:
                other = layers.Conv2D(x.shape[-1], 1, name=f"fit_{step}")(other)
            x = layers.Add(name=f"add_{step}")([x, other])
        elif kind == "join":
            x = layers.Concatenate(name=f"join_{step}")([x, draw(st.sampled_from(streams))])
        else:
            parts = [
                layers.Input(x.shape[1:]),
                layers.Conv2D(width, 3, padding="same"),
                layers.PReLU(shared_axes=[1, 2]),
            ]
            x = keras.Sequential(parts, name=f"nest_{step}")(x)
        streams.append(x)
    end = draw(st.sampled_from([layers.Flatten, layers.GlobalAveragePooling2D]))
    return keras.Model(inputs, layers.Dense(2, name="logits")(end()(x)))


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(networks(), st.integers(0, 9))
def test_surgery_on_any_network_equals_zeroing(exact, model, seed):
    check_surgery(shaken(model, seed), np.random.default_rng(seed).normal(size=(2, 8, 8, 3)), seed)
    keras.backend.clear_session()


MODERN, LEGACY = keras.optimizers, keras.optimizers.legacy
EVERY = {
    **{
        kind: getattr(MODERN, kind)
        for kind in ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam")
    },
    **{kind: getattr(MODERN, kind) for kind in ("Ftrl", "Adafactor", "Lion")},
    **{f"legacy {kind}": getattr(LEGACY, kind) for kind in ("SGD", "Adam", "RMSprop", "Adagrad", "Nadam", "Ftrl")},
    "averages": lambda: MODERN.Adam(use_ema=True),
    "scaled": lambda: keras.mixed_precision.LossScaleOptimizer(MODERN.Adam()),
    "scaled legacy": lambda: keras.mixed_precision.LossScaleOptimizer(LEGACY.SGD(momentum=0.9)),
    "schedule": lambda: MODERN.SGD(MODERN.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.9),
    "legacy schedule": lambda: LEGACY.SGD(MODERN.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.9),
}


@pytest.mark.some(every=3)
@pytest.mark.parametrize("name", EVERY)
def test_every_optimizer_carries_on(name):
    x, y = np.random.default_rng(0).normal(size=(64, 4)), np.arange(64) % 3
    model = keras.Sequential([layers.Dense(6, "relu", input_shape=(4,), name="a"), layers.Dense(3, name="b")])
    metric = keras.metrics.SparseCategoricalAccuracy(name="right")
    model.compile(
        EVERY[name](), keras.losses.SparseCategoricalCrossentropy(from_logits=True), [metric], loss_weights=[2.0]
    )
    assert "loss" in remove_groups(model, {"a": [1]}).fit(x, y, verbose=0).history  # before a step
    model.fit(x, y, epochs=2, verbose=0)
    optimizer = model.optimizer
    if hasattr(optimizer, "dynamic"):
        optimizer._loss_scale._current_loss_scale.assign(64.0)
    numbers = {key: own for key, own in vars(unwrapped(optimizer)).items() if isinstance(own, tf.Variable)}
    single = {key: own.numpy() for key, own in numbers.items() if own.shape == ()}
    assert single
    smaller = remove_groups(model, {"a": [1, 4]})
    own, kept = unwrapped(smaller.optimizer), [0, 2, 3, 5]
    for old, new in zip(
        slots(optimizer, model.get_layer("b").kernel),
        slots(smaller.optimizer, smaller.get_layer("b").kernel),
        strict=True,
    ):
        np.testing.assert_array_equal(new.numpy(), old.numpy()[kept])
    assert {key: vars(own)[key].numpy() for key in single} == single
    assert getattr(smaller.optimizer, "loss_scale", 64.0) == 64.0
    assert int(own.iterations) == 4 and type(smaller.optimizer) is type(optimizer)
    smaller.fit(x, y, verbose=0)
    assert int(own.iterations) == 6 and int(unwrapped(optimizer).iterations) == 4
    assert [own.name for own in smaller.metrics] == [own.name for own in model.metrics]
    assert not {id(own) for own in smaller.metrics} & {id(own) for own in model.metrics}
    assert smaller.compiled_loss._user_loss_weights == [2.0]


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5),
    "adagrad": lambda: keras.optimizers.Adagrad(0.05),
}


def compiled(model, optimizer):
    model.compile(OPTIMIZERS[optimizer](), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_the_optimizer_remembers_follows_its_weights(conv_net, examples, optimizer):
    compiled(conv_net, optimizer).fit(*examples, epochs=2, verbose=0)
    found = channels(conv_net)
    smaller = remove_groups(conv_net, {"conv": [0, 5], "separable": [1]})
    assert int(smaller.optimizer.iterations) == int(conv_net.optimizer.iterations) == 6
    kernel, small = conv_net.get_layer("separable").pointwise_kernel, smaller.get_layer("separable").pointwise_kernel
    kept = [[*range(1, 5), 6, 7], [0, *range(2, 6)]]
    for old, new in zip(
        (kernel, *slots(conv_net.optimizer, kernel)), (small, *slots(smaller.optimizer, small)), strict=True
    ):
        np.testing.assert_array_equal(new.numpy()[0, 0], old.numpy()[0, 0][np.ix_(*kept)])
    assert len(slots(smaller.optimizer, small)) == (2 if optimizer in ("adam", "adamw", "rmsprop") else 1)
    assert found.free.keys() == channels(smaller).free.keys()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_as_that_of_the_masked_model_would(conv_net, examples, optimizer):
    """The masked model's zeros are put back after each step: the smaller one has to end at the same weights."""
    removed = {"conv": [0, 5], "separable": [1]}
    compiled(conv_net, optimizer).fit(*examples, epochs=1, verbose=0, shuffle=False)
    smaller = remove_groups(conv_net, removed)
    zero_groups(conv_net, removed)
    found = channels(conv_net)
    gone = np.concatenate([found.free[name].channels[places] for name, places in removed.items()])
    x, y = examples
    for start in (0, 32, 64):
        for model in (conv_net, smaller):
            model.train_on_batch(x[start : start + 32], y[start : start + 32])
        zero_groups(conv_net, removed)
    for old_layer, new_layer in zip(leaf_layers(conv_net), leaf_layers(smaller), strict=True):
        for old, new in zip(old_layer.weights, new_layer.weights, strict=True):
            value = old.numpy()
            for axis, labels in found.axes.get(id(old), {}).items():
                value = np.compress(~np.isin(labels, gone), value, axis)
            np.testing.assert_allclose(new.numpy(), value, rtol=1e-4, atol=1e-4, err_msg=old.name)


def test_the_original_is_not_changed_and_an_uncompiled_copy_is_uncompiled(conv_net):
    before = conv_net.get_weights()
    smaller = remove_groups(conv_net, {"conv": [1]})
    for weight, original in zip(conv_net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, original)
    assert smaller.get_layer("conv").filters == 7 and smaller.name == conv_net.name
    assert getattr(smaller, "optimizer", None) is None


def test_what_cannot_go_is_one_line(conv_net):
    for removed, message in (
        ({"con": [0]}, "there is no group of channels 'con'; there are conv, separable, logits"),
        ({"logits": [0]}, "the channels of logits cannot go: the model's output"),
        ({"conv": range(8)}, "all 8 of conv would go; at least one must stay"),
    ):
        with pytest.raises(ModelError, match=message):
            remove_groups(conv_net, removed)
