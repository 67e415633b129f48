import numpy as np
import pytest
from scipy import stats

from tfprune.reporting.statistics import (
    BETTER,
    LEVEL,
    OPEN,
    WORSE,
    bootstrap_interval,
    holm,
    outcome,
    outcomes,
    p_above,
    p_equivalent,
    p_two_sided,
    resampled_interval,
    seeds_needed,
    t_interval,
)

VALUES = np.array([-0.004, 0.001, -0.002, 0.003, -0.001, -0.003, 0.0005])


def test_intervals_and_tests_are_scipys():
    paired = stats.ttest_1samp(VALUES, 0)
    interval = paired.confidence_interval(0.95)
    assert t_interval(VALUES) == pytest.approx((VALUES.mean(), interval.low, interval.high))
    assert p_two_sided(VALUES) == pytest.approx(paired.pvalue)
    assert p_above(VALUES, -0.002) == pytest.approx(stats.ttest_1samp(VALUES, -0.002, alternative="greater").pvalue)


def test_two_one_sided_tests_take_the_worse_of_both():
    lower = stats.ttest_1samp(VALUES, -0.005, alternative="greater").pvalue
    upper = stats.ttest_1samp(VALUES, 0.005, alternative="less").pvalue
    assert p_equivalent(VALUES, 0.005) == pytest.approx(max(lower, upper)) == pytest.approx(lower)
    assert p_equivalent(VALUES + 1, 0.005) > 0.999 and p_equivalent(-VALUES, 0.005) == pytest.approx(lower)


def test_a_one_sided_test_at_its_level_is_the_bound_of_the_interval():
    low = t_interval(VALUES).low
    assert p_above(VALUES, low) == pytest.approx(LEVEL)


@pytest.mark.parametrize(("value", "above"), [(0.0, 1.0), (0.1, 0.5**5), (-0.1, 1.0)])
def test_values_that_are_all_alike_are_judged_by_how_many_they_are(value, above):
    values = np.full(5, value) * (1 + 1e-15 * np.arange(5))
    assert p_above(values, 0.0) == above and bootstrap_interval([value] * 6) == pytest.approx((value, value))
    assert p_two_sided(values) == (1.0 if value == 0 else 2 * 0.5**5)


def test_a_few_seeds_that_differ_by_one_example_each_decide_nothing():
    """33 test examples, of which a tenth differs by chance: without a true difference few comparisons decide."""
    drawn = np.random.default_rng(3).multinomial(33, (0.05, 0.9, 0.05), (4000, 2)) @ (-1 / 33, 0, 1 / 33)
    found = [outcomes({"a": own}, 0.005)["a"] for own in drawn]
    assert np.mean([own in (BETTER, WORSE) for own in found]) < 0.05
    assert outcomes({"a": [1 / 33] * 3}, 0.005) == {"a": OPEN} and outcomes({"a": [0.0] * 2}, 0.005) == {"a": OPEN}
    assert seeds_needed([1 / 33] * 3, 1 / 33) == 6 and outcomes({"a": [1 / 33] * 6}, 0.005) == {"a": BETTER}


def test_the_bootstrap_is_the_same_each_time_and_near_the_t_interval():
    many = np.random.default_rng(5).normal(0.01, 0.02, 200)
    low, high = bootstrap_interval(many)
    assert (low, high) == bootstrap_interval(many)
    assert (low, high) == pytest.approx(t_interval(many)[1:], abs=4e-4)
    assert bootstrap_interval(many[:5]) is None  # too few to resample


def test_holms_correction_on_known_values():
    # Holm's step-down by hand: sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == [] and holm([0.2]) == [0.2]


def test_seeds_that_share_rows_tell_less_of_other_rows():
    # Nadeau & Bengio: the variance of the mean is s^2 (1/n + test/train) instead of s^2 / n.
    plain, wide = t_interval(VALUES), resampled_interval(VALUES, 33 / 200)
    factor = np.sqrt((1 / 7 + 33 / 200) / (1 / 7))
    assert wide.mean == plain.mean and wide.high - wide.mean == pytest.approx(factor * (plain.high - plain.mean))


@pytest.mark.parametrize(
    ("p_values", "said"),
    [
        ((0.02, 0.0, 1.0, 1.0), "better"),
        ((0.03, 0.02, 0.98, 0.97), "non-inferior"),
        ((0.99, 0.02, 0.98, 0.001), "non-inferior"),  # lower, but by less than the margin
        ((1.0, 0.99, 0.02, 0.0), "worse"),
        ((0.99, 0.9, 0.1, 0.01), "open (lower)"),
        ((0.5, 0.03, 0.97, 0.5), "open"),
    ],
)
def test_the_outcomes(p_values, said):
    assert outcome(*p_values) == said


def test_so_many_seeds_have_that_power():
    needed = seeds_needed(VALUES, 0.005)
    deviation = VALUES.std(ddof=1)

    def power(seeds):
        bound = stats.t.ppf(0.975, seeds - 1)
        return stats.nct.sf(bound, seeds - 1, 0.005 * np.sqrt(seeds) / deviation)

    assert power(needed) >= 0.8 > power(needed - 1)
    drawn = np.random.default_rng(0).normal(0, deviation, (4000, needed))
    found = np.mean([p_above(values, -0.005) <= LEVEL for values in drawn])
    assert found == pytest.approx(power(needed), abs=0.03)


def test_more_tests_and_more_spread_need_more_seeds():
    assert seeds_needed(VALUES, 0.005, tests=10) > seeds_needed(VALUES, 0.005) > seeds_needed(VALUES, 0.01)
    assert seeds_needed([0.0, 0.0], 0.005) == 6  # all alike: as many as a sign test takes
    assert seeds_needed([-0.5, 0.5], 0.001) is None
