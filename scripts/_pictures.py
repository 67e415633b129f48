"""Pictures of the docs that are drawn from tables of their pages: README's, and methods against sparsity."""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tfprune.methods import BASELINE
from tfprune.reporting.figures.panels import Panel, Theme, percent
from tfprune.reporting.figures.rendering import write_png
from tfprune.reporting.figures.trade_offs import plot_sparsities

NAMED = ("set", "gradual", "dynamic", "fine_tuned")  # in the README's picture; all others are grey
WORST = 0.7  # of accuracy, the lowest that is shown in it
SCORE = re.compile(r"([\d.]+)(?: ± ([\d.]+))? %")
INFERENCE = {  # row of the table -> what it is called
    "unpruned": "unpruned",
    "half of the weights zero": "half of the weights zero,\nnot fine-tuned",
    "half of the filters gone": "half of the filters removed",
}
Rows = Sequence[Mapping[str, str]]


def draw(docs: Path) -> None:
    """Renews `figures/readme.png`, and the figures of accuracy against sparsity of `methods.md`, if they are there."""
    methods = (docs / "methods.md").read_text(encoding="utf-8")
    faster = (docs / "faster-and-smaller.md").read_text(encoding="utf-8")
    for dataset, trained in (("penguins", "mlp"), ("fashion_mnist", "mlp, 8 epochs"), ("cifar10", "resnet8, 6 epochs")):
        path = docs / "figures" / "methods" / f"{dataset}-sparsities.png"
        if path.is_file():
            title = f"{dataset}: {trained}, each method against all others"
            plot_sparsities(summary_of(table(methods, f"<!-- sparsities {dataset} -->")), path, title=title)
    path = docs / "figures" / "readme.png"
    if path.is_file():
        left = sparsities_panel(summary_of(table(methods, "<!-- sparsities fashion_mnist -->")))
        write_png([left, inference_panel(table(faster, "| file | network |"))], path, title="")


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


def sparsities_panel(summary: Mapping[str, Mapping]) -> Panel:
    """Returns accuracy against sparsity, four methods in colour with their names beside them."""
    methods: dict[str, list[Mapping]] = {}
    for values in summary.values():
        methods.setdefault(values["method"], []).append(values)
    draw = functools.partial(_draw_sparsities, methods=methods)
    return Panel(draw, "Accuracy against sparsity", "accuracy against sparsity, by method", width=4.8, height=3.4)


def _draw_sparsities(axes: Axes, theme: Theme, *, methods: Mapping[str, Sequence[Mapping]]) -> None:
    levels = sorted({values["mean"]["sparsity"] for own in methods.values() for values in own} - {0.0})
    for name in sorted(methods, key=lambda name: name in NAMED):  # those with a colour above the others
        means = [values["mean"]["test_accuracy"] for values in methods[name]]
        if name == BASELINE:
            axes.axhline(means[0], color=theme.ink, linewidth=1, linestyle="--")
            axes.annotate(name, (0, means[0]), (0, 4), textcoords="offset points", va="bottom")
            continue
        if name not in NAMED:
            axes.plot(range(len(levels)), means, color=theme.muted, linewidth=0.8, alpha=0.5)
            continue
        colour = theme.methods[1 + NAMED.index(name)]
        spread = [values["sd"]["test_accuracy"] for values in methods[name]]
        axes.errorbar(range(len(levels)), means, spread, color=colour, marker="o", markersize=4, capsize=2)
        end = (len(levels) - 1, means[-1])
        axes.annotate(name, end, (7, 0), textcoords="offset points", va="center", color=colour)
    axes.set_xticks(range(len(levels)), [f"{100 * level:g} %" for level in levels])
    axes.set(xlabel="zeros", ylabel="test accuracy", xlim=(-0.15, len(levels) - 0.45), ylim=(WORST, 0.905))
    axes.yaxis.set_major_formatter(percent)


def inference_panel(rows: Rows) -> Panel:
    """Returns accuracy against the time of a call, relative to that of the unpruned network in the same format."""
    draw = functools.partial(_draw_inference, rows=rows)
    return Panel(draw, "Accuracy against time of a call", "accuracy against latency", width=4.8, height=3.4)


def _draw_inference(axes: Axes, theme: Theme, *, rows: Rows) -> None:
    for (network, name), colour in zip(INFERENCE.items(), (theme.ink, theme.methods[5], theme.methods[3]), strict=True):
        own = [row for row in rows if row["network"] == network]
        times = [float(row["time, batch of 1"]) for row in own]
        scores = [float(row["test accuracy"].removesuffix(" %")) / 100 for row in own]
        for place, (x, y) in enumerate(zip(times, scores, strict=True)):
            axes.plot(x, y, "os^"[place], color=colour, markersize=7, markeredgecolor=theme.paper)
        middle = (sum(times) / len(times), max(scores))
        axes.annotate(name, middle, (0, 7), textcoords="offset points", ha="center", va="bottom", color=colour)
    shapes = [Line2D([], [], marker=marker, color=theme.muted, markersize=7, linestyle="none") for marker in "os^"]
    axes.legend(shapes, dict.fromkeys(row["file"] for row in rows), loc="lower left", frameon=False)
    axes.set(xlabel="time of a call / unpruned, same format", ylabel="test accuracy", xlim=(0, 1.25), ylim=(0.77, 0.96))
    axes.yaxis.set_major_formatter(percent)
