"""The published data of docs/study.md, docs/results/study/TABLE.csv.gz with a row per run, and what they come to."""

import collections
import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _csv_files import read_csv
from matplotlib.axes import Axes

from tfprune.methods import BASELINE
from tfprune.reporting.across import Across, OverDataSets, across
from tfprune.reporting.across_tables import across_notes, data_sets_table
from tfprune.reporting.figures.across import across_panels
from tfprune.reporting.figures.panels import LIGHT, Panel, Theme
from tfprune.reporting.figures.rendering import svg_of_panels, write_png
from tfprune.reporting.statistics import BETTER, CONFIDENCE, MARGIN, NON_INFERIOR, WORSE, Interval, holm, outcomes
from tfprune.reporting.tables import markdown_table, p_text, points
from tfprune.utils.text import Table

INDEX = "tables.json"  # table -> settings, versions, machine
HEADERS = (*("trial", "seed", "test_accuracy", "test_loss", "sparsity", "epochs", "cpu_seconds", "diverged"),)
SPARSITIES = (0.5, 0.8, 0.9, 0.95)
EQUAL_TIME = "small_dense of equal time"
MAIN = [(trial, level) for level in (0.8, 0.9) for trial in ("dynamic global", "gradual global")]
AGAINST = (  # what would count against pruning in the middle of training: a trial, another one with the same budget
    ("dynamic layer", "random"),
    ("dynamic global", "rate_rewinding global"),
    ("dynamic global", "gradual global"),
)
TABLES, PILOT = 26, "digits"
DRAWN = (  # a panel each
    *(
        "dynamic global",
        "gradual global",
        "rate_rewinding global",
        "lottery global",
        "rigl",
        "set",
        "synflow",
        "random",
    ),
    EQUAL_TIME,
)
LEVEL = re.compile(r" (\d+) %$")
NUMBERS = HEADERS[2:-1]
Summary = dict[str, dict[str, Any]]  # trial -> `requested_sparsity`, `seeds` (seed -> a row) and `mean` of its columns


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the runs of a table; a network that diverged counts at chance, and is marked."""
    return [
        {"trial": row["trial"], "seed": row["seed"], "diverged": bool(row["diverged"])}
        | {name: float(row[name]) if row[name] else None for name in NUMBERS}
        for row in read_csv(path)
    ]


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns what the runs of each finished table share, in the order in which they were run."""
    path = folder / INDEX
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_study(folder: Path) -> dict[str, Summary]:
    """Returns the comparison of each finished table."""
    return {name: summary_of_rows(read_rows(folder / f"{name}.csv.gz")) for name in read_index(folder)}


def summary_of_rows(rows: Iterable[Mapping[str, Any]]) -> Summary:
    """Returns what `across` needs of the trials of a table, and the mean of what else is known."""
    trials: dict[str, dict[str, Any]] = {}
    for row in rows:
        level = LEVEL.search(row["trial"])
        own = {"requested_sparsity": int(level[1]) / 100 if level else 0.0, "seeds": {}}
        trials.setdefault(row["trial"], own)["seeds"][str(row["seed"])] = row
    for own in trials.values():
        own["mean"] = {name: float(np.mean([row[name] for row in own["seeds"].values()])) for name in NUMBERS}
    return trials


def at_level(summary: Mapping[str, Any], level: float) -> Summary:
    """Returns the trials of a sparsity, and those that prune nothing."""
    ending = f" {100 * level:g} %"
    return {
        trial.removesuffix(ending): values
        for trial, values in summary.items()
        if trial.endswith(ending) or values["requested_sparsity"] == 0
    }


def to_unpruned(summaries: Mapping[str, Summary], level: float, *, described: bool = False) -> Across | None:
    """Compares all trials of a sparsity with the unpruned network; None for a single table. See `across`."""
    return across({name: at_level(summary, level) for name, summary in summaries.items()}, described=described)


def compared(
    summaries: Mapping[str, Summary], pairs: Sequence[tuple[str, str, float]]
) -> dict[tuple[str, str, float], OverDataSets]:
    """Compares trials with others of the same sparsity; empty for a single table.

    Args:
        summaries: table -> its trials.
        pairs: a trial, the other one, the sparsity; they are one family.

    Returns:
        pair -> the comparison over data sets, whose `p_holm` is corrected for all of them.
    """
    found = {}
    for pair in pairs:
        trial, other, level = pair
        levels = {name: at_level(summary, level) for name, summary in summaries.items()}
        both = across(
            {name: {BASELINE: own[other], trial: own[trial]} for name, own in levels.items()}, described=False
        )
        if both is not None:
            found[pair] = both.trials[trial]
    tested = [key for key, own in found.items() if own.p_signed_rank is not None]
    for key, p in zip(tested, holm([found[key].p_signed_rank for key in tested]), strict=True):
        found[key] = dataclasses.replace(found[key], p_holm=p)
    return found


def main_comparison(summaries: Mapping[str, Summary]) -> dict[tuple[str, float], OverDataSets]:
    """Compares pruning in the middle of training with the small dense network of equal time, see `compared`."""
    found = compared(summaries, [(trial, EQUAL_TIME, level) for trial, level in MAIN])
    return {(trial, level): own for (trial, _, level), own in found.items()}


def against_table(summaries: Mapping[str, Summary]) -> Table:
    """Returns headers and rows of what would count against pruning in the middle of training."""
    pairs = [(trial, other, level) for trial, other in AGAINST for level in SPARSITIES]
    headers = (
        *("method", "beside", "zeros", "data sets better / equal / worse", "points (95 %)"),
        *("P(better) / P(equal) / P(worse)", "p (Holm)"),
    )
    rows = [
        (trial, other, f"{100 * level:g} %", *_compared(own))
        for (trial, other, level), own in compared(summaries, pairs).items()
    ]
    return headers, rows


def main_table(found: Mapping[tuple[str, float], OverDataSets]) -> Table:
    """Returns headers and rows of the main comparison."""
    headers = (
        *("method", "zeros", "data sets better / equal / worse", f"points to {EQUAL_TIME} (95 %)"),
        *("P(better) / P(equal) / P(worse)", "p (Holm)"),
    )
    rows = [(trial, f"{100 * level:g} %", *_compared(own)) for (trial, level), own in found.items()]
    return headers, rows


def panels(summaries: Mapping[str, Summary]) -> list[Panel]:
    """Returns a panel per trial: its mean difference to the unpruned network over data sets, all others in grey."""
    levels = {level: to_unpruned(summaries, level) for level in SPARSITIES}
    means = {trial: [levels[level].trials[trial].mean for level in SPARSITIES] for trial in DRAWN}
    return [
        Panel(
            draw=functools.partial(_draw, own, means),
            alt=f"{own}: points to unpruned at four sparsities",
            title=own,
            width=2.6,
            height=2.2,
        )
        for own in DRAWN
    ]


def _draw(own: str, means: Mapping[str, Sequence[Interval]], axes: Axes, theme: Theme) -> None:
    places = range(len(SPARSITIES))
    for trial, values in means.items():
        if trial != own:
            axes.plot(places, [100 * value.mean for value in values], color=theme.muted, alpha=0.45, linewidth=0.8)
    values = [[100 * number for number in value] for value in means[own]]
    color = theme.methods[1]
    axes.vlines(places, [low for _, low, _ in values], [high for _, _, high in values], color=color, linewidth=1.2)
    axes.plot(places, [mean for mean, _, _ in values], "o-", color=color, markersize=4)
    axes.axhspan(-100 * MARGIN, 100 * MARGIN, color=theme.muted, alpha=0.18, linewidth=0)
    axes.set_yscale("symlog", linthresh=1.0, linscale=0.8)
    axes.set_ylim(-60, 10)
    axes.set_yticks([3, 1, 0, -1, -3, -10, -30], ["+3", "+1", "0", "-1", "-3", "-10", "-30"])
    axes.minorticks_off()
    axes.set(xlabel="zeros", ylabel=f"points to {BASELINE}")
    axes.set_xticks(places, [f"{100 * level:g} %" for level in SPARSITIES])


def draw(folder: Path, data: Path) -> None:
    """Draws the picture of the page, as PNG and SVG."""
    summaries = read_study(data)
    if len(summaries) > 1:
        found, path = panels(summaries), folder / "study.png"
        write_png(found, path, title="", columns=3)
        path.with_suffix(".svg").write_text(svg_of_panels(found, LIGHT, columns=3), encoding="utf-8")
        ranks, _ = across_panels(to_unpruned(summaries, 0.8, described=True))
        write_png([ranks], folder / "study-ranks.png", title="")


def blocks(data: Path) -> dict[str, str]:
    """Returns the tables of the page by the name of their place; none as long as there is nothing to compare."""
    summaries = read_study(data)
    if len(summaries) < 2:
        return {}
    levels = {level: to_unpruned(summaries, level) for level in SPARSITIES}
    details = [
        f"**{100 * level:g} % zeros**\n\n"
        + "\n\n".join(map(markdown_table, (secondary_table(found), within_table(found), data_sets_table(found))))
        + f"\n\n{across_notes(found)[-1]}"
        for level, found in levels.items()
    ]
    others = {name: own for name, own in summaries.items() if name != PILOT}
    if PILOT in summaries and len(others) > 1:
        without = markdown_table(main_table(main_comparison(others)))
        details.insert(0, f"**The main comparison without `{PILOT}`**, on which the pilot was\n\n{without}")
    return {
        "study main": markdown_table(main_table(main_comparison(summaries))),
        "study against": markdown_table(against_table(summaries)),
        "study tables": markdown_table(tables_table(read_index(data), summaries)),
        "study unpruned": markdown_table(secondary_table(levels[0.8])),
        "study details": "\n\n".join(details),
    }


def secondary_table(found: Across) -> Table:
    """Returns headers and rows of the trials of a sparsity, compared with the unpruned network."""
    headers = (
        *("method", "data sets better / equal / worse", f"points to {BASELINE} (95 %)"),
        *("P(better) / P(equal) / P(worse)", "p (Holm)", "mean rank"),
    )
    rows = [(trial, *_compared(own), f"{found.ranks[trial]:.2f}") for trial, own in found.trials.items()]
    return headers, [*rows, (BASELINE, "", "", "", "", f"{found.ranks[BASELINE]:.2f}")]


def within_table(found: Across) -> Table:
    """Returns headers and rows with what the seeds of each data set show by themselves, all trials of it one family."""
    counts: dict[str, collections.Counter[str]] = {trial: collections.Counter() for trial in found.trials}
    for name in found.datasets:
        shown = outcomes({trial: own.runs[name] for trial, own in found.trials.items()}, found.margin)
        for trial, said in shown.items():
            counts[trial][said] += 1
    decided = (BETTER, NON_INFERIOR, WORSE)
    rows = [
        (trial, *(str(own[said]) for said in decided), str(own.total() - sum(own[said] for said in decided)))
        for trial, own in counts.items()
    ]
    return ("method, within each data set", *decided, "open"), rows


def _compared(own: OverDataSets) -> tuple[str, ...]:
    counts, shares = " / ".join(map(str, own.counts)), " / ".join(f"{share:.2f}" for share in own.posterior)
    return counts, points(*own.mean), shares, "" if own.p_holm is None else p_text(own.p_holm)


def tables_table(index: Mapping[str, Mapping[str, Any]], summaries: Mapping[str, Summary]) -> Table:
    """Returns headers and rows of the data sets that are finished."""
    rows = [
        (
            name,
            f"{own['shape'][0]:,}",
            str(own["shape"][1]),
            str(own["classes"]),
            f"{own['learning_rate']:g}",
            f"{100 * summaries[name][BASELINE]['mean']['test_accuracy']:.1f} %",
        )
        for name, own in index.items()
    ]
    return ("table", "training rows", "inputs", "classes", "learning rate", "accuracy, unpruned"), rows


def sentences(data: Path) -> list[str]:
    """Returns the sentences of the page that hold figures."""
    index, summaries = read_index(data), read_study(data)
    if len(summaries) < 2:
        return []
    seconds = sum(own["cpu_seconds"] for own in index.values())
    runs = sum(len(values["seeds"]) for summary in summaries.values() for values in summary.values())
    lost = sum(bool(r["diverged"]) for s in summaries.values() for v in s.values() for r in v["seeds"].values())
    minutes = f"{runs:,} networks in {seconds / 60:,.0f} minutes of CPU time; {lost or 'none'} diverged"
    if len(index) < TABLES:
        return [f"{len(index)} of {TABLES} tables so far, the {len(index)} cheapest", minutes]
    return [f"all {TABLES} tables: {minutes}", *_conclusions(summaries)]


def _conclusions(summaries: Mapping[str, Summary]) -> list[str]:
    """Returns what the whole study says, in words that go no further than its tests."""
    said = []
    for (trial, level), own in main_comparison(summaries).items():
        better, equal, worse = own.counts
        said.append(
            f"`{trial}` at {100 * level:g} % zeros: {points(*own.mean)} points to {EQUAL_TIME}, above the margin on "
            f"{better} tables, within it on {equal}, below it on {worse}: {_verdict(own)}"
        )
    pairs = [(trial, other, level) for trial, other in AGAINST for level in SPARSITIES]
    found = compared(summaries, pairs)
    for trial, other in AGAINST:
        levels: dict[str, list[str]] = {}
        for level in SPARSITIES:
            levels.setdefault(_verdict(found[trial, other, level]), []).append(f"{100 * level:g}")
        each = "; ".join(f"{verdict} at {', '.join(own)} %" for verdict, own in levels.items())
        said.append(f"`{trial}` beside `{other}`: {each}")
    return said


def readme(data: Path) -> list[str]:
    """Returns the sentences of the README that hold figures of the finished study."""
    summaries = read_study(data)
    if len(summaries) < TABLES:
        return []
    found = main_comparison(summaries)
    both = {
        trial: " and ".join(
            f"{_verdict(found[trial, level])} at {100 * level:g} % zeros ({points(*found[trial, level].mean)} points)"
            for level in (0.8, 0.9)
        )
        for trial in ("dynamic global", "gradual global")
    }
    return [
        f"beside a small dense network of equal time, `dynamic` ranked globally is {both['dynamic global']}",
        f"`gradual` {both['gradual global']}",
    ]


def _verdict(own: OverDataSets) -> str:
    """Returns an outcome by the rule of the protocol: a posterior probability of 0.95 decides."""
    better, _, worse = own.posterior
    if worse < 1 - CONFIDENCE:
        return "better" if better > CONFIDENCE else "non-inferior"
    return "worse" if worse > CONFIDENCE else "open"
