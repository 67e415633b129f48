"""Scores of trials, and their differences to the baseline: one dot per seed, the mean, and a bar."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from tfprune.methods import BASELINE
from tfprune.reporting.comparison import paired_difference
from tfprune.reporting.figures.panels import (
    Panel,
    Summary,
    Theme,
    label_of,
    looks_of,
    mark,
    percent,
    scores_of,
    ticks,
    within_range,
)
from tfprune.reporting.figures.rendering import write_png


def plot_comparison(summary: Summary, path: Path, *, title: str) -> None:
    """Draws test loss and accuracy of each trial: one dot per seed, the mean and one standard deviation.

    Args:
        summary: what `comparison.summarise` returns.
        path: the PNG to write.
        title: above the figure.
    """
    write_png(comparison_panels(summary), path, title=title)


def comparison_panels(summary: Summary) -> list[Panel]:
    """Returns test loss and test accuracy of each trial, see `plot_comparison`."""
    panels = []
    for name, (label, unit, _) in scores_of(summary).items():
        strips = {}
        for trial, values in summary.items():
            mean, sd = values["mean"][name], values["sd"][name]
            bar = None if sd is None else within_range(mean - sd, mean + sd, unit)
            strips[trial] = Strip(
                values["method"], {seed: row[name] for seed, row in values["seeds"].items()}, mean, bar
            )
        panels.append(_strip_panel(strips, summary, label, "standard deviation", unit=unit))
    return panels


def differences_panels(summary: Summary) -> list[Panel]:
    """Returns the differences to the baseline in test loss and test accuracy: one dot per seed, mean and 95 % interval.

    Returns:
        No panels where there is no baseline or nothing else.
    """
    panels = []
    for name, (label, unit, higher) in scores_of(summary).items():
        strips = {}
        for trial, values in summary.items():
            baseline = summary.get(BASELINE, {"seeds": {}})["seeds"]
            own = {s: row[name] - baseline[s][name] for s, row in values["seeds"].items() if s in baseline}
            if trial == BASELINE or not own:
                continue
            paired = paired_difference(values["seeds"], baseline, name)
            bar = (paired["low"], paired["high"]) if paired else None
            strips[trial] = Strip(values["method"], own, float(np.mean(list(own.values()))), bar)
        if strips:
            points = unit.replace("%", "points")
            label = f"{label} - {BASELINE}'s{', points' * bool(unit)} ({'more' if higher else 'less'} is better)"
            panels.append(_strip_panel(strips, summary, label, "95 % interval", unit=points, zero=True))
    return panels


@dataclasses.dataclass(frozen=True)
class Strip:
    """What is drawn of one trial in a row of dots.

    Attributes:
        method: decides colour and marker.
        values: seed -> a dot.
        mean: a marker.
        bar: both ends of the line through it, or None.
    """

    method: str
    values: Mapping[str, float]
    mean: float
    bar: tuple[float, float] | None


def _strip_panel(
    strips: Mapping[str, Strip], summary: Summary, label: str, bar: str, *, unit: str, zero: bool = False
) -> Panel:
    said = (f"{trial} {_mean_text(strip, unit)}" for trial, strip in strips.items())
    barred = f" and {bar}" if any(strip.bar for strip in strips.values()) else ""
    alt = f"{label.capitalize()}, mean{barred}: {', '.join(said)}."
    draw = functools.partial(_draw_strips, strips=strips, summary=summary, label=label, unit=unit, zero=zero)
    return Panel(draw, alt, width=4.6, height=0.9 + 0.3 * max(len(strips), 4))


def _text(value: float, unit: str) -> str:
    return f"{100 * value:.1f} {unit}" if unit else f"{value:.4f}"


def _mean_text(strip: Strip, unit: str) -> str:
    bar = f" ({_text(strip.bar[0], unit)} to {_text(strip.bar[1], unit)})" if strip.bar else ""
    return _text(strip.mean, unit) + bar


def _draw_strips(
    axes: Axes,
    theme: Theme,
    *,
    strips: Mapping[str, Strip],
    summary: Summary,
    label: str,
    unit: str,
    zero: bool,
) -> None:
    looks = looks_of(summary, theme)
    for place, (trial, strip) in enumerate(strips.items()):
        colour, marker = looks[strip.method]
        count = len(strip.values)
        if count > 1:
            order = np.arange(count)  # on both sides of the bar, neighbours far apart, and the same every time
            spread = np.where(order % 2, 1, -1) * (0.14 + 0.18 * (0.618 * order % 1))
            look = {"color": colour, "alpha": 0.5, "markersize": 3, "markeredgewidth": 0}
            tips = [f"{trial}, seed {seed}: {_text(value, unit)}" for seed, value in strip.values.items()]
            mark(axes.plot(list(strip.values.values()), place + spread, "o", **look), strip.method, tips)
        if strip.bar:
            for ink, width in ((theme.paper, 4), (colour, 2)):
                line = axes.plot(strip.bar, (place, place), color=ink, linewidth=width, solid_capstyle="butt")
                mark(line, strip.method)
        mean = axes.plot(strip.mean, place, marker, color=colour, markersize=7, markeredgecolor=theme.paper)
        mark(mean, strip.method, [f"{trial}: {_mean_text(strip, unit)}"])
    if zero:
        axes.axvline(0, color=theme.ink, linewidth=1, linestyle="--", zorder=1)
    axes.set_yticks(range(len(strips)), list(map(label_of, strips)))
    axes.set(xlabel=label, ylim=(len(strips) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=theme.muted, alpha=0.2)
    axes.xaxis.set_major_locator(ticks())
    if unit == "points":
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}".replace("-", "\N{MINUS SIGN}"))
    if unit == "%":
        axes.xaxis.set_major_formatter(percent)
        axes.set_xlim(right=min(axes.get_xlim()[1], 1.01))  # a deviation may reach beyond, an accuracy cannot
