"""Masks in steps without a graph, on TensorFlow; `exactness` tries them in trainings, on all backends."""

import numpy as np
import pytest

from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3
from tfprune.adapters.keras3.optimizers import KEEP_ZEROS, fresh, parts


def masked_model(optimizer):
    """Returns a model of one layer whose optimizer is held to masks, and the masks."""
    keras = keras3()
    model = keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(5, name="a")])
    masked = adapter_of(model).attach(model)
    model.compile(optimizer, "mse")
    adapter_of(model).hold(model)
    return model, masked


def step(model, random):
    own = model.trainable_variables
    model.optimizer.apply([random.normal(size=variable.shape).astype(np.float32) for variable in own], own)


def of_pruned(model, masks):
    """Returns the weights and what the optimizer remembers of them where they are pruned."""
    kernel, gone = model.layers[0].kernel, masks["a/kernel"] == 0
    return np.asarray(kernel)[gone], [slot[gone] for slot in adapter_of(model).slots(model.optimizer, kernel)]


def half(random):
    return {"a/kernel": (random.permutation(30) < 15).reshape(6, 5)}


SETTINGS = {
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True, "clipnorm": 0.1, "gradient_accumulation_steps": 2},
}


@pytest.mark.parametrize("name", [*KEEP_ZEROS, "Ftrl", "Adafactor"])
def test_steps_leave_what_is_pruned_and_forgotten_so(name):
    optimizer = getattr(keras3().optimizers, name)(0.1, **SETTINGS.get(name, {}))
    model, masked = masked_model(optimizer)
    random = np.random.default_rng(0)
    start = {"Adagrad": 0.1, "Ftrl": 0.1}.get(name, 0.0)
    for _ in range(3):
        masks = half(random)
        masked.set_masks(masks)
        for _ in range(3):
            step(model, random)
            weights, slots = of_pruned(model, masks)
            assert not weights.any() and np.asarray(model.layers[0].kernel).any()
            assert all(np.isin(np.unique(slot), np.float32([0.0, start])).all() for slot in slots)


def test_what_is_pruned_takes_nothing_but_zeros_from_anyone():
    model, masked = masked_model("adam")
    random = np.random.default_rng(0)
    masks = half(random)
    masked.set_masks(masks)
    model.layers[0].kernel.assign(np.full((6, 5), np.nan))
    model.set_weights([np.ones((6, 5)), np.ones(5)])  # as a callback does that puts best weights back
    np.testing.assert_array_equal(model.layers[0].kernel, masks["a/kernel"])
    step(model, random)
    assert not of_pruned(model, masks)[0].any()
    adapter_of(model).detach(model)
    model.set_weights([np.ones((6, 5)), np.ones(5)])
    assert np.all(np.asarray(model.layers[0].kernel) == 1)


def test_optimizers_that_are_chosen_for_variables_are_held_before_their_first_step():
    optimizers = keras3().optimizers
    adam, sgd = optimizers.Adam(0.1), optimizers.SGD(0.1, momentum=0.9)
    model, masked = masked_model(optimizers.MultiOptimizer(lambda own: sgd if "bias" in own.path else adam))
    random = np.random.default_rng(0)
    masks = half(random)
    masked.set_masks(masks)
    step(model, random)
    weights, slots = of_pruned(model, masks)
    assert len(slots) == 2 and not any(own.any() for own in (weights, *slots))


def test_a_class_of_a_users_own_gets_its_slots_masked():
    class Own(keras3().optimizers.SGD):
        """Remembers what its gradients do not say."""

        def update_step(self, gradient, variable, rate):
            super().update_step(gradient + 1.0, variable, rate)

    model, masked = masked_model(Own(0.1, momentum=0.9))
    random = np.random.default_rng(0)
    masks = half(random)
    masked.set_masks(masks)
    step(model, random)
    weights, slots = of_pruned(model, masks)
    assert len(slots) == 1 and not any(own.any() for own in (weights, *slots))


def test_several_optimizers_are_made_anew_with_the_schedules_that_they_have():
    optimizers = keras3().optimizers
    rates = optimizers.schedules.CosineDecay(0.1, 10)
    own = optimizers.OptimizerMap(optimizers.SGD(rates), {".*bias": optimizers.Adam(0.25)})
    made = {type(part).__name__: part for part in parts(fresh(optimizers.MultiOptimizer(own)))}
    assert made["SGD"]._learning_rate.get_config() == rates.get_config()
    assert float(made["Adam"].learning_rate) == 0.25
