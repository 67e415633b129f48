import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf
from tfprune.structured.channels import channels
from tfprune.structured.scoring import CRITERIA
from tfprune.utils.errors import ConfigError, ModelError

layers = keras.layers


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = layers.Input((5,))
    total = layers.Add()([layers.Dense(4, name="a")(inputs), layers.Dense(4, name="b")(inputs)])
    return keras.Model(inputs, layers.Dense(3, name="logits")(total))


@pytest.fixture(scope="module")
def examples():
    random = np.random.default_rng(0)
    return random.normal(size=(12, 5)).astype("float32"), np.arange(12) % 3


@pytest.mark.parametrize("name", sorted({*CRITERIA} - {"bn"}))
def test_one_finite_score_a_channel_of_each_group(model, examples, name):
    scores = CRITERIA[name](model, channels(model), 0, examples)
    assert {group: own.shape for group, own in scores.items()} == {"a": (4,)}
    assert np.all(np.isfinite(scores["a"])) and len(set(scores["a"])) == 4


def test_activation_is_the_mean_size_of_what_the_layers_hand_on(model, examples):
    handed = [np.abs(model.get_layer(name)(examples[0]).numpy()).mean(axis=0) for name in "ab"]
    np.testing.assert_allclose(CRITERIA["activation"](model, channels(model), 0, examples)["a"], sum(handed), rtol=1e-5)


def test_second_order_takes_the_squared_derivatives_of_single_examples(model, examples):
    x, y = examples
    kernels = [model.get_layer(name).kernel for name in "ab"]

    def slopes(rows):
        with tf.GradientTape() as tape:
            loss = keras.losses.sparse_categorical_crossentropy(y[rows], model(x[rows]), from_logits=True)
            loss = tf.reduce_mean(loss)
        return [slope.numpy() for slope in tape.gradient(loss, kernels)]

    first = slopes(np.arange(12))
    squares = np.mean([[slope**2 for slope in slopes(np.array([n]))] for n in range(12)], axis=0)
    expected = 0
    for kernel, slope, square in zip(kernels, first, squares, strict=True):
        value = kernel.numpy()
        expected = expected + np.abs(np.sum(0.5 * square * value**2 - slope * value, axis=0))
    np.testing.assert_allclose(CRITERIA["taylor2"](model, channels(model), 0, examples)["a"], expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["taylor", "taylor2", "activation"])
def test_what_looks_at_examples_asks_for_them(model, name):
    with pytest.raises(ConfigError, match=f"criterion {name} needs examples="):
        CRITERIA[name](model, channels(model), 0, None)


def test_activations_out_of_the_graphs_sight_are_said(examples):
    inner = keras.Sequential([layers.Input((5,)), layers.Dense(4, name="inside")], name="inner")
    inputs = layers.Input((5,))
    nested = keras.Model(inputs, layers.Dense(3)(inner(inputs)))
    with pytest.raises(
        ModelError, match="criterion activation needs layers whose outputs.* inner/inside; take l1 or l2"
    ):
        CRITERIA["activation"](nested, channels(nested), 0, examples)
