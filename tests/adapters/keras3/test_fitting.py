"""What runs ask of Keras 3 beside masks."""

import math

import numpy as np
import pytest

from tfprune.adapters.backend import keras3
from tfprune.adapters.keras3 import fitting
from tfprune.data.objectives.classification import CLASSIFICATION

keras = keras3()
COMMON = {"warmup_steps": 4, "total_steps": 24}


def at(schedule, step):
    return float(keras.ops.convert_to_numpy(schedule(keras.ops.convert_to_tensor(step))))


def test_a_constant_rate_is_a_number_and_moves_if_it_has_to():
    assert fitting.learning_rate("constant", 0.1, warmup_steps=0, total_steps=9) == 0.1
    cut = fitting.learning_rate("constant", 0.1, warmup_steps=0, total_steps=9, factors={3: 0.5, 6: 0.5})
    assert [round(at(cut, step), 6) for step in (0, 2, 3, 5, 6, 8)] == [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]


def test_the_rate_rises_and_falls_over_the_run_wherever_a_training_begins():
    whole = fitting.learning_rate("cosine", 0.2, **COMMON)
    assert [round(at(whole, step), 6) for step in range(4)] == [0.05, 0.1, 0.15, 0.2]
    assert at(whole, 14) == pytest.approx(0.2 * 0.5 * (1 + math.cos(math.pi * 10 / 20)))
    assert at(whole, 24) == pytest.approx(0.0, abs=1e-7)
    later = fitting.learning_rate("cosine", 0.2, **COMMON, first_step=10)
    assert at(later, 4) == pytest.approx(at(whole, 14))
    still = fitting.learning_rate("cosine", 0.2, **COMMON, first_step=10, moves=False)
    assert at(still, 9) == at(still, 0) == pytest.approx(at(whole, 10))


def test_steps_divide_by_ten_at_a_half_and_at_three_quarters():
    rate = fitting.learning_rate("steps", 1.0, warmup_steps=0, total_steps=8)
    assert [round(at(rate, step), 6) for step in (0, 3, 4, 5, 6, 7)] == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]


def model():
    layers = keras.layers
    return keras.Sequential(
        [layers.Input((6,)), layers.Dense(4, name="a"), layers.Dropout(0.5), layers.Dense(3, dtype="float32", name="b")]
    )


def test_what_is_drawn_is_set_by_the_seeds_alone():
    net, x = model(), np.ones((8, 6), np.float32)
    seeds = range(len(fitting.seed_generators(net)))
    answers = []
    for shift in (0, 0, 100):
        fitting.reseed(net, [shift + seed for seed in seeds])
        answers.append(keras.ops.convert_to_numpy(net(x, training=True)))
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_precision_is_put_on_and_taken_off():
    net = model()
    fitting.use_precision(net, "mixed_bfloat16")
    assert [layer.compute_dtype for layer in net.layers if layer.weights] == ["bfloat16", "bfloat16"]
    fitting.restore_precision(net, "mixed_bfloat16")
    assert {layer.compute_dtype for layer in net.layers} == {"float32"}


def test_the_state_is_all_that_a_training_changes():
    net = model()
    metrics = CLASSIFICATION.compiled_metrics(keras)
    fitting.compile_for(net, CLASSIFICATION.loss(keras), metrics, "Adam", 0.01, {}, xla=False)
    x, y = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32), np.arange(8) % 3
    before = fitting.state_of(net, in_epoch=False)
    assert {name.split("/")[0] for name in before} == {"weight", "optimizer"}
    net.fit(x, y, verbose=0)
    after = fitting.state_of(net, in_epoch=True)
    assert {name.split("/")[0] for name in after} == {"weight", "optimizer", "metric", "draw"}
    changed = [name for name, value in before.items() if not np.array_equal(value, after[name])]
    assert len(changed) >= 4 + 8 + 1  # weights, two slots of each, the number of steps
