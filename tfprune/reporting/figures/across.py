"""Figures of methods over data sets: a critical-difference diagram and performance profiles."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from tfprune.methods import BASELINE
from tfprune.reporting.across import Across, performance_profile
from tfprune.reporting.figures.panels import MARKERS, Panel, Theme, label_of

LEVELS = 201  # of a profile


def across_panels(found: Across) -> list[Panel]:
    """Returns a critical-difference diagram, where there is one, and performance profiles."""
    profile = _profile_panel(found)
    return [profile] if found.critical_difference is None else [_ranks_panel(found, found.critical_difference), profile]


def groups_within(ranks: dict[str, float], critical: float) -> list[tuple[float, float]]:
    """Returns the ranges of mean ranks that cannot be told apart: the longest ones, of two methods at least.

    >>> groups_within({"a": 1.0, "b": 1.5, "c": 3.0, "d": 3.2}, 1.0)
    [(1.0, 1.5), (3.0, 3.2)]
    """
    values = sorted(ranks.values())
    found: list[tuple[float, float]] = []
    for low in values:
        high = max(value for value in values if value - low < critical)
        if high > low and (not found or high > found[-1][1]):
            found.append((low, high))
    return found


def _ranks_panel(found: Across, critical: float) -> Panel:
    order = sorted(found.ranks, key=found.ranks.__getitem__)

    def draw(axes: Axes, theme: Theme) -> None:
        for place, trial in enumerate(order):
            colour = theme.ink if trial == BASELINE else theme.train
            axes.plot(found.ranks[trial], place, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(order)), [label_of(f"{trial} ({found.ranks[trial]:.2f})") for trial in order])
        axes.invert_yaxis()
        for number, (low, high) in enumerate(groups_within(dict(found.ranks), critical)):
            axes.plot([low - 0.03, high + 0.03], [len(order) + 0.4 * number - 0.2] * 2, color=theme.muted, linewidth=3)
        axes.plot([1, 1 + critical], [-0.9, -0.9], color=theme.ink, linewidth=1.2, marker="|")
        axes.annotate("critical difference", (1, -1.1), color=theme.ink, fontsize=8, va="bottom")
        axes.set_ylim(top=-1.9)
        axes.set_xlabel(f"mean rank over {len(found.datasets)} data sets (1 is best)")

    said = ", ".join(f"{trial} {found.ranks[trial]:.2f}" for trial in order)
    return Panel(
        draw,
        f"Mean ranks: {said}; ranks less than {critical:.2f} apart are joined by a bar.",
        title="Mean ranks",
        height=1.6 + 0.26 * len(order),
    )


def _profile_panel(found: Across) -> Panel:
    everything = np.concatenate([np.asarray(own) for trial in found.trials.values() for own in trial.runs.values()])
    low, high = np.quantile(everything, [0.02, 0.98])
    levels = np.linspace(min(low, -found.margin), max(high, found.margin), LEVELS)

    def draw(axes: Axes, theme: Theme) -> None:
        for place, (trial, own) in enumerate(found.trials.items()):
            colour = theme.methods[(place + 1) % len(theme.methods)]
            marker = MARKERS[place % len(MARKERS)]
            shares = performance_profile(own.runs, levels.tolist())
            axes.plot(100 * levels, shares, color=colour, label=trial, marker=marker, markevery=40, markersize=4)
        axes.axvline(0, color=theme.muted, linewidth=0.8)
        axes.axvspan(-100 * found.margin, 100 * found.margin, color=theme.muted, alpha=0.15, linewidth=0)
        axes.set_xlabel(f"accuracy - {BASELINE}, points")
        axes.set_ylabel("share of runs above")
        axes.set_ylim(0, 1)

    at_zero = ", ".join(f"{trial} {performance_profile(own.runs, [0.0])[0]:.2f}" for trial, own in found.trials.items())
    return Panel(draw, f"Share of runs above each difference of accuracy; above 0: {at_zero}.", "Performance profiles")
