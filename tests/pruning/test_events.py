import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfprune.pruning.events import Cut, geometric, keep_after, nominal_sparsity
from tfprune.utils.errors import ConfigError


def test_the_class_projects_two_events_take_24_and_20_of_144_and_6_and_5_of_36():
    cut = Cut(rate=0.17)
    assert [144 - keep_after([cut] * n, 144) for n in (1, 2)] == [24, 44]
    assert [36 - keep_after([cut] * n, 36) for n in (1, 2)] == [6, 11]


def test_thirty_percent_takes_43_of_144_and_11_of_36():
    assert 144 - Cut(sparsity=0.3).keep(144, 144) == 43
    assert 36 - Cut(sparsity=0.3).keep(36, 36) == 11


@pytest.mark.parametrize("cut", [Cut(sparsity=0.99), Cut(rate=0.99)])
def test_a_kernel_never_loses_its_last_weight(cut):
    assert cut.keep(3, 3) == 1


def test_a_lower_sparsity_than_there_is_revives_nothing():
    assert Cut(sparsity=0.1).keep(size=10, alive=4) == 4


@pytest.mark.parametrize("arguments", [{}, {"sparsity": 0.1, "rate": 0.1}])
def test_a_cut_has_exactly_one_measure(arguments):
    with pytest.raises(ConfigError, match="either a sparsity or a rate"):
        Cut(**arguments)


def test_nominal_sparsity_compounds_rates_and_repeats_a_sparsity_to_the_digit():
    assert nominal_sparsity([]) == 0
    assert nominal_sparsity([Cut(sparsity=0.3)]) == 0.3
    assert nominal_sparsity([Cut(rate=0.5), Cut(rate=0.5)]) == 0.75


@given(st.floats(0, 0.99), st.integers(1, 10), st.integers(1, 10_000))
def test_geometric_cuts_arrive_at_the_final_count_to_one_weight(final, steps, size):
    cuts = geometric(final, steps)
    assert len(cuts) == steps
    assert keep_after(cuts, size) == keep_after([Cut(sparsity=final)], size)
