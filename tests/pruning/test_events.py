import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfprune.pruning.events import Criterion, PruningEvent, geometric, keep_after, nominal_sparsity
from tfprune.utils.errors import ConfigError


def test_the_class_projects_two_events_take_24_and_20_of_144_and_6_and_5_of_36():
    event = PruningEvent(rate=0.17)
    assert [144 - keep_after([event] * n, 144) for n in (1, 2)] == [24, 44]
    assert [36 - keep_after([event] * n, 36) for n in (1, 2)] == [6, 11]


def test_thirty_percent_takes_43_of_144_and_11_of_36():
    assert 144 - PruningEvent(sparsity=0.3).keep(144, 144) == 43
    assert 36 - PruningEvent(sparsity=0.3).keep(36, 36) == 11


@pytest.mark.parametrize("event", [PruningEvent(sparsity=0.99), PruningEvent(rate=0.99)])
def test_a_kernel_never_loses_its_last_weight(event):
    assert event.keep(3, 3) == 1


def test_a_lower_sparsity_than_there_is_revives_nothing():
    assert PruningEvent(sparsity=0.1).keep(size=10, alive=4) == 4


@pytest.mark.parametrize("arguments", [{}, {"sparsity": 0.1, "rate": 0.1}])
def test_a_cut_has_exactly_one_measure(arguments):
    with pytest.raises(ConfigError, match="either a sparsity or a rate"):
        PruningEvent(**arguments)


def test_nominal_sparsity_compounds_rates_and_repeats_a_sparsity_to_the_digit():
    assert nominal_sparsity([]) == 0
    assert nominal_sparsity([PruningEvent(sparsity=0.3)]) == 0.3
    assert nominal_sparsity([PruningEvent(rate=0.5), PruningEvent(rate=0.5)]) == 0.75


@given(st.floats(0, 0.99), st.integers(1, 10), st.integers(1, 10_000))
def test_geometric_cuts_arrive_at_the_final_count_to_one_weight(final, steps, size):
    events = geometric(final, steps)
    assert len(events) == steps
    assert keep_after(events, size) == keep_after([PruningEvent(sparsity=final)], size)


def test_checkpoints_keep_the_names_that_the_fields_of_events_had():
    event = PruningEvent(rate=0.1, regrow_fraction=0.2, stability_tolerance=0.3, criterion=Criterion("snip"))
    stored = event.to_dict()
    assert set(stored) == {"sparsity", "rate", "criterion", "regrown", "growth", "settled"}
    assert (stored["regrown"], stored["settled"], stored["criterion"]["name"]) == (0.2, 0.3, "snip")
    assert PruningEvent.from_dict(stored) == event
