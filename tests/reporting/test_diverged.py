import csv
import math

import pytest
from own_files import write_rows
from written import write_run, write_runs

from tfprune.experiments.results import find_results
from tfprune.experiments.rundir import RunDir
from tfprune.reporting.comparison import remarks
from tfprune.reporting.diverged import find_diverged
from tfprune.reporting.made import Made
from tfprune.reporting.pages import writer_for
from tfprune.reporting.report import facts, notes, result_tables, sections, still_left_out
from tfprune.reporting.tables import answer_table
from tfprune.utils.errors import DivergedError, TrainingError

MADE = Made("tfprune report runs --out r.html", "2026-11-29 05:00 UTC", "0.1.0")

CLASSES = {"data": {"classes": {"test": {"a": 1, "b": 2, "c": 3}}, "remarks": []}}


DIVERGED = DivergedError("the loss is nan after step 8")


def fail(folder, error=DIVERGED):
    with pytest.raises(type(error)), RunDir(folder).failures():
        raise error
    return folder


@pytest.fixture
def runs(tmp_path):
    """Three seeds of two methods, of which one diverged."""
    write_runs(tmp_path, ("unpruned",), 3, metrics=CLASSES)
    write_runs(tmp_path, ("dynamic",), 2, metrics=CLASSES)
    fail(write_run(tmp_path, "dynamic", 2, finished=False))
    return tmp_path


def compared(folder):
    results, _ = find_results([folder])
    folders = [RunDir(path) for path in sorted(folder.iterdir())]
    return sections(results, find_diverged(folders, results))


def test_a_seed_that_diverged_counts_at_chance(runs):
    [section] = compared(runs)
    own = section.summary["dynamic"]
    row = own["seeds"]["2"]
    assert (row["test_accuracy"], row["test_loss"]) == (1 / 3, math.log(3)) and row["diverged"]
    finished = [own["seeds"][seed]["test_accuracy"] for seed in ("0", "1")]
    assert own["mean"]["test_accuracy"] == pytest.approx((sum(finished) + 1 / 3) / 3)
    assert own["accuracy"]["seeds"] == 3 and own["accuracy"]["mean"] < -0.15
    assert own["mean"]["epochs"] == 12 and own["ratio"]["training_flops"] == 1.0  # of those that finished
    assert [len(section.trials[trial]) for trial in ("unpruned", "dynamic")] == [3, 2]


def test_pages_list_it(runs, tmp_path_factory):
    [section] = compared(runs)
    [note] = remarks(section.summary)
    assert note.startswith("Of dynamic diverged: seed 2; counted at chance")
    for suffix in (".html", ".md", ".csv", ".json"):
        path = tmp_path_factory.mktemp("report") / f"report{suffix}"
        writer_for(path)([section], path, MADE)
        if suffix in (".html", ".md"):
            assert note in path.read_text()


def test_a_method_of_which_all_diverged_has_a_row(runs):
    for seed in range(3):
        fail(write_run(runs, "rigl", seed, finished=False))
    [section] = compared(runs)
    rows = {row[0]: row for row in answer_table(section.summary)[1]}
    assert rows["rigl"][1] == "33.3 ± 0.0 %" and rows["rigl"][3:] == ("worse", "", "")
    assert all(len(row) == len(headers) for headers, rows in result_tables(section.summary) for row in rows)
    path = runs.parent / "all.html"
    writer_for(path)([section], path, MADE)  # figures too


def test_a_row_and_a_link_of_each_run_that_counts(runs, tmp_path_factory):
    folder = fail(write_run(runs, "rigl", 0, finished=False))
    found, out = compared(runs), tmp_path_factory.mktemp("report")
    writer_for(out / "r.csv")(found, out / "r.csv", MADE)
    rows = list(csv.DictReader((out / "r.csv").read_text().splitlines()))
    assert [(row["trial"], row["seed"]) for row in rows if row["diverged"]] == [("dynamic", "2"), ("rigl", "0")]
    scores = [float(row["test_accuracy"]) for row in rows if row["trial"] == "dynamic"]
    assert sum(scores) / 3 == pytest.approx(found[0].summary["dynamic"]["mean"]["test_accuracy"])
    writer_for(out / "r.html")(found, out / "r.html", MADE)
    assert f"{folder.name}</a>" in (out / "r.html").read_text()
    assert facts(found[0])["Runs"].startswith("7 in ") and not any("dynamic 2" in note for note in notes(found[0]))


def test_runs_that_count_are_not_left_out(runs):
    other = fail(write_run(runs, "pruned", 0, finished=False, epochs=24))
    lines = find_results([runs])[1]
    assert len(lines) == 2
    assert still_left_out(lines, compared(runs)) == [f"{other}: this run diverged: its loss was no number any more"]


def test_with_an_equal_budget_a_method_of_which_all_diverged_counts(tmp_path):
    write_runs(tmp_path, ("unpruned",), 2, metrics=CLASSES)
    for seed in range(2):
        fail(write_run(tmp_path, "lottery", seed, finished=False, epochs=6))  # twice 6 are the baseline's 12
    [section] = compared(tmp_path)
    assert list(section.summary) == ["unpruned", "lottery"]
    assert [run.config.seed for run in section.diverged["lottery"]] == [0, 1]


def test_a_run_that_finished_elsewhere_has_not_diverged(runs, tmp_path_factory):
    again = write_run(tmp_path_factory.mktemp("again"), "dynamic", 2, metrics=CLASSES)
    results, _ = find_results([runs, again])
    assert find_diverged(map(RunDir, runs.iterdir()), results) == []


def test_data_that_lie_elsewhere_are_the_same(tmp_path):
    """Runs of two machines on the same file: the one that diverged counts."""
    rows = [(n, "ab"[n % 2]) for n in range(40)]
    paths = [write_rows(tmp_path / place / "own.csv", rows, ("size", "kind")) for place in ("here", "there")]
    here, there = ({"dataset": str(path), "data_settings": {"label": "kind"}} for path in paths)
    runs = tmp_path / "runs"
    write_runs(runs, ("unpruned", "dynamic"), 1, metrics=CLASSES, **here)
    fail(write_run(runs, "dynamic", 1, finished=False, **there))
    [section] = compared(runs)
    assert section.summary["dynamic"]["seeds"]["1"]["diverged"]


def test_other_failures_and_other_settings_do_not_count(runs):
    fail(write_run(runs, "lottery", 0, finished=False), TrainingError("out of memory"))
    fail(write_run(runs, "pruned", 0, finished=False, epochs=24))
    write_run(runs, "gradual", 0, finished=False)  # is being trained
    [section] = compared(runs)
    assert list(section.summary) == ["unpruned", "dynamic"]


def test_without_a_finished_run_nobody_knows_the_classes(tmp_path):
    write_runs(tmp_path, ("unpruned",), 1)  # of an earlier version
    folder = fail(write_run(tmp_path, "dynamic", 0, finished=False))
    assert find_diverged([RunDir(folder)], find_results([tmp_path])[0]) == []
