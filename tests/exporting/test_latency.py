from pathlib import Path

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras
from tfprune.cli.bench import _in_vain
from tfprune.data._base import Split
from tfprune.experiments.building import load_data
from tfprune.experiments.experiment import train
from tfprune.experiments.exports import models_of
from tfprune.exporting.latency import AT_ONCE, Latency, Model, latencies, score, shares_of_the_first
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, TfpruneError
from tfprune.utils.files import DRAFT


def model(answer, run="run"):
    sizes = {"multiplications": 10, "nonzero_multiplications": 5, "raw": 3, "gzip": 2}
    return Model(run=run, file="model", path=Path("model"), answer=answer, **sizes)


def test_models_are_called_in_turns_and_the_second_call_of_each_counts(monkeypatch):
    calls, clock = [], iter(range(1000))
    monkeypatch.setattr("tfprune.exporting.latency.time.perf_counter", lambda: next(clock))
    models = [model(lambda x, name=name: calls.append((name, x.shape))) for name in "abc"]
    measured = latencies(models, np.zeros((5, 2)), batch=7, rounds=2)
    assert "".join(name for name, _ in calls) == "aabbcc" + "ccbbaa" + "aabbcc"
    assert {shape for _, shape in calls} == {(7, 2)}
    assert [latency.seconds for latency in measured] == [(1, 1)] * 3 and measured[0].throughput == 7


def test_each_model_is_measured_beside_the_first_one(monkeypatch):
    now = 0.0

    def call_of(seconds):
        def call():
            nonlocal now
            now += seconds

        return call

    monkeypatch.setattr("tfprune.exporting.latency.time.perf_counter", lambda: now)
    seconds = [2.0, *np.arange(1.0, AT_ONCE + 3)]
    assert shares_of_the_first(seconds, call_of, 1, 3) == pytest.approx(np.divide(seconds, 2.0))
    assert shares_of_the_first(seconds[:1], call_of, 1, 3) == [1.0]


def test_ratios_are_of_calls_of_the_same_round():
    slow, fast = Latency(1, (2.0, 20.0, 4.0)), Latency(1, (1.0, 10.0, 4.0))
    assert slow.ratio(fast) == 2.0 and fast.ratio(slow) == 0.5
    assert slow.median == 4.0 and slow.spread == pytest.approx((2.4, 16.8))


def test_accuracy_is_that_of_all_batches():
    x, y = np.arange(600.0)[:, None], np.arange(600) % 2
    right = model(lambda batch: np.eye(2)[(batch[:, 0] % 2).astype(int)])
    assert score(right, Split(x, y)) == 1.0
    assert score(right, Split(x, np.where(y < 2, 0, y))) == 0.5


def test_a_runs_model_is_as_right_as_its_metrics_say(tmp_path):
    result = train(Config(dataset="penguins", epochs=30, out=str(tmp_path)))
    (only,) = models_of(result)
    assert (
        only.run == result.config.run_id and only.multiplications == 180 == result.metrics["cost"]["forward_flops"] / 2
    )
    assert only.nonzero_multiplications == 125 and only.raw == result.metrics["bytes"]["raw"]
    assert score(only, load_data(result.config).test) == pytest.approx(result.metrics["test"]["accuracy"])


def test_half_of_a_file_that_an_export_was_killed_over_is_no_export(tmp_path):
    result = train(Config(dataset="penguins", epochs=30, out=str(tmp_path)))
    result.folder.exports.mkdir()
    (result.folder.exports / f"{DRAFT}1.model.tflite").write_bytes(b"half")
    assert [own.file for own in models_of(result)] == ["model"] and result.folder.exported_files == []


def test_what_bought_no_speed_is_said_with_the_reason():
    def timed(run, multiplications, nonzero, seconds):
        own = Model(run=run, file="model", path=Path(), answer=None, multiplications=multiplications,
                    nonzero_multiplications=nonzero, raw=0, gzip=0)  # fmt: skip
        return own, Latency(1, (seconds,))

    runs = [timed("whole", 100, 100, 1.0), timed("zeros", 100, 60, 1.0), timed("narrow", 50, 50, 0.97),
            timed("fast", 25, 25, 0.4)]  # fmt: skip
    models, measured = zip(*runs, strict=True)
    assert _in_vain(models, [measured], "whole") == [
        "Pruning bought no speed: zeros takes 1.00 to 1.00 x the time of whole. "
        "40 % of its multiplications are by zero, and are done all the same.",
        "Pruning bought no speed: narrow takes 0.97 to 0.97 x the time of whole. "
        "50 % fewer multiplications matter too little here.",
    ]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((180, 180), (180, 90), "50 % of its multiplications are by zero, and are done all the same"),
        ((180, 90), (180, 45), "75 % of its multiplications are by zero, and are done all the same"),
        ((180, 90), (45, 45), "75 % fewer multiplications matter too little here"),
        ((120, 120), (180, 90), ""),  # it does more of them
        ((180, 90), (180, 90), ""),
        ((None, None), (180, 90), ""),
    ],
)
def test_what_bought_no_speed_is_counted_in_what_is_done(first, second, said):
    models = [
        Model(
            run=run, file="model", path=None, answer=None, raw=1, gzip=1, multiplications=n, nonzero_multiplications=m
        )
        for run, (n, m) in (("first", first), ("second", second))
    ]
    line = f"Pruning bought no speed: second takes 1.00 to 1.00 x the time of first. {said}."
    assert _in_vain(models, [[Latency(1, (1.0,)), Latency(1, (1.0,))]], "first") == ([line] if said else [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([],), "models has none: give bench a model"),
        (({},), "models has none: give bench a model"),
        (("absent.keras",), "absent.keras"),
    ],
)
def test_bench_says_in_one_line_what_it_cannot_measure(given, message):
    with pytest.raises(TfpruneError, match=message) as raised:
        tfprune.bench(*given)
    assert "\n" not in str(raised.value)


def test_bench_takes_numbers_of_any_kind():
    model = keras.Sequential([keras.layers.Dense(3, input_shape=(4,))])
    for batch in (np.int64(2), [2.0], np.array([2])):
        [[own]] = tfprune.bench(model, batch=batch, rounds=2.0).times
        assert own.batch == 2 and len(own.seconds) == 2


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": [4, 0]}, {"rounds": 0}])
def test_bench_counts_from_one(wrong):
    with pytest.raises(ConfigError, match="must be a whole number of at least 1"):
        tfprune.bench(["absent.keras"], **wrong)
