import dataclasses

import pytest
from written import write_runs

from tfprune.experiments.results import find_results
from tfprune.reporting.across_tables import across_notes, across_sections, across_tables, as_json
from tfprune.reporting.figures.across import across_panels, groups_within
from tfprune.reporting.made import Made
from tfprune.reporting.pages import writer_for
from tfprune.reporting.report import sections

MADE = Made("tfprune report runs --out r.html", "2026-11-29 05:00 UTC", "0.1.0")

METHODS = ("unpruned", "pruned", "dynamic")


def report(folder, datasets=("penguins", "flowers", "cifar10"), methods=METHODS):
    for dataset in datasets:
        write_runs(folder, methods, 3, dataset=dataset)
    return sections(find_results([folder])[0])


def test_several_data_sets_are_set_side_by_side(tmp_path):
    found, reason = across_sections(report(tmp_path))
    assert reason is None and found.datasets == ["cifar10", "flowers", "penguins"]
    answer, tests, each = across_tables(found)
    assert [len(headers) for headers, _ in (answer, tests, each)] == [6, 4, 3]
    assert all(len(row) == len(headers) for headers, rows in (answer, tests, each) for row in rows)
    # The loss of pruned is 0.04 higher, of dynamic 0.02, and the accuracy lower by a tenth of that: 0.4, 0.2 points.
    assert answer[1][1][:3] == ("pruned", "0 / 3 / 0", "-0.40 (-0.40 to -0.40)")
    assert each[1][0] == ("cifar10", "-0.40", "-0.20") and answer[1][0][-1] == "1.00"
    few, ranks = across_notes(found)[1:]
    assert few == "The signed-rank test needs at least 6 data sets."
    assert ranks.startswith("Friedman's test of equal ranks: p = 0.050.") and "1.91 apart" in ranks
    assert as_json(found)["trials"]["dynamic"]["counts"] == (0, 3, 0)


def test_one_data_set_and_two_comparisons_of_one_are_not(tmp_path):
    assert across_sections(report(tmp_path / "one", ("penguins",))) == (None, None)
    write_runs(tmp_path / "two", METHODS, 2, epochs=24)
    write_runs(tmp_path / "two", METHODS, 2)
    assert across_sections(sections(find_results([tmp_path / "two"])[0])) == (None, None)
    report(tmp_path / "both", ("flowers", "penguins"))
    write_runs(tmp_path / "both", METHODS, 2, epochs=24)
    found, reason = across_sections(sections(find_results([tmp_path / "both"])[0]))
    assert found is None and "penguins has several comparisons" in reason


def test_without_a_method_in_common_the_reason_is_given(tmp_path):
    write_runs(tmp_path, ("unpruned", "pruned"), 2)
    write_runs(tmp_path, ("unpruned", "dynamic"), 2, dataset="flowers")
    found, reason = across_sections(sections(find_results([tmp_path])[0]))
    assert found is None and reason == "Over data sets: no method has seeds in common with unpruned on each data set."


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        (("regression", "regression"), "their metric is no share of examples: MAE."),
        (("regression", "multilabel"), "their metrics differ: MAE, macro F1."),
    ],
)
def test_metrics_that_cannot_be_set_side_by_side_are_named(tmp_path, tasks, reason):
    own = [
        dataclasses.replace(section, summary={trial: {**v, "task": task} for trial, v in section.summary.items()})
        for section, task in zip(report(tmp_path, ("penguins", "flowers")), tasks, strict=True)
    ]
    assert across_sections(own) == (None, f"Over data sets: {reason}")


def test_every_kind_of_report_has_it(tmp_path):
    own = report(tmp_path / "runs")
    for name in ("report.html", "report.md", "report.json"):
        path = tmp_path / name
        assert path in writer_for(path)(own, path, MADE)
        text = path.read_text()
        assert ("Over data sets" if name != "report.json" else '"across"') in text
    assert (tmp_path / "report_files" / "across.png").stat().st_size > 10_000
    assert len(own) == 3


def test_methods_that_cannot_be_told_apart_are_joined_by_the_longest_bars():
    ranks = {"a": 1.0, "b": 1.5, "c": 1.9, "d": 2.8}
    assert groups_within(ranks, 1.0) == [(1.0, 1.9), (1.9, 2.8)]
    assert groups_within(ranks, 0.3) == [] and groups_within(ranks, 5) == [(1.0, 2.8)]


def test_panels_say_what_they_show(tmp_path):
    found, _ = across_sections(report(tmp_path))
    ranks, profile = across_panels(found)
    assert ranks.alt.startswith("Mean ranks: unpruned 1.00, dynamic 2.00, pruned 3.00")
    assert profile.alt.endswith("above 0: pruned 0.00, dynamic 0.00.")
