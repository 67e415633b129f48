"""Differences of accuracy to the baseline with their intervals, one method apart from the others in grey."""

from __future__ import annotations

from matplotlib.axes import Axes

from tfprune.methods import BASELINE
from tfprune.reporting.figures.panels import Panel, Summary, Theme, label_of
from tfprune.reporting.tables import points


def accuracy_panel(summary: Summary, method: str = "dynamic") -> Panel:
    """Returns the mean difference of each trial and its 95 % interval, with the margin as a band.

    Args:
        summary: what `comparison.summarise` returns.
        method: whose trials are drawn in colour.
    """
    found = {trial: values["accuracy"] for trial, values in summary.items() if values["accuracy"]}

    def draw(axes: Axes, theme: Theme) -> None:
        for place, (trial, own) in enumerate(found.items()):
            colour = theme.train if summary[trial]["method"] == method else theme.muted
            low, mean, high = (100 * own[name] for name in ("low", "mean", "high"))
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot(mean, place, "o", color=colour, markersize=6)
        margin = 100 * next(iter(found.values()))["margin"] if found else 0.0
        axes.axvspan(-margin, margin, color=theme.muted, alpha=0.18, linewidth=0)
        axes.axvline(0, color=theme.muted, linewidth=0.8)
        axes.set_yticks(range(len(found)), list(map(label_of, found)))
        axes.invert_yaxis()
        axes.set_xlabel(f"accuracy - {BASELINE}, points (mean and 95 % interval; band: the margin)")

    said = "; ".join(f"{trial} {points(own['mean'], own['low'], own['high'])}" for trial, own in found.items())
    return Panel(
        draw, f"Accuracy less that of {BASELINE}, in points: {said}.", width=6.4, height=1.0 + 0.3 * len(found)
    )
