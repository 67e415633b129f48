import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras

X = np.ones((8, 4), np.float32)
Y = np.ones((8, 2), np.float32)
TOLD = "which stays as it is, for a copy of it is trained"


def compiled():
    model = keras.Sequential([keras.layers.Dense(8, input_shape=(4,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


class Keeping(keras.callbacks.Callback):
    def __init__(self, kept):
        super().__init__()
        self.kept = kept


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda model: [keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: model.get_weights())], True),
        (lambda model: [[Keeping(model)]], True),
        (lambda model: [Keeping(model.name), keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: None)], False),
    ],
)
def test_callbacks_that_look_at_the_original_are_named(given, told, caplog):
    model = compiled()
    tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, callbacks=given(model), verbose=0)
    assert (f"callbacks name model {model.name}, {TOLD}" in caplog.text) is told
    caplog.clear()
    tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, callbacks=given(model), in_place=True, verbose=0)
    assert TOLD not in caplog.text


def test_losses_that_look_at_the_original_are_named(caplog):
    model = compiled()

    def loss(y_true, y_pred):
        return keras.backend.mean(keras.backend.square(y_true - y_pred)) + keras.backend.sum(model.layers[0].kernel)

    model.compile("sgd", loss)
    tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0)
    assert f"loss name model {model.name}" in caplog.text
