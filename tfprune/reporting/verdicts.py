"""The hypothesis of dynamic pruning as three statements, and what the runs say of each.

Each statement is about a paired comparison, seed by seed, and is judged by a 95 % confidence interval alone:
*supported* if the whole interval speaks for it, *refuted* if the whole interval speaks against it, *undecided* else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfprune.methods import BASELINE
from tfprune.reporting.comparison import paired_difference
from tfprune.reporting.timing import why_times_differ

SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"
MARGIN = 0.005  # of accuracy: a loss below half a point counts as none
CONFIDENCE = 0.95
RULE = (
    f"A statement is judged by the {100 * CONFIDENCE:.0f} % interval of a comparison that is paired seed by seed, and "
    "by nothing else: supported if the whole interval speaks for it, refuted if the whole interval speaks against it, "
    "undecided else.",
    f"Fewer epochs: the share of seeds in which dynamic pruning comes to {BASELINE}'s final validation loss earlier, "
    "among those in which one of the two is earlier (never counts as last), with its exact binomial interval: above or "
    "below 1/2.",
    "Less time: the ratio of training times, geometric mean with a t interval: below or above 1; undecided where times "
    "do not compare.",
    "No loss of accuracy: the difference of test accuracies, mean with a t interval. Supported if it lies above "
    f"-{100 * MARGIN:g} points; refuted if it lies below 0 and not above that margin, or if the network is no smaller.",
)  # what `verdicts` does, for readers
Summary = Mapping[str, Any]  # of one trial, see `comparison.summarise`


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the runs say of a statement.

    Attributes:
        trial: the trial that the statement is about.
        statement: what is claimed.
        outcome: `supported`, `refuted` or `undecided`.
        evidence: the interval that decided, in words.
        low, high: its bounds; None where there are too few seeds for one.
    """

    trial: str
    statement: str
    outcome: str
    evidence: str
    low: float | None = None
    high: float | None = None


def verdicts(summary: Mapping[str, Summary]) -> list[Verdict]:
    """Judges the three statements for every trial of `dynamic` in a comparison.

    1. *Fewer epochs to the unpruned network's loss.* Among the seeds in which one of the two reaches the unpruned
       network's final validation loss earlier (never counts as last), the share in which dynamic pruning does, with
       its exact binomial interval (Clopper & Pearson 1934): supported above 1/2, refuted below.
    2. *Less training time than a lottery ticket.* The ratio of training times (see `comparison.training_time`),
       geometric mean with a t interval: supported below 1, refuted above.
    3. *A smaller network at no loss of accuracy.* Fewer parameters that are not zero, and the difference of test
       accuracies, mean with a t interval: supported if it lies above -`MARGIN`; refuted if it lies below 0 and is
       not that small, or if the network is no smaller.

    Args:
        summary: what `comparison.summarise` returns.
    """
    found = []
    for trial, own in summary.items():
        if own["method"] != "dynamic":
            continue
        if BASELINE in summary:
            found.append(_fewer_epochs(trial, own, summary[BASELINE]))
        if other := _counterpart(own, summary, "lottery"):
            found.append(_less_time(trial, own, other, summary[other]))
        if BASELINE in summary:
            found.append(_smaller(trial, own, summary[BASELINE]))
    return found


def judge(low: float, high: float, *, least: float) -> str:
    """Says what an interval means for the statement that a value is above `least`.

    >>> judge(0.1, 0.2, least=0.0), judge(-0.2, -0.1, least=0.0), judge(0.0, 0.1, least=0.0)
    ('supported', 'refuted', 'undecided')
    """
    return SUPPORTED if low > least else REFUTED if high < least else UNDECIDED


def _fewer_epochs(trial: str, own: Summary, baseline: Summary) -> Verdict:
    statement = f"{trial} needs fewer epochs than {BASELINE} to {BASELINE}'s final validation loss"
    pairs = _pairs(own, baseline, "epochs_to_reach")
    pairs = [tuple(np.inf if value is None else value for value in pair) for pair in pairs]
    earlier, later = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    if not earlier + later:
        return Verdict(trial, statement, UNDECIDED, f"no seed of {len(pairs)} shows a difference")
    interval = stats.binomtest(earlier, earlier + later).proportion_ci(CONFIDENCE, method="exact")
    low, high = float(interval.low), float(interval.high)
    reached = sum(np.isfinite(a) for a, _ in pairs)
    return Verdict(
        trial,
        statement,
        judge(low, high, least=0.5),
        f"earlier in {earlier} of {earlier + later} seeds that differ: {_percent(earlier / (earlier + later))} "
        f"({_percent(low)} to {_percent(high)}); {reached} of {len(pairs)} reach it at all",
        low,
        high,
    )


def _less_time(trial: str, own: Summary, other: str, lottery: Summary) -> Verdict:
    statement = f"{trial} takes less training time than {lottery['method']}"
    if reason := why_times_differ(trial, own["seeds"], other, lottery["seeds"]):
        return Verdict(trial, statement, UNDECIDED, reason)
    ratios = np.array([a / b for a, b in _pairs(own, lottery, "training_time")])
    if len(ratios) < 2:
        return Verdict(trial, statement, UNDECIDED, _too_few(len(ratios)))
    mean, low, high = (float(np.exp(value)) for value in _mean_interval(np.log(ratios)))
    return Verdict(
        trial, statement, judge(-high, -low, least=-1.0), f"{mean:.2f} x the time ({low:.2f} to {high:.2f})", low, high
    )


def _smaller(trial: str, own: Summary, baseline: Summary) -> Verdict:
    statement = f"{trial} gives a smaller network than {BASELINE} and loses no accuracy beyond {100 * MARGIN:g} points"
    size = own["mean"]["nonzero_parameters"] / baseline["mean"]["nonzero_parameters"]
    difference = paired_difference(own["seeds"], baseline["seeds"], "test_accuracy")
    if difference is None:
        return Verdict(trial, statement, UNDECIDED, _too_few(len(_pairs(own, baseline, "test_accuracy"))))
    low, high = difference["low"], difference["high"]
    outcome = judge(low, high, least=-MARGIN)
    if size >= 1 or (outcome == UNDECIDED and high < 0):
        outcome = REFUTED
    return Verdict(
        trial,
        statement,
        outcome,
        f"{_percent(size)} of the parameters, accuracy {100 * difference['mean']:+.2f} points "
        f"({100 * low:+.2f} to {100 * high:+.2f})",
        low,
        high,
    )


def _counterpart(own: Summary, summary: Mapping[str, Summary], method: str) -> str | None:
    """Returns the trial of a method at the sparsity nearest to that of `own`, of the same granularity if there is."""
    trials = {trial: values for trial, values in summary.items() if values["method"] == method}
    trials = {trial: values for trial, values in trials.items() if _kind(values) == _kind(own)} or trials
    distance = {t: abs(values["requested_sparsity"] - own["requested_sparsity"]) for t, values in trials.items()}
    return min(distance, key=distance.__getitem__, default=None)


def _kind(values: Summary) -> str:
    return values.get("granularity", "weight")  # which files of earlier versions do not say


def _pairs(own: Summary, other: Summary, name: str) -> list[tuple[Any, Any]]:
    return [(row[name], other["seeds"][seed][name]) for seed, row in own["seeds"].items() if seed in other["seeds"]]


def _mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    mean, error = np.mean(values), stats.sem(values)
    reach = error * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return mean, mean - reach, mean + reach


def _too_few(pairs: int) -> str:
    return f"{pairs} seed{'' if pairs == 1 else 's'} in common are too few for an interval"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
