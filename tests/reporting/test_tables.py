import pytest
from written import write_runs

from tfprune.experiments.results import find_results
from tfprune.reporting.comparison import RATIOS, by_trial
from tfprune.reporting.tables import (
    answer_table,
    comparison_table,
    latex_table,
    layer_sparsities,
    layer_table,
    levels_table,
    significance_table,
    trade_table,
    update_page,
)
from tfprune.utils.errors import RunError


def test_the_table_gives_means_deviations_and_ratios():
    mean = {"test_loss": 0.5, "test_accuracy": 0.9, "sparsity": 0.3, "nonzero_parameters": 1400.0}
    mean |= {"weights_gzip": 9000, "epochs": 4000}
    one = {"seeds": {"0": {}}, "mean": mean, "sd": dict.fromkeys(mean), "ratio": dict.fromkeys(RATIOS), "delta": None}
    one["untuned_accuracy"] = None
    two = {"seeds": {"0": {}, "1": {}}, "mean": mean, "sd": dict.fromkeys(mean, 0.01)}
    two |= {"ratio": dict.fromkeys(RATIOS, 1.5)}
    two["delta"] = {"mean": 0.1, "low": -0.01, "high": 0.2, "p_holm": 0.0412}
    headers, rows = comparison_table({"a": one, "b": two})
    assert len(headers) == len(rows[0]) == len(rows[1])
    assert rows[0] == ("a", "1", "0.5000", "", "", "90.0 %", "30.0 %", "1,400", "9.0", "4,000", "")
    assert rows[1][2:5] == ("0.5000 ± 0.0100", "+0.1000 (-0.0100 to +0.2000)", "0.041")
    assert rows[1][5] == "90.0 ± 1.0 %" and rows[1][-1] == "1.50"
    stacked = {str(n): {"training_time": 0.5, "timing": {"networks": "2 as one model"}} for n in range(2)}
    assert comparison_table({"b": two | {"seeds": stacked}})[1][0][-1] == "about 1.5"
    left = {"nonzero_parameters": 0.25, "forward_flops_masked": 0.2, "training_flops_masked": 0.7}
    two |= {"ratio": left, "untuned_accuracy": 0.5}
    headers, rows = trade_table({"a": one, "b": two})
    assert len(headers) == len(rows[0]) and rows[0] == ("a", "", "", "", "90.0 %", "")
    assert rows[1] == ("b", "4.0 x", "5.0 x", "0.70", "90.0 ± 1.0 %", "50.0 %")


def test_an_overview_has_a_column_a_sparsity():
    own = {"mean": {"test_accuracy": 0.9}, "sd": {"test_accuracy": None}, "delta": None}
    delta = {"delta": {"mean": 0.1, "low": -0.01, "high": 0.2}}
    levels = {"dynamic 50 %": 0.5, "dynamic 87.5 %": 0.875, "lottery 50 % rounds=2": 0.5}
    summary = {"unpruned": own | {"requested_sparsity": 0.0}}
    summary |= {trial: own | delta | {"requested_sparsity": level} for trial, level in levels.items()}
    headers, rows = levels_table(summary)
    cell = "90.0 %, loss +0.100 (-0.010 to +0.200)"
    assert headers == ("method", "50 % zeros", "87.5 % zeros")
    assert rows == [("unpruned", "90.0 %", ""), ("dynamic", cell, cell), ("lottery rounds=2", cell, "")]
    summary |= {"lottery 0 % rounds=2": own | {"requested_sparsity": 0.0}}
    headers, rows = levels_table(summary)
    assert headers == ("method", "0 % zeros", "50 % zeros", "87.5 % zeros")
    assert rows[0] == ("unpruned", "90.0 %", "", "") and rows[-1] == ("lottery rounds=2", "90.0 %", cell, "")
    nothing = {name: own | {"requested_sparsity": 0.0} for name in ("unpruned", "longer")}
    assert levels_table(nothing)[1] == [("unpruned", "90.0 %"), ("longer", "90.0 %")]


def test_a_page_without_marks_is_named(tmp_path):
    (tmp_path / "page.md").write_text("# Page\n<!-- results -->\n")
    for name, message in (("page.md", "has no <!-- results -->"), ("absent.md", "cannot be read")):
        with pytest.raises(RunError, match=message):
            update_page(tmp_path / name, "results", "table")
    assert (tmp_path / "page.md").read_text() == "# Page\n<!-- results -->\n"


def test_sparsity_per_layer_is_the_mean_over_seeds(tmp_path):
    own = {"a|b": {"zeros": 0, "size": 10}}
    write_runs(tmp_path, ("unpruned",), 1, metrics={"sparsity": {"achieved": 0.0, "layers": own}})
    write_runs(tmp_path, ("pruned",), 2)
    results, _ = find_results([tmp_path])
    metrics = results[0].metrics["sparsity"]
    metrics["achieved"], metrics["layers"]["dense_2/kernel"]["zeros"] = 0.5, 29
    trials = by_trial(results)
    assert layer_sparsities(trials) == {
        "dense_1/kernel": {"pruned": pytest.approx(43 / 144), "unpruned": None},
        "dense_2/kernel": {"pruned": pytest.approx((29 + 11) / 72), "unpruned": None},
        "a|b": {"pruned": None, "unpruned": 0.0},
        "all": {"pruned": pytest.approx(0.4), "unpruned": 0.0},
    }
    headers, rows = layer_table(trials)
    assert headers == ("kernel", "pruned", "unpruned")
    assert rows[0] == ("dense_1/kernel", "29.9 %", "") and rows[-1] == ("all", "40.0 %", "0.0 %")


def accuracy(outcome, needed, seeds=5):
    found = {"mean": -0.0018, "low": -0.003, "high": -0.0005, "bootstrap": None, "seeds": seeds, "outcome": outcome}
    tests = ("better", "non_inferior", "worse", "equivalent")
    return found | {"seeds_needed": needed} | {f"p_{name}_holm": 0.0004 for name in tests}


@pytest.mark.parametrize(
    ("outcome", "needed", "said"),
    [
        ("non-inferior", 4, "non-inferior"),
        ("open", 4, "open"),  # as many are there
        ("open", 7, "open; needs about 7 seeds"),
        ("open (lower)", 1234, "open (lower); needs about 1,200 seeds"),
        ("open", None, "open; needs more seeds than can be had"),
    ],
)
def test_the_answer_has_six_columns_and_says_what_would_tell(outcome, needed, said):
    mean, sd = {"test_accuracy": 0.9, "nonzero_parameters": 1400.0, "epochs": 20.0}, {"test_accuracy": 0.002}
    summary = {"dynamic": {"mean": mean, "sd": sd, "accuracy": accuracy(outcome, needed)}}
    headers, [row] = answer_table(summary)
    assert len(headers) == 6
    assert row == ("dynamic", "90.0 ± 0.2 %", "-0.18 (-0.30 to -0.05)", said, "1,400", "20")
    headers, [row] = significance_table(summary)
    assert row == ("dynamic", "5", "-0.18", "-0.30 to -0.05", "", *["< 0.001"] * 4, said)
    assert len(headers) == len(row)


def test_latex_holds_whatever_a_cell_holds():
    rows = [("x & y_1", "1.0 ± 0.2 %"), (("p", "{q}"), "\\input{/etc/passwd}")]
    text = latex_table((("a_b", "c"), rows), "50 % of A & B")
    assert text.startswith("\\begin{table}\n\\centering\n\\caption{50 \\% of A \\& B}\n\\begin{tabular}{ll}\n")
    assert r"x \& y\_1" in text and r"1.0 $\pm$ 0.2 \%" in text and r"p, \{q\}" in text and r"a\_b" in text
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert text.endswith("\\bottomrule\n\\end{tabular}\n\\end{table}")
