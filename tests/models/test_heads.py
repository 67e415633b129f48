import logging

import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf
from tfprune.models._heads import as_logits
from tfprune.utils.errors import ModelError

L = keras.layers
X = np.random.default_rng(1).normal(size=(32, 6)).astype("float32")


def functional(*layers):
    inputs = x = L.Input((6,))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


class Hidden(keras.Model):
    """A model whose end nothing shows."""

    def __init__(self, units, end):
        super().__init__()
        self.dense, self.end = L.Dense(units), end

    def call(self, inputs):
        return self.end(self.dense(inputs))


def subclassed(units, end):
    return functional(Hidden(units, end))


SOFTMAXES = {
    "Dense": lambda: functional(L.Dense(3, "softmax")),
    "Sequential": lambda: keras.Sequential([L.Input((6,)), L.Dense(3, "softmax")]),
    "TensorFlow's function": lambda: functional(L.Dense(3, tf.nn.softmax)),
    "Activation": lambda: functional(L.Dense(3), L.Activation("softmax")),
    "Softmax": lambda: functional(L.Dense(3), L.Softmax()),
    "before a float32 end": lambda: functional(L.Dense(3, "softmax"), L.Activation("linear", dtype="float32")),
    "before Dropout": lambda: functional(L.Dense(3, "softmax"), L.Dropout(0.1)),
    "before Reshape": lambda: functional(L.Reshape((1, 6)), L.Dense(3, "softmax"), L.Reshape((3,))),
    "in a model in a model": lambda: functional(
        L.Dense(4), keras.Sequential([L.Input((4,)), functional_head(), L.Dropout(0.1)])
    ),
    "an operation": lambda: functional(L.Dense(3), tf.nn.softmax),
    "a Lambda": lambda: functional(L.Dense(3), L.Lambda(tf.nn.softmax)),
    "subclassed": lambda: subclassed(3, tf.nn.softmax),
    "mean of probabilities": lambda: functional(L.Reshape((2, 3)), L.Dense(3, "softmax"), L.GlobalAveragePooling1D()),
}


def functional_head():
    inputs = L.Input((4,))
    return keras.Model(inputs, L.Softmax()(L.Dense(3)(inputs)))


@pytest.mark.parametrize("name", SOFTMAXES)
def test_the_softmax_of_the_logits_is_what_the_model_returned(name):
    model = SOFTMAXES[name]()
    logits = as_logits(model, "x", 3)
    assert np.abs(logits(X).numpy().sum(axis=-1) - 1).max() > 0.1  # no probabilities any more
    np.testing.assert_allclose(tf.nn.softmax(logits(X)), model(X), atol=2e-6)


@pytest.mark.parametrize(
    "end", [[L.Dense(1, "sigmoid")], [L.Dense(1), L.Activation("sigmoid")], [L.Dense(1, tf.nn.sigmoid), L.Flatten()]]
)
def test_one_sigmoid_for_two_classes_is_trained_on_its_own_cross_entropy(end):
    model = functional(*end)
    logits = as_logits(model, "x", 2)
    p, y = model(X).numpy()[:, 0], np.arange(len(X)) % 2
    np.testing.assert_allclose(tf.nn.softmax(logits(X)), np.stack([1 - p, p], axis=1), atol=1e-6)
    own = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits(X)).numpy()
    assert own == pytest.approx(float(np.mean(-np.where(y == 1, np.log(p), np.log(1 - p)))), rel=1e-5)
    assert logits.count_params() == model.count_params()


def test_one_logit_for_two_classes_is_that_of_the_second():
    model = functional(L.Dense(1))
    z = model(X).numpy()
    np.testing.assert_allclose(as_logits(model, "x", 2)(X), np.concatenate([0 * z, z], axis=1))


def test_of_several_sigmoids_what_they_are_given_is_taken_and_said(caplog):
    model = functional(L.Dense(2, "sigmoid"))
    with caplog.at_level(logging.WARNING):
        logits = as_logits(model, "brought", 2)
    np.testing.assert_allclose(tf.nn.sigmoid(logits(X)), model(X), atol=1e-6)
    assert "model brought ends with 2 sigmoids" in caplog.text


@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_logits_stay_as_they_are(activation):
    model = functional(L.Dense(3, activation))
    assert as_logits(model, "x", 3) is model
    own = subclassed(3, keras.activations.get(activation))
    assert as_logits(own, "x", 3) is own


@pytest.mark.parametrize("end", [lambda: L.Dense(3, "hard_sigmoid"), lambda: Hidden(3, tf.nn.sigmoid)])
def test_numbers_between_0_and_1_of_which_nothing_is_known_are_refused(end):
    with pytest.raises(ModelError, match=r"model x returns numbers in \[0, 1\] that do not add up to 1") as caught:
        as_logits(functional(end()), "x", 3)
    assert "\n" not in str(caught.value)


def test_a_softmax_of_one_number_is_refused():
    with pytest.raises(ModelError, match="softmax of one number, which is always 1; use a sigmoid"):
        as_logits(functional(L.Dense(1, "softmax")), "x", 2)
