"""Derivatives of models of Keras 3."""

import numpy as np
import pytest

from tfprune.adapters.backend import keras3
from tfprune.adapters.batches import Batch
from tfprune.adapters.keras3.gradients import GradientProvider
from tfprune.pruning.events import Criterion


@pytest.mark.parametrize("kind", ["gradients", "flow_gradients"])
def test_derivatives_of_stateful_layers_take_any_number_of_examples(kind):
    keras = keras3()
    layers = keras.layers
    x = np.random.default_rng(0).normal(size=(6, 2, 3)).astype("float32")
    found = []
    for stateful in (False, True):
        keras.utils.set_random_seed(0)
        recurrent = layers.Bidirectional(layers.GRU(4, stateful=stateful, name="g"), name="r")
        model = keras.Sequential([layers.Input((2, 3), batch_size=4), recurrent, layers.Dense(3, name="d")])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.predict(np.ones((4, 2, 3)), batch_size=4, verbose=0)  # of which nothing is left in the derivatives
        sample = Batch(x, np.arange(6) % 3)
        found.append(GradientProvider(model, lambda _, own=sample: own)(kind, Criterion("snip")))
    assert [*found[0]] == [*found[1]]
    for name, own in found[0].items():
        np.testing.assert_array_equal(own, found[1][name])
