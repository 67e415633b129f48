"""The comparison of docs/starting-large.md: it runs as it is written down there, and what its data come to."""

import json
import math
from pathlib import Path

import numpy as np
import prepared
import pytest
from programs import program
from scipy import stats

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "starting-large.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data():
    return program("scripts/_starting_large.py")


@pytest.fixture(scope="module")
def benchmark():
    return program("benchmarks/starting_large.py")


@pytest.fixture
def published(data, tmp_path):
    """A folder of made-up trainings, and accuracy by (trial, budget, seed)."""
    from _csv_files import write_csv

    random, rows, accuracies = np.random.default_rng(0), [], {}

    def add(part, trial, budget, keep, seed):
        accuracy = accuracies[part, trial, budget, keep, seed] = random.uniform(0.85, 0.95)
        seconds = 2.0 if trial == "whole" else 1.0
        numbers = (10, 1, 1000 if trial == "whole" else 250, "a:1", seconds, seconds, accuracy, accuracy)
        rows.append(dict(zip(data.HEADERS, (part, trial, budget, keep, seed, *numbers), strict=True)))

    for seed in range(4):
        for budget in (2, 6, 18):
            for trial in ("whole", "removed", "uniform"):
                add("main", trial, budget, 0.5, seed)
        for keep in data.CURVE:
            for trial in ("removed", "after", "uniform"):
                add("curve", trial, 6, keep, seed)
    for name in ("as it was", "one", "two"):
        for seed in (100, 101):
            add("selection", name, 6, 0.5, seed)
    write_csv(tmp_path / "fashion_mnist.csv.gz", data.HEADERS, rows)
    latency = {"whole": 1.0} | {f"keep {keep:g}": keep for keep in data.CURVE}
    (tmp_path / "fashion_mnist.json").write_text(json.dumps({"latency": {"tflite": latency}}))
    return tmp_path, accuracies


def test_the_page_and_the_program_have_the_same_numbers(benchmark):
    for protocol in benchmark.PROTOCOLS.values():
        *first, last = protocol.budgets
        assert f"{', '.join(map(str, first))} and {last}" in PAGE and f"`{protocol.model}`" in PAGE
        assert protocol.budgets[2] == 3 * protocol.budgets[1] == 9 * protocol.budgets[0]
    assert f"0 to {benchmark.SEEDS - 1} for the comparison" in PAGE and benchmark.SHARE == benchmark.KEEP == 0.5
    last = benchmark.FIRST_SELECTION_SEED + benchmark.SELECTION_SEEDS - 1
    assert f"seeds {benchmark.FIRST_SELECTION_SEED} to {last}" in PAGE
    assert "after a third of the time" in PAGE and benchmark.FIRST.whole == 1 / 3


def test_differences_and_slopes_are_those_of_scipy(data, published):
    folder, accuracies = published
    found = data.Trainings(folder, "fashion_mnist")
    own = [
        [accuracies["main", "removed", b, 0.5, s] - accuracies["main", "uniform", b, 0.5, s] for b in (2, 6, 18)]
        for s in range(4)
    ]
    slopes = [stats.linregress([math.log(b, 3) for b in (2, 6, 18)], each).slope for each in own]
    interval = stats.t.interval(0.95, 3, np.mean(slopes), stats.sem(slopes))
    assert found.slope("removed", "uniform") == pytest.approx((np.mean(slopes), *interval))
    assert [*found.differences("removed", "uniform", 6).values()] == pytest.approx([each[1] for each in own])
    assert found.time("removed", 6) == 0.5
    said, *more = data.sentences(folder)
    budgets = [own for own in more if "epochs:" in own]
    assert f"{100 * np.mean(slopes):+.2f}" in said and "(4 seeds)" in said
    assert f"6 epochs: {100 * np.mean(own, axis=0)[1]:+.2f}" in budgets[1] and budgets[1].endswith("0.50 x its time")


def test_a_change_is_kept_where_it_is_better_than_the_best_so_far(data, published):
    folder, accuracies = published
    _, rows = data.selection_table(data.Trainings(folder, "fashion_mnist"))
    best = 0.0
    for name, _, kept in rows:
        mean = np.mean([accuracies["selection", name, 6, 0.5, seed] for seed in (100, 101)])
        assert kept == ("kept" if mean > best else "")
        best = max(best, mean)


def test_tables_and_figures_show_all_parts(data, published):
    folder, _ = published
    assert set(data.blocks(folder)) == {f"starting large {part}" for part in ("main", "selection", "curve")}
    found = data.Trainings(folder, "fashion_mnist")
    assert len(data.main_table(found)[1]) == 9 and len(data.curve_table(found)[1]) == 10
    data.draw(folder, folder)
    assert {path.name for path in folder.glob("*.png")} == {
        "fashion_mnist-starting-large.png",
        "fashion_mnist-accuracy-latency.png",
    }


@pytest.mark.slow
def test_it_runs_and_goes_on_where_it_ended(benchmark, tmp_path, monkeypatch):
    prepared.write_copy(tmp_path, "fashion_mnist", a_class={"train": 60, "test": 4})
    for name, value in {"ROUNDS": 1, "STEPS_OF_A_ROUND": 2, "SELECTION_SEEDS": 1}.items():
        monkeypatch.setattr(benchmark, name, value)
    monkeypatch.setattr(benchmark.Work, "middle", 6)
    monkeypatch.setitem(benchmark.PROTOCOLS, "fashion_mnist", benchmark.Compared("lenet", "float32", (6,)))
    kept = ("group norm before", "in two events", "the rate restarts")  # what goes by measured times may not go here
    monkeypatch.setattr(benchmark, "CHANGES", {name: benchmark.CHANGES[name] for name in kept})
    work = benchmark.Work("fashion_mnist", str(tmp_path), tmp_path / "out.csv.gz")
    work.calibrate()
    work.calibration |= {"compiling": 0.0, "surgery": 0.0, "shares": work.calibration["shares"] | {"keep 0.5": 0.5}}
    work.write_times()
    context = {"obj": work, "standalone_mode": False}
    benchmark.compare(["--seeds", "1"], **context)
    rows = work.rows
    assert [row["trial"] for row in rows if row["part"] == "main"][:3] == ["whole", "removed", "uniform"]
    assert len([row for row in rows if row["part"] == "selection"]) == 1 + len(benchmark.CHANGES)
    small = next(row for row in rows if row["trial"] == "uniform")
    assert small["widths"] == "conv_1:16 conv_2:32 dense_1:64 logits:10"
    again = benchmark.Work("fashion_mnist", str(tmp_path), tmp_path / "out.csv.gz")
    benchmark.compare(["--seeds", "1"], obj=again, standalone_mode=False)
    assert len(again.rows) == len(rows)  # nothing was trained


@pytest.mark.slow
def test_widths_that_were_found_have_the_steps_that_they_take_as_they_train(benchmark, tmp_path, monkeypatch):
    prepared.write_copy(tmp_path, "fashion_mnist", a_class={"train": 60, "test": 4})
    for name, value in {"ROUNDS": 1, "STEPS_OF_A_ROUND": 2}.items():
        monkeypatch.setattr(benchmark, name, value)
    work = benchmark.Work("fashion_mnist", str(tmp_path), tmp_path / "out.csv.gz")
    shares = {"whole": 1.0, "keep 0.5": 0.5}
    work.calibration = {"step": 1.0, "compiling": 0.0, "surgery": 0.0, "shares": shares}
    small = "conv_1:16 conv_2:32 dense_1:64 logits:10"
    work.calibration["trained"] = {small: 0.25}

    def smaller(*_):
        model = work.like(small, 0)
        work.compile(model, work.rate(10))
        return model

    monkeypatch.setattr(work, "smaller", smaller)
    recipe = benchmark.dataclasses.replace(benchmark.FIRST, scope="time")
    model, total, before = work.removing(recipe, 0, 12.0, 0.5)
    assert (before, total) == (4, 4 + 32)  # 8 of 12 steps of the whole network, a quarter of the time each
    assert benchmark.widths_of(model) == small and work.uncharged == [0.0, 0.0]
    del work.calibration["trained"]
    assert work.share_of(model) > 0 and work.uncharged[0] > 0
