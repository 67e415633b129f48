import pytest
from scipy import stats

from tfprune.reporting.verdicts import MARGIN, judge, verdicts


def trial(method, rows, sparsity=0.3, parameters=100):
    seeds = {
        str(seed): dict(zip(("epochs_to_reach", "training_time", "test_accuracy"), row, strict=True))
        for seed, row in enumerate(rows)
    }
    mean = {"nonzero_parameters": parameters}
    return {"method": method, "requested_sparsity": sparsity, "seeds": seeds, "mean": mean}


def outcomes(dynamic, unpruned=((10, 1.0, 0.9),) * 6, lottery=((20, 2.0, 0.9),) * 6, parameters=70):
    summary = {"unpruned": trial("unpruned", unpruned, 0.0)}
    if lottery:
        summary["lottery"] = trial("lottery", lottery)
    summary["dynamic"] = trial("dynamic", dynamic, parameters=parameters)
    return verdicts(summary)


def test_an_interval_decides_and_its_bounds_do_not():
    assert judge(0.51, 0.9, least=0.5) == "supported" and judge(0.1, 0.49, least=0.5) == "refuted"
    assert judge(0.5, 0.9, least=0.5) == judge(0.1, 0.5, least=0.5) == "undecided"


def test_all_three_are_supported_and_all_three_refuted():
    good = [(5, 1.0 + 0.01 * n, 0.9 + 0.001 * n) for n in range(6)]
    assert [v.outcome for v in outcomes(good)] == ["supported"] * 3
    bad = [(None, 3.0 + 0.01 * n, 0.8 + 0.001 * n) for n in range(6)]
    assert [v.outcome for v in outcomes(bad)] == ["refuted"] * 3


def test_epochs_are_judged_by_an_exact_binomial_interval():
    own = [(9, 1, 0.9)] * 5 + [(11, 1, 0.9)]
    verdict = outcomes(own)[0]
    interval = stats.binomtest(5, 6).proportion_ci(0.95)
    assert (verdict.low, verdict.high) == (interval.low, interval.high) and verdict.outcome == "undecided"
    assert verdict.evidence.startswith("earlier in 5 of 6 seeds that differ: 83 %")
    assert outcomes([(9, 1, 0.9)] * 5)[0].outcome == "undecided"  # 0.478 to 1
    assert outcomes([(9, 1, 0.9)] * 6)[0].outcome == "supported"  # 0.541 to 1


def test_never_counts_as_last_and_ties_not_at_all():
    verdict = outcomes([(10, 1, 0.9)] * 3 + [(None, 1, 0.9)] * 3)[0]
    assert verdict.evidence.startswith("earlier in 0 of 3 seeds") and "3 of 6 reach it" in verdict.evidence
    assert outcomes([(10, 1, 0.9)] * 6)[0].outcome == "undecided"


def test_times_are_judged_by_their_geometric_mean():
    verdict = outcomes([(10, 1.0, 0.9), (10, 4.0, 0.9)])[1]
    assert verdict.evidence.startswith("1.00 x the time") and verdict.outcome == "undecided"


@pytest.mark.parametrize(
    ("shift", "outcome"), [(-0.8 * MARGIN, "supported"), (-1.6 * MARGIN, "refuted"), (-1.001 * MARGIN, "refuted")]
)
def test_a_loss_of_accuracy_within_the_margin_counts_as_none(shift, outcome):
    own = [(10, 1.0, 0.9 + shift + 0.0002 * (-1) ** n) for n in range(6)]
    assert outcomes(own)[2].outcome == outcome


def test_a_wide_interval_leaves_accuracy_undecided_and_a_network_that_is_no_smaller_refutes():
    own = [(10, 1.0, 0.9 + 0.05 * (-1) ** n) for n in range(6)]
    assert outcomes(own)[2].outcome == "undecided"
    assert outcomes([(10, 1.0, 0.9)] * 6, parameters=100)[2].outcome == "refuted"


def test_without_an_opponent_or_seeds_nothing_is_claimed():
    assert [v.statement.split()[1] for v in outcomes([(5, 1, 0.9)] * 6, lottery=None)] == ["needs", "gives"]
    assert {v.outcome for v in outcomes([(None, 1.0, 0.9)])} == {"undecided"}
    assert verdicts({"unpruned": trial("unpruned", [(1, 1, 1)])}) == []
