"""Statistics of paired differences. SciPy; no TensorFlow.

Differences are seed by seed: own value less the baseline's, for accuracies in [0, 1], so that more is better.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

MARGIN = 0.005  # of accuracy: a loss below half a point counts as none
CONFIDENCE = 0.95  # of intervals; one-sided tests are at half of what is left of 1, so that both always agree
LEVEL = (1 - CONFIDENCE) / 2
POWER = 0.8
RESAMPLES = 9999
FEWEST_SEEDS = 6  # that a sign test can decide with: five of five alike have a two-sided p of 0.0625
MOST_SEEDS = 100_000  # that `seeds_needed` counts up to
BETTER, NON_INFERIOR, WORSE, OPEN = "better", "non-inferior", "worse", "open"
LOWER = "open (lower)"  # than the baseline; whether by more than the margin is open
HIGHER = "open (higher)"  # the same of an error


class Interval(NamedTuple):
    """A mean with the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def t_interval(values: Sequence[float], variance_factor: float = 1.0) -> Interval:
    """Returns the mean of at least two values and Student's interval.

    Args:
        values: independent draws.
        variance_factor: what the squared standard error is multiplied by, see `resampled_interval`.
    """
    values = np.asarray(values, float)
    mean, error = float(values.mean()), float(stats.sem(values)) * variance_factor**0.5
    reach = error * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return Interval(mean, mean - float(reach), mean + float(reach))


def resampled_interval(values: Sequence[float], test_share: float) -> Interval:
    """Returns an interval for other data of the same kind, where seeds draw their splits from one set of rows.

    Such seeds share rows and are no independent draws; the correction is that of Nadeau & Bengio 2003, Inference for
    the generalization error, Machine Learning 52, 239-281.

    Args:
        values: one per seed.
        test_share: rows of the test split over those of the training split.
    """
    return t_interval(values, 1 + len(values) * test_share)


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the bounds of a BCa bootstrap interval of the mean (Efron 1987), the same for the same values.

    None where there are fewer than `FEWEST_SEEDS` values: all resamples of so few lie between the same few means.
    """
    values = np.asarray(values, float)
    if len(values) < FEWEST_SEEDS:
        return None
    if np.ptp(values) <= 1e-12 * np.max(np.abs(values), initial=1e-300):  # nothing to draw from
        return float(values.mean()), float(values.mean())
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, rng=np.random.default_rng(0), batch=1000
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def p_above(values: Sequence[float], bound: float) -> float:
    """Returns p of a one-sided t test whose null hypothesis is that the mean is no more than `bound`.

    Where all values are alike there is no spread to go by, as with accuracies of a few seeds that differ by one example
    each. Then it is p of the sign test: that many values lie above the bound by chance.

    >>> p_above([0.03, 0.03], 0.0), p_above([0.03] * 6, 0.0)
    (0.25, 0.015625)
    """
    values = np.asarray(values, float)
    mean, error = values.mean(), values.std(ddof=1) / len(values) ** 0.5
    if error <= 1e-12 * max(abs(mean), abs(bound)):  # but for rounding all alike
        return 0.5 ** len(values) if mean - bound > 1e-12 * max(abs(mean), abs(bound)) else 1.0
    return float(stats.t.sf((mean - bound) / error, len(values) - 1))


def p_two_sided(values: Sequence[float]) -> float:
    """Returns p of the paired t test; 1 where nothing differs."""
    if not np.any(values):
        return 1.0
    return min(1.0, 2 * min(p_above(values, 0.0), p_above(-np.asarray(values, float), 0.0)))


def p_equivalent(values: Sequence[float], margin: float) -> float:
    """Returns p of two one-sided tests (TOST; Schuirmann 1987): the mean lies between -margin and +margin."""
    return max(p_above(values, -margin), p_above(-np.asarray(values, float), -margin))


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


def outcome(p_better: float, p_non_inferior: float, p_worse: float, p_lower: float = 1.0) -> str:
    """Returns which of three things one-sided tests show, or that it is open; then whether it is lower at least.

    Args:
        p_better, p_non_inferior, p_worse, p_lower: that the mean is above 0, above -margin, below -margin, below 0.

    >>> outcome(0.4, 0.01, 0.99), outcome(0.9, 0.3, 0.7)
    ('non-inferior', 'open')
    """
    for name, p in ((BETTER, p_better), (NON_INFERIOR, p_non_inferior), (WORSE, p_worse), (LOWER, p_lower)):
        if p <= LEVEL:
            return name
    return OPEN


def outcomes(differences: Mapping[str, Sequence[float]], margin: float) -> dict[str, str]:
    """Returns the `outcome` of each trial of a family, after Holm's correction of each test for their number.

    Args:
        differences: trial -> its differences to the baseline, of at least two seeds; more is better.
        margin: up to which a loss counts as none, in the unit of the differences.

    >>> outcomes({"a": [0.09, 0.08, 0.085], "b": [-0.09, -0.08, -0.085], "c": [-0.1, 0.1, 0.0]}, 0.005)
    {'a': 'better', 'b': 'worse', 'c': 'open'}
    """
    gains = [np.asarray(own, float) for own in differences.values()]
    tests = (
        [p_above(own, 0.0) for own in gains],
        [p_above(own, -margin) for own in gains],
        [p_above(-own, margin) for own in gains],
        [p_above(-own, 0.0) for own in gains],
    )
    return dict(zip(differences, itertools.starmap(outcome, zip(*map(holm, tests), strict=True)), strict=True))


def seeds_needed(values: Sequence[float], distance: float, tests: int = 1) -> int | None:
    """Returns how many seeds would tell a mean from a bound, four times in five.

    Args:
        values: differences of at least two seeds, for their spread.
        distance: between the mean and the bound; for equal networks and non-inferiority, the margin.
        tests: how many are corrected for together; each then has a level of its share.

    Returns:
        A number of at least 2; None if it is above `MOST_SEEDS`.
    """
    deviation = float(np.std(values, ddof=1))

    def enough(seeds: int) -> bool:
        bound = stats.t.isf(LEVEL / tests, seeds - 1)
        return bool(stats.nct.sf(bound, seeds - 1, distance * seeds**0.5 / deviation) >= POWER)

    if deviation <= 1e-9 * distance:  # all alike: what `p_above` then decides by
        return math.ceil(math.log2(tests / LEVEL))
    if enough(2):
        return 2
    low, high = 2, 4
    while not enough(high):
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
