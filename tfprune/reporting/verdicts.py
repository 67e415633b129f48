"""The hypothesis of dynamic pruning as three statements, and what the runs say of each, of other methods too.

Each statement is about a paired comparison, seed by seed, and is judged by a 95 % confidence interval alone:
*supported* if the whole interval speaks for it, *refuted* if the whole interval speaks against it, *undecided* else. A
statement that the set-up decides, not the runs, is *by construction*.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from scipy import stats

from tfprune.methods import BASELINE
from tfprune.reporting.measures import measure_of
from tfprune.reporting.statistics import (
    CONFIDENCE,
    FEWEST_SEEDS,
    LEVEL,
    MARGIN,
    Interval,
    p_above,
    seeds_needed,
    t_interval,
)
from tfprune.reporting.tables import seeds_text
from tfprune.reporting.timing import trained_as_stacks, why_times_differ

SUPPORTED, REFUTED, UNDECIDED, BY_CONSTRUCTION = "supported", "refuted", "undecided", "by construction"
RULE = (
    f"A statement is judged by the {100 * CONFIDENCE:.0f} % interval of a comparison that is paired seed by seed, and "
    "by nothing else: supported if the whole interval speaks for it, refuted if the whole interval speaks against it, "
    "undecided else. The intervals are not corrected for the number of statements.",
    f"Fewer epochs: the share of seeds in which a method comes to {BASELINE}'s final validation loss earlier, "
    "among those in which one of the two is earlier (never counts as last), with its exact binomial interval: above or "
    f"below 1/2. Fewer than {FEWEST_SEEDS} such seeds can decide nothing.",
    "Less time than lottery: by construction where a ticket trains for more epochs, left out where both train for as "
    f"many; the ratio to {BASELINE} stands beside it. Networks trained as one model share one measurement, so there is "
    "no interval of their times.",
    "No loss of accuracy: the difference of test accuracies, mean with a t interval. Supported (non-inferior) if it "
    f"lies above -{100 * MARGIN:g} points; refuted (inferior) if it lies below that, or if the network is no smaller; "
    "else undecided, with the number of seeds that would show equal networks to be so four times in five. Other tasks "
    f"have their own metric in its place, whose margin is {100 * MARGIN:g} points of a share, or {100 * MARGIN:g} % of "
    "the error of always answering the mean, in the unit of the target.",
)  # what `verdicts` does, for readers
EQUAL_EPOCHS = 0.02  # of the epochs of one of two trainings: less is no difference
Summary = Mapping[str, Any]  # of one trial, see `comparison.summarise`


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the runs say of a statement.

    Attributes:
        trial: the trial that the statement is about.
        statement: what is claimed.
        outcome: `supported`, `refuted`, `undecided` or `by construction`.
        evidence: the interval that decided, in words.
        low, high: its bounds; None where there is none.
    """

    trial: str
    statement: str
    outcome: str
    evidence: str
    low: float | None = None
    high: float | None = None


def verdicts(summary: Mapping[str, Summary], methods: Collection[str] | None = ("dynamic",)) -> list[Verdict]:
    """Judges the three statements for every trial of some methods in a comparison.

    1. *Fewer epochs to the unpruned network's loss.* Among the seeds in which one of the two reaches the unpruned
       network's final validation loss earlier (never counts as last), the share in which dynamic pruning does, with
       its exact binomial interval (Clopper & Pearson 1934): supported above 1/2, refuted below.
    2. *Less training time than a lottery ticket.* By construction where the ticket trains for more epochs, left out
       where it trains for as many. The ratios of training times (see `comparison.training_time`) to the ticket's and to
       the baseline's stand beside it, geometric means with t intervals.
    3. *A smaller network at no loss of accuracy.* Fewer parameters that are not zero, and the difference of test
       accuracies, mean with a t interval: supported (non-inferior) above -`MARGIN`, refuted (inferior) below it or if
       the network is no smaller.

    Args:
        summary: what `comparison.summarise` returns.
        methods: that are judged; None is all that prune, of which the second statement is for `dynamic` alone.
    """
    found = []
    for trial, own in summary.items():
        if own["method"] not in methods if methods is not None else not own["requested_sparsity"]:
            continue
        if BASELINE in summary and any(r["epochs_to_reach"] is not None for r in summary[BASELINE]["seeds"].values()):
            found.append(_fewer_epochs(trial, own, summary[BASELINE]))
        if own["method"] == "dynamic" and (other := _counterpart(own, summary, "lottery")):
            found += _less_time(trial, own, other, summary)
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
    few = f"; needs at least {FEWEST_SEEDS} seeds that differ" if earlier + later < FEWEST_SEEDS else ""
    return Verdict(
        trial,
        statement,
        judge(low, high, least=0.5),
        f"earlier in {earlier} of {earlier + later} seeds that differ: {_percent(earlier / (earlier + later))} "
        f"({_percent(low)} to {_percent(high)}); {reached} of {len(pairs)} reach it at all{few}",
        low,
        high,
    )


def _less_time(trial: str, own: Summary, other: str, summary: Mapping[str, Summary]) -> list[Verdict]:
    """Returns no verdict where both train for as many epochs: nothing but noise could decide."""
    ticket = summary[other]
    epochs, of_ticket = own["mean"]["epochs"], ticket["mean"]["epochs"]
    if None in (epochs, of_ticket) or abs(epochs - of_ticket) <= EQUAL_EPOCHS * of_ticket:
        return []
    evidence = [f"{epochs:,.0f} epochs and {of_ticket:,.0f}"]
    low = high = None
    for rival in (other, *({BASELINE} & summary.keys())):
        ratio, interval = _time_ratio(trial, own, rival, summary[rival])
        evidence.append(f"{summary[rival]['method']}: {ratio}")
        if rival == other and interval:
            low, high = interval.low, interval.high
    statement = f"{trial} takes {'less' if epochs < of_ticket else 'more'} training time than {ticket['method']}"
    return [Verdict(trial, statement, BY_CONSTRUCTION, "; ".join(evidence), low, high)]


def _time_ratio(trial: str, own: Summary, rival: str, values: Summary) -> tuple[str, Interval | None]:
    """Returns the ratio of training times in words, and its interval where each seed was timed."""
    if reason := why_times_differ(trial, own["seeds"], rival, values["seeds"]):
        return reason, None
    pairs = [(a, b) for a, b in _pairs(own, values, "training_time") if a and b]
    if not pairs:
        return "times were not kept", None
    if len(pairs) < 2:
        return _too_few(len(pairs)), None
    ratios = np.array([a / b for a, b in pairs])
    if stacks := max(trained_as_stacks(side["seeds"]) or 0 for side in (own, values)):
        many = f"{stacks} measurement{'' if stacks == 1 else 's'}"
        return f"about {np.median(ratios):.1f} x the time (no interval: {many} of networks trained as one model)", None
    interval = Interval(*(float(np.exp(value)) for value in t_interval(np.log(ratios))))
    return f"{interval.mean:.2f} x the time ({interval.low:.2f} to {interval.high:.2f})", interval


def _smaller(trial: str, own: Summary, baseline: Summary) -> Verdict:
    found = measure_of({trial: own})
    loses = f"loses no {found.label} beyond {found.margin_text}"
    if not found.metric.higher:
        loses = f"has a {found.label} that is lower, or no more than {found.margin_text} higher"
    statement = f"{trial} gives a smaller network than {BASELINE} and {loses}"
    pairs = _pairs(own, baseline, found.column)
    sizes = own["mean"]["nonzero_parameters"], baseline["mean"]["nonzero_parameters"]
    if len(pairs) < 2 or None in sizes:
        return Verdict(trial, statement, UNDECIDED, _too_few(len(pairs)))
    size, differences = sizes[0] / sizes[1], [a - b for a, b in pairs]
    mean, low, high = t_interval(differences)
    bounds = sorted((found.sign * low, found.sign * high))  # of the gain
    gains = found.sign * np.array(differences, float)
    above, below = p_above(gains, -found.margin), p_above(-gains, found.margin)
    outcome = REFUTED if size >= 1 or below <= LEVEL else SUPPORTED if above <= LEVEL else UNDECIDED
    points = " points" if found.metric.share else ""
    evidence = (
        f"{_percent(size)} of the parameters, {found.label} {found.difference(mean)}{points} "
        f"({found.bounds(low, high)})"
    )
    if outcome == UNDECIDED:
        # Equal networks are what would be shown; of those that are lower, on which side of the margin they are.
        needed = seeds_needed(differences, abs(found.sign * mean + found.margin) if bounds[1] < 0 else found.margin)
        evidence += f"; needs {seeds_text(needed)}"
    return Verdict(trial, statement, outcome, evidence, low, high)


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


def _too_few(pairs: int) -> str:
    return f"{pairs} seed{'' if pairs == 1 else 's'} in common are too few for an interval"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
