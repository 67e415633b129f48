import random

from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3


def test_a_copy_draws_no_random_numbers():
    keras = keras3()
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5)])
    before = random.getstate()  # by which Keras shuffles a `PyDataset`
    adapter_of(model).copy(model)
    assert random.getstate() == before
