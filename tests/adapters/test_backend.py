import random

import numpy as np
import pytest

from tfprune.adapters.backend import keras, seed_everything, tf
from tfprune.models import MODELS


def drawn(seed_all):
    """Returns what a seed leads to: draws of Python, NumPy, Keras and, in a function, TensorFlow."""
    seed_all(2**32 - 1)
    layer = keras.layers.Dense(3)
    layer.build((4, 4))
    function = tf.function(lambda: (tf.random.uniform([3]), keras.layers.Dropout(0.5)(tf.ones([20]), training=True)))
    return [random.random(), np.random.rand(), layer.kernel.numpy(), *(own.numpy() for own in function())]


def test_sown_draws_are_those_of_keras():
    for own, expected in zip(
        drawn(lambda n: seed_everything(n, anew=False)), drawn(keras.utils.set_random_seed), strict=True
    ):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.some(every=2)
@pytest.mark.parametrize("name", MODELS)
def test_models_begin_with_the_weights_that_keras_own_seeding_leads_to(name):
    """And so twice in a process: none draws outside of functions, which `seed_everything` does not begin anew."""
    shape = (7,) if name in ("mlp", "text_pool") else (32, 32, 3)

    def initial(seed_all):
        seed_all(7)
        return MODELS[name](shape, 3).get_weights()

    expected = initial(keras.utils.set_random_seed)
    for _ in range(2):
        for own, weight in zip(initial(lambda n: seed_everything(n, anew=False)), expected, strict=True):
            np.testing.assert_array_equal(own, weight)
