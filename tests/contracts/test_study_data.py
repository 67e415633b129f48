"""The published data of docs/study.md: what is read, and what the tables of the page are computed from."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tfprune.utils.files import write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location("_study", ROOT / "scripts" / "_study.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(study, table):
    """Runs of all trials with accuracies drawn at random; one of them diverged."""
    random = np.random.default_rng(table)
    levelled = [*study.DRAWN, "small_dense", "dynamic layer"]  # all that are compared
    trials = ["unpruned", "longer", *(f"{t} {100 * level:g} %" for t in levelled for level in study.SPARSITIES)]
    for trial in trials:
        for seed in range(4):
            row = {"trial": trial, "seed": seed, "test_accuracy": random.uniform(0.5, 1), "test_loss": 1.0}
            row |= {"sparsity": 0.0, "epochs": 30, "cpu_seconds": 1.5, "diverged": ""}
            yield row | ({"diverged": "yes"} if (trial, seed) == ("set 95 %", 3) else {})


@pytest.fixture
def published(study, tmp_path):
    from _csv_files import write_csv

    write_json(tmp_path / study.INDEX, {f"t{table}": {"cpu_seconds": 60.0} for table in range(7)})
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
        means[trial, level] = np.mean(differences)
        raw[trial, level] = stats.wilcoxon(differences, zero_method="zsplit").pvalue
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
    assert first.startswith("all 7 tables: ") and len(conclusions) == len(study.MAIN) + len(study.AGAINST)
    found = study.main_comparison(study.read_study(published))
    for own, said in zip(found.values(), conclusions[: len(found)], strict=True):
        better, equal, worse = own.counts
        assert f"on {better} tables, within it on {equal}, below it on {worse}" in said
    outcomes = {(0.97, 0.01, 0.02): "better", (0.3, 0.68, 0.02): "non-inferior", (0.0, 0.03, 0.97): "worse"}
    for posterior, said in {**outcomes, (0.5, 0.3, 0.2): "open", (0.96, 0.0, 0.06): "open"}.items():
        assert study._verdict(dataclasses.replace(own, posterior=posterior)) == said


def test_the_readme_has_it_when_it_is_finished(study, published, monkeypatch):
    assert study.readme(published) == []
    monkeypatch.setattr(study, "TABLES", 7)
    assert len(study.readme(published)) == 2


def test_what_would_count_against_it_is_one_family(study, published):
    headers, counted = study.against_table(study.read_study(published))
    assert len(counted) == len(study.AGAINST) * len(study.SPARSITIES) and headers[1] == "beside"


def test_a_page_without_two_tables_has_no_blocks(study, tmp_path):
    assert study.blocks(tmp_path) == {} and study.sentences(tmp_path) == []
