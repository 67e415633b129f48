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
from tfprune.reporting.across_tables import across_notes
from tfprune.reporting.figures.across import across_panels
from tfprune.reporting.figures.forest import draw_intervals
from tfprune.reporting.figures.panels import LIGHT, Panel, Theme
from tfprune.reporting.figures.rendering import svg_of_panels, write_png
from tfprune.reporting.statistics import BETTER, CONFIDENCE, MARGIN, NON_INFERIOR, WORSE, Interval, holm, outcomes
from tfprune.reporting.tables import markdown_table, p_text, points
from tfprune.utils.text import Table

INDEX = "tables.json"  # table -> settings, versions, machine
HEADERS = (*("trial", "seed", "test_accuracy", "test_loss", "sparsity", "epochs", "cpu_seconds", "diverged"),)
SPARSITIES = (0.5, 0.8, 0.9, 0.95)
EQUAL_TIME, GRADUAL_TIME = "small_dense in unpruned's time", "small_dense in gradual's time"
MAIN = [(trial, level) for level in (0.8, 0.9) for trial in ("dynamic global", "gradual global")]
OWN_TIME = [("gradual global", GRADUAL_TIME, level) for level in (0.8, 0.9)]  # added when its time was known
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


@functools.cache
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


def main_comparison(summaries: Mapping[str, Summary]) -> dict[tuple[str, str, float], OverDataSets]:
    """Compares pruning in the middle of training with the small dense network of equal time, see `compared`."""
    return compared(summaries, [(trial, EQUAL_TIME, level) for trial, level in MAIN])


def against(summaries: Mapping[str, Summary]) -> dict[tuple[str, str, float], OverDataSets]:
    """Compares what would count against pruning in the middle of training, see `compared`."""
    return compared(summaries, [(*pair, level) for pair in AGAINST for level in SPARSITIES])


def in_its_own_time(summaries: Mapping[str, Summary]) -> dict[tuple[str, str, float], OverDataSets]:
    """Compares gradual pruning with the small dense network that trains as long as it does, see `compared`."""
    return compared(summaries, OWN_TIME)


def answer_table(found: Mapping[tuple[str, str, float], OverDataSets]) -> Table:
    """Returns headers and rows of comparisons: how large differences are, and what follows by the protocol's rule."""
    headers = ("method", "beside", "zeros", "points (95 %)", "tables better / equal / worse", "verdict")
    rows = [
        (trial, other, f"{100 * level:g} %", points(*own.mean), _counts(own), _verdict(own))
        for (trial, other, level), own in found.items()
    ]
    return headers, rows


def tests_table(found: Mapping[tuple[str, str, float], OverDataSets]) -> Table:
    """Returns headers and rows of the tests of the same comparisons."""
    headers = ("method", "beside", "zeros", "P(better) / P(equal) / P(worse)", "p, Wilcoxon", "p (Holm)")
    rows = [
        (trial, other, f"{100 * level:g} %", _posterior(own), p_text(own.p_signed_rank), p_text(own.p_holm))
        if own.p_holm is not None
        else (trial, other, f"{100 * level:g} %", _posterior(own), "", "")
        for (trial, other, level), own in found.items()
    ]
    return headers, rows


def each_table(summaries: Mapping[str, Summary]) -> Table:
    """Returns headers and rows of the main comparison, data set by data set."""
    found = main_comparison(summaries)
    headers = ("table", *(f"{trial}, {100 * level:g} %" for trial, _, level in found))
    rows = [(name, *(f"{100 * own.differences[name]:+.2f}" for own in found.values())) for name in summaries]
    return headers, rows


def means_to_unpruned(summaries: Mapping[str, Summary]) -> dict[str, list[Interval]]:
    """Returns trial -> its mean difference to the unpruned network over data sets, sparsity by sparsity."""
    levels = {level: to_unpruned(summaries, level) for level in SPARSITIES}
    return {trial: [levels[level].trials[trial].mean for level in SPARSITIES] for trial in DRAWN}


def panels(summaries: Mapping[str, Summary]) -> list[Panel]:
    """Returns a panel per trial: its mean difference to the unpruned network over data sets, all others in grey."""
    means = means_to_unpruned(summaries)
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


def main_panel(summaries: Mapping[str, Summary]) -> Panel:
    """Returns the main comparison: a row each, with intervals."""
    found = main_comparison(summaries) | in_its_own_time(summaries)
    return Panel(
        draw=functools.partial(_draw_main, found),
        alt="differences to small dense networks of equal time, with intervals",
        title="Points to a small dense network of equal time",
        width=7.0,
        height=3.0,
    )


def _draw_main(found: Mapping[tuple[str, str, float], OverDataSets], axes: Axes, theme: Theme) -> None:
    rows = {
        f"{trial.partition(' ')[0]}, {100 * level:g} % zeros\n{other.partition(' ')[2]}": [
            100 * end for end in own.mean
        ]
        for (trial, other, level), own in found.items()
    }
    draw_intervals(axes, theme, rows, [theme.train] * len(rows), 100 * MARGIN)
    axes.set_xlabel(f"points of accuracy, mean over tables; the band is the margin of {100 * MARGIN:g}")


def draw(folder: Path, data: Path) -> None:
    """Draws the pictures of the page, as PNG and SVG."""
    summaries = read_study(data)
    if len(summaries) > 1:
        ranks, _ = across_panels(to_unpruned(summaries, 0.8, described=True))
        for name, found in (("main", [main_panel(summaries)]), ("methods", panels(summaries)), ("ranks", [ranks])):
            path = folder / f"study-{name}.png"
            write_png(found, path, title="", columns=3)
            path.with_suffix(".svg").write_text(svg_of_panels(found, LIGHT, columns=3), encoding="utf-8")


def blocks(data: Path) -> dict[str, str]:
    """Returns the tables of the page by the name of their place; none as long as there is nothing to compare."""
    summaries = read_study(data)
    if len(summaries) < 2:
        return {}
    levels = {level: to_unpruned(summaries, level) for level in SPARSITIES}
    main, own_time, others = main_comparison(summaries), in_its_own_time(summaries), against(summaries)
    made = {
        "study main": markdown_table(answer_table(main | own_time)),
        "study against": markdown_table(answer_table(others)),
        "study tests": "\n\n".join(markdown_table(tests_table(found)) for found in (main, own_time, others)),
        "study each": markdown_table(each_table(summaries)),
        "study tables": markdown_table(tables_table(read_index(data), summaries)),
        "study unpruned": markdown_table(unpruned_table(levels[0.8])),
    }
    rest = {name: own for name, own in summaries.items() if name != PILOT}
    if PILOT in summaries and len(rest) > 1:
        made["study without"] = markdown_table(answer_table(main_comparison(rest)))
    for level, found in levels.items():
        tables = map(markdown_table, (secondary_table(found), within_table(found)))
        made[f"study {100 * level:g}"] = "\n\n".join((*tables, across_notes(found)[-1]))
    return made


def unpruned_table(found: Across) -> Table:
    """Returns headers and rows of the trials of a sparsity beside the unpruned network, the best ranks first."""
    headers = ("method", f"points to {BASELINE} (95 %)", "tables better / equal / worse", "verdict", "mean rank")
    rows = [
        (trial, points(*own.mean), _counts(own), _verdict(own), f"{found.ranks[trial]:.2f}")
        for trial, own in sorted(found.trials.items(), key=lambda pair: found.ranks[pair[0]])
    ]
    return headers, [(BASELINE, "", "", "", f"{found.ranks[BASELINE]:.2f}"), *rows]


def secondary_table(found: Across) -> Table:
    """Returns headers and rows of the trials of a sparsity, compared with the unpruned network."""
    headers = (
        *("method", "tables better / equal / worse", f"points to {BASELINE} (95 %)"),
        *("P(better) / P(equal) / P(worse)", "p (Holm)", "mean rank"),
    )
    rows = [
        (
            *(trial, _counts(own), points(*own.mean), _posterior(own)),
            *("" if own.p_holm is None else p_text(own.p_holm), f"{found.ranks[trial]:.2f}"),
        )
        for trial, own in found.trials.items()
    ]
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
    return ("method, within each table", *decided, "open"), rows


def _counts(own: OverDataSets) -> str:
    return " / ".join(map(str, own.counts))


def _posterior(own: OverDataSets) -> str:
    return " / ".join(f"{share:.2f}" for share in own.posterior)


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
    return [f"all {TABLES} tables: {minutes}", *_conclusions(summaries), *_times(index, summaries)]


def _conclusions(summaries: Mapping[str, Summary]) -> list[str]:
    """Returns what the whole study says, in words that go no further than its tests."""
    said = []
    for (trial, _, level), own in main_comparison(summaries).items():
        better, equal, worse = own.counts
        said.append(
            f"`{trial}` at {100 * level:g} % zeros: {points(*own.mean)} points; more than the margin better on "
            f"{better} tables, within it on {equal}, worse on {worse}: **{_verdict(own)}**"
        )
    for (_, _, level), own in in_its_own_time(summaries).items():
        said.append(f"at {100 * level:g} % zeros {points(*own.mean)} points: {_verdict(own)}")
    found = against(summaries)
    for trial, other in AGAINST:
        levels: dict[str, list[str]] = {}
        for level in SPARSITIES:
            levels.setdefault(_verdict(found[trial, other, level]), []).append(f"{100 * level:g}")
        each = "; ".join(f"{verdict} at {', '.join(own)} %" for verdict, own in levels.items())
        said.append(f"`{trial}` beside `{other}`: {each}")
    for level in SPARSITIES:
        named = [
            f"`{trial}`"
            for trial, own in to_unpruned(summaries, level).trials.items()
            if own.posterior[2] < 1 - CONFIDENCE and trial != "longer"
        ]
        said.append(f"{100 * level:g} % zeros: {', '.join(named) or 'none'}")
    return said


def _times(index: Mapping[str, Mapping[str, Any]], summaries: Mapping[str, Summary]) -> list[str]:
    """Returns what trainings took in units of others that were timed with them."""

    def took(trial: str, level: float, other: str) -> list[float]:
        ending = f" {100 * level:g} %"
        own = {name: summary[trial + ending]["mean"]["cpu_seconds"] for name, summary in summaries.items()}
        if trial in (EQUAL_TIME, GRADUAL_TIME):
            return [seconds / index[name]["timing"]["seconds"][other] for name, seconds in own.items()]
        return [seconds / summaries[name][other]["mean"]["cpu_seconds"] for name, seconds in own.items()]

    def shares(found: Sequence[float]) -> str:
        return f"{np.mean(found):.2f} times ({min(found):.2f} to {max(found):.2f})"

    said = []
    for trial in ("dynamic global", "gradual global"):
        said.append(f"`{trial}` {shares([own for _, level in MAIN[::2] for own in took(trial, level, BASELINE)])}")
    small = [own for level in SPARSITIES for own in took(EQUAL_TIME, level, BASELINE)]
    said.append(f"The small networks took {shares(small)} the unpruned network's time")
    own_time = [own for *_, level in OWN_TIME for own in took(GRADUAL_TIME, level, f"gradual global {level:g}")]
    said.append(f"{shares(own_time)} that of `gradual`")
    return said


def readme(data: Path) -> list[str]:
    """Returns the sentences of the README that hold figures of the finished study."""
    summaries = read_study(data)
    if len(summaries) < TABLES:
        return []
    found = main_comparison(summaries)
    return [
        f"`{trial.partition(' ')[0]}` at {100 * level:g} % zeros {points(*own.mean)} points ({_verdict(own)})"
        for (trial, _, level), own in found.items()
    ]


def which_method(data: Path) -> list[str]:
    """Returns the sentences of docs/which-method.md that hold figures of the finished study."""
    summaries = read_study(data)
    if len(summaries) < TABLES:
        return []
    levels = SPARSITIES[1:]
    pairs = [("gradual global", "rate_rewinding global, in full"), ("dynamic global", "dynamic layer")]
    found = compared(summaries, [(*pair, level) for pair in pairs for level in levels])
    each = [[points(*found[(*pair, level)].mean) for level in levels] for pair in pairs]
    retrained, ranked = (f"{', '.join(own[:-1])} and {own[-1]}" for own in each)
    return [
        f"over {TABLES} tables `gradual` with half of its epochs was {retrained} points above it at 80, 90 and 95 % "
        "zeros",
        f"over {TABLES} tables `dynamic` gained {ranked} points by it at 80, 90 and 95 % zeros",
    ]


def _verdict(own: OverDataSets) -> str:
    """Returns an outcome by the rule of the protocol: a posterior probability of 0.95 decides."""
    better, _, worse = own.posterior
    if worse < 1 - CONFIDENCE:
        return "better" if better > CONFIDENCE else "non-inferior"
    return "worse" if worse > CONFIDENCE else "open"
