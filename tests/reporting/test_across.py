import numpy as np
import pytest
from scipy import stats

from tfprune.reporting.across import across, critical_difference, performance_profile, signed_rank_posterior


def summary(differences, seeds=8, trials=("unpruned", "a", "b"), level=0.9):
    """A comparison in which each trial has its difference to the baseline, alternating about it."""
    values = {}
    for trial, difference in zip(trials, (0.0, *differences), strict=True):
        rows = {
            str(seed): {
                "test_accuracy": level + difference + 0.01 * seed / seeds + 0.001 * (-1) ** seed * (trial != "unpruned")
            }
            for seed in range(seeds)
        }
        mean = {"test_accuracy": float(np.mean([row["test_accuracy"] for row in rows.values()]))}
        values[trial] = {"seeds": rows, "mean": mean}
    return values


DIFFERENCES = {f"table {n}": (-0.02 + 0.002 * n, 0.001 * (n - 3)) for n in range(8)}


@pytest.fixture(scope="module")
def found():
    return across({name: summary(own) for name, own in DIFFERENCES.items()})


def test_the_data_set_is_the_unit(found):
    a = [own[0] for own in DIFFERENCES.values()]
    assert list(found.trials["a"].differences.values()) == pytest.approx(a)
    interval = stats.ttest_1samp(a, 0).confidence_interval(0.95)
    assert found.trials["a"].mean == pytest.approx((np.mean(a), interval.low, interval.high))
    assert found.trials["a"].counts == (0, 0, 8) and found.trials["b"].counts == (0, 8, 0)


def test_signed_rank_tests_are_scipys_and_corrected_for_the_number_of_methods(found):
    a, b = found.trials["a"], found.trials["b"]
    assert a.p_signed_rank == stats.wilcoxon([own[0] for own in DIFFERENCES.values()]).pvalue == 2 / 2**8
    assert a.p_holm == 2 * a.p_signed_rank and b.p_holm == max(b.p_signed_rank, a.p_holm)


def test_fewer_than_six_data_sets_have_no_signed_rank_test():
    few = across({f"table {n}": summary((-0.02, 0.0)) for n in range(5)})
    assert few.trials["a"].p_signed_rank is None and few.trials["a"].p_holm is None
    assert few.trials["a"].posterior[2] > 0.9


def test_ranks_are_means_over_data_sets_with_friedman_and_nemenyi(found):
    # b is below unpruned on tables 0 to 2, level on 3 but for rounding, and above on 4 to 7; a is last but where b is.
    assert found.ranks["a"] == pytest.approx(np.mean([3] * 8)) and sum(found.ranks.values()) == pytest.approx(6)
    assert found.ranks["b"] in (pytest.approx(11 / 8), pytest.approx(11.5 / 8), pytest.approx(12 / 8))
    assert found.p_friedman < 0.01
    assert found.critical_difference == pytest.approx(
        2.343 * np.sqrt(3 * 4 / (6 * 8)), abs=1e-3
    )  # Demšar 2006, table 5


@pytest.mark.parametrize(("trials", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_the_table(trials, q):
    assert critical_difference(trials, 12) == pytest.approx(q * np.sqrt(trials * (trials + 1) / 72), abs=2e-3)


def test_the_posterior_is_that_of_baycomp():
    # baycomp 1.0.3: SignedRankTest.probs(zeros, differences, 0.005, random_state=1), left to right.
    differences = np.random.default_rng(3).normal(-0.004, 0.008, 26)
    assert signed_rank_posterior(differences, 0.005) == pytest.approx((0.00366, 0.36986, 0.62648), abs=0.01)


def test_the_posterior_of_what_is_beyond_doubt():
    assert signed_rank_posterior([0.1] * 20, 0.005)[0] > 0.999
    assert signed_rank_posterior([0.0] * 20, 0.005)[1] == 1.0
    assert signed_rank_posterior([-0.1] * 20, 0.005)[2] > 0.999


def test_the_probability_of_improvement_is_that_of_mann_and_whitney(found):
    name = "table 2"
    one = across({name: summary(DIFFERENCES[name]), "copy": summary(DIFFERENCES[name])})
    own, other = (
        [row["test_accuracy"] for row in summary(DIFFERENCES[name])[trial]["seeds"].values()]
        for trial in ("b", "unpruned")
    )
    expected = stats.mannwhitneyu(own, other).statistic / 64
    improvement = one.trials["b"].improvement
    assert improvement.mean == pytest.approx(expected) and improvement.low <= expected <= improvement.high
    assert found.trials["a"].improvement.mean < 0.2


def test_the_interquartile_mean_leaves_a_quarter_out_at_each_end(found):
    everything = np.concatenate(list(found.trials["a"].runs.values()))
    iqm = found.trials["a"].iqm
    assert iqm.mean == pytest.approx(np.sort(everything)[16:48].mean()) and iqm.low < iqm.mean < iqm.high


def test_a_profile_counts_runs_above_a_level_data_set_by_data_set():
    assert performance_profile({"x": [0.0, 0.1, 0.2, 0.3], "y": [0.2]}, [-1, 0.1, 0.2, 1]) == [1.0, 0.75, 0.125, 0.0]


def test_trials_that_a_data_set_lacks_are_named_and_left_out():
    full, part = summary((0.0, 0.1)), summary((0.0,), trials=("unpruned", "a"))
    found = across({"one": full, "two": part})
    assert list(found.trials) == ["a"] and found.left_out == ["b"] and found.critical_difference is None
    assert across({"one": full}) is None
    assert across({"one": full, "two": {"unpruned": full["unpruned"]}}) is None
    assert across({"one": full, "two": {"a": full["a"]}}) is None  # without a baseline


def test_ranks_are_by_the_seeds_that_all_trials_have():
    tables = {name: summary(own) for name, own in DIFFERENCES.items()}
    for own in tables.values():
        low = own["a"]["seeds"].pop("7")["test_accuracy"]
        rows = [row["test_accuracy"] for row in own["a"]["seeds"].values()]
        own["a"]["mean"] = {"test_accuracy": float(np.mean(rows))}
        own["unpruned"]["seeds"]["7"] = own["b"]["seeds"]["7"] = {"test_accuracy": low - 0.9}
        for trial in ("unpruned", "b"):
            rows = [row["test_accuracy"] for row in own[trial]["seeds"].values()]
            own[trial]["mean"] = {"test_accuracy": float(np.mean(rows))}
    found = across(tables)
    assert all(difference < 0 for difference in found.trials["a"].differences.values())
    assert found.ranks["a"] == max(found.ranks.values())


def test_means_that_differ_by_the_order_of_their_sum_alone_are_tied():
    values = [0.1, 0.2, 0.3]
    assert sum(values) != sum(reversed(values))

    def rows(own):
        each = {str(seed): {"test_accuracy": value} for seed, value in enumerate(own)}
        return {"seeds": each, "mean": {"test_accuracy": sum(own) / 3}}

    trials = {"unpruned": rows(values), "a": rows(values[::-1]), "b": rows([0.0, 0.0, 0.0])}
    found = across({name: trials for name in ("one", "two")})
    assert found.ranks == {"unpruned": 1.5, "a": 1.5, "b": 3.0}
