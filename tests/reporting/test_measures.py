"""Comparisons of tasks beside classification: in the unit of the target, where less is better."""

import numpy as np

from tfprune.cli._comparison import best_first, headline
from tfprune.reporting.comparison import columns_of, summary_of
from tfprune.reporting.measures import measure, measure_of
from tfprune.reporting.tables import answer_table, legend
from tfprune.reporting.verdicts import verdicts

FOUND = measure("regression", 20.0)
NOISE = (0.01, -0.02, 0.015, 0.0, -0.01, 0.005)


def of(method, shift, parameters):
    columns = (*columns_of(FOUND), "epochs_to_reach", "seconds_to_reach", FOUND.untuned)
    seeds = {
        str(n): dict.fromkeys(columns, 1.0) | {FOUND.column: 8.0 + n + shift + noise, "nonzero_parameters": parameters}
        for n, noise in enumerate(NOISE if shift else [0.0] * len(NOISE))
    }
    own = {"granularity": "weight", "requested_sparsity": 0.5, "task": "regression", "constant": 20.0}
    return {"method": method, "seeds": seeds, **own}


def test_a_lower_error_is_better_and_the_margin_is_in_its_unit():
    trials = {"unpruned": of("unpruned", 0, 100), "dynamic": of("dynamic", 0.04, 50)}
    trials |= {"pruned": of("pruned", 0.5, 50), "longer": of("longer", -0.5, 100)}
    summary = summary_of(trials)
    assert measure_of(summary) == FOUND and FOUND.margin == 0.1
    outcomes = {trial: own["mae"] and own["mae"]["outcome"] for trial, own in summary.items()}
    assert outcomes == {"unpruned": None, "dynamic": "non-inferior", "pruned": "worse", "longer": "better"}
    assert np.isclose(summary["pruned"]["mae"]["mean"], np.mean(NOISE) + 0.5)  # in the unit of the target
    assert list(best_first(summary)) == ["longer", "unpruned", "dynamic", "pruned"]
    assert headline(summary).startswith("Test MAE beside unpruned, 6 seeds (lower MAE is better): better: longer;")
    [smaller] = [own for own in verdicts(summary) if "smaller" in own.statement]
    assert smaller.outcome == "supported" and "a MAE that is lower, or no more than 0.1 higher" in smaller.statement
    headers, rows = answer_table(summary)
    assert headers[1:4] == ("test MAE", "- unpruned (95 %)", "at a margin of 0.1") and rows[2][1].startswith("11 ±")
    assert "The MAE is better than unpruned's, non-inferior (no more than 0.1 worse;" in legend([summary])


def test_an_error_that_is_higher_and_perhaps_within_the_margin_is_open():
    summary = summary_of({"unpruned": of("unpruned", 0, 100), "dynamic": of("dynamic", 0.1, 50)})
    assert summary["dynamic"]["mae"]["outcome"] == "open (higher)"
