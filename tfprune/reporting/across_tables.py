"""Tables, sentences and numbers of methods over several data sets. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfprune.methods import BASELINE
from tfprune.reporting.across import FEWEST_DATA_SETS, Across, across, why_not_across
from tfprune.reporting.diverged import data_of
from tfprune.reporting.statistics import CONFIDENCE, Interval
from tfprune.reporting.tables import p_text, points
from tfprune.utils.text import Table

TITLE = "Over data sets"


def across_sections(sections: Sequence[Any]) -> tuple[Across | None, str | None]:
    """Compares the methods of sections (`report.Section`) over their data sets.

    Returns:
        The comparison, or None and why there is none; None and None for a single data set.
    """
    named: dict[str, Mapping[str, Any]] = {}
    for section in sections:
        name = section.results[0].config.data_name
        if name in named:
            several = len({data_of(own.results[0].config) for own in sections}) > 1
            remedy = "name the runs of one of each data set, and give files names of their own"
            reason = f"{TITLE}: {name} has several comparisons; {remedy}."
            return None, reason if several else None
        named[name] = section.summary
    if len(named) < 2:
        return None, None
    found = across(named)
    reason = why_not_across(named) or f"no method has seeds in common with {BASELINE} on each data set"
    return found, None if found else f"{TITLE}: {reason}."


def answer_table(found: Across) -> Table:
    """Returns headers and rows of the question that several data sets answer."""
    headers = (
        *("method", "data sets better / equal / worse", f"points to {BASELINE} ({100 * CONFIDENCE:.0f} %)"),
        *("P(better) / P(equal) / P(worse)", "probability of improvement", "mean rank"),
    )
    rows = [(BASELINE, "", "", "", "", f"{found.ranks[BASELINE]:.2f}")]
    for trial, own in found.trials.items():
        rows.append(
            (
                trial,
                " / ".join(map(str, own.counts)),
                points(*own.mean) if own.mean else "",
                " / ".join(f"{share:.2f}" for share in own.posterior),
                _interval(own.improvement, ".2f"),
                f"{found.ranks[trial]:.2f}",
            )
        )
    return headers, rows


def significance_table(found: Across) -> Table:
    """Returns headers and rows of what else is computed over data sets."""
    headers = ("method", "interquartile mean, points", "p signed-rank", "p (Holm)")
    rows = [
        (trial, points(*own.iqm), *("" if p is None else p_text(p) for p in (own.p_signed_rank, own.p_holm)))
        for trial, own in found.trials.items()
    ]
    return headers, rows


def data_sets_table(found: Across) -> Table:
    """Returns headers and rows with a data set a row and a method a column: differences of accuracy in points."""
    rows = [
        (name, *(f"{100 * own.differences[name]:+.2f}" for own in found.trials.values())) for name in found.datasets
    ]
    return (f"points to {BASELINE}", *found.trials), rows


def across_tables(found: Across) -> list[Table]:
    """Returns the answer, the tests and the data sets."""
    return [answer_table(found), significance_table(found), data_sets_table(found)]


def across_notes(found: Across) -> list[str]:
    """Returns how the tables over data sets are to be read."""
    margin = f"{100 * found.margin:g} points"
    notes = [
        f"{len(found.datasets)} data sets are the units. Better, equal, worse: the mean difference of accuracy is "
        f"above, within or below a margin of {margin}; P: that this is what a further data set most probably has, by "
        "the Bayesian signed-rank test with that region of practical equivalence; probability of improvement: that a "
        "run is better than one of unpruned; it and the interquartile mean of the differences of all runs have "
        "bootstrap intervals that resample seeds; p: of Wilcoxon's signed-rank test, corrected by Holm for the number "
        "of methods."
    ]
    if len(found.datasets) < FEWEST_DATA_SETS:
        notes.append(f"The signed-rank test needs at least {FEWEST_DATA_SETS} data sets.")
    if found.critical_difference is not None:
        notes.append(
            f"Friedman's test of equal ranks: p {_compared(found.p_friedman)}. Mean ranks that are less than "
            f"{found.critical_difference:.2f} apart cannot be told apart (Nemenyi, 5 %)."
        )
    if found.left_out:
        notes.append(f"Left out, since not all data sets have them: {', '.join(found.left_out)}.")
    return notes


def as_json(found: Across) -> dict[str, Any]:
    """Returns the numbers of a comparison over data sets."""
    return dataclasses.asdict(found)


def _interval(value: Interval, form: str) -> str:
    return f"{value.mean:{form}} ({value.low:{form}} to {value.high:{form}})"


def _compared(p: float | None) -> str:
    return "" if p is None else p_text(p) if p < 0.001 else f"= {p_text(p)}"
