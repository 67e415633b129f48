"""What `tfprune compare` shows of a comparison: the answer in a line, then one table; all others with `--wide`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfprune.cli._terminal import echo, echo_table
from tfprune.methods import BASELINE

if TYPE_CHECKING:
    from tfprune.reporting.across import Across
    from tfprune.reporting.report import Section, Summary

FEW_SEEDS = 10  # below which more of them are suggested where no difference is clear
OUTCOMES = ("better", "non-inferior", "worse")  # of tests, before those that are open
BRIEFLY = (
    "Mean ± standard deviation over seeds; differences with their 95 % interval. --wide has all numbers, the tests, "
    "costs and what the columns mean."
)


def echo_section(section: Section, *, many: bool, wide: bool) -> None:
    """Prints what methods came to on a data set.

    Args:
        section: the comparison.
        many: whether there are others, so that it needs its title.
        wide: print all tables, in the order of the methods; else one, the most accurate first.
    """
    from tfprune.reporting.comparison import remarks
    from tfprune.reporting.report import not_alike, result_tables
    from tfprune.reporting.tables import answer_table
    from tfprune.reporting.timing import timing_notes

    if many:
        echo(section.title, "")
    echo(headline(section.summary), "")
    tables = result_tables(section.summary) if wide else [answer_table(best_first(section.summary))]
    for headers, rows in tables:
        echo_table(rows, headers, wide=wide)
        echo()
    of_times = timing_notes(section.summary)  # of columns that are in the wide tables
    notes = [note for note in remarks(section.summary) if wide or note not in of_times]
    if notes := [*not_alike(section), *notes]:
        echo(*notes, "")


def headline(summary: Summary) -> str:
    """Returns in a line whether methods differ in the task's metric from the unpruned network."""
    from tfprune.reporting.measures import measure_of

    measure = measure_of(summary)
    others = {name: values[measure.name] for name, values in summary.items() if name != BASELINE}
    seeds = max(len(values["seeds"]) for values in summary.values())
    if BASELINE not in summary:
        return f"Nothing is compared: there is no run of {BASELINE}; add it to --methods."
    if not others:
        return f"Nothing is compared: there is no method but {BASELINE}."
    if seeds == 1:
        return "One seed: no difference can be told from chance; use --seeds 3 or more."
    found: dict[str, list[str]] = {}
    for name, own in others.items():
        found.setdefault(own["outcome"] if own else "open", []).append(name)
    clear = {outcome: names for outcome, names in found.items() if not outcome.startswith("open")}
    if not clear:
        return f"No clear difference from {BASELINE} with {seeds} seeds{'; use more' if seeds < FEW_SEEDS else ''}."
    order = sorted(found, key=lambda outcome: (*OUTCOMES, outcome).index(outcome))
    said = "; ".join(f"{outcome}: {', '.join(found[outcome])}" for outcome in order)
    direction = "" if measure.metric.higher else f" ({measure.metric.better} is better)"
    return f"Test {measure.label} beside {BASELINE}, {seeds} seeds{direction}: {said}."


def best_first(summary: Summary) -> Summary:
    """Returns a comparison with the best method first; those without the task's metric are last."""
    from tfprune.reporting.measures import measure_of

    measure = measure_of(summary)

    def gain(name: str) -> float:
        mean = summary[name]["mean"][measure.column]
        return float("-inf") if mean is None or mean != mean else measure.sign * mean

    return {name: summary[name] for name in sorted(summary, key=gain, reverse=True)}


def echo_across(over: Across | None, reason: str | None) -> None:
    """Prints how the methods compare over data sets, where there are several, or why not."""
    from tfprune.reporting.across_tables import TITLE, across_notes, across_tables

    if reason:
        echo("", reason)
    if over:
        echo("", TITLE, "")
        for headers, rows in across_tables(over):
            echo_table(rows, headers)
            echo()
        echo(*across_notes(over))
