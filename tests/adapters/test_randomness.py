import numpy as np
import pytest

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.randomness import ReseedEachEpoch, get_rng_states, random_layers, set_rng_states


@pytest.fixture
def model():
    layers = keras.layers
    inner = keras.Sequential([layers.GaussianNoise(1.0, name="noise", input_shape=(50,))], name="inner")
    return keras.Sequential([inner, layers.Dense(50, name="dense"), layers.Dropout(0.5, name="dropout")])


def draw(model):
    return model(np.ones((4, 50), np.float32), training=True).numpy()


def drawn(model, seed, epoch):
    draws = ReseedEachEpoch(seed)
    draws.set_model(model)
    draws.on_epoch_begin(epoch)
    return [draw(model), draw(model)]


def test_what_an_epoch_draws_is_a_function_of_seed_and_epoch(model):
    first, second = drawn(model, 1, 3)
    assert np.any(first != second)  # every step draws anew
    np.testing.assert_array_equal([first, second], drawn(model, 1, 3))
    for seed, epoch in ((1, 4), (2, 3)):
        assert np.any(first != drawn(model, seed, epoch)[0])


def test_draws_go_on_where_they_were_put_back_to(model):
    assert {layer.name for layer in random_layers(model)} >= {"noise", "dropout"}
    drawn(model, 0, 0)
    states, then = get_rng_states(model), draw(model)
    assert np.any(then != draw(model))
    set_rng_states(model, states)
    np.testing.assert_array_equal(draw(model), then)
