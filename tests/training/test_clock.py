from types import SimpleNamespace

import pytest

from tfprune.training.clock import Clock


@pytest.fixture
def clock(monkeypatch):
    """A clock whose `now` is set by hand; two cores are busy all the time."""
    own = Clock()
    own.now = 0.0
    times = SimpleNamespace(perf_counter=lambda: own.now, process_time=lambda: 2 * own.now)
    monkeypatch.setattr("tfprune.training.clock.time", times)
    return own


def test_what_a_part_within_takes_down_counts_once(clock):
    with clock.timed("dense"):
        clock.now = 3.0
        with clock.timed("compile"):
            clock.now = 5.0
        clock.now = 6.0
    with clock.timed("dense"):
        clock.now = 7.0
        assert clock.took() == [5.0, 10.0]
    assert clock.seconds == {"dense": 5.0, "compile": 2.0}
    assert clock.cpu_seconds == {"dense": 10.0, "compile": 4.0}


def test_what_is_owed_is_added_once(clock):
    with clock.timed("dense"):
        clock.owe(1.5, 2.5)
        clock.now = 1.0
    clock.settle("compile")
    clock.settle("compile")
    assert clock.seconds == {"dense": 1.0, "compile": 1.5}
    assert clock.cpu_seconds == {"dense": 2.0, "compile": 2.5}
