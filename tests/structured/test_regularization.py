import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras
from tfprune.structured.regularization import BatchNormScale, GroupNorm, Growing
from tfprune.utils.errors import ConfigError, ModelError

layers = keras.layers


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = layers.Input((6,))
    x = layers.Dense(16, name="a")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    own = keras.Model(inputs, layers.Dense(3, name="out")(x))
    own.compile(keras.optimizers.SGD(0.1), "mse")
    return own


def strengths_of(regularization):
    """Returns what the penalties were set to: name of the weight -> array."""
    regularization.on_epoch_begin(0)
    set_to = [variable.numpy() for variable in regularization._penalties._strengths]
    names = [weight.name.split(":")[0] for weight, _ in regularization._weights]
    return dict(zip(names, set_to, strict=True))


def test_channels_of_a_small_norm_over_their_group_are_pushed_sixteen_times_as_hard(model):
    kernel, out = model.get_layer("a").kernel.numpy(), model.get_layer("out").kernel.numpy()
    gamma = np.linspace(0.5, 1.5, 16).astype("float32")
    model.get_layer("norm").gamma.assign(gamma)
    norms = np.sqrt((kernel**2).sum(axis=0) + gamma**2 + (out**2).sum(axis=1))
    expected = 1e-4 * 2 ** (4 * (norms.max() - norms) / (norms.max() - norms.min()))
    found = strengths_of(GroupNorm(model))
    assert found.keys() == {"a/kernel", "norm/gamma", "out/kernel"}  # and no biases
    np.testing.assert_allclose(found["a/kernel"], expected[None], rtol=1e-5)
    np.testing.assert_allclose(found["norm/gamma"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["out/kernel"], expected[:, None], rtol=1e-5)
    assert expected.max() / expected.min() == pytest.approx(16)


def test_the_least_channels_have_a_penalty_that_grows(model):
    growing = Growing(model, keep=0.5)
    norms = np.abs(model.get_layer("a").kernel.numpy()).sum(axis=0)
    least = np.argsort(-norms, kind="stable")[8:]
    first = strengths_of(growing)["a/kernel"][0]
    assert np.flatnonzero(first).tolist() == sorted(least)
    assert first[least].tolist() == pytest.approx([1e-4] * 8)
    for _ in range(50):
        growing.on_train_batch_end(0)
    assert strengths_of(growing)["a/kernel"][0][least].tolist() == pytest.approx([6e-4] * 8)
    growing._steps = 10**9
    assert strengths_of(growing)["a/kernel"][0].max() == 1


def test_factors_of_batch_norm_alone_are_pushed_by_their_sign(model):
    scale = BatchNormScale(model, 0.5)
    found = strengths_of(scale)
    assert found.keys() == {"norm/gamma"} and found["norm/gamma"].tolist() == [0.5] * 16
    gamma = model.get_layer("norm").gamma
    model.fit(np.zeros((8, 6)), np.zeros((8, 3)), epochs=1, batch_size=8, verbose=0)  # a loss that gives it no gradient
    np.testing.assert_allclose(gamma.numpy(), 1 - 0.1 * 0.5, rtol=1e-6)


def test_without_batch_norm_there_is_nothing_to_push():
    plain = keras.Sequential([layers.Input((4,)), layers.Dense(16), layers.Dense(2)])
    plain.compile("sgd", "mse")
    with pytest.raises(ModelError, match="no weights that BatchNormScale is about"):
        tfprune.regularize(plain, "bn_scale")


@pytest.mark.parametrize("kind", ["group_norm", "growing", "bn_scale"])
def test_a_training_ends_with_its_penalties(model, kind):
    x, y = np.ones((8, 6)), np.ones((8, 3))
    callback = tfprune.regularize(model, kind, strength=0.1)
    before = np.linalg.norm(model.get_layer("norm").gamma.numpy())
    model.fit(x, y, epochs=3, verbose=0, callbacks=[callback])
    assert np.linalg.norm(model.get_layer("norm").gamma.numpy()) < before
    twin = keras.models.clone_model(model)
    twin.compile(keras.optimizers.SGD(0.1), "mse")
    twin.set_weights(model.get_weights())
    for own in (model, twin):
        own.fit(x, y, epochs=2, verbose=0)
    for one, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "lasso"}, "unknown kind 'lasso'"),
        ({"strength": 0}, "strength must be a finite number above 0, got 0"),
        ({"strength": "a"}, "strength must be a number, got 'a'"),
        ({"keep": 1}, r"keep must be a fraction in \(0, 1\), got 1"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(model, given, message):
    with pytest.raises(ConfigError, match=message):
        tfprune.regularize(model, **given)


def test_a_model_must_be_compiled():
    plain = keras.Sequential([layers.Input((4,)), layers.Dense(16), layers.Dense(2)])
    with pytest.raises(ConfigError, match="the model must be compiled"):
        tfprune.regularize(plain)


def test_a_model_that_was_compiled_anew_and_a_second_fit_are_pushed_too(model):
    callback = tfprune.regularize(model, "bn_scale", strength=0.5)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    gamma = model.get_layer("norm").gamma
    for count in (1, 2):
        model.fit(np.zeros((8, 6)), np.zeros((8, 3)), epochs=1, batch_size=8, verbose=0, callbacks=[callback])
        np.testing.assert_allclose(gamma.numpy(), 1 - 0.1 * 0.5 * count, rtol=1e-6)


def test_another_model_is_not_trained_under_it(model):
    other = keras.models.clone_model(model)
    other.compile("sgd", "mse")
    with pytest.raises(ConfigError, match="the penalty is on model .*, and another is trained"):
        other.fit(np.zeros((8, 6)), np.zeros((8, 3)), verbose=0, callbacks=[tfprune.regularize(model)])
