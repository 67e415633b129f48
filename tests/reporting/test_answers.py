import msgspec
import numpy as np
import pytest

from tfprune.experiments.schemas import Inference
from tfprune.reporting.answers import answers, lines
from tfprune.reporting.comparison import COLUMNS, summary_of


def trial(accuracies, parameters=100, seconds=(10.0,), method="dynamic"):
    rows = {
        str(seed): dict.fromkeys((*COLUMNS, "epochs_to_reach", "seconds_to_reach", "untuned_accuracy"))
        | {"test_loss": 1 - own, "test_accuracy": own, "nonzero_parameters": parameters}
        | {"training_time": seconds[seed % len(seconds)]}
        for seed, own in enumerate(accuracies)
    }
    return {"method": method, "granularity": "weight", "requested_sparsity": 0.5, "seeds": rows}


def said(margin=None, **trials):
    return {own.question.split(" within")[0]: own for own in answers(summary_of(trials), margin)}


def test_what_seeds_decide_is_said_to_be_clear_and_what_they_do_not_needs_more():
    spread = 0.01 * np.array([-1, 0, 1])
    clear = said(unpruned=trial(0.9 + spread, 200), a=trial(0.95 + spread + [0.0001, 0, 0], 100))["Best by accuracy"]
    assert clear.trial == "a" and "clearly higher than all others; from unpruned +5.00 (" in clear.text
    noisy = said(unpruned=trial(0.9 + spread, 200), a=trial(0.901 - spread, 100))["Best by accuracy"]
    assert noisy.trial == "a" and "no clear difference from unpruned with 3 seeds (about " in noisy.text
    assert " more would tell it from unpruned)" in noisy.text
    one = said(unpruned=trial([0.9]), a=trial([0.95]))["Best by accuracy"]
    assert one.text == "95.0 %; one seed cannot tell whether that is chance."


def test_the_smallest_within_the_margin_is_named_with_whether_its_interval_shows_it():
    spread = 0.001 * np.arange(8)
    trials = {
        "unpruned": trial(0.9 + spread, 200, method="unpruned"),
        "sure": trial(0.9 + spread + 1e-4 * (np.arange(8) % 2), 100),
        "noisy": trial(0.9 - 2 * spread + 0.008, 50),
        "bad": trial(0.8 + spread, 10),
    }
    found = said(**trials)["Smallest"]
    assert (
        found.trial == "noisy" and "by its mean alone" in found.text and "50 non-zero parameters (25.0 %" in found.text
    )
    assert "Smallest where it does: sure, 100 non-zero parameters" in found.text
    assert said(margin=11.0, **trials)["Smallest"].trial == "bad"
    only_bad = said(unpruned=trials["unpruned"], bad=trials["bad"])["Smallest"]
    assert only_bad.trial is None and "none. The nearest is bad: accuracy 80.3" in only_bad.text


@pytest.mark.parametrize(("slower", "near"), [((10.3, 10.1, 10.3), True), ((12.0, 12.2, 12.1), False)])
def test_the_fastest_is_named_and_whether_the_next_is_about_as_fast(slower, near):
    trials = {"unpruned": trial([0.9] * 3, seconds=slower), "a": trial([0.9] * 3, seconds=(10.0, 10.2, 10.4))}
    found = said(**trials)["Fastest to train"]
    assert found.trial == "a" and "x unpruned's" in found.text
    assert ("no clear difference from unpruned" in found.text) == near


def test_trials_without_seeds_in_common_are_not_among_those_that_are_beaten():
    spread = 0.01 * np.array([-1, 0, 1])
    other = trial(0.9 + spread)
    other["seeds"] = {f"1{seed}": row for seed, row in other["seeds"].items()}
    trials = {"unpruned": trial(0.9 + spread, 200), "a": trial(0.95 + spread + [0.0001, 0, 0]), "other": other}
    found = said(**trials)["Best by accuracy"]
    assert "clearly higher than all others with seeds in common; from unpruned" in found.text
    assert "too few seeds in common with other to tell" in found.text


def test_a_trial_that_has_the_easy_seeds_alone_is_not_the_best():
    spread = 0.001 * np.array([-1, 0, 1])
    easy, hard = 0.95 + spread, 0.7 + np.zeros(7)
    trials = {
        "unpruned": trial([*easy, *hard], 200, method="unpruned"),
        "easy": trial(easy - 0.03 + 0.0001 * np.arange(3), 100),
    }
    found = said(**trials)
    assert found["Best by accuracy"].trial == "unpruned"
    assert "clearly higher than all others; from easy +2.99 (" in found["Best by accuracy"].text
    assert found["Smallest"].trial is None


def test_trials_each_ahead_of_the_next_on_other_seeds_are_not_clearly_ahead():
    def of(**own):
        whole = trial([own.get(f"s{seed}", 0.0) for seed in range(9)], method="unpruned")
        return whole | {"seeds": {seed: row for seed, row in whole["seeds"].items() if f"s{seed}" in own}}

    near = {"s0": 0.91, "s1": 0.911, "s2": 0.912}
    a = of(**near, s6=0.7, s7=0.701, s8=0.7015)
    b = of(s0=0.9, s1=0.9, s2=0.9001, s3=0.91, s4=0.911, s5=0.912)
    c = of(s3=0.9, s4=0.9, s5=0.9001, s6=0.71, s7=0.7111, s8=0.712)
    best = said(a=a, b=b, c=c)["Best by accuracy"]
    assert "no clear difference from" in best.text


def test_a_single_trial_has_nothing_to_be_compared_with():
    assert lines(answers(summary_of({"a": trial([0.9, 0.8])}))) == [
        "Best by accuracy: a: 85.0 ± 7.1 %; there is nothing to compare it with."
    ]


def timed(measurement, **seconds):
    times = [
        {"file": file, "batch": batch, "median_seconds": own, "ratio": own / 0.004}
        for file, own in seconds.items()
        for batch in (1, 32)
    ]
    machine = {"cpu": "a", "cores": 2, "gpus": []}
    whole = {"measurement": measurement, "date": "2026-01-01 00:00 UTC", "machine": machine, "times": times}
    return msgspec.convert(whole, Inference)


@pytest.mark.parametrize(
    ("inference", "expected"),
    [
        ({}, None),
        ({"unpruned": [timed("a", model=0.004)]}, None),
        ({"unpruned": [timed("a", model=0.004)], "small": [timed("b", model=0.001)]}, None),  # not in turns
        ({"unpruned": [timed("a", model=0.004)], "small": [timed("a", tflite=0.001)]}, None),  # no file of a kind
        (
            {"unpruned": [timed("a", model=0.004, tflite=0.002)], "small": [timed("a", model=0.001)]},
            "1.00 ms per call of model with 1 example, 0.25 x unpruned's; not measured with these: zeros.",
        ),
        (
            {
                **{"unpruned": [timed("a", model=0.004)], "zeros": [timed("a", model=0.00102)]},
                "small": [timed("a", model=0.001), timed("a", model=0.00098), timed("b", model=9)],
            },
            "0.990 ms per call of model with 1 example, 0.25 x unpruned's; no clear difference from zeros.",
        ),
    ],
)
def test_the_fastest_inference_is_of_times_that_were_measured_in_turns(inference, expected):
    trials = {"unpruned": trial([0.9] * 3, 200), "small": trial([0.9] * 3), "zeros": trial([0.9] * 3)}
    found = {own.question: own for own in answers(summary_of(trials), inference=inference)}
    assert ("measures inference" in found["Fastest to train"].text) == (expected is None)
    if expected is None:
        assert "Fastest inference" not in found
    else:
        assert (found["Fastest inference"].trial, found["Fastest inference"].text) == ("small", expected)
