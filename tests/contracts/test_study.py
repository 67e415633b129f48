"""The study of docs/study.md runs as it is written down there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import program

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
OPENML = PAGE[PAGE.index("| table | `openml:`") :]


@pytest.fixture(scope="module")
def study():
    return program("benchmarks/study.py")


@pytest.fixture
def tables(tmp_path):
    """A folder with two small tables, under the names that a quick run takes."""
    for number, name in enumerate(("iris", "wine")):
        x = np.random.default_rng(number).normal(size=(90, 3)).round(3)
        rows = (f"{a},{b},{c},{'xyz'[int(a + b > 0) + int(c > 0)]}\n" for a, b, c in x)
        (tmp_path / f"{name}.csv").write_text("a,b,c,class\n" + "".join(rows))
    return tmp_path


def test_the_page_and_the_program_have_the_same_numbers(study):
    [rates] = re.findall(r"the one of ([-\de, ]+) with the highest", PAGE)
    assert tuple(map(float, rates.split(","))) == study.RATES
    assert f"{study.STEPS:,} steps but at least {study.FEWEST_EPOCHS} epochs" in PAGE
    assert f"{study.MOST_ROWS:,} rows" in PAGE and f"seeds {study.FIRST_TUNING_SEED} to 1009" in PAGE
    assert f"0 to {study.SEEDS - 1} for every trial" in PAGE and f"one hidden layer of {study.HIDDEN[0]} units" in PAGE
    assert "50, 80, 90 and 95 %" in PAGE and study.SPARSITIES == (0.5, 0.8, 0.9, 0.95)
    assert dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", OPENML, re.M)) == {n: str(i) for n, i in study.TABLES.items()}
    assert len(study.TABLES) == 26


def test_all_trials_have_one_budget_but_for_those_that_say_so(study, tables):
    base = study.base_of("iris", tables)
    trials = study.trials_of(base)
    total = {trial: config.pruning.total_epochs(config.epochs) for trial, config in trials.items()}
    more = {trial for trial, epochs in total.items() if epochs > base.epochs}
    assert more == {"longer", *(trial for trial in trials if "in full" in trial)}
    assert all(base.epochs - 2 <= epochs <= base.epochs for trial, epochs in total.items() if trial not in more)
    assert all(
        config.pruning.pruning_events[-1].criterion.name == "random"
        for name, config in trials.items()
        if name.startswith("random")
    )
    for trial, config in trials.items():
        words = trial.split()
        assert words[0] == config.method and (len(words) < 3 or f"{100 * config.requested_sparsity:g}" == words[-2])
        assert "global" not in trial or config.scope == "global"
    assert len(trials) == 2 + 4 * (2 * 4 + 5 + 2)


@pytest.mark.slow
def test_an_interrupted_table_goes_on_and_a_finished_one_is_read(study, tables, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "BOTH_SCOPES", ("dynamic",))
    monkeypatch.setattr(study, "OWN_SCOPE", ("small_dense",))
    monkeypatch.setattr(study, "TWICE", ())
    out, in_time = tmp_path / "out", study.Timing.in_time

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(study.Timing, "in_time", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.study(["iris"], 2, out, tables, quick=True)
    assert len((out / "iris.part").read_text().splitlines()) == 1 + 5  # the learning rate, and the trials so far
    monkeypatch.setattr(study.Timing, "in_time", in_time)
    assert study.study(["iris"], 2, out, tables, quick=True) == 0
    assert sorted(path.name for path in out.iterdir()) == ["iris.csv.gz", "tables.json"]
    rows = study.read_rows(out / "iris.csv.gz")
    assert len(rows) == 2 * 7 and study.read_index(out)["iris"]["cpu_seconds"] > 0
    assert {row["sparsity"] > 0.7 for row in rows if row["trial"].startswith("dynamic")} == {True}
    monkeypatch.setattr(study, "base_of", interrupted)
    assert study.of_table("iris", 2, out, tables, quick=True) == rows  # nothing is trained


def test_a_quick_run_compares_all_methods(tables):
    command = [sys.executable, ROOT / "benchmarks" / "study.py", "--quick", "--data-dir", tables]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tables)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^## (\d+) % zeros", done.stdout, re.M) == ["80"]
    for trial in (
        "longer",
        "dynamic global",
        "lottery layer",
        "rate_rewinding global, in full",
        "small_dense in unpruned's time",
    ):
        assert done.stdout.count(f"| {trial} ") == 3  # in the answer, the tests and above the data sets
