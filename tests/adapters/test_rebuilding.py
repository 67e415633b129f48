"""New objects of classes that are in memory, and what their settings do not say."""

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3
from tfprune.adapters.rebuilding import check_config
from tfprune.utils.errors import ModelError

X = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
Y = np.arange(32) % 3
LIBRARIES = ("tf_keras", "keras")


def library(name):
    return tf_keras if name == "tf_keras" else keras3()


def net(keras, optimizer, *between, **compiled):
    layers = keras.layers
    model = keras.Sequential([layers.Input((8,)), layers.Dense(16, "relu", name="a"), *between, layers.Dense(3)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **compiled)
    return model


@pytest.mark.parametrize("name", LIBRARIES)
def test_settings_that_a_class_does_not_tell_are_not_replaced_by_their_defaults(name):
    keras = library(name)

    class Scale(keras.layers.Layer):
        def __init__(self, factor=1.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, x):
            return x * self.factor

        def get_config(self):
            return super().get_config()

    class Slow(keras.optimizers.SGD):
        def __init__(self, factor=1.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

    class Above(keras.metrics.Metric):
        def __init__(self, threshold=0.5, name="above", **kwargs):
            super().__init__(name=name, **kwargs)
            self.threshold = threshold
            self.seen = self.add_weight(name="seen", shape=(), initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.seen.assign(self.threshold)

        def result(self):
            return self.seen + 0.0

    check_config(Scale(), Scale().get_config())
    with pytest.raises(NotImplementedError, match="get_config of Scale says nothing of factor"):
        check_config(Scale(3.0), Scale(3.0).get_config())
    with pytest.raises(ModelError, match="says nothing of factor"):
        tfprune.prune(net(keras, "sgd", Scale(3.0)), 0.5)
    with pytest.raises(ModelError, match="the optimizer of model .*get_config of Slow says nothing of factor"):
        tfprune.train(net(keras, Slow(factor=0.0)), (X, Y), sparsity=0.5, epochs=3, verbose=0)
    done = tfprune.train(net(keras, "sgd", metrics=[Above(0.9)]), (X, Y), sparsity=0.5, epochs=3, verbose=0)
    assert [row["above"] for row in done.history] == pytest.approx([0.9] * 3)


@pytest.mark.parametrize("name", LIBRARIES)
def test_weights_that_are_left_out_of_decay_stay_so(name):
    keras = library(name)

    def weights(trained):
        keras.utils.set_random_seed(0)
        optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        model = net(keras, optimizer)
        if trained:
            model = tfprune.train(model, (X, Y), method="unpruned", epochs=2, shuffle=False, verbose=0).model
        else:
            model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for own, plain in zip(weights(True), weights(False), strict=True):
        np.testing.assert_array_equal(own, plain)
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    model = net(keras, "adam")
    optimizer.exclude_from_weight_decay(var_list=[model.trainable_variables[1]])
    model.compile(optimizer, "mse")
    with pytest.raises(ModelError, match=r"leaves single weights out of its decay, .* name them by var_names, or"):
        tfprune.prune(model, 0.5)


def test_losses_that_were_added_to_layers_are_not_lost():
    model = net(tf_keras, "sgd")
    layer = model.get_layer("a")
    layer.add_loss(lambda: 10.0 * tf_keras.backend.sum(tf_keras.backend.square(layer.kernel)))
    with pytest.raises(ModelError, match="a has losses or regularizers that were added to it"):
        tfprune.prune(model, 0.5)
    keras = keras3()
    model = net(keras, keras.optimizers.SGD(0.0))
    model.get_layer("a").kernel.regularizer = keras.regularizers.L2(10.0)
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    whole = model.evaluate(X, Y, verbose=0)
    assert tfprune.prune(model, 0.0).evaluate(X, Y, verbose=0) == pytest.approx(whole)
