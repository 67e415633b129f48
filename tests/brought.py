"""Compiled models as people bring them, and data to train them on."""

import numpy as np

from tfprune.adapters.backend import keras

L = keras.layers
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(optimizer="adam", **kwargs):
    model = keras.Sequential([L.Input((8,)), L.Dense(16, "relu", name="a"), L.Dense(3, name="b")])
    model.compile(optimizer, LOSS, **kwargs)
    return model


def data(count=64):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, count)
    return random.normal(y[:, None], 1, (count, 8)).astype(np.float32), y


class Own(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.inner, self.out = L.Dense(16, "relu"), L.Dense(3)

    def call(self, inputs):
        return self.out(self.inner(inputs))


def own():
    model = Own()
    model.build((None, 8))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), LOSS)
    return model
