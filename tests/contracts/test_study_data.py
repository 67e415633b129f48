"""The published data of docs/study.md: what is read, and what the tables of the page are computed from."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from programs import program
from scipy import stats

from tfprune.utils.files import write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study():
    return program("scripts/_study.py")


def rows(study, table):
    """Runs of all trials with accuracies drawn at random; one of them diverged."""
    random = np.random.default_rng(table)
    levelled = [*study.DRAWN, "small_dense", "dynamic layer"]  # all that are compared
    trials = ["unpruned", "longer", *(f"{t} {100 * level:g} %" for t in levelled for level in study.SPARSITIES)]
    trials += [f"{study.GRADUAL_TIME} {100 * level:g} %" for *_, level in study.OWN_TIME]
    for trial in trials:
        for seed in range(4):
            row = {"trial": trial, "seed": seed, "test_accuracy": random.uniform(0.5, 1), "test_loss": 1.0}
            row |= {"sparsity": 0.0, "epochs": 30, "cpu_seconds": 1.5, "diverged": ""}
            yield row | ({"diverged": "yes"} if (trial, seed) == ("set 95 %", 3) else {})


@pytest.fixture
def published(study, tmp_path):
    from _csv_files import write_csv

    seconds = {"unpruned": 3.0, "gradual global 0.8": 1.0, "gradual global 0.9": 2.0}
    known = {"cpu_seconds": 60.0, "shape": [9, 2], "classes": 2, "learning_rate": 0.1, "timing": {"seconds": seconds}}
    write_json(tmp_path / study.INDEX, {f"t{table}": known for table in range(7)})
    for table in range(7):
        write_csv(tmp_path / f"t{table}.csv.gz", study.HEADERS, rows(study, table))
    return tmp_path


def test_the_main_comparison_is_that_of_scipy(study, published):
    found = study.main_comparison(study.read_study(published))
    raw, means = {}, {}
    for trial, level in study.MAIN:
        differences = []
        for table in range(7):
            accuracy = {}
            for row in rows(study, table):
                accuracy.setdefault(row["trial"], []).append(row["test_accuracy"])
            ending = f" {100 * level:g} %"
            differences.append(np.mean(accuracy[trial + ending]) - np.mean(accuracy[study.EQUAL_TIME + ending]))
        means[trial, study.EQUAL_TIME, level] = np.mean(differences)
        raw[trial, study.EQUAL_TIME, level] = stats.wilcoxon(differences, zero_method="zsplit").pvalue
    assert len(found) == 4
    ordered = sorted(raw, key=raw.get)
    for place, key in enumerate(ordered):
        assert found[key].mean.mean == pytest.approx(means[key])
        corrected = max((4 - n) * raw[k] for n, k in enumerate(ordered[: place + 1]))
        assert found[key].p_holm == pytest.approx(min(1.0, corrected))


def test_what_the_seeds_of_each_data_set_show_is_counted(study, published):
    found = study.to_unpruned(study.read_study(published), 0.8)
    headers, counted = study.within_table(found)
    assert headers[1:] == ("better", "non-inferior", "worse", "open") and len(counted) == len(found.trials)
    assert {sum(map(int, own)) for _, *own in counted} == {7}
    alone = dataclasses.replace(found, datasets=["t0"], margin=1e9)  # of which everything is non-inferior at least
    assert {own[3:] for own in study.within_table(alone)[1]} == {("0", "0")}


def test_networks_that_diverged_are_counted_and_told(study, published):
    summary = study.read_study(published)["t0"]
    assert summary["set 95 %"]["seeds"]["3"]["diverged"] and len(summary["set 95 %"]["seeds"]) == 4
    assert summary["set 95 %"]["requested_sparsity"] == 0.95 and summary["longer"]["requested_sparsity"] == 0
    [count, runs] = study.sentences(published)
    assert count == "7 of 26 tables so far, the 7 cheapest" and "7 diverged" in runs


def test_a_finished_study_says_what_its_tests_say_and_no_more(study, published, monkeypatch):
    monkeypatch.setattr(study, "TABLES", 7)
    first, *conclusions = study.sentences(published)
    parts = len(study.MAIN) + len(study.OWN_TIME) + len(study.AGAINST) + len(study.SPARSITIES) + 4
    assert first.startswith("all 7 tables: ") and len(conclusions) == parts
    found = study.main_comparison(study.read_study(published))
    for own, said in zip(found.values(), conclusions[: len(found)], strict=True):
        better, equal, worse = own.counts
        assert f"on {better} tables, within it on {equal}, worse on {worse}: **{study._verdict(own)}**" in said
    outcomes = {(0.97, 0.01, 0.02): "better", (0.3, 0.68, 0.02): "non-inferior", (0.0, 0.03, 0.97): "worse"}
    for posterior, said in {**outcomes, (0.5, 0.3, 0.2): "open", (0.96, 0.0, 0.06): "open"}.items():
        assert study._verdict(dataclasses.replace(own, posterior=posterior)) == said


def test_the_readme_has_it_when_it_is_finished(study, published, monkeypatch):
    assert study.readme(published) == []
    monkeypatch.setattr(study, "TABLES", 7)
    assert len(study.readme(published)) == len(study.MAIN)


def test_each_question_has_its_own_family(study, published):
    summaries = study.read_study(published)
    found = study.against(summaries)
    assert len(found) == len(study.AGAINST) * len(study.SPARSITIES)
    lowest = min(found.values(), key=lambda own: own.p_signed_rank)
    assert lowest.p_holm == pytest.approx(min(1.0, len(found) * lowest.p_signed_rank))
    assert [key[2] for key in study.in_its_own_time(summaries)] == [0.8, 0.9]


def test_times_are_shares_of_those_that_were_measured_together(study, published):
    """Of 1.5 seconds each, beside 3 of the unpruned network, and 1 and 2 of gradual pruning."""
    *_, small, own = study._times(study.read_index(published), study.read_study(published))
    assert small == "The small networks took 0.50 times (0.50 to 0.50) the unpruned network's time"
    assert own == "1.12 times (0.75 to 1.50) that of `gradual`"


def test_tables_have_six_columns_and_what_is_not_folded_five_or_six(study, published):
    made = study.blocks(published)
    assert set(made) == {f"study {name}" for name in "main against tests each tables unpruned 50 80 90 95".split()}
    for name, content in made.items():
        assert all(line.count("|") <= 7 for line in content.splitlines()), name
    assert made["study main"].count("\n") == 1 + len(study.MAIN) + len(study.OWN_TIME)
    assert made["study each"].count("\n| t") == 7


def test_all_pictures_are_drawn(study, published):
    study.draw(published, published)
    assert {path.name for path in published.glob("study-*.png")} == {
        *("study-main.png", "study-methods.png", "study-ranks.png"),
    }


def test_a_page_without_two_tables_has_no_blocks(study, tmp_path):
    assert study.blocks(tmp_path) == {} and study.sentences(tmp_path) == []
