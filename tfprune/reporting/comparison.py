"""Several methods over several seeds, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from tfprune.data.objectives import DEFAULT, primary_metric
from tfprune.experiments.results import Result
from tfprune.methods import BASELINE
from tfprune.reporting import statistics
from tfprune.reporting.diverged import Diverged, chance_row
from tfprune.reporting.measures import Measure, measure, measure_of
from tfprune.reporting.timing import KEY, timing_notes, timing_of, why_times_differ
from tfprune.training.config import Config

_OTHERS = (
    *("sparsity", "nonzero_parameters", "weights_gzip", "epochs", "examples"),
    *("forward_flops_masked", "training_flops", "training_flops_masked", "seconds", "training_time"),
)
RATIOS = (
    *("training_time", "training_flops", "training_flops_masked"),
    *("nonzero_parameters", "forward_flops_masked"),  # of what is left
)
TIMES = ("training_time",)  # among the ratios
ACCURACY = measure(DEFAULT)


def columns_of(found: Measure) -> tuple[str, ...]:
    """Returns the columns of a comparison by a metric."""
    return ("test_loss", found.column, *_OTHERS)


COLUMNS = columns_of(ACCURACY)
Ran = TypeVar("Ran", bound=Any)  # what has a `config`
EARLY_BIRD_EPOCHS = 10  # that five looks within the first half of a run need
Rows = Mapping[str, Mapping[str, Any]]  # seed -> what a comparison says of its run


def row(result: Result, target: float | None = None) -> dict[str, Any]:
    """Returns what a comparison says of one run.

    Args:
        result: the run.
        target: a validation loss; the row then says after how many epochs and seconds the network had
            reached it, None if it never did, see `reached`.
    """
    metrics, found = result.metrics, measure(result.config.task)
    arrived = None if target is None else reached(result, target)
    return {
        "test_loss": metrics["test"]["loss"],
        found.column: metrics["test"][found.name],
        "sparsity": metrics["sparsity"]["achieved"],
        "nonzero_parameters": metrics["nonzero_parameters"],
        "weights_gzip": metrics["bytes"]["weights"]["gzip"],
        "epochs": metrics["epochs"],
        "examples": metrics["cost"]["examples"],
        "forward_flops_masked": metrics["cost"]["forward_flops_masked"],
        "training_flops": metrics["cost"]["training_flops"],
        "training_flops_masked": metrics["cost"]["training_flops_masked"],
        "seconds": metrics["seconds"]["total"],
        "training_time": training_time(metrics),
        "epochs_to_reach": arrived and arrived[0],
        "seconds_to_reach": arrived and arrived[1],
        found.untuned: _untuned(metrics, found.name),
        KEY: timing_of(metrics),
        "uncounted": list(metrics["cost"].get("uncounted", ())),
    }


def _untuned(metrics: Mapping[str, Any], name: str) -> float | None:
    """Returns the test metric between the last pruning of a trained network and what training came after it."""
    untuned = metrics.get("untuned")  # which runs of earlier versions do not have
    return untuned["test"][name] if untuned else None


def training_time(metrics: Mapping[str, Any]) -> float:
    """Returns the seconds that a run's trainings took; CPU time of all cores together where no GPU computed.

    That holds still when others use the machine.
    """
    took = metrics["cpu_seconds"]
    return sum(metrics["seconds"][phase] for phase in took if phase != "total") if _on_gpu(metrics) else took["total"]


def _on_gpu(metrics: Mapping[str, Any]) -> bool:
    return bool(metrics["machine"]["gpus"])


def reached(result: Result, target: float) -> tuple[float, float] | None:
    """Says when a run first had a validation loss of `target` or less, as sparse as it is in the end.

    Returns:
        Epochs and seconds of training until then, over all its trainings and at the epochs that were
        logged; None if it never came so far.
    """
    metrics, seconds = result.metrics, result.metrics["seconds"]
    phases, steps, losses, levels = result.history_columns("phase", "step", "val_loss", "sparsity").values()
    found = next((n for n, v in enumerate(losses) if v is not None and v <= target and levels[n] == levels[-1]), None)
    if found is None:
        return None
    phase = phases[found]
    first = max((steps[n] for n in range(found) if phases[n] != phase), default=0)
    last = max(step for step, other in zip(steps, phases, strict=True) if other == phase)
    share = (steps[found] - first) / (last - first) if last > first else 0.0
    before = sum(seconds[name] for name in set(phases[:found]) - {phase})
    epochs = metrics["epochs"] * steps[found] / steps[-1]
    return epochs, before + share * seconds.get(phase, 0.0)


def remarks(summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns what readers of a comparison's tables have to know.

    Which times do not compare, which FLOPs are left out, which seeds diverged, which trials are not their method.

    Args:
        summary: what `summarise` returns.
    """
    rows = [row for values in summary.values() for row in values["seeds"].values()]
    uncounted = dict.fromkeys(name for row in rows for name in row.get("uncounted", ()))
    left_out = [f"FLOPs and the speed-up leave out layers that cannot be counted: {', '.join(uncounted)}."]
    notes = timing_notes(summary) + (left_out if uncounted else [])
    for trial, values in summary.items():
        if seeds := [seed for seed, row in values["seeds"].items() if row.get("diverged")]:
            notes.append(
                f"Of {trial} diverged: seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}; counted at chance "
                f"({measure_of(summary).label} and loss of a network that guesses), and left out of all other columns."
            )
    return notes + _short_early_birds(summary)


def _short_early_birds(summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    short = [
        trial
        for trial, values in summary.items()
        if values["method"] == "early_bird"
        and (epochs := values["mean"]["epochs"]) is not None  # not all diverged
        and epochs < EARLY_BIRD_EPOCHS
    ]
    return [
        f"{', '.join(short)}: with fewer than {EARLY_BIRD_EPOCHS} epochs the mask is looked at too seldom to be found "
        "stable, so this is one-shot pruning at `latest` and says nothing about early birds."
    ] * bool(short)


def by_trial(results: Iterable[Ran]) -> dict[str, list[Ran]]:
    """Gathers runs that differ in nothing but their seed.

    Returns:
        name of the trial -> its runs. The name is that of the method, with the sparsity asked for
        (`"dynamic 80 %"`) where a method was run at several, with the granularity where it is not `weight`, and
        with other settings of its own, its epochs and its scope where those differ; where none of these does, with
        whatever else differs. No two trials have one name.
    """
    trials: dict[str, list[Ran]] = {}
    for result in results:
        trials.setdefault(result.config.trial_id, []).append(result)
    configs = [runs[0].config for runs in trials.values()]
    return {_trial_name(runs[0].config, configs): runs for runs in trials.values()}


def _trial_name(config: Config, configs: Iterable[Config]) -> str:
    rivals = [o for o in configs if (o.method, o.granularity) == (config.method, config.granularity)]
    level = f"{100 * config.requested_sparsity:.3g} %"
    alike = [other for other in rivals if f"{100 * other.requested_sparsity:.3g} %" == level]
    method = config.method if config.granularity == "weight" else f"{config.method} {config.granularity}"
    parts = [method if len(alike) == len(rivals) else f"{method} {level}"]
    for settings_of in (_own_settings, _all_settings):
        own, others = settings_of(config), list(map(settings_of, alike))
        differing = [key for key in own if any(other.get(key) != own[key] for other in others)]
        parts += [f"{key}={own[key]}" for key in differing]
        alike = [
            rival for rival, other in zip(alike, others, strict=True) if all(other.get(k) == own[k] for k in differing)
        ]
    return " ".join(parts)


def _own_settings(config: Config) -> dict[str, Any]:
    pruned = {name: getattr(config, name) for name in ("epochs", "scope", "pattern", "pooling")}
    return config.settings | config.channel_settings | pruned


def _all_settings(config: Config) -> dict[str, Any]:
    return {key: value for key, value in flat(config.identity()).items() if key != "seed"}


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings of a run on one level, spelled as for `--set`.

    >>> flat({"epochs": 3, "model_settings": {"hidden": 12}})
    {'epochs': 3, 'model.hidden': 12}
    """
    result: dict[str, Any] = {}
    for key, value in settings.items():
        owner = key.removesuffix("_settings")
        result |= (
            {f"{owner}.{name}": own for name, own in value.items()} if isinstance(value, Mapping) else {key: value}
        )
    return result


def several_sparsities(trials: Iterable[Mapping[str, Any]]) -> bool:
    """Returns whether a method is asked for several sparsities.

    Args:
        trials: `method`, `granularity` and `requested_sparsity` of each.
    """
    levels: dict[tuple[str, str], set[float]] = {}
    for own in trials:
        levels.setdefault((own["method"], own["granularity"]), set()).add(own["requested_sparsity"])
    return any(len(asked) > 1 for asked in levels.values())


def summarise(results: Iterable[Result], diverged: Iterable[Diverged] = ()) -> dict[str, dict[str, Any]]:
    """Gathers runs by trial, see `by_trial`.

    Args:
        results: finished runs.
        diverged: runs whose loss was no number any more; they count at chance, see `diverged.chance_row`.

    Returns:
        trial -> what `summary_of` returns.
    """
    trials = by_trial([*results, *diverged])
    targets = {
        run.config.seed: run.history_columns("val_loss")["val_loss"][-1]
        for run in trials.get(BASELINE, ())
        if isinstance(run, Result)
    }
    return summary_of(
        {
            trial: {
                "method": runs[0].config.method,
                "granularity": runs[0].config.granularity,
                "requested_sparsity": runs[0].config.requested_sparsity,
                **_task_of(runs),
                "seeds": {
                    str(run.config.seed): row(run, targets.get(run.config.seed))
                    if isinstance(run, Result)
                    else chance_row(run, columns_of(measure(run.config.task)))
                    for run in runs
                },
            }
            for trial, runs in trials.items()
        }
    )


def _task_of(runs: Sequence[Any]) -> dict[str, Any]:
    """Returns the task of a trial and what one answer for all comes to, where it is another than the usual one."""
    task = runs[0].config.task
    if task == DEFAULT:
        return {}
    name = primary_metric(task).name
    constants = [run.constant["test"][name] for run in runs]
    return {"task": task, "constant": float(np.median(constants))}


def summary_of(trials: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Computes all that is said of trials from the rows of their runs.

    Args:
        trials: trial -> `method`, `granularity`, `requested_sparsity` and `seeds` (seed -> a `row`); of another task
            than classes `task` and `constant`, see `measures`.

    Returns:
        trial -> the same and `mean`, `median` and `sd` (of each column; the sample's standard deviation, None for a
        single seed), `untuned_accuracy`: the mean of those test accuracies between pruning and what training came after
        it (None where there are none), `ratio`: the medians over seeds of what a run's training took in time and FLOPs,
        and of what is left of the network, to the baseline's with the same seed (None without a baseline), `reached`:
        of the seeds that the baseline has too, the share that came to its final validation loss, and the median epochs
        and seconds after which they did (None if fewer than half did), `times_differ`: why its times cannot be
        compared with the baseline's (None if they can: otherwise ratios of time and seconds until its loss are None),
        `delta`: see `paired_difference`, of the test loss, with `p_holm`, the p value after Holm's correction for the
        number of
        trials that are compared, and by the name of the task's metric (`accuracy`) what `metric_difference` returns.
    """
    seeds = {trial: values["seeds"] for trial, values in trials.items()}
    baseline = seeds.get(BASELINE, {})
    found = measure_of(trials)
    targets = {seed for seed, row in baseline.items() if row["epochs_to_reach"] is not None}  # it reaches its own loss
    summary = {}
    for trial, rows in seeds.items():
        reason = why_times_differ(trial, rows, BASELINE, baseline)
        columns = {name: _column(rows, name) for name in columns_of(found)}
        compared = trial != BASELINE
        reached = _reached([row for seed, row in rows.items() if seed in targets])
        summary[trial] = {
            **trials[trial],
            "mean": {name: float(v.mean()) if len(v) else None for name, v in columns.items()},
            "median": {name: float(np.median(v)) if len(v) else None for name, v in columns.items()},
            "sd": {name: float(v.std(ddof=1)) if len(v) > 1 else None for name, v in columns.items()},
            found.untuned: _mean_of_all([r[found.untuned] for r in rows.values() if not r.get("diverged")]),
            "ratio": {
                name: None if reason and name in TIMES else _median_ratio(rows, baseline, name) for name in RATIOS
            },
            "reached": reached and reached | ({"seconds_to_reach": None} if reason else {}),
            "times_differ": reason,
            "delta": paired_difference(rows, baseline, "test_loss") if compared else None,
            found.name: metric_difference(rows, baseline, found) if compared else None,
        }
    _correct([delta for values in summary.values() if (delta := values["delta"])], ("p",))
    _judge([own for values in summary.values() if (own := values[found.name])], found.sign)
    return summary


def _column(rows: Rows, name: str) -> np.ndarray:
    """Returns the numbers of a column; networks that diverged have a loss and an accuracy alone."""
    return np.array([value for row in rows.values() if (value := row[name]) is not None], float)


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    return None if None in values or not values else float(np.mean(values))


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
    differences = differences_of(rows, baseline, name)
    if len(differences) < 2:
        return None
    return {
        **statistics.t_interval(differences)._asdict(),
        "better": float(np.mean(differences < 0)),
        "p": statistics.p_two_sided(differences),
    }


def metric_difference(rows: Rows, baseline: Rows, found: Measure = ACCURACY) -> dict[str, Any] | None:
    """Compares the task's metric on the test split with the baseline's, seed by seed.

    Returns:
        `mean`, `low`, `high` as in `paired_difference`, `bootstrap`: the bounds of a BCa interval, `margin`, `seeds`,
        `p_better`, `p_non_inferior`, `p_worse`, `p_lower` and `p_equivalent` of one-sided t tests (the last is TOST),
        and `differences`, those of the metric itself; None where fewer than two seeds are paired. `summary_of` puts
        `outcome`, `seeds_needed` and p values after Holm's correction in the place of `differences`.
    """
    differences = differences_of(rows, baseline, found.column)
    gains, margin = found.sign * differences, found.margin
    if len(differences) < 2:
        return None
    return {
        **statistics.t_interval(differences)._asdict(),
        "bootstrap": statistics.bootstrap_interval(differences),
        "margin": margin,
        "seeds": len(differences),
        "p_better": statistics.p_above(gains, 0.0),
        "p_non_inferior": statistics.p_above(gains, -margin),
        "p_worse": statistics.p_above(-gains, margin),
        "p_lower": statistics.p_above(-gains, 0.0),
        "p_equivalent": statistics.p_equivalent(gains, margin),
        "differences": differences.tolist(),
    }


def differences_of(rows: Rows, baseline: Rows, name: str) -> np.ndarray:
    """Returns a column less the baseline's, of the seeds that both have."""
    return np.array([values[name] - baseline[seed][name] for seed, values in rows.items() if seed in baseline], float)


def _judge(found: Sequence[dict[str, Any]], sign: int) -> None:
    """Adds what the tests come to after Holm's correction for the number of trials, and how many seeds would tell."""
    tests = ("p_better", "p_non_inferior", "p_worse", "p_lower")
    _correct(found, (*tests, "p_equivalent"))
    for own in found:
        own["outcome"] = statistics.outcome(*(own[f"{name}_holm"] for name in tests))
        lower = own["outcome"] == statistics.LOWER
        if lower and sign < 0:
            own["outcome"] = statistics.HIGHER
        distance = abs(sign * own["mean"] + own["margin"]) if lower else own["margin"]
        own["seeds_needed"] = statistics.seeds_needed(own.pop("differences"), distance, len(found))


def _correct(found: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    for name in names:
        for own, p in zip(found, statistics.holm([own[name] for own in found]), strict=True):
            own[f"{name}_holm"] = p


def _median_ratio(rows: Rows, baseline: Rows, name: str) -> float | None:
    pairs = [(values[name], baseline[seed][name]) for seed, values in rows.items() if seed in baseline]
    ratios = [own / other for own, other in pairs if other and own is not None]
    return float(np.median(ratios)) if ratios else None


def _reached(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None] | None:
    """Returns the share of runs that reached the baseline's loss, and medians over all, with inf for the rest.

    Args:
        rows: of the seeds for which the baseline has a loss.
    """
    if not rows:
        return None
    columns = {name: [values[name] for values in rows] for name in ("epochs_to_reach", "seconds_to_reach")}
    medians = {name: np.median([np.inf if v is None else v for v in column]) for name, column in columns.items()}
    share = float(np.mean([value is not None for value in columns["epochs_to_reach"]]))
    return {"share": share} | {name: float(v) if np.isfinite(v) else None for name, v in medians.items()}
