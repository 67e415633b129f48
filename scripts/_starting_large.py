"""The published data of docs/starting-large.md, a row per training, and what they come to."""

import functools
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _csv_files import read_csv
from matplotlib.axes import Axes

from tfprune.reporting.figures.panels import LIGHT, Panel, Theme, percent
from tfprune.reporting.figures.rendering import svg, write_png
from tfprune.reporting.statistics import Interval, t_interval
from tfprune.reporting.tables import markdown_table, points
from tfprune.utils.text import Table, counted

HEADERS = (
    *("part", "trial", "budget", "keep", "seed", "steps", "steps_whole", "parameters", "widths"),
    *("cpu_seconds", "wall_seconds", "validation_accuracy", "test_accuracy"),
)
CURVE = (0.25, 0.5, 0.75)  # shares of the channels
OF_SETS = {
    "fashion_mnist": "starting large",
    "cifar10": "starting large cifar",
}  # data set -> what the names of its tables begin with
TRIALS = {  # kind of training -> what it is called
    "whole": "the whole network",
    "removed": "channels go in training",
    "after": "channels go after training, then fine-tuned",
    "uniform": "uniformly narrow from scratch",
    "found": "the widths found, from scratch",
}
Rows = Sequence[Mapping[str, Any]]


class Trainings:
    """All trainings of a data set.

    Args:
        folder: of the published data.
        dataset: its name.

    Attributes:
        rows: a row per training.
        known: what was measured once: times of steps, the recipe that was chosen, latencies, versions.
    """

    def __init__(self, folder: Path, dataset: str) -> None:
        self.rows: Rows = read_csv(folder / f"{dataset}.csv.gz")
        self.known: Mapping[str, Any] = json.loads((folder / f"{dataset}.json").read_text(encoding="utf-8"))

    def of(self, part: str, **key: Any) -> dict[str, Mapping[str, Any]]:
        """Returns seed -> row of the trainings of a part with these values."""
        found = (row for row in self.rows if row["part"] == part)
        return {row["seed"]: row for row in found if all(str(row[name]) == str(own) for name, own in key.items())}

    def budgets(self) -> list[int]:
        return sorted({int(row["budget"]) for row in self.rows if row["part"] == "main"})

    def accuracies(self, part: str, **key: Any) -> list[float]:
        return [float(row["test_accuracy"]) for row in self.of(part, **key).values()]

    def differences(self, own: str, other: str, budget: int) -> dict[str, float]:
        """Returns seed -> difference of test accuracy in the comparison."""
        one, two = (self.of("main", trial=trial, budget=budget) for trial in (own, other))
        return {
            seed: float(row["test_accuracy"]) - float(two[seed]["test_accuracy"])
            for seed, row in one.items()
            if seed in two
        }

    def time(self, trial: str, budget: int) -> float:
        """Returns the CPU time as a share of the whole network's, median over seeds."""
        one, two = (self.of("main", trial=own, budget=budget) for own in (trial, "whole"))
        return float(np.median([float(one[s]["cpu_seconds"]) / float(two[s]["cpu_seconds"]) for s in one]))

    def slope(self, own: str, other: str) -> Interval:
        """Returns the slope of the difference over the budgets' logarithm to base 3, over seeds."""
        by_seed: dict[str, list[tuple[float, float]]] = {}
        for budget in self.budgets():
            for seed, value in self.differences(own, other, budget).items():
                by_seed.setdefault(seed, []).append((math.log(budget, 3), value))
        return t_interval([float(np.polyfit(*zip(*pairs, strict=True), 1)[0]) for pairs in by_seed.values()])


def trainings(folder: Path) -> Iterator[tuple[str, Trainings]]:
    """Yields the data sets whose comparison there is, with their trainings."""
    for dataset in OF_SETS:
        if (folder / f"{dataset}.csv.gz").is_file():
            found = Trainings(folder, dataset)
            if found.budgets():
                yield dataset, found


def selection_table(found: Trainings) -> Table:
    """Returns what was tried, in its order, and what was kept."""
    names = list(dict.fromkeys(row["trial"] for row in found.rows if row["part"] == "selection"))
    rows, best = [], 0.0
    for name in names:
        values = [float(row["validation_accuracy"]) for row in found.of("selection", trial=name).values()]
        mean = statistics.mean(values)  # exact: two changes came out the same
        each = ", ".join(f"{100 * value:.2f}" for value in values)
        rows.append((name, f"{100 * mean:.2f} % ({each})", "kept" if mean > best else ""))
        best = max(best, mean)
    for trial in ("uniform", "found"):
        values = [float(row["validation_accuracy"]) for row in found.of("reference", trial=trial).values()]
        if values:
            each = ", ".join(f"{100 * value:.2f}" for value in values)
            rows.append((f"beside them: {TRIALS[trial]}", f"{100 * np.mean(values):.2f} % ({each})", ""))
    return ("change", "validation accuracy, mean (each seed)", ""), rows


def main_table(found: Trainings) -> Table:
    """Returns the comparison."""
    headers = ("budget, epochs", "training", "CPU time / whole", "test accuracy")
    headers += ("points to uniform (95 %)", "points to whole (95 %)")
    rows = []
    for budget in found.budgets():
        for trial in ("whole", "removed", "uniform", "found"):
            own = found.of("main", trial=trial, budget=budget)
            if not own:
                continue
            accuracy = np.mean(found.accuracies("main", trial=trial, budget=budget))
            compared = [
                "" if trial == other else points(*t_interval([*found.differences(trial, other, budget).values()]))
                for other in ("uniform", "whole")
            ]
            took = f"{found.time(trial, budget):.2f}"
            rows.append((str(budget), TRIALS[trial], took, f"{100 * accuracy:.2f} %", *compared))
    return headers, rows


def curve_table(found: Trainings) -> Table:
    """Returns accuracy against latency, for each way and width."""
    latency = found.known.get("latency", {}).get("tflite", {})
    headers = ("training", "channels left", "parameters", "time of a call / whole", "test accuracy, mean (each seed)")
    rows = []
    budget = next((int(row["budget"]) for row in found.rows if row["part"] == "curve"), None)
    if budget is not None:
        rows.append(_curve_row("whole", 1.0, found.of("main", trial="whole", budget=budget), 1.0))
    for trial in ("uniform", "removed", "after"):
        for keep in sorted(CURVE, reverse=True):
            if own := found.of("curve", trial=trial, keep=keep):
                rows.append(_curve_row(trial, keep, own, latency.get(f"keep {keep:g}")))
    return headers, rows


def _curve_row(trial: str, keep: float, own: Mapping[str, Any], latency: float | None) -> tuple[str, ...]:
    values = [float(row["test_accuracy"]) for row in own.values()]
    each = ", ".join(f"{100 * value:.2f}" for value in values)
    parameters = next(iter(own.values()))["parameters"]
    time = "" if latency is None else f"{latency:.2f}"
    return TRIALS[trial], f"{100 * keep:g} %", f"{int(parameters):,}", time, f"{100 * np.mean(values):.2f} % ({each})"


def blocks(folder: Path) -> dict[str, str]:
    """Returns the tables of the pages by the name of their place."""
    made = {}
    for dataset, found in trainings(folder):
        start = OF_SETS[dataset]
        made[f"{start} main"] = markdown_table(main_table(found))
        made[f"{start} selection"] = markdown_table(selection_table(found))
        if any(row["part"] == "curve" for row in found.rows):
            made[f"{start} curve"] = markdown_table(curve_table(found))
    return made


def panels(found: Trainings) -> dict[str, Panel]:
    """Returns what the comparison and the curves look like, by what the names of their files end with."""
    drawn = {
        "starting-large": Panel(
            draw=functools.partial(_draw_budgets, found=found),
            alt="difference of test accuracy to a uniformly narrow network from scratch, at three budgets",
            title="Points to a uniformly narrow network from scratch",
            width=6.4,
            height=3.6,
        )
    }
    if any(row["part"] == "curve" for row in found.rows) and "latency" in found.known:
        drawn["accuracy-latency"] = Panel(
            draw=functools.partial(_draw_curve, found=found),
            alt="test accuracy against the time of a call, each way of pruning a curve",
            title="Accuracy against time of a call",
            width=6.4,
            height=3.6,
        )
    return drawn


def _draw_budgets(axes: Axes, theme: Theme, *, found: Trainings) -> None:
    budgets = found.budgets()
    others = [trial for trial in ("whole", "removed", "found") if found.of("main", trial=trial)]
    for place, trial in enumerate(others):
        each = [t_interval([*found.differences(trial, "uniform", budget).values()]) for budget in budgets]
        x = np.array(budgets) * 1.06 ** (place - 1)
        color = theme.ink if trial == "whole" else theme.methods[1 + 2 * place]
        axes.vlines(x, [100 * own.low for own in each], [100 * own.high for own in each], color=color, linewidth=1.2)
        axes.plot(
            x, [100 * own.mean for own in each], "osD"[place] + "-", color=color, markersize=5, label=TRIALS[trial]
        )
    axes.axhline(0, color=theme.muted, linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks(budgets, [str(own) for own in budgets])
    axes.minorticks_off()
    axes.set(xlabel="budget, epochs of the whole network", ylabel="points of test accuracy")


def _draw_curve(axes: Axes, theme: Theme, *, found: Trainings) -> None:
    latency = found.known["latency"]["tflite"]
    budget = next(int(row["budget"]) for row in found.rows if row["part"] == "curve")
    whole = found.accuracies("main", trial="whole", budget=budget)
    axes.plot(1, np.mean(whole), "*", color=theme.ink, markersize=11, label=TRIALS["whole"])
    for place, trial in enumerate(("uniform", "removed", "after")):
        color = theme.methods[1 + 2 * place]
        x = [latency[f"keep {keep:g}"] for keep in CURVE]
        values = [found.accuracies("curve", trial=trial, keep=keep) for keep in CURVE]
        axes.plot(
            x, [np.mean(own) for own in values], "osD"[place] + "-", color=color, markersize=5, label=TRIALS[trial]
        )
        for at, own in zip(x, values, strict=True):
            axes.plot([at] * len(own), own, ".", color=color, markersize=4, alpha=0.6)
    axes.set(xlabel="time of a call / whole network, TFLite, one example", ylabel="test accuracy", xlim=(0, 1.1))
    axes.yaxis.set_major_formatter(percent)


def draw(figures: Path, folder: Path) -> None:
    """Draws the figures of each data set as PNG and SVG."""
    for dataset, found in trainings(folder):
        for name, panel in panels(found).items():
            path = figures / f"{dataset}-{name}.png"
            write_png([panel], path, title="")
            path.with_suffix(".svg").write_text(svg(panel, LIGHT), encoding="utf-8")


def sentences(folder: Path) -> list[str]:
    """Returns the sentences of the page that hold figures."""
    said = []
    for _, found in trainings(folder):
        seeds = len(found.of("main", trial="whole", budget=found.budgets()[0]))
        slope = points(*found.slope("removed", "uniform"))
        said.append(f"the difference changes by {slope} points with each tripling of the budget ({seeds} seeds)")
        said += _chosen(found)
        for budget in found.budgets():
            one, two = (
                points(*t_interval([*found.differences("removed", other, budget).values()]))
                for other in ("uniform", "whole")
            )
            time = found.time("removed", budget)
            start = f"{counted(budget, 'epoch')}: {one} points to the narrow network"
            said.append(f"{start}, {two} to the whole one, {time:.2f} x its time")
    return said


def _chosen(found: Trainings) -> list[str]:
    """Returns what is said of the way that was chosen, beside the first one."""
    _, rows = selection_table(found)
    names = [name for name, _, kept in rows if kept]
    if len(names) < 2:
        return []
    values = [
        {seed: float(row["validation_accuracy"]) for seed, row in found.of("selection", trial=name).items()}
        for name in (names[0], names[-1])
    ]
    gained = t_interval([values[1][seed] - own for seed, own in values[0].items()])
    return [f"the way that was chosen is {points(*gained)} points of validation accuracy above the first one"]
