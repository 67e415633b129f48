"""Several methods over several seeds, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfprune.config import Config
from tfprune.errors import TrainingError
from tfprune.methods import BASELINE
from tfprune.results import Result

COLUMNS = ("test_loss", "test_accuracy", "sparsity", "nonzero_parameters", "weights_gzip", "epochs", "seconds")
Rows = Mapping[str, Mapping[str, float]]  # seed -> what a comparison says of its run


def run_all(configs: Iterable[Config], run: Callable[..., Result]) -> tuple[list[Result], list[str]]:
    """Runs each config; one whose training fails is noted, and the rest go on.

    Args:
        configs: those of the baseline before the others of the same seed, who then share its training.
        run: from a config, and `dense=` the baseline's run (None: there is none), to a finished run.

    Returns:
        The finished runs, and a line on each that failed.
    """
    results, failures = [], []
    baselines: dict[int, Result] = {}
    for config in configs:
        try:
            result = run(config, dense=baselines.get(config.seed))
        except TrainingError as error:
            failures.append(f"{config.run_id}: {error}")
            continue
        if config.method == BASELINE:
            baselines[config.seed] = result
        results.append(result)
    return results, failures


def row(result: Result) -> dict[str, float]:
    """Returns what a comparison says of one run."""
    metrics = result.metrics
    return {
        "test_loss": metrics["test"]["loss"],
        "test_accuracy": metrics["test"]["accuracy"],
        "sparsity": metrics["sparsity"]["achieved"],
        "nonzero_parameters": metrics["nonzero_parameters"],
        "weights_gzip": metrics["bytes"]["weights"]["gzip"],
        "epochs": metrics["epochs"],
        "seconds": metrics["seconds"]["total"],
    }


def by_trial(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Gathers runs that differ in nothing but their seed.

    Returns:
        name of the trial -> its runs. The name is that of the method, with the sparsity asked for
        (`"dynamic 80 %"`) where a method was run at several.
    """
    results = list(results)
    levels: dict[str, set[float]] = {}
    for result in results:
        levels.setdefault(result.config.method, set()).add(result.config.requested_sparsity)
    trials: dict[str, list[Result]] = {}
    for result in results:
        method, sparsity = result.config.method, result.config.requested_sparsity
        name = method if len(levels[method]) == 1 else f"{method} {100 * sparsity:.3g} %"
        trials.setdefault(name, []).append(result)
    return trials


def summarise(results: Iterable[Result]) -> dict[str, dict[str, Any]]:
    """Gathers runs by trial, see `by_trial`.

    Returns:
        trial -> `method`, `requested_sparsity`, `seeds` (seed -> a `row`), `mean`, `median` and `sd` (of
        each column; the sample's standard deviation, None for a single seed), `seconds_ratio`: the median
        over seeds of a run's seconds to those of the baseline with the same seed (None without a
        baseline), and `delta`: see `paired_difference`, of the test loss, with `p_holm`, the p value
        after Holm's correction for the number of trials that are compared.
    """
    trials = by_trial(results)
    seeds = {trial: {str(run.config.seed): row(run) for run in runs} for trial, runs in trials.items()}
    summary = {}
    for trial, rows in seeds.items():
        values = {name: np.array([r[name] for r in rows.values()]) for name in COLUMNS}
        config = trials[trial][0].config
        summary[trial] = {
            "method": config.method,
            "requested_sparsity": config.requested_sparsity,
            "seeds": rows,
            "mean": {name: float(v.mean()) for name, v in values.items()},
            "median": {name: float(np.median(v)) for name, v in values.items()},
            "sd": {name: float(v.std(ddof=1)) if len(v) > 1 else None for name, v in values.items()},
            "seconds_ratio": _median_ratio(rows, seeds.get(BASELINE, {})),
            "delta": None if trial == BASELINE else paired_difference(rows, seeds.get(BASELINE, {}), "test_loss"),
        }
    _add_corrected(delta for values in summary.values() if (delta := values["delta"]))
    return summary


def paired_difference(rows: Rows, baseline: Rows, name: str) -> dict[str, float] | None:
    """Compares a method with the baseline seed by seed: the same split, initial weights and order of the data.

    Args:
        rows, baseline: seed -> a `row`.
        name: the column to compare, one of which less is better.

    Returns:
        `mean` of the differences to the baseline, the bounds `low` and `high` of its 95 % confidence
        interval (Student's t), `better`, the share of seeds with a difference below zero, and `p` of
        the paired t test; None where fewer than two seeds are paired. Seeds that do not differ at
        all have a `p` of 1.
    """
    pairs = [(values[name], baseline[seed][name]) for seed, values in rows.items() if seed in baseline]
    if len(pairs) < 2:
        return None
    own, other = np.array(pairs).T
    difference = own - other
    mean, error = difference.mean(), stats.sem(difference)
    reach = error * stats.t.ppf(0.975, len(pairs) - 1)
    return {
        "mean": float(mean),
        "low": float(mean - reach),
        "high": float(mean + reach),
        "better": float(np.mean(difference < 0)),
        "p": float(stats.ttest_rel(own, other).pvalue) if np.any(difference) else 1.0,
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p values for how many there are (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def _add_corrected(deltas: Iterable[dict[str, float]]) -> None:
    deltas = list(deltas)
    for delta, p in zip(deltas, holm([delta["p"] for delta in deltas]), strict=True):
        delta["p_holm"] = p


def _median_ratio(rows: Rows, baseline: Rows) -> float | None:
    ratios = [values["seconds"] / baseline[seed]["seconds"] for seed, values in rows.items() if seed in baseline]
    return float(np.median(ratios)) if ratios else None
