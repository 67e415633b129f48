import pytest

from tfprune.experiments import forecast as module
from tfprune.experiments.forecast import forecast
from tfprune.methods import METHODS
from tfprune.methods._dry_run import Training, record_steps
from tfprune.pruning.events import keep_after
from tfprune.utils.errors import ConfigError


@pytest.mark.parametrize("name", METHODS)
def test_a_rehearsal_takes_the_epochs_and_leaves_the_weights_that_a_method_says(name):
    method = METHODS[name]()
    epochs = method.phase_epochs(12)
    steps = record_steps(method, epochs)
    trainings = [step for step in steps if isinstance(step, Training)]
    assert sum(epochs - training.initial_epoch for training in trainings) == method.total_epochs(12)
    events = [event for step in steps for event in (step.events.values() if isinstance(step, Training) else [step])]
    lasting = [
        event
        for event in events
        if not isinstance(event, str) and not event.regrow_fraction and event.stability_tolerance is None
    ]
    assert keep_after(lasting, 1000) == keep_after(method.pruning_events, 1000)


def what_happens(found):
    return [(event.phase, event.epoch, event.step, event.left) for event in found.events]


def test_a_plan_counts_what_each_event_leaves_and_times_few_steps(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MEASURED_SECONDS", 0.0)
    found = forecast(tiny(method="lottery", loop="plain", epochs=30, settings={"rounds": 2, "rewind_epoch": 1}))
    assert what_happens(found) == [
        *(("dense", 30, 120, None), ("", 30, 120, 150), ("ticket 1", 1, 120, None), ("ticket 1", 30, 236, None)),
        *(("", 30, 236, 126), ("ticket 2", 1, 236, None), ("ticket 2", 30, 352, None)),
    ]
    assert found.events[2].what == "weights go back to those after epoch 1"
    assert found.prunable == 180 and found.events[1].sparsity == pytest.approx(1 - 150 / 180)
    assert (found.steps, found.steps_per_epoch, found.validations) == (352, 4, 30 + 29 + 29)
    assert found.measured_steps == 3 * 4  # an epoch a call, the first of which compiled
    training = 352 * found.step_seconds + 88 * found.validation_seconds
    assert found.seconds == pytest.approx(found.start_seconds + training)
    assert min(found.start_seconds, found.step_seconds, found.validation_seconds) > 0
    assert found.memory["main memory"] > found.data.train.x.nbytes
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_a_pattern_counts_what_that_leaves(tiny, monkeypatch):
    monkeypatch.setattr(module, "MEASURED_SECONDS", 0.0)
    every = forecast(tiny(granularity="n:m", epochs=6))
    assert every.prunable == 180 and [event.left for event in every.events] == [135, 90, None]  # 3 of 4, then 2


def test_a_plan_of_filters_counts_filters(tiny):
    changes = {"granularity": "filter", "channel_settings": {"multiple": 2}}
    found = forecast(tiny(**changes))
    assert what_happens(found) == [("train", 2, 8, 10), ("train", 4, 16, 8), ("train", 6, 24, None)]
    assert found.prunable == 12
    assert {path.name for path in found.files} >= {"channels.json", "model"}


def test_a_dry_run_is_of_one_process(tiny):
    with pytest.raises(ConfigError, match="a dry run measures in one process; leave --strategy multiworker out"):
        forecast(tiny(strategy="multiworker"))
