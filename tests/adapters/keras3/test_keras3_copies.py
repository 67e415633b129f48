import random

import numpy as np
import pytest

import tfprune
from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3
from tfprune.utils.errors import ModelError


def test_a_copy_draws_no_random_numbers():
    keras = keras3()
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    before = random.getstate()  # by which Keras shuffles a `PyDataset`
    adapter_of(model).copy(model)
    assert random.getstate() == before


@pytest.mark.parametrize("copied", [lambda model: tfprune.prune(model, 0.0), lambda model: tfprune.shrink(model, 1.0)])
def test_a_stateful_layer_goes_on_from_the_states_that_it_has_come_to(copied):
    keras = keras3()
    layers = keras.layers
    recurrent = layers.Bidirectional(layers.LSTM(4, stateful=True, return_sequences=True))
    model = keras.Sequential([layers.Input((2, 4), batch_size=8), recurrent, layers.GRU(4, stateful=True)])
    x = np.ones((8, 2, 4), "float32")
    first = model.predict(x, batch_size=8, verbose=0)
    copy = copied(model)
    answers = [own.predict(x, batch_size=8, verbose=0) for own in (model, copy)]
    np.testing.assert_array_equal(*answers)
    assert not np.array_equal(answers[0], first)


def test_a_function_that_has_a_name_of_keras_own_makes_no_copy_with_that_of_keras():
    def gelu(x):
        return 3.0 * x + 1.0

    keras = keras3()
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, gelu, name="own")])
    with pytest.raises(ModelError, match="gelu of own is not the only function or class of that name in it, or in"):
        adapter_of(model).copy(model)
