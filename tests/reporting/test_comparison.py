from types import SimpleNamespace

import pytest
from scipy import stats

from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.sweeps import run_all
from tfprune.reporting.comparison import (
    COLUMNS,
    by_trial,
    paired_difference,
    reached,
    remarks,
    summarise,
    summary_of,
    training_time,
)
from tfprune.reporting.statistics import MARGIN, outcomes
from tfprune.training.history import write_history


def rows(*losses):
    return {str(seed): {"test_loss": loss} for seed, loss in enumerate(losses)}


def test_paired_differences_agree_with_scipys_paired_test():
    own, other = (0.41, 0.38, 0.45, 0.40), (0.40, 0.39, 0.41, 0.37)
    delta = paired_difference(rows(*own), rows(*other), "test_loss")
    interval = stats.ttest_rel(own, other).confidence_interval(0.95)
    assert (delta["low"], delta["high"]) == pytest.approx((interval.low, interval.high))
    assert delta["mean"] == pytest.approx(0.0175) and delta["better"] == 0.25
    assert delta["p"] == pytest.approx(stats.ttest_rel(own, other).pvalue)


def test_seeds_that_do_not_differ_are_no_evidence():
    assert paired_difference(rows(1, 2), rows(1, 2), "test_loss")["p"] == 1.0


def test_seeds_that_all_differ_alike_are_no_reason_to_warn():
    delta = paired_difference(rows(0.9, 0.8, 0.7), rows(0.92, 0.82, 0.72), "test_loss")
    assert delta["p"] == 2 * 0.5**3 and (delta["low"], delta["high"]) == pytest.approx((-0.02, -0.02))


def named(*configs):
    return list(by_trial(SimpleNamespace(config=config) for config in configs))


def test_trials_are_named_by_what_tells_them_apart(tiny):
    assert named(tiny(), tiny(seed=1), tiny("lottery")) == ["dynamic", "lottery"]
    levels = [tiny("pruned", settings={"sparsity": sparsity}) for sparsity in (0.5, 0.8)]
    assert named(*levels, tiny()) == ["pruned 50 %", "pruned 80 %", "dynamic"]
    rounds = [tiny("lottery", settings={"rounds": rounds}) for rounds in (1, 3)]
    assert named(*rounds) == ["lottery rounds=1", "lottery rounds=3"]
    assert named(tiny("lottery"), tiny("lottery", epochs=3)) == ["lottery epochs=6", "lottery epochs=3"]
    assert named(tiny(out="here"), tiny(out="there", seed=1)) == ["dynamic"]
    narrow = [tiny(granularity="filter", channel_settings={"multiple": multiple}) for multiple in (1, 2)]
    assert named(tiny(), narrow[0]) == ["dynamic", "dynamic filter"]
    rates = [tiny(learning_rate=rate) for rate in (0.1, 0.01)]
    assert named(*rates, tiny("lottery")) == ["dynamic learning_rate=0.1", "dynamic learning_rate=0.01", "lottery"]
    models = [tiny("lottery", settings={"rounds": 3 - n}, model_settings={"hidden": n}) for n in (1, 2)]
    assert named(*models) == ["lottery rounds=2", "lottery rounds=1"]
    models += [tiny("lottery", settings={"rounds": 2}, model_settings={"hidden": 4})]
    assert named(*models)[1:] == ["lottery rounds=1", "lottery rounds=2 model.hidden=4"]
    assert named(tiny(), *narrow) == ["dynamic", "dynamic filter multiple=1", "dynamic filter multiple=2"]


def of(method, accuracies, epochs=10):
    """A trial as `summary_of` takes it."""
    columns = (*COLUMNS, "epochs_to_reach", "seconds_to_reach", "untuned_accuracy")
    seeds = {
        str(n): dict.fromkeys(columns, 1.0) | {"test_accuracy": value, "epochs": epochs}
        for n, value in enumerate(accuracies)
    }
    return {"method": method, "granularity": "weight", "requested_sparsity": 0.5, "seeds": seeds}


def accuracies_of(trials):
    return {trial: [row["test_accuracy"] for row in own["seeds"].values()] for trial, own in trials.items()}


def test_accuracies_come_to_an_outcome_corrected_for_the_number_of_trials():
    noise = (0.002, -0.001, 0.0, -0.002, 0.001, 0.0005)
    trials = {"unpruned": of("unpruned", [0.9] * 6)}
    trials |= {f"same {n}": of("dynamic", [0.8985 + 1.4 * value for value in noise]) for n in range(3)}
    trials |= {"worse": of("pruned", [0.88 + value for value in noise])}
    trials |= {"better": of("longer", [0.91 + value for value in noise])}
    found = {trial: values["accuracy"] for trial, values in summary_of(trials).items()}
    assert found["unpruned"] is None
    assert (found["worse"]["outcome"], found["better"]["outcome"]) == ("worse", "better")
    differences = {t: [v - 0.9 for v in own] for t, own in accuracies_of(trials).items() if t != "unpruned"}
    assert outcomes(differences, MARGIN) == {trial: found[trial]["outcome"] for trial in differences}
    same = found["same 0"]
    assert same["p_non_inferior"] == pytest.approx(
        stats.ttest_1samp([1.4 * v + 0.0035 for v in noise], 0, alternative="greater").pvalue
    )
    assert same["p_non_inferior"] < 0.025 / 2 and same["p_non_inferior_holm"] == pytest.approx(
        4 * same["p_non_inferior"]
    )
    alone = summary_of({name: trials[name] for name in ("unpruned", "same 0")})["same 0"]["accuracy"]
    assert alone["outcome"] == "non-inferior" and alone["p_non_inferior_holm"] == alone["p_non_inferior"]
    assert "differences" not in same


def test_short_runs_of_early_bird_are_called_what_they_are():
    for epochs, notes in ((9, 1), (10, 0)):
        found = remarks(summary_of({"early": of("early_bird", [0.9] * 2, epochs)}))
        assert len(found) == notes and all("one-shot pruning at `latest`" in note for note in found)
    diverged = of("early_bird", [0.1] * 2, 9)
    diverged["seeds"] = {seed: row | {"epochs": None, "diverged": True} for seed, row in diverged["seeds"].items()}
    assert not any("one-shot" in note for note in remarks(summary_of({"early": diverged})))


def test_seeds_without_a_target_are_not_counted_as_late():
    longer = of("dynamic", [0.9] * 4, 6)
    longer["seeds"] = {seed: row | {"epochs_to_reach": 5.0} for seed, row in longer["seeds"].items()}
    target = of("unpruned", [0.9] * 2, 6)
    target["seeds"] = {seed: row | {"epochs_to_reach": 6.0} for seed, row in target["seeds"].items()}
    for seed in ("2", "3"):
        longer["seeds"][seed]["epochs_to_reach"] = None
    found = summary_of({"unpruned": target, "dynamic": longer})["dynamic"]["reached"]
    assert found == {"share": 1.0, "epochs_to_reach": 5.0, "seconds_to_reach": 1.0}


def test_only_shared_seeds_are_paired_and_one_is_not_enough():
    assert paired_difference(rows(1, 2, 3), rows(1, 2), "test_loss")["mean"] == 0
    assert paired_difference(rows(1, 2, 3), rows(1), "test_loss") is None
    assert paired_difference(rows(1), {}, "test_loss") is None


def ticket(tmp_path, config, losses):
    """A run of a lottery ticket with two trainings of 4 epochs, 8 and 12 seconds, and these validation losses."""
    folder = RunDir(tmp_path / config.run_id)
    folder.create()
    rows = [
        {"phase": phase, "epoch": epoch, "step": (4 * number + epoch) * 10, "sparsity": 0.3 * number}
        for number, phase in enumerate(("dense", "ticket 1"))
        for epoch in range(1, 5)
    ]
    write_history(folder.history, [row | {"val_loss": loss} for row, loss in zip(rows, losses, strict=True)])
    metrics = {"epochs": 8, "seconds": {"prepare": 50.0, "dense": 8.0, "ticket 1": 12.0, "total": 70.0}}
    metrics["cpu_seconds"] = {"dense": 16.0, "ticket 1": 24.0, "total": 40.0}
    return Result(folder, config, metrics)


def test_a_loss_is_reached_by_the_network_that_is_as_sparse_as_in_the_end(tmp_path, tiny):
    run = ticket(tmp_path, tiny("lottery"), (0.9, 0.1, 0.1, 0.1, 0.9, 0.5, 0.6, 0.4))
    assert reached(run, 0.5) == (6, 8.0 + 6.0) and reached(run, 0.45) == (8, 20.0)
    assert reached(run, 0.1) is None


def test_a_network_pruned_after_training_reaches_it_at_the_end(tmp_path, tiny):
    run = ticket(tmp_path, tiny("pruned"), (0.9, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9))
    rows = [*run.history()[:4], {"phase": "pruned", "epoch": 4, "step": 40, "sparsity": 0.3, "val_loss": 0.2}]
    write_history(run.folder.history, rows)
    run.metrics["epochs"] = 4
    assert reached(run, 0.3) == (4, 8.0)


def test_time_is_the_processors_unless_a_gpu_computed():
    metrics = {"seconds": {"prepare": 9.0, "dense": 2.0}, "cpu_seconds": {"dense": 3.0, "total": 3.0}}
    assert training_time(metrics | {"machine": {"gpus": []}}) == 3.0
    assert training_time(metrics | {"machine": {"gpus": ["one"]}}) == 2.0


def test_a_comparison_says_what_each_method_cost(tiny):
    results, _ = run_all([tiny(method, seed=seed) for seed in (0, 1) for method in ("unpruned", "lottery")])
    summary = summarise(results)
    assert summary["unpruned"]["reached"]["share"] == 1.0 and summary["lottery"]["reached"]["share"] in (0.0, 0.5, 1.0)
    assert summary["lottery"]["ratio"]["training_flops"] == 2.0
    assert summary["lottery"]["ratio"]["training_flops_masked"] == pytest.approx((180 + 101 + 25) / 180)
    assert summary["lottery"]["mean"]["examples"] == 2 * 6 * 200
    assert summary["lottery"]["ratio"]["forward_flops_masked"] == pytest.approx((101 + 25) / 180)
    assert summary["lottery"]["ratio"]["nonzero_parameters"] == pytest.approx((195 - 54) / 195)
    untuned = [run.metrics["untuned"]["test"]["accuracy"] for run in results if run.config.method == "lottery"]
    assert summary["lottery"]["untuned_accuracy"] == pytest.approx(sum(untuned) / 2)
    assert summary["unpruned"]["untuned_accuracy"] is None
    assert summarise([run for run in results if run.config.method == "lottery"])["lottery"]["reached"] is None
