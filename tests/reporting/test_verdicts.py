import numpy as np
import pytest
from scipy import stats

from tfprune.reporting.timing import KEY
from tfprune.reporting.verdicts import MARGIN, judge, verdicts


def trial(method, rows, sparsity=0.3, parameters=100, epochs=10):
    seeds = {
        str(seed): dict(zip(("epochs_to_reach", "training_time", "test_accuracy"), row, strict=True))
        for seed, row in enumerate(rows)
    }
    mean = {"nonzero_parameters": parameters, "epochs": epochs}
    return {"method": method, "requested_sparsity": sparsity, "seeds": seeds, "mean": mean}


def outcomes(dynamic, unpruned=((10, 1.0, 0.9),) * 6, lottery=((20, 2.0, 0.9),) * 6, parameters=70, ticket=20):
    summary = {"unpruned": trial("unpruned", unpruned, 0.0)}
    if lottery:
        summary["lottery"] = trial("lottery", lottery, epochs=ticket)
    summary["dynamic"] = trial("dynamic", dynamic, parameters=parameters)
    return verdicts(summary)


def test_an_interval_decides_and_its_bounds_do_not():
    assert judge(0.51, 0.9, least=0.5) == "supported" and judge(0.1, 0.49, least=0.5) == "refuted"
    assert judge(0.5, 0.9, least=0.5) == judge(0.1, 0.5, least=0.5) == "undecided"


def test_what_runs_decide_is_supported_or_refuted():
    good = [(5, 1.0 + 0.01 * n, 0.9 + 0.001 * n) for n in range(6)]
    assert [v.outcome for v in outcomes(good)] == ["supported", "by construction", "supported"]
    bad = [(None, 3.0 + 0.01 * n, 0.8 + 0.001 * n) for n in range(6)]
    assert [v.outcome for v in outcomes(bad)] == ["refuted", "by construction", "refuted"]


def test_epochs_are_judged_by_an_exact_binomial_interval():
    own = [(9, 1, 0.9)] * 5 + [(11, 1, 0.9)]
    verdict = outcomes(own)[0]
    interval = stats.binomtest(5, 6).proportion_ci(0.95)
    assert (verdict.low, verdict.high) == (interval.low, interval.high) and verdict.outcome == "undecided"
    assert verdict.evidence.startswith("earlier in 5 of 6 seeds that differ: 83 %")
    assert "needs at least" not in verdict.evidence
    assert outcomes([(9, 1, 0.9)] * 6)[0].outcome == "supported"  # 0.541 to 1


@pytest.mark.parametrize("seeds", [1, 2, 3, 4, 5])
def test_five_seeds_can_never_decide_on_epochs_and_are_told_so(seeds):
    verdict = outcomes([(9, 1, 0.9)] * seeds)[0]
    assert verdict.outcome == "undecided" and verdict.evidence.endswith("; needs at least 6 seeds that differ")


def test_never_counts_as_last_and_ties_not_at_all():
    verdict = outcomes([(10, 1, 0.9)] * 3 + [(None, 1, 0.9)] * 3)[0]
    assert verdict.evidence.startswith("earlier in 0 of 3 seeds") and "3 of 6 reach it" in verdict.evidence
    assert outcomes([(10, 1, 0.9)] * 6)[0].outcome == "undecided"


def test_a_ticket_that_trains_twice_takes_longer_by_construction():
    others = {"unpruned": [(10, time, 0.9) for time in (1.0, 1.01)], "lottery": [(20, t, 0.9) for t in (2.0, 2.02)]}
    verdict = outcomes([(10, 1.0, 0.9), (10, 1.1 * 1.01, 0.9)], **others)[1]
    assert verdict.outcome == "by construction" and verdict.statement == "dynamic takes less training time than lottery"
    assert verdict.evidence.startswith("10 epochs and 20; lottery: 0.52 x the time (0.29 to 0.96); unpruned: 1.05 x")
    reach = np.log(1.1) / 2 * stats.t.ppf(0.975, 1)
    bounds = np.exp(np.log(1.1) / 2 + np.array([-reach, reach])) / 2
    assert (verdict.low, verdict.high) == pytest.approx(tuple(bounds))


def test_nothing_is_said_of_time_where_both_train_for_as_many_epochs():
    assert [v.statement.split()[1] for v in outcomes([(10, 1, 0.9)] * 6, ticket=10)] == ["needs", "gives"]


@pytest.mark.parametrize("recorded", [True, False])
def test_times_of_networks_trained_as_one_model_have_no_interval(recorded):
    summary = {"unpruned": trial("unpruned", [(10, 1.0, 0.9)] * 6, 0.0)}
    summary["lottery"] = trial("lottery", [(20, 2.0, 0.9)] * 6, epochs=20)
    summary["dynamic"] = trial("dynamic", [(10, 1.0, 0.9)] * 3 + [(10, 1.3, 0.9)] * 3)
    for values in summary.values():
        for row in values["seeds"].values():
            row |= {KEY: {"networks": "3 as one model"}} if recorded else {}
    verdict = verdicts(summary)[1]
    assert (verdict.low, verdict.high) == (None, None)
    assert "lottery: about 0.6 x the time (no interval: 2 measurements of networks trained as one" in verdict.evidence


@pytest.mark.parametrize(
    ("shift", "outcome"),
    [(-0.8 * MARGIN, "supported"), (-1.6 * MARGIN, "refuted"), (-1.001 * MARGIN, "undecided"), (0.0, "supported")],
)
def test_a_loss_of_accuracy_within_the_margin_counts_as_none(shift, outcome):
    own = [(10, 1.0, 0.9 + shift + 0.0002 * (-1) ** n) for n in range(6)]
    assert outcomes(own)[2].outcome == outcome


def test_a_loss_that_may_be_smaller_than_the_margin_is_open():
    own = [(10, 1.0, 0.9 - MARGIN + 0.003 * (-1) ** n) for n in range(6)]  # below 0 for sure, on both sides of -0.5
    verdict = outcomes(own)[2]
    assert verdict.low < -MARGIN < verdict.high < 0 and verdict.outcome == "undecided"


def test_a_wide_interval_leaves_accuracy_undecided_and_says_how_many_seeds_would_tell():
    own = [(10, 1.0, 0.9 + 0.05 * (-1) ** n) for n in range(6)]
    verdict = outcomes(own)[2]
    assert verdict.outcome == "undecided" and verdict.evidence.endswith("; needs about 940 seeds")
    assert outcomes([(10, 1.0, 0.9)] * 6, parameters=100)[2].outcome == "refuted"  # is no smaller


def test_without_an_opponent_or_seeds_nothing_is_claimed():
    assert [v.statement.split()[1] for v in outcomes([(5, 1, 0.9)] * 6, lottery=None)] == ["needs", "gives"]
    assert [v.outcome for v in outcomes([(None, 1.0, 0.9)])] == ["undecided", "by construction", "undecided"]
    assert verdicts({"unpruned": trial("unpruned", [(1, 1, 1)])}) == []
