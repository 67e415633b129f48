import logging

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import kernels
from tfprune.utils.errors import ConfigError, ModelError


def zeros(model):
    return {name: int((kernel == 0).sum()) for name, kernel in kernels(model).items()}


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
def test_it_prunes_a_copy_at_once_and_exactly(conv_net, sparsity):
    before = [weight.copy() for weight in conv_net.get_weights()]
    pruned = tfprune.prune(conv_net, sparsity)
    for name, kernel in kernels(conv_net).items():
        assert zeros(pruned)[name] == kernel.size - max(1, round(kernel.size * (1 - sparsity)))
        kept = kernels(pruned)[name] != 0
        np.testing.assert_array_equal(kernels(pruned)[name][kept], kernel[kept])
        assert np.all(np.abs(kernel[~kept]).max(initial=0) <= np.abs(kernel[kept]).min())
    for old, now in zip(before, conv_net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


def test_global_scope_and_spared_layers(conv_net):
    pruned = tfprune.prune(conv_net, 0.5, scope="global", exclude=("logits",))
    counts = zeros(pruned)
    assert counts["logits/kernel"] == 0
    size = sum(kernel.size for name, kernel in kernels(conv_net).items() if name != "logits/kernel")
    assert sum(counts.values()) == size - round(size * 0.5)


def test_what_nobody_expects_to_be_pruned_is_left_alone_without_a_word(conv_net, caplog):
    with caplog.at_level(logging.WARNING, logger="tfprune"):
        pruned = tfprune.prune(conv_net, 0.5)
    assert not caplog.records
    for old, now in zip(conv_net.get_layer("norm").get_weights(), pruned.get_layer("norm").get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


def test_a_compiled_model_gives_a_compiled_copy_that_evaluates(conv_net, examples):
    conv_net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    pruned = tfprune.prune(conv_net, 0.5)
    loss, accuracy = pruned.evaluate(*examples, verbose=0)
    assert np.isfinite(loss) and 0 <= accuracy <= 1
    assert pruned.optimizer is not conv_net.optimizer


@pytest.mark.parametrize("save", ["model.keras", "model.h5"])
def test_the_copy_saves_and_loads_like_any_model(conv_net, examples, tmp_path, save):
    x, _ = examples
    pruned = tfprune.prune(conv_net, 0.5)
    pruned.save(tmp_path / save)
    loaded = keras.models.load_model(tmp_path / save)
    assert zeros(loaded) == zeros(pruned)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), pruned.predict(x, verbose=0))


def test_bad_arguments_are_named(conv_net):
    with pytest.raises(ConfigError, match="for 50 % write 0.5"):
        tfprune.prune(conv_net, 50)
    with pytest.raises(ConfigError, match="unknown scope"):
        tfprune.prune(conv_net, 0.5, scope="model")
    with pytest.raises(ModelError, match="a model of tf_keras.* is needed, got builtins.str"):
        tfprune.prune("model.h5", 0.5)
    with pytest.raises(ModelError, match="has no weights yet"):
        tfprune.prune(keras.Sequential([keras.layers.Dense(3)]), 0.5)
    with pytest.raises(ModelError, match="has no layer left to prune"):
        tfprune.prune(keras.Sequential([keras.layers.ReLU(input_shape=(3,))]), 0.5)
    with pytest.raises(ModelError, match="exclude names 'logit'.*did you mean logits"):
        tfprune.prune(conv_net, 0.5, exclude=("logit",))


def test_a_subclassed_model_is_refused_in_one_line():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.zeros((1, 4), np.float32))
    with pytest.raises(ModelError, match="is subclassed and cannot be copied; prune it as it is"):
        tfprune.prune(model, 0.5)


class Own(keras.Model):
    """A subclassed model with a block in it."""

    def __init__(self):
        super().__init__(name="own")
        self.block = keras.Sequential([keras.layers.Dense(8, name="inner")], name="block")
        self.out = keras.layers.Dense(2, name="out")

    def call(self, inputs):
        return self.out(self.block(inputs))


def test_a_subclassed_model_is_pruned_as_it_is():
    model = Own()
    model(np.ones((1, 4)))
    assert tfprune.prune(model, 0.5, in_place=True) is model
    assert [int((w.numpy() == 0).sum()) for w in (model.block.layers[0].kernel, model.out.kernel)] == [16, 8]


def test_layers_are_excluded_under_the_older_name_too(conv_net):
    old, new = (tfprune.prune(conv_net, 0.5, **{name: ("conv",)}) for name in ("spare", "exclude"))
    assert tfprune.summary(old) == tfprune.summary(new)
    assert {row.name: row.sparsity for row in tfprune.summary(old).layers}["conv"] == 0.0


def test_a_copy_is_spread_over_devices_as_the_model_is():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = keras.Sequential([keras.layers.Dense(4, input_shape=(4,))])
        model.compile("sgd", "mse")
    for copy in (
        tfprune.prune(model, 0.5),
        tfprune.train(model, (np.ones((8, 4)), np.ones((8, 4))), method="unpruned", verbose=0).model,
    ):
        assert copy.distribute_strategy is strategy


def test_weights_that_are_no_finite_numbers_are_refused_in_one_line(conv_net):
    kernel = conv_net.layers[-1].kernel
    kernel.assign(kernel * np.nan)
    with pytest.raises(ModelError, match=f"{conv_net.layers[-1].name}/kernel has weights that are no finite numbers"):
        tfprune.prune(conv_net, 0.5)


def test_a_copy_has_the_functions_of_the_model_whatever_their_names():
    def gelu(x):
        return 3.0 * x + 1.0

    L = keras.layers
    dense = [L.Dense(8, gelu), L.Dense(8, "gelu"), L.TimeDistributed(L.Dense(8, gelu))]
    model = keras.Sequential([L.Input((3, 4)), *dense, L.Dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("f4")
    np.testing.assert_array_equal(tfprune.prune(model, 0.0)(x), model(x))
