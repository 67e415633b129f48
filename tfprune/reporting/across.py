"""Methods over several data sets: the unit is the data set, not the seed. SciPy; no TensorFlow.

The measures are those of Demšar 2006 (Statistical comparisons of classifiers over multiple data sets, JMLR 7, 1-30),
Benavoli et al. 2017 (Time for a change, JMLR 18, 1-36) and Agarwal et al. 2021 (arXiv:2108.13264).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from tfprune.methods import BASELINE
from tfprune.reporting.comparison import ACCURACY
from tfprune.reporting.measures import measure_of
from tfprune.reporting.statistics import CONFIDENCE, MARGIN, Interval, holm, t_interval

SAMPLES = 50_000  # of the posterior of the Bayesian signed-rank test
PRIOR = 0.5  # its weight: half a data set without a difference
RESAMPLES = 2000
TIED = 12  # decimals of mean accuracies, beyond which the order of a sum shows
FEWEST_DATA_SETS = 6  # that a signed-rank test can decide with
Summaries = Mapping[str, Mapping[str, Mapping[str, Any]]]  # data set -> what `comparison.summarise` returns


@dataclasses.dataclass(frozen=True)
class OverDataSets:
    """A trial against the baseline. Differences are of test accuracy, own less the baseline's with the same seed.

    Attributes:
        differences: data set -> mean over its seeds.
        mean: over data sets, with a t interval; None for a single one.
        counts: of data sets where it is above +margin, within it, below -margin.
        p_signed_rank, p_holm: of Wilcoxon's test; None with fewer than `FEWEST_DATA_SETS`.
        posterior: probabilities that on a further data set it is most probably better, practically equal (within the
            margin), worse, see `signed_rank_posterior`.
        improvement: probability that a run is better than one of the baseline, mean over data sets, with an interval.
        iqm: interquartile mean of the differences of all runs, with an interval. Both are None where `across` leaves
            them out.
        runs: data set -> the differences of its seeds.
    """

    differences: Mapping[str, float]
    mean: Interval | None
    counts: tuple[int, int, int]
    p_signed_rank: float | None
    p_holm: float | None
    posterior: tuple[float, float, float]
    improvement: Interval | None
    iqm: Interval | None
    runs: Mapping[str, Sequence[float]]


@dataclasses.dataclass(frozen=True)
class Across:
    """All trials over data sets.

    Attributes:
        datasets: their names.
        trials: trial -> how it compares with the baseline.
        ranks: trial -> its rank by mean accuracy over the seeds that all have, the mean over data sets; 1 is best. The
            baseline is among them.
        p_friedman: that all ranks are the same but for chance; None with fewer than three trials or two data sets.
        critical_difference: of mean ranks (Nemenyi); None where `p_friedman` is.
        left_out: trials that not all data sets have.
        margin: what counts as no difference.
    """

    datasets: Sequence[str]
    trials: Mapping[str, OverDataSets]
    ranks: Mapping[str, float]
    p_friedman: float | None
    critical_difference: float | None
    left_out: Sequence[str]
    margin: float = MARGIN


def across(summaries: Summaries, margin: float = MARGIN, *, described: bool = True) -> Across | None:
    """Compares the trials that all data sets have with the baseline.

    Args:
        summaries: data set -> what `comparison.summarise` returns.
        margin: of accuracy, what counts as no difference.
        described: whether what resamples seeds is computed too, which takes seconds.

    Returns:
        None where the data sets have no one metric that is a share, or fewer than two have a baseline and a trial in
        common.
    """
    summaries = {name: summary for name, summary in summaries.items() if BASELINE in summary}
    if why_not_across(summaries):
        return None
    found = next((measure_of(summary) for summary in summaries.values()), ACCURACY)
    everything = dict.fromkeys(trial for summary in summaries.values() for trial in summary)
    shared = [trial for trial in everything if all(_has_pairs(summary, trial) for summary in summaries.values())]
    if len(summaries) < 2 or not set(shared) - {BASELINE}:
        return None
    over = {trial: _over(summaries, trial, margin, described) for trial in shared if trial != BASELINE}
    tested = {trial: own.p_signed_rank for trial, own in over.items() if own.p_signed_rank is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    means = np.array([_means(summary, shared, found.column) for summary in summaries.values()], float)
    ranks = stats.rankdata(-means.round(TIED), axis=1)
    several = len(shared) > 2
    return Across(
        datasets=list(summaries),
        trials={t: dataclasses.replace(own, p_holm=corrected.get(t)) for t, own in over.items()},
        ranks=dict(zip(shared, ranks.mean(axis=0).tolist(), strict=True)),
        p_friedman=_friedman(ranks) if several else None,
        critical_difference=critical_difference(len(shared), len(summaries)) if several else None,
        left_out=[trial for trial in everything if trial not in shared],
        margin=margin,
    )


def why_not_across(summaries: Summaries) -> str:
    """Returns why the metrics of data sets cannot be set side by side; "" where they are one share of examples."""
    metrics = list(dict.fromkeys(measure_of(summary).metric for summary in summaries.values() if BASELINE in summary))
    labels = ", ".join(metric.label for metric in metrics)
    if len(metrics) > 1:
        return f"their metrics differ: {labels}"
    return "" if all(metric.share for metric in metrics) else f"their metric is no share of examples: {labels}"


def critical_difference(trials: int, datasets: int) -> float:
    """Returns how far apart mean ranks have to be, by Nemenyi's test at 5 %.

    >>> round(critical_difference(5, 30), 2)  # Demšar 2006 has q = 2.728 for five
    1.11
    """
    q = stats.studentized_range.ppf(CONFIDENCE, trials, np.inf) / 2**0.5
    return float(q * (trials * (trials + 1) / (6 * datasets)) ** 0.5)


def signed_rank_posterior(differences: Sequence[float], margin: float) -> tuple[float, float, float]:
    """Returns the Bayesian signed-rank test (Benavoli et al. 2014) with a region of practical equivalence.

    The shares of data sets with a difference above the margin, within it and below it are not known. Of `SAMPLES` drawn
    from their posterior, in how many is each of the three the largest? The prior is `PRIOR` of a data set with no
    difference. Half of a pair of data sets whose mean lies on the margin counts to either side.

    Args:
        differences: one per data set.
        margin: half the width of the region.

    Returns:
        Probabilities that above, within and below is the most probable of the three; not those of the three themselves,
        which are less extreme.
    """
    values = np.concatenate(([0.0], np.asarray(differences, float)))
    sums = values[:, None] + values[None, :]
    above, below = (_step(side - 2 * margin) for side in (sums, -sums))
    weights = _drawn_weights(len(values))
    shares = [np.einsum("si,ij,sj->s", weights, side, weights, optimize=True) for side in (above, below)]
    winners = np.argmax([shares[0], 1 - shares[0] - shares[1], shares[1]], axis=0)
    return tuple((np.bincount(winners, minlength=3) / SAMPLES).tolist())


@functools.cache
def _drawn_weights(count: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet([PRIOR, *np.ones(count - 1)], SAMPLES)


def performance_profile(runs: Mapping[str, Sequence[float]], levels: Sequence[float]) -> list[float]:
    """Returns the share of runs whose difference is above each level, the mean over data sets."""
    return [float(np.mean([np.mean(np.asarray(own) > level) for own in runs.values()])) for level in levels]


def _has_pairs(summary: Mapping[str, Any], trial: str) -> bool:
    return trial in summary and bool(summary[trial]["seeds"].keys() & summary[BASELINE]["seeds"].keys())


def _over(summaries: Summaries, trial: str, margin: float, described: bool) -> OverDataSets:
    scores = {name: _scores(summary, trial) for name, summary in summaries.items()}
    runs = {name: own - other for name, (own, other) in scores.items()}
    means = np.array([own.mean() for own in runs.values()]).round(TIED)
    rng = np.random.default_rng(0)
    return OverDataSets(
        differences=dict(zip(runs, means.tolist(), strict=True)),
        mean=t_interval(means) if len(means) > 1 else None,
        counts=(
            *(int(np.sum(means > margin)), int(np.sum(np.abs(means) <= margin))),
            int(np.sum(means < -margin)),
        ),
        p_signed_rank=_signed_rank(means),
        p_holm=None,
        posterior=signed_rank_posterior(means, margin),
        improvement=_improvement(list(scores.values()), rng) if described else None,
        iqm=_interquartile_mean(list(runs.values()), rng) if described else None,
        runs={name: own.tolist() for name, own in runs.items()},
    )


def _scores(summary: Mapping[str, Any], trial: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores of a trial and of the baseline, by the seeds that both have."""
    column, (own, other) = measure_of(summary).column, (summary[name]["seeds"] for name in (trial, BASELINE))
    pairs = [(own[seed][column], other[seed][column]) for seed in own if seed in other]
    return tuple(np.array(pairs, float).T)


def _means(summary: Mapping[str, Any], trials: Sequence[str], column: str) -> list[float]:
    """Returns the mean of each trial over the seeds that all have; over its own where there is none."""
    common = [seed for seed in summary[BASELINE]["seeds"] if all(seed in summary[own]["seeds"] for own in trials)]
    each = [summary[own]["seeds"] for own in trials]
    return [float(np.mean([rows[seed][column] for seed in common or rows])) for rows in each]


def _signed_rank(means: np.ndarray) -> float | None:
    if len(means) < FEWEST_DATA_SETS:
        return None
    return float(stats.wilcoxon(means, zero_method="zsplit").pvalue) if np.any(means) else 1.0


def _friedman(ranks: np.ndarray) -> float:
    return float(stats.friedmanchisquare(*ranks.T).pvalue) if np.ptp(ranks, axis=1).any() else 1.0


def _step(values: np.ndarray) -> np.ndarray:
    return np.heaviside(values, 0.5)


def _improvement(scores: Sequence[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> Interval:
    """Returns the probability of improvement; its interval resamples the seeds of each data set."""
    each = []
    for own, other in scores:
        wins = _step(own[:, None] - other[None, :])
        weights = (_resampled(len(side), rng) for side in (own, other))
        each.append((wins.mean(), np.einsum("si,ij,sj->s", next(weights), wins, next(weights), optimize=True)))
    return _with_percentiles(*(np.mean([pair[part] for pair in each], axis=0) for part in (0, 1)))


def _interquartile_mean(runs: Sequence[np.ndarray], rng: np.random.Generator) -> Interval:
    """Returns the mean of the middle half of all runs; its interval resamples the seeds of each data set."""
    drawn = np.concatenate([own[rng.integers(len(own), size=(RESAMPLES, len(own)))] for own in runs], axis=1)
    return _with_percentiles(stats.trim_mean(np.concatenate(runs), 0.25), stats.trim_mean(drawn, 0.25, axis=1))


def _resampled(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns weights of bootstrap samples, one sample a row."""
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count


def _with_percentiles(value: Any, resampled: np.ndarray) -> Interval:
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(value), float(low), float(high))
