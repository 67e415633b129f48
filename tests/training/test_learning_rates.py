import numpy as np
import pytest

from tfprune.adapters.backend import tf
from tfprune.experiments.building import build, load_data
from tfprune.training.learning_rates import LEARNING_RATE_SCHEDULES, build_learning_rate
from tfprune.training.trainer import Trainer


def rates(name, steps, **options):
    schedule = build_learning_rate(name, 0.8, **{"warmup_steps": 0, "total_steps": 100} | options)
    return [float(schedule(np.int64(step)) if callable(schedule) else schedule) for step in steps]


def test_constant_stays():
    assert build_learning_rate("constant", 0.8, warmup_steps=0, total_steps=100) == 0.8


def test_cosine_falls_to_zero():
    np.testing.assert_allclose(rates("cosine", [0, 25, 50, 100]), [0.8, 0.4 * (1 + 0.5**0.5), 0.4, 0], atol=1e-6)


def test_steps_divide_by_ten_at_half_and_three_quarters():
    np.testing.assert_allclose(rates("steps", [0, 49, 50, 74, 75, 99]), [0.8, 0.8, 0.08, 0.08, 0.008, 0.008], rtol=1e-5)


@pytest.mark.parametrize("name", LEARNING_RATE_SCHEDULES)
def test_the_warm_up_rises_to_the_peak_and_then_the_schedule_begins(name):
    values = rates(name, range(11), warmup_steps=10)
    np.testing.assert_allclose(values[:10], [0.08 * (step + 1) for step in range(10)], rtol=1e-5)
    assert values[10] == pytest.approx(0.8)


@pytest.mark.parametrize("name", LEARNING_RATE_SCHEDULES)
def test_a_rewound_training_goes_on_from_its_place_in_the_run(name):
    options = {"warmup_steps": 10, "total_steps": 100}
    np.testing.assert_allclose(rates(name, [0, 5, 39], first_step=60, **options), rates(name, [60, 65, 99], **options))


def test_a_scale_multiplies_at_any_time():
    scale = tf.Variable(1.0)
    for warmup_steps in (0, 4):
        rate = build_learning_rate("constant", 0.2, warmup_steps=warmup_steps, total_steps=20, scale=scale.assign(1.0))
        assert float(rate(10)) == pytest.approx(0.2)
        scale.assign(0.5)
        assert float(rate(10)) == pytest.approx(0.1)


@pytest.mark.parametrize("loop", ["plain", "fused"])
def test_events_of_dynamic_pruning_change_it_for_the_rest_of_the_training(tiny, loop):
    config = tiny("dynamic", settings={"rate_factor": 0.5}, loop=loop)
    trainer = Trainer(build(config, data := load_data(config)), data, config)
    config.pruning.run(trainer)
    rate = trainer.model.optimizer.learning_rate
    assert float(rate if not callable(rate) else rate(0)) == pytest.approx(config.learning_rate * 0.25)
    trainer.fit("again")
    rate = trainer.model.optimizer.learning_rate
    assert float(rate if not callable(rate) else rate(0)) == pytest.approx(config.learning_rate)
