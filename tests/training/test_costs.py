import numpy as np
import pytest

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.mask_values import set_masks
from tfprune.adapters.tf_keras.wrapping import wrap
from tfprune.training.costs import CostMeter
from tfprune.training.stacking import StackedNetworks


@pytest.fixture
def model():
    return wrap(keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="only")]))


def halved(model):
    set_masks(model, {"only/kernel": np.tile(np.uint8([[1], [0]]), (2, 3))})


def test_a_training_costs_what_lived_between_its_cuts(model):
    meter = CostMeter(model, examples=10)
    assert (meter.forward, meter.forward_masked) == (12, 12)
    meter.begin()
    halved(model)
    meter.count_event()
    meter.count_training([1, 3, 6])  # two epochs whole, three at half
    assert meter.trained_masked == 2 * 10 * 12 + 3 * 10 * 6 and meter.trained(5) == 5 * 10 * 12
    meter.begin()
    meter.count_training([0, 1])
    assert meter.trained_masked == 420 + 10 * 6


def test_ranking_by_slopes_costs_passes_in_which_pruned_weights_have_slopes_too(model):
    meter = CostMeter(model, examples=10)
    meter.count_scoring(passes=30, lived=6)
    assert (meter.scored, meter.scored_masked) == (30 * 12, 30 * (2 * 6 + 12) / 3)


def test_a_meter_goes_on_from_its_state(model):
    meter, other = CostMeter(model, 10), CostMeter(model, 10)
    meter.take_over(epochs=4)
    halved(model)
    meter.count_event()
    meter.count_scoring(2, 12)
    other.restore(meter.state())
    for one in (meter, other):
        one.count_training([0, 1, 2])
    assert other.state() == meter.state() and other.trained_masked == 4 * 10 * 12 + 10 * 12 + 10 * 6


def test_of_several_networks_each_has_its_own_number():
    mask = np.uint8([[[1, 0], [1, 1]]])  # inputs, units, networks
    np.testing.assert_array_equal(StackedNetworks().alive(mask), [1.0, 0.5])
