"""The published data of docs/tickets.md, a row per training, and what they come to."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _csv_files import read_csv
from matplotlib.axes import Axes

from tfprune.reporting.figures.panels import LIGHT, Panel, Theme, percent
from tfprune.reporting.figures.rendering import svg_of_panels, write_png
from tfprune.reporting.statistics import Interval, t_interval
from tfprune.reporting.tables import markdown_table, points
from tfprune.utils.text import Table

ROUNDS, ITERATIONS, EVERY, REWIND = 12, 12_000, 200, 400
CONTROL_ROUNDS = (2, 4, 6, 8, 10, 12)
HEADERS = (
    *("trial", "arm", "round", "remaining", "stop_iteration", "stop_accuracy", "end_accuracy", "end_train_accuracy"),
    *("cpu_seconds", "test_curve"),
)
ARMS = {  # what is trained -> what it is called
    "ticket": "tickets: first weights",
    "reinitialised": "the same masks, new weights",
    "one shot": "pruned at once, first weights",
    "rewinding": f"weights of iteration {REWIND}",
    "rate rewinding": "trained on",
}
MEASURES = {  # column -> what it is called
    "stop_iteration": "iteration of early stopping",
    "stop_accuracy": "test accuracy at early stopping",
    "end_accuracy": "test accuracy at the end",
    "end_train_accuracy": "training accuracy at the end",
}
DRAWN_ROUNDS = (0, 4, 8, 12)  # whose curves are drawn


class Trainings:
    """The trainings of all trials.

    Args:
        rows: a row per training.
    """

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        self.of = {(row["arm"], int(row["round"]), int(row["trial"])): row for row in rows}
        self.trials = sorted({trial for _, _, trial in self.of})

    def rounds(self, arm: str) -> list[int]:
        """Returns the rounds of an arm, the dense network first."""
        return sorted({0, *(number for own, number, _ in self.of if own == arm)})

    def rows(self, arm: str, number: int) -> list[Mapping[str, str]]:
        """Returns the rows of an arm at a round, trial by trial; at round 0 those of the dense network."""
        return [self.of[arm if number else "dense", number, trial] for trial in self.trials]

    def values(self, arm: str, number: int, column: str) -> np.ndarray:
        return np.array([float(row[column]) for row in self.rows(arm, number)])

    def remaining(self, number: int) -> float:
        """Returns the share of the weights that is left; it is the same in all arms but for rounding."""
        return float(np.mean(self.values("ticket", number, "remaining")))

    def difference(self, number: int, column: str, arm: str = "ticket", other: str = "dense") -> Interval:
        """Returns the difference to another network of the same trial: the dense one, or an arm of the same round."""
        return t_interval(
            self.values(arm, number, column) - self.values(other, 0 if other == "dense" else number, column)
        )

    def wins(self, number: int) -> bool:
        """Returns whether tickets stop no later than the dense network, and are no less accurate then, by the means."""
        later, better = (self.difference(number, column).mean for column in ("stop_iteration", "stop_accuracy"))
        return later <= 0 <= better


def read(folder: Path) -> Trainings | None:
    """Returns the published trainings; None where there are none."""
    path = folder / "fashion_mnist.csv.gz"
    return Trainings(read_csv(path)) if path.is_file() else None


def main_table(found: Trainings) -> Table:
    """Returns tickets beside the same masks with new weights."""
    headers = ("weights left", "ticket stops at", "its accuracy there", "- dense, points (95 %)")
    headers += ("new weights stop at", "ticket - new weights, points (95 %)")
    rows = []
    for number in found.rounds("reinitialised"):
        cells = [f"{100 * found.remaining(number):.1f} %", f"{_mean(found, 'ticket', number, 'stop_iteration'):,.0f}"]
        cells += [f"{100 * _mean(found, 'ticket', number, 'stop_accuracy'):.2f} %"]
        if number:
            cells += [points(*found.difference(number, "stop_accuracy"))]
            cells += [f"{_mean(found, 'reinitialised', number, 'stop_iteration'):,.0f}"]
            cells += [points(*found.difference(number, "stop_accuracy", other="reinitialised"))]
        rows.append((*cells, *[""] * (len(headers) - len(cells))))
    return headers, rows


def all_table(found: Trainings) -> Table:
    """Returns each arm at each round."""
    headers = ("network", "round", "weights left", *MEASURES.values())
    rows = []
    for arm, name in ({"dense": "dense"} | ARMS).items():
        for number in found.rounds(arm)[arm != "dense" :]:
            cells = []
            for column in MEASURES:
                own = t_interval(found.values(arm, number, column))
                scale, form = (1, ",.0f") if column == "stop_iteration" else (100, ".2f")
                unit = "" if scale == 1 else " %"
                cells.append(f"{scale * own.mean:{form}}{unit} ± {scale * (own.high - own.mean):{form}}")
            rows.append((name, str(number), f"{100 * found.remaining(number):.1f} %", *cells))
    return headers, rows


def _mean(found: Trainings, arm: str, number: int, column: str) -> float:
    return float(np.mean(found.values(arm, number, column)))


def blocks(folder: Path) -> dict[str, str]:
    """Returns the tables of the page by the name of their place."""
    found = read(folder)
    if found is None:
        return {}
    return {"tickets main": markdown_table(main_table(found)), "tickets all": markdown_table(all_table(found))}


def panels(found: Trainings) -> dict[str, list[Panel]]:
    """Returns what the paper's figures look like here, by what the names of their files end with."""
    shown = ("stop_iteration", "stop_accuracy", "end_accuracy")
    against = [
        Panel(
            draw=functools.partial(_draw_measure, found=found, column=column),
            alt=f"{MEASURES[column]} against the share of the weights that is left",
            title=MEASURES[column],
            width=4.4,
            height=3.6,
        )
        for column in shown
    ]
    curves = [
        Panel(
            draw=functools.partial(_draw_curves, found=found, arm=arm),
            alt=f"test accuracy over the iterations: {ARMS[arm]}",
            title=ARMS[arm],
            width=5.0,
            height=3.6,
        )
        for arm in ("ticket", "reinitialised")
    ]
    return {"tickets": against, "tickets-curves": curves}


def _looks(arm: str, theme: Theme) -> dict[str, Any]:
    """Returns how an arm is drawn: tickets and their first control in colour."""
    coloured = {"ticket": (theme.train, "-"), "reinitialised": (theme.validation, "--")}
    plain = {"one shot": (theme.muted, ":"), "rewinding": (theme.muted, "-"), "rate rewinding": (theme.muted, "--")}
    color, line = (coloured | plain)[arm]
    return {"color": color, "linestyle": line, "linewidth": 1.8 if arm in coloured else 1.1, "label": ARMS[arm]}


def _draw_measure(axes: Axes, theme: Theme, *, found: Trainings, column: str) -> None:
    drawn: list[float] = []
    for arm in reversed(ARMS):
        if column == "stop_iteration" and arm == "rate rewinding":
            continue  # its network was trained before
        rounds, looks = found.rounds(arm), _looks(arm, theme)
        each = [t_interval(found.values(arm, number, column)) for number in rounds]
        x = [found.remaining(number) for number in rounds]
        axes.plot(x, [own.mean for own in each], **looks)
        drawn += [own.mean for own in each]
        if arm in ("ticket", "reinitialised"):
            low, high = [own.low for own in each], [own.high for own in each]
            axes.fill_between(x, low, high, color=looks["color"], alpha=0.15, linewidth=0)
    axes.axhline(_mean(found, "dense", 0, column), color=theme.muted, linewidth=0.8)
    axes.set_xscale("log")
    axes.invert_xaxis()
    shown = [found.remaining(number) for number in found.rounds("reinitialised")]
    axes.set_xticks(shown, [f"{100 * share:.0f} %" for share in shown])
    axes.minorticks_off()
    axes.set(xlabel="weights left", ylabel=MEASURES[column])
    room = 0.5 * (max(drawn) - min(drawn))  # bands of few trials may reach beyond what they can
    axes.set_ylim(max(0.0, min(drawn) - room), max(drawn) + room)
    if column != "stop_iteration":
        axes.yaxis.set_major_formatter(percent)


def _draw_curves(axes: Axes, theme: Theme, *, found: Trainings, arm: str) -> None:
    iterations = np.arange(EVERY, ITERATIONS + 1, EVERY)
    for place, number in enumerate(own for own in DRAWN_ROUNDS if own in found.rounds(arm)):
        curves = np.array([[*map(int, row["test_curve"].split())] for row in found.rows(arm, number)]) / 10_000
        label = f"{100 * found.remaining(number):.0f} % of the weights"
        axes.plot(iterations, curves.mean(axis=0), color=theme.methods[(0, 1, 3, 5)[place]], linewidth=1.4, label=label)
    axes.set(xlabel="iterations", ylabel="test accuracy, mean over trials", ylim=(0.84, 0.9))
    axes.yaxis.set_major_formatter(percent)


def draw(figures: Path, folder: Path) -> None:
    """Draws the figures as PNG and SVG."""
    found = read(folder)
    if found is None:
        return
    for name, own in panels(found).items():
        path = figures / f"fashion_mnist-{name}.png"
        write_png(own, path, title="", columns=len(own))
        path.with_suffix(".svg").write_text(svg_of_panels(own, LIGHT, columns=len(own)), encoding="utf-8")


def sentences(folder: Path) -> list[str]:
    """Returns the sentences of the page that hold figures."""
    found = read(folder)
    if found is None:
        return []
    won = [number for number in range(1, ROUNDS + 1) if found.wins(number)]
    said = [f"By the protocol's rule tickets win at {len(won)} of {ROUNDS} rounds"]
    for number in found.rounds("reinitialised")[1:]:
        earlier = t_interval(
            found.values("ticket", number, "stop_iteration") / found.values("dense", 0, "stop_iteration")
        )
        said.append(
            f"{100 * found.remaining(number):.1f} % of the weights: stopped at {_ratio(earlier)} the dense network's "
            f"iteration, {points(*found.difference(number, 'stop_accuracy'))} points there, "
            f"{points(*found.difference(number, 'end_accuracy'))} at the end"
        )
    last = 100 * found.remaining(ROUNDS)
    for arm in ("reinitialised", "one shot", "rewinding", "rate rewinding"):
        stop, end = (points(*found.difference(ROUNDS, f"{at}_accuracy", other=arm)) for at in ("stop", "end"))
        said.append(f"{ARMS[arm]}: {stop} points at early stopping, {end} at the end")
    return [*said, f"With {last:.1f} % of the weights"]


def _ratio(own: Interval) -> str:
    return f"{own.mean:.2f} x ({own.low:.2f} to {own.high:.2f})"
