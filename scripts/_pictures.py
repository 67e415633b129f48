"""Draws README's picture, and those of all methods against sparsity."""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import _inference
import _study
from matplotlib.axes import Axes

from tfprune.methods import BASELINE
from tfprune.reporting.figures.panels import Panel, Theme
from tfprune.reporting.figures.rendering import write_png
from tfprune.reporting.figures.trade_offs import plot_sparsities
from tfprune.reporting.statistics import Interval

NAMED = {  # trials of the study in the README's picture -> their names, and how far up these are; all others are grey
    "gradual global": ("gradual", 9),
    _study.EQUAL_TIME: ("small dense network\nin the same time", -9),
    "dynamic global": ("dynamic", 0),
    "random": ("random masks", 14),
}
WORST = -15  # points, the lowest that are shown in it
SCORE = re.compile(r"([\d.]+)(?: ± ([\d.]+))? %")
INFERENCE = {  # row of the table -> what it is called
    "unpruned": "unpruned",
    "half of the weights zero": "half of the weights zero",
    "half of the filters gone": "half of the filters removed",
}
Rows = Sequence[Mapping[str, str]]


def draw(docs: Path) -> None:
    """Renews `figures/readme.png`, and the figures of `methods-compared.md` of accuracy against sparsity, if there."""
    methods = (docs / "methods-compared.md").read_text(encoding="utf-8")
    for dataset, trained in (("penguins", "mlp"), ("fashion_mnist", "mlp, 8 epochs"), ("cifar10", "resnet8, 6 epochs")):
        path = docs / "figures" / "methods" / f"{dataset}-sparsities.png"
        if path.is_file():
            title = f"{dataset}: {trained}, each method against all others"
            plot_sparsities(summary_of(table(methods, f"<!-- sparsities {dataset} -->")), path, title=title)
    path = docs / "figures" / "readme.png"
    if path.is_file():
        summaries = _study.read_study(docs / "results" / "study")
        left = sparsities_panel(_study.means_to_unpruned(summaries), _study.SPARSITIES, len(summaries))
        write_png([left, inference_panel(_inference.Files(docs / "results" / "inference").rows())], path, title="")


def table(page: str, start: str) -> Rows:
    """Returns the rows of the first Markdown table of a page from a place on."""
    lines = page[page.index(start) :].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    end = next(number for number, line in enumerate(lines) if number > first and not line.startswith("|"))
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines[first:end])
    return [dict(zip(header, row, strict=True)) for row in rows]


def summary_of(rows: Rows) -> dict[str, dict]:
    """Returns what a table of methods and sparsities says, as `comparison.summarise` does."""
    summary = {}
    for row in rows:
        for column, cell in row.items():
            found = SCORE.match(cell)
            if column == "method" or not found:
                continue
            pruned = row["method"] != BASELINE
            mean = {"sparsity": float(column.split()[0]) / 100 * pruned, "test_accuracy": float(found[1]) / 100}
            own = {"method": row["method"], "requested_sparsity": mean["sparsity"], "mean": mean}
            spread = {"test_accuracy": float(found[2]) / 100 if found[2] else None}
            summary[f"{row['method']} {column}" if pruned else row["method"]] = own | {"sd": spread}
    return summary


def sparsities_panel(means: Mapping[str, Sequence[Interval]], levels: Sequence[float], tables: int) -> Panel:
    """Returns differences to the unpruned network against sparsity, four trials in colour with their names beside them.

    Args:
        means: trial -> its mean over tables, sparsity by sparsity.
        levels: the sparsities.
        tables: how many there are.
    """
    draw = functools.partial(_draw_sparsities, means=means, levels=levels)
    title = f"accuracy against sparsity, mean over {tables} tables"
    return Panel(draw, "Differences of accuracy to unpruned against sparsity", title, width=5.4, height=3.4)


def _draw_sparsities(
    axes: Axes, theme: Theme, *, means: Mapping[str, Sequence[Interval]], levels: Sequence[float]
) -> None:
    places = range(len(levels))
    for name in sorted(means, key=lambda name: name in NAMED):  # those with a colour above the others
        values = [[100 * number for number in own] for own in means[name]]
        middle = [mean for mean, _, _ in values]
        if name not in NAMED:
            axes.plot(places, middle, color=theme.muted, linewidth=0.8, alpha=0.5)
            continue
        colour = theme.methods[1 + list(NAMED).index(name)]
        at = [place + 0.03 * (list(NAMED).index(name) - 1.5) for place in places]
        axes.vlines(at, [low for _, low, _ in values], [high for _, _, high in values], color=colour, linewidth=1)
        axes.plot(at, middle, "o-", color=colour, markersize=4)
        end = (places[-1], max(middle[-1], WORST))
        text, up = NAMED[name]
        axes.annotate(text, end, (9, up), textcoords="offset points", va="center", color=colour, fontsize=9)
    axes.axhline(0, color=theme.ink, linewidth=1, linestyle="--")
    axes.set_xticks(places, [f"{100 * level:g} %" for level in levels])
    axes.set(xlabel="zeros", ylabel="points to unpruned", xlim=(-0.15, len(levels) + 0.05), ylim=(WORST, 1.5))


def inference_panel(rows: Rows) -> Panel:
    """Returns the time of a call, relative to that of the unpruned network in the same format."""
    draw = functools.partial(_draw_inference, rows=rows)
    return Panel(draw, "Time of a call by network and file", "time of a call, one example", width=5.4, height=3.4)


def _draw_inference(axes: Axes, theme: Theme, *, rows: Rows) -> None:
    files = list(dict.fromkeys(row["file"] for row in rows))
    colours = (theme.ink, theme.methods[5], theme.methods[3])
    for place, ((network, name), colour) in enumerate(zip(INFERENCE.items(), colours, strict=True)):
        own = {row["file"]: float(row["time, batch of 1"]) for row in rows if row["network"] == network}
        at = [number + 0.27 * (place - 1) for number in range(len(files))]
        bars = axes.barh(at, [own[file] for file in files], height=0.24, color=colour, label=name)
        axes.bar_label(bars, [f"{own[file]:.2f}" for file in files], padding=3, fontsize=8)
    axes.set_yticks(range(len(files)), files)
    axes.invert_yaxis()
    axes.set(xlabel="time of a call / unpruned, same format", xlim=(0, 1.2))
