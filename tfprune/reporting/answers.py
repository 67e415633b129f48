"""What readers ask of a comparison first: which is best, which is smallest and no worse, which is fastest.

Each answer says what the seeds do not decide. Differences are paired seed by seed and tested by paired t tests,
corrected by Holm for the number of trials that an answer is compared with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfprune.methods import BASELINE
from tfprune.reporting import statistics
from tfprune.reporting.measures import Measure, measure_of
from tfprune.reporting.tables import seeds_text
from tfprune.reporting.timing import trained_as_stacks
from tfprune.utils.text import counted, milliseconds, percent

if TYPE_CHECKING:
    from tfprune.experiments.schemas import Inference

Summary = Mapping[str, Mapping[str, Any]]  # what `comparison.summarise` returns
MOST_NAMES = 4  # of trials in a sentence
SAME_TIME = 0.05  # of the time of the fastest: less is no difference where there is one measurement


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer to one question.

    Attributes:
        question: in a few words.
        trial: that is the answer; None where the runs have none.
        text: what it comes to, and how sure that is.
    """

    question: str
    trial: str | None
    text: str


def answers(
    summary: Summary, margin: float | None = None, inference: Mapping[str, Sequence[Inference]] | None = None
) -> list[Answer]:
    """Returns the answers that come first in a report.

    Args:
        summary: what `comparison.summarise` returns.
        margin: how much worse still counts for the smallest, in points of a share or the metric's unit; None is the
            metric's own.
        inference: trial -> the times of its runs that `tfprune bench` measured, see `latency_files.read_latency`.
    """
    measure = measure_of(summary)
    if margin is not None:
        measure = dataclasses.replace(measure, margin=margin / measure.metric.scale)
    known = {trial: values for trial, values in summary.items() if values["mean"]["nonzero_parameters"] is not None}
    if not known:
        return []
    best = _best(known, measure)
    if len(known) == 1:
        return [best]
    measured = _fastest_inference({trial: own for trial, own in (inference or {}).items() if own}, [*known])
    return [best, _smallest(known, measure), *measured, *_fastest(known, measured=bool(measured))]


def lines(found: Sequence[Answer]) -> list[str]:
    """Returns answers as lines of text."""
    return [f"{own.question}: {f'{own.trial}: ' if own.trial else ''}{own.text}" for own in found]


def _best(summary: Summary, measure: Measure) -> Answer:
    question = f"Best by {measure.label}"
    best, *others = _best_first(summary, measure)
    own = summary[best]
    score = measure.text(own["mean"][measure.column], own["sd"][measure.column])
    if not others:
        return Answer(question, best, f"{score}; there is nothing to compare it with.")
    gaps = {trial: _gains(own, summary[trial], measure) for trial in others}
    tested = {trial: values for trial, values in gaps.items() if len(values) > 1}
    if not tested:
        return Answer(question, best, f"{score}; one seed cannot tell whether that is chance.")
    p_values = [statistics.p_two_sided(values) if values.mean() > 0 else 1.0 for values in tested.values()]
    corrected = statistics.holm(p_values)
    alike = [trial for trial, p in zip(tested, corrected, strict=True) if p > 1 - statistics.CONFIDENCE]
    untested = [trial for trial in others if trial not in tested]
    told = [f"; too few seeds in common with {_names(untested)} to tell"] if untested else []
    if not alike:
        second = next(iter(tested))
        lead = measure.interval(*statistics.t_interval(measure.sign * tested[second]))
        them = "all others with seeds in common" if untested else "all others"
        return Answer(
            question,
            best,
            f"{score}, clearly {_direction(measure)} than {them}; from {second} {lead}{''.join(told)}.",
        )
    seeds = len(own["seeds"])
    need = _more_seeds(tested[alike[0]], len(tested))
    return Answer(
        question,
        best,
        f"{score}; no clear difference from {_names(alike)} with {seeds} seed{'s' if seeds > 1 else ''}"
        f"{f' ({need} would tell it from {alike[0]})' if need else ''}{''.join(told)}.",
    )


def _smallest(summary: Summary, measure: Measure) -> Answer:
    reference = BASELINE if BASELINE in summary else _best_first(summary, measure)[0]
    gains = {trial: _gain(values, summary[reference], measure) for trial, values in summary.items()}
    called = BASELINE if reference == BASELINE else f"the best ({reference})"
    question = f"Smallest within {measure.margin_text} of {called}"
    sizes = {trial: values["mean"]["nonzero_parameters"] for trial, values in summary.items()}
    smaller = [trial for trial in sizes if sizes[trial] < sizes[reference]]
    near = [trial for trial in smaller if gains[trial] >= -measure.margin]
    if not near:
        text = "none of the networks is smaller."
        if smaller:
            nearest = max(smaller, key=gains.__getitem__)
            text = f"none. The nearest is {nearest}: {_score(summary, nearest, measure)}, "
            text += f"{_size(sizes, nearest, reference)}."
        return Answer(question, None, text)
    others = [trial for trial in summary if trial != reference]
    corrected = statistics.holm([_p_near(summary, trial, reference, measure) for trial in others])
    proven = [trial for trial, p in zip(others, corrected, strict=True) if trial in near and p <= statistics.LEVEL]
    smallest = min(near, key=sizes.__getitem__)
    text = f"{_size(sizes, smallest, reference)}, {_score(summary, smallest, measure)}"
    gap = _gains(summary[smallest], summary[reference], measure)
    if len(gap) > 1:
        text += f"; difference {measure.interval(*statistics.t_interval(measure.sign * gap))}"
    if smallest in proven:
        return Answer(question, smallest, f"{text}, which lies above the margin.")
    if len(gap) < 2:
        text += "; one seed cannot tell whether that is chance"
    else:
        seeds = statistics.seeds_needed(gap, measure.margin, len(summary) - 1)
        why = f"open after correction for {len(others)} trials" if len(others) > 1 else "the interval does not decide"
        text += f"; by its mean alone, {why} (needs {seeds_text(seeds)})"
    if proven:
        sure = min(proven, key=sizes.__getitem__)
        text += f". Smallest where it does: {sure}, {_size(sizes, sure, reference)}"
    return Answer(question, smallest, f"{text}.")


def _fastest_inference(inference: Mapping[str, Sequence[Inference]], trials: Sequence[str]) -> list[Answer]:
    """Returns the trial whose model answers fastest, of those that were measured in turns."""
    together: dict[str, dict[str, list[Inference]]] = {}
    for trial, own in inference.items():
        for one in own:
            together.setdefault(one.measurement, {}).setdefault(trial, []).append(one)
    if not together:
        return []
    runs = max(together.values(), key=lambda own: (len(own), max(one.date for each in own.values() for one in each)))
    times = {trial: _median_times(own) for trial, own in runs.items()}
    shared = set.intersection(*(set(own) for own in times.values()))
    if len(times) < 2 or not shared:
        return []
    batch = min(size for _, size in shared)
    file = min(
        (own for own, size in shared if size == batch), key=lambda own: min(t[own, batch] for t in times.values())
    )
    ratios = {trial: own[file, batch][1] for trial, own in times.items()}
    fastest = min(ratios, key=ratios.__getitem__)
    text = f"{milliseconds(times[fastest][file, batch][0])} ms per call of {file} with {counted(batch, 'example')}"
    if BASELINE in ratios and fastest != BASELINE:
        text += f", {ratios[fastest] / ratios[BASELINE]:.2f} x {BASELINE}'s"
    near = [own for own in ratios if own != fastest and ratios[own] - ratios[fastest] <= SAME_TIME * ratios[fastest]]
    text += f"; no clear difference from {_names(near)}" if near else ""
    missing = [trial for trial in trials if trial not in ratios]
    text += f"; not measured with these: {_names(missing)}" if missing else ""
    return [Answer("Fastest inference", fastest, f"{text}.")]


def _median_times(runs: Sequence[Inference]) -> dict[tuple[str, int], tuple[float, float]]:
    """Returns the medians over runs of a call's seconds and of their ratio to the first run's, by file and batch.

    Ratios are of calls in the same rounds, so what else the machine did weighs less in them than in the seconds.
    """
    each = [{(t.file, t.batch): (t.median_seconds, t.ratio) for t in own.times if t.ratio is not None} for own in runs]
    shared = set.intersection(*map(set, each))
    return {
        key: tuple(float(np.median(own)) for own in zip(*(one[key] for one in each), strict=True)) for key in shared
    }


def _fastest(summary: Summary, *, measured: bool) -> list[Answer]:
    """Returns the trial whose training took least time, if the times of the trials can be compared.

    Args:
        summary: see `answers`.
        measured: whether the time of inference is known too.
    """
    question = "Fastest to train"
    times = {trial: values["median"]["training_time"] for trial, values in summary.items()}
    if len(times) < 2 or None in times.values():
        return []
    if reason := next((values["times_differ"] for values in summary.values() if values["times_differ"]), None):
        return [Answer(question, None, f"not known: {reason}.")]
    fastest, second, *_ = sorted(times, key=times.__getitem__)
    took = f"{_seconds(times[fastest])} of training time, the median over seeds"
    if BASELINE in times and fastest != BASELINE:
        took += f"; {times[fastest] / times[BASELINE]:.2f} x {BASELINE}'s"
    alike = _too_near(summary, fastest, second)
    nearest = f"; no clear difference from {second} ({_seconds(times[second])})" if alike else ""
    only = "" if measured else " By the time of training alone: tfprune bench RUN ... measures inference."
    return [Answer(question, fastest, f"{took}{nearest}.{only}")]


def _too_near(summary: Summary, one: str, other: str) -> bool:
    sides = [summary[trial]["seeds"] for trial in (one, other)]
    pairs = [
        (sides[0][seed]["training_time"], sides[1][seed]["training_time"]) for seed in sides[0] if seed in sides[1]
    ]
    logs = np.log([a / b for a, b in pairs if a and b])
    if len(logs) < 2 or any(map(trained_as_stacks, sides)):
        medians = [summary[trial]["median"]["training_time"] for trial in (one, other)]
        return medians[1] - medians[0] <= SAME_TIME * medians[0]
    low, high = statistics.t_interval(logs)[1:]
    return low <= 0 <= high


def _gains(own: Mapping[str, Any], other: Mapping[str, Any], measure: Measure) -> np.ndarray:
    """Returns by how much a trial is better than another, seed by seed."""
    shared = [seed for seed in own["seeds"] if seed in other["seeds"]]
    return measure.sign * np.array(
        [own["seeds"][seed][measure.column] - other["seeds"][seed][measure.column] for seed in shared], float
    )


def _gain(own: Mapping[str, Any], other: Mapping[str, Any], measure: Measure) -> float:
    """Returns the mean of `_gains`; of trials without seeds in common the difference of their means."""
    gains = _gains(own, other, measure)
    sides = (side["mean"][measure.column] for side in (own, other))
    return float(gains.mean()) if len(gains) else measure.sign * float(np.subtract(*sides))


def _best_first(summary: Summary, measure: Measure) -> list[str]:
    """Returns the trial that is ahead of each other one on their seeds in common, then the others, the nearest first.

    Where seeds are missing, means over different ones would tell which seeds are easy. Where no trial is ahead of all,
    the first is the one that is least behind.
    """
    least = {
        trial: min((_gain(own, other, measure) for name, other in summary.items() if name != trial), default=0.0)
        for trial, own in summary.items()
    }
    best = max(least, key=least.__getitem__)
    others = [trial for trial in summary if trial != best]
    return [best, *sorted(others, key=lambda trial: _gain(summary[best], summary[trial], measure))]


def _p_near(summary: Summary, trial: str, reference: str, measure: Measure) -> float:
    """Returns the p value of a trial being worse than another by more than the margin; 1 where seeds are too few."""
    gains = _gains(summary[trial], summary[reference], measure)
    return statistics.p_above(gains, -measure.margin) if len(gains) > 1 else 1.0


def _more_seeds(gains: np.ndarray, tests: int) -> str:
    needed = statistics.seeds_needed(gains, abs(float(gains.mean())), tests) if gains.mean() else None
    if needed is None:
        return ""
    return f"about {float(f'{max(needed - len(gains), 1):.2g}'):,.0f} more"


def _direction(measure: Measure) -> str:
    return "higher" if measure.metric.higher else "lower"


def _score(summary: Summary, trial: str, measure: Measure) -> str:
    return (
        f"{measure.label} {measure.text(summary[trial]['mean'][measure.column], summary[trial]['sd'][measure.column])}"
    )


def _size(sizes: Mapping[str, float], trial: str, reference: str) -> str:
    return f"{sizes[trial]:,.0f} non-zero parameters ({percent(sizes[trial] / sizes[reference])} of {reference}'s)"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def _names(trials: Sequence[str]) -> str:
    shown = list(trials[:MOST_NAMES])
    more = len(trials) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
