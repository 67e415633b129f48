"""Models that share layers: what one is pruned by, the other one's training keeps to."""

import numpy as np
import pytest

import tfprune
from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3

X = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
Y = np.arange(32) % 3
LIBRARIES = ("tf_keras", "keras")


def library(name):
    return tf_keras if name == "tf_keras" else keras3()


def two(keras):
    """An autoencoder and a classifier of one encoder, which is `h`."""
    inputs = keras.layers.Input((8,))
    encoded = keras.layers.Dense(16, "relu", name="h")(inputs)
    models = keras.Model(inputs, keras.layers.Dense(8)(encoded)), keras.Model(inputs, keras.layers.Dense(3)(encoded))
    models[0].compile("adam", "mse")
    models[1].compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return models


def zeros(model):
    return float(np.mean(np.asarray(model.get_layer("h").kernel) == 0))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_model_that_trained_before_heeds_the_masks_of_what_it_shares(name):
    own, other = two(library(name))
    other.fit(X, Y, verbose=0)
    for sparsity in (0.5, 0.75):
        done = tfprune.train(own, (X, X), sparsity=sparsity, epochs=3, in_place=True, verbose=0)
        other.fit(X, Y, verbose=0)
        assert done.sparsity == pytest.approx(sparsity, abs=0.01) and zeros(own) == sparsity
    pruning = tfprune.callbacks(own, sparsity=0.5, epochs=3)
    own.fit(X, X, epochs=3, callbacks=pruning, verbose=0)
    other.fit(X, Y, verbose=0)
    assert zeros(own) == 0.5


@pytest.mark.parametrize("name", LIBRARIES)
def test_only_models_that_hold_a_weight_of_it_share_with_a_model(name):
    own, other = two(library(name))
    apart, _ = two(library(name))
    found = adapter_of(own).sharing(own)
    assert any(model is other for model in found) and not any(model in (own, apart) for model in found)
