import numpy as np
import pytest

from tfprune import shrink
from tfprune.adapters.backend import keras, keras3
from tfprune.structured.channels import channels
from tfprune.structured.surgery import remove_groups, zero_groups
from tfprune.training.adjusting import Dropouts, recalibrate, recalibrate_zeroed

L = keras.layers


class OwnDropout(L.Dropout):
    """As people derive it."""


def noisy(layer):
    return keras.Sequential([L.Dense(16, input_shape=(4,)), layer, L.BatchNormalization(name="norm"), L.Dense(2)])


@pytest.mark.parametrize("kind", [L.Dropout, L.AlphaDropout, L.GaussianDropout, OwnDropout])
def test_rates_shrink_with_what_they_see(kind):
    model = noisy(kind(0.4, name="drop"))
    narrow = keras.Sequential([L.Dense(4, input_shape=(4,)), kind(0.4, name="drop"), L.Dense(2)])
    Dropouts(model).scale(narrow)
    assert narrow.get_layer("drop").rate == pytest.approx(0.1)
    assert model.get_layer("drop").rate == 0.4


@pytest.mark.parametrize("layer", [L.Dropout(0.9), L.AlphaDropout(0.9), L.GaussianNoise(9.0), OwnDropout(0.9)])
@pytest.mark.parametrize("norm", [L.BatchNormalization, L.experimental.SyncBatchNormalization])
def test_statistics_are_taken_with_nothing_dropped_out(layer, norm):
    layer = type(layer).from_config(layer.get_config())
    model = keras.Sequential([L.Dense(16, input_shape=(4,)), layer, norm(momentum=0.7, name="norm")])
    x = np.random.default_rng(0).normal(size=(256, 4)).astype(np.float32)
    before = layer.get_config()
    recalibrate(model, x)
    seen = model.layers[0](x).numpy()
    np.testing.assert_allclose(model.get_layer("norm").moving_mean, seen.mean(axis=0), atol=1e-5)
    assert layer.get_config() == before and model.get_layer("norm").momentum == 0.7


def test_a_derived_batch_norm_is_a_criterion():
    model = noisy(L.Dropout(0.1))
    model.get_layer("norm").gamma.assign(np.arange(16.0))
    kept = shrink(model, 0.5, criterion="bn").get_layer("norm").gamma.numpy()
    np.testing.assert_array_equal(kept, np.arange(8.0, 16.0))


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_statistics_behind_a_layer_norm_are_those_of_the_smaller_model(name):
    k = keras if name == "tf_keras" else keras3()
    layers = k.layers
    inputs = layers.Input((4,))
    x = layers.LayerNormalization()(layers.Dense(16, name="wide")(inputs))
    x = layers.Dense(8, name="behind")(layers.BatchNormalization(momentum=0.7, name="norm")(x))
    model = k.Model(inputs, layers.Dense(2)(layers.BatchNormalization(name="last")(x)))
    found, removed = channels(model), {"wide": [0, 3, 4, 9, 15], "behind": [1, 2]}
    x = np.random.default_rng(0).normal(size=(256, 4)).astype(np.float32)
    smaller = remove_groups(model, removed)
    recalibrate(smaller, x)
    zero_groups(model, removed, found)
    recalibrate_zeroed(model, found, removed, x)
    for own, same in zip(remove_groups(model, removed).get_weights(), smaller.get_weights(), strict=True):
        np.testing.assert_array_equal(own, same)
    assert model.get_layer("norm").momentum == 0.7


def test_layers_of_one_name_in_different_models_have_their_own_rates():
    def part(rate, width):
        return keras.Sequential([L.Dense(width, input_shape=(4,)), L.Dropout(rate, name="drop"), L.Dense(4)])

    def whole(width):
        i = L.Input((4,))
        parts = [keras.Model(own.inputs, own.outputs, name=name) for own, name in
                 ((part(0.8, width), "a"), (part(0.2, 16), "b"))]  # fmt: skip
        return keras.Model(i, parts[1](parts[0](i)))

    narrow = whole(4)
    Dropouts(whole(16)).scale(narrow)
    rates = [own.get_layer("drop").rate for own in (narrow.get_layer("a"), narrow.get_layer("b"))]
    assert rates == pytest.approx([0.2, 0.2])
