"""Models of Keras 3 that a person brings, as the classifiers that runs train."""

import numpy as np
import pytest

from tfprune.adapters.backend import keras3
from tfprune.models._keras3 import BroughtModel
from tfprune.utils.errors import ModelError

keras = keras3()
L = keras.layers
X = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)


def brought(model, classes=3, shape=(6,), dtype="float32", rescale="auto"):
    return BroughtModel(model, "net", shape, classes, dtype, rescale)


def numbers(model, x=X):
    return keras.ops.convert_to_numpy(model(x, training=False))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sequential(*ends):
    return keras.Sequential([L.Input((6,)), L.Dense(8, "relu", name="a"), *ends])


def inner(*layers):
    return keras.Sequential([L.Input((8,)), *layers], name="inner")


def functional(end):
    inputs = L.Input((6,))
    return keras.Model(inputs, end(L.Dense(3, name="b")(inputs)))


ENDS = {
    "a Dense with softmax": lambda: sequential(L.Dense(3, "softmax", name="b")),
    "an Activation": lambda: sequential(L.Dense(3, name="b"), L.Activation("softmax")),
    "a Softmax": lambda: sequential(L.Dense(3, name="b"), L.Softmax()),
    "an operation": lambda: functional(keras.ops.softmax),
    "a softmax that is passed on": lambda: sequential(L.Dense(3, "softmax"), L.Reshape((3,)), L.Activation("linear")),
    "a nested Dense": lambda: sequential(inner(L.Dense(3, "softmax", name="b"))),
    "a nested Softmax": lambda: sequential(inner(L.Dense(3), L.Softmax())),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_softmax_is_left_to_the_loss_and_is_there_again_afterwards(end):
    model = ENDS[end]()
    before = numbers(model)
    own = brought(model)
    np.testing.assert_allclose(softmax(numbers(own.classifier)), before, atol=1e-6)
    assert np.abs(numbers(own.classifier).sum(axis=-1) - 1).max() > 1e-3  # logits
    with own.whole() as whole:
        assert whole is model
        np.testing.assert_array_equal(numbers(whole), before)
    np.testing.assert_allclose(softmax(numbers(own.classifier)), before, atol=1e-6)


def test_a_layer_that_is_called_twice_keeps_its_softmax():
    shared, inputs = L.Dense(6, "softmax", name="shared"), L.Input((6,))
    model = keras.Model(inputs, shared(shared(inputs)))
    before = numbers(model)
    own = brought(model, classes=6)
    np.testing.assert_allclose(softmax(numbers(own.classifier)), before, atol=1e-6)


@pytest.mark.parametrize("end", [L.Dense(1, "sigmoid"), L.Dense(1)], ids=["sigmoid", "logit"])
def test_one_number_for_two_classes_becomes_two_logits(end):
    model, is_sigmoid = sequential(end), end.activation is keras.activations.sigmoid
    before = numbers(model)
    logits = numbers(brought(model, classes=2).classifier)
    z = np.log(before / (1 - before)) if is_sigmoid else before
    np.testing.assert_allclose(logits, np.concatenate([0 * z, z], axis=-1), atol=1e-4)


def test_several_sigmoids_are_said_to_become_a_softmax(caplog):
    own = brought(sequential(L.Dense(3, "sigmoid")))
    assert "ends with 3 sigmoids" in caplog.text and np.ptp(numbers(own.classifier)) > 0


def test_what_is_trained_are_the_layers_of_the_model():
    model = ENDS["a nested Dense"]()
    own = brought(model)
    for variable in own.classifier.trainable_variables:
        variable.assign(keras.ops.zeros_like(variable.value))
    assert all(not np.any(weight) for weight in model.get_weights())
    assert set(own.kernels()) == {"a/kernel", "b/kernel"}


@pytest.mark.parametrize(
    ("first", "rescale", "ones"),
    [((), "auto", 1.0), ((), "none", 255.0), ((), "signed", 1.0), ((L.Rescaling(1 / 51),), "auto", 5.0)],
)
def test_images_are_scaled_as_the_model_expects_them(first, rescale, ones):
    model = keras.Sequential([L.Input((4, 4, 1)), *first, L.Flatten(), L.Dense(2, name="d")])
    own = brought(model, 2, (4, 4, 1), "uint8", rescale)
    expected = numbers(model.get_layer("d"), np.full((1, 16), ones, np.float32))
    np.testing.assert_allclose(numbers(own.classifier, np.full((1, 4, 4, 1), 255, np.uint8)), expected, rtol=1e-5)


def two_inputs():
    inputs = [L.Input((6,)), L.Input((2,))]
    return keras.Model(inputs, L.Dense(3)(L.Concatenate()(inputs)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: 5, "a Keras model is needed, got builtins.int"),
        (two_inputs, "has 2 inputs and 1 outputs"),
        (
            lambda: keras.Sequential([L.Input((5,)), L.Dense(3)]),
            r"takes .* of shape \(5,\), the data's are \(6,\)",
        ),
        (lambda: sequential(L.Dense(4)), r"returns \(4,\) an example, the data have 3 classes"),
        (lambda: sequential(L.Dense(1, "softmax")), "softmax of one number"),
        (lambda: keras.Sequential([L.Conv2D(3, 3)]), r"cannot be called on \(6,\)"),
    ],
)
def test_models_that_do_not_fit_are_said_in_one_line(make, said):
    with pytest.raises(ModelError, match=said) as caught:
        brought(make())
    assert "\n" not in str(caught.value)
