"""The lottery tickets of docs/tickets.md: they are trained as it is written down there, and what their data come to."""

from pathlib import Path

import numpy as np
import prepared
import pytest
from programs import program
from scipy import stats

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tickets.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data():
    return program("scripts/_tickets.py")


@pytest.fixture(scope="module")
def benchmark():
    return program("benchmarks/tickets.py")


@pytest.fixture
def published(data, tmp_path):
    """A folder of made-up trainings."""
    from _csv_files import write_csv

    random, rows = np.random.default_rng(0), []
    for trial in range(3):
        for arm in ("dense", *data.ARMS):
            rounds = data.CONTROL_ROUNDS if arm in ("reinitialised", "one shot") else range(1, data.ROUNDS + 1)
            for number in (0,) if arm == "dense" else rounds:
                row = {name: round(random.uniform(0.8, 0.9), 4) for name in data.HEADERS}
                row |= {"trial": trial, "arm": arm, "round": number, "remaining": 0.8**number}
                row |= {"stop_iteration": 200 * random.integers(1, 61)}
                row |= {"test_curve": " ".join(map(str, random.integers(8000, 9000, data.ITERATIONS // data.EVERY)))}
                rows.append(row)
    write_csv(tmp_path / "fashion_mnist.csv.gz", data.HEADERS, rows)
    return tmp_path


def test_the_page_and_the_program_have_the_same_numbers(data, benchmark):
    assert f"{data.ITERATIONS:,} iterations (13.3 epochs)" in PAGE and round(data.ITERATIONS * 60 / 54_000, 1) == 13.3
    assert f"batches of {benchmark.BATCH}" in PAGE and "Adam at 1.2e-3" in PAGE
    assert benchmark.LEARNING_RATE == 1.2e-3
    assert f"the smallest {100 * benchmark.RATE:g} %" in PAGE and f"{100 * benchmark.OUTPUT_RATE:g} % of those" in PAGE
    assert f"| {data.ROUNDS} (" in PAGE and f"{benchmark.TRIALS} trials" in PAGE
    assert f"looked at each {data.EVERY} iterations" in PAGE and f"after {data.REWIND} iterations" in PAGE
    assert f"rounds {', '.join(map(str, data.CONTROL_ROUNDS))}" in PAGE


def test_hidden_layers_lose_a_fifth_of_what_is_alive_and_the_output_layer_a_tenth(benchmark):
    shapes = {"a": (784, 300), "b": (300, 100), "c": (100, 10)}
    weights = {name: np.random.default_rng(0).normal(size=shape) for name, shape in shapes.items()}
    masks = benchmark.ones_like(weights)
    for number in (1, 2):
        masks = benchmark.fewer(masks, weights, benchmark.RATE, benchmark.OUTPUT_RATE)
        for name, share in (("a", 0.8), ("b", 0.8), ("c", 0.9)):
            assert masks[name].sum() == round(share**number * masks[name].size)
            kept, gone = (np.abs(weights[name][masks[name] == own]) for own in (1, 0))
            assert kept.min() > gone.max()


def test_intervals_and_differences_are_those_of_scipy(data, published):
    found = data.read(published)
    for arm, other, number in (("ticket", "dense", 4), ("ticket", "reinitialised", 12)):
        own = found.values(arm, number, "stop_accuracy")
        apart = own - found.values(other, 0 if other == "dense" else number, "stop_accuracy")
        interval = stats.t.interval(0.95, 2, np.mean(apart), stats.sem(apart))
        assert found.difference(number, "stop_accuracy", arm, other) == pytest.approx((np.mean(apart), *interval))
    for number in range(1, data.ROUNDS + 1):
        earlier, better = (
            np.mean(found.values("ticket", number, name)) - np.mean(found.values("dense", 0, name))
            for name in ("stop_iteration", "stop_accuracy")
        )
        assert found.wins(number) == (earlier <= 0 <= better)


def test_tables_figures_and_sentences_show_all_arms(data, published):
    made = data.blocks(published)
    assert made["tickets main"].count("\n") == 2 + len(data.CONTROL_ROUNDS)
    assert made["tickets all"].count("\n") == 2 + 3 * data.ROUNDS + 2 * len(data.CONTROL_ROUNDS)
    data.draw(published, published)
    assert {path.name for path in published.glob("*.png")} == {
        "fashion_mnist-tickets.png",
        "fashion_mnist-tickets-curves.png",
    }
    assert len(data.sentences(published)) == 1 + len(data.CONTROL_ROUNDS) + len(data.ARMS)


def test_a_trial_is_trained_and_finished_ones_are_read(benchmark, data, tmp_path, monkeypatch):
    prepared.write_copy(tmp_path, "fashion_mnist", a_class={"train": 60, "test": 4})
    for name, value in {"ITERATIONS": 12, "EVERY": 4, "REWIND": 4, "ROUNDS": 2, "CONTROL_ROUNDS": (2,)}.items():
        monkeypatch.setattr(benchmark, name, value)
    work = benchmark.Work(str(tmp_path), tmp_path / "out.csv.gz")
    work.run(0)
    rows = benchmark.read_csv(work.out)
    arms = [(row["arm"], int(row["round"])) for row in rows]
    tickets = [("ticket", 1), ("ticket", 2), ("reinitialised", 2)]
    assert arms[:4] == [("dense", 0), *tickets] and len(arms) == 9 and arms[-1] == ("one shot", 2)
    assert {len(row["test_curve"].split()) for row in rows if row["arm"] != "rewinding"} == {3}
    assert {len(row["test_curve"].split()) for row in rows if row["arm"] == "rewinding"} == {2}
    assert all(int(row["stop_iteration"]) % 4 == 0 for row in rows)
    left = {(row["arm"], row["round"]): float(row["remaining"]) for row in rows}
    assert left["ticket", "2"] == left["one shot", "2"] == left["reinitialised", "2"]
    again = benchmark.Work(str(tmp_path), work.out)
    assert again.finished(0) and not again.finished(1)


def test_tickets_start_where_the_dense_network_did(benchmark, tmp_path, monkeypatch):
    """With nothing pruned a ticket is the dense training once more, number by number."""
    prepared.write_copy(tmp_path, "fashion_mnist", a_class={"train": 60, "test": 4})
    for name, value in {"ITERATIONS": 8, "EVERY": 4, "REWIND": 4}.items():
        monkeypatch.setattr(benchmark, name, value)
    work = benchmark.Work(str(tmp_path), tmp_path / "out.csv.gz")
    start = work.initial(0, "init")
    masks = benchmark.ones_like(benchmark.kernels(work.model))
    _, dense = work.train(0, "dense", 0, masks, start)
    _, ticket = work.train(0, "ticket", 1, masks, start)
    assert all(np.array_equal(one, other) for one, other in zip(dense.weights, ticket.weights, strict=True))
    _, late = work.train(0, "rewinding", 1, masks, dense.early, 4)
    assert not all(np.array_equal(one, other) for one, other in zip(dense.early, late.weights, strict=True))
