import random

import pytest

from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3
from tfprune.utils.errors import ModelError


def test_a_copy_draws_no_random_numbers():
    keras = keras3()
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    before = random.getstate()  # by which Keras shuffles a `PyDataset`
    adapter_of(model).copy(model)
    assert random.getstate() == before


def test_a_function_that_has_a_name_of_keras_own_makes_no_copy_with_that_of_keras():
    def gelu(x):
        return 3.0 * x + 1.0

    keras = keras3()
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, gelu, name="own")])
    with pytest.raises(ModelError, match="gelu of own is not the only function or class of that name in it, or in"):
        adapter_of(model).copy(model)
