"""Differences of accuracy to the baseline with their intervals, one method apart from the others in grey."""

from __future__ import annotations

from matplotlib.axes import Axes

from tfprune.methods import BASELINE
from tfprune.reporting.figures.panels import Panel, Summary, Theme, label_of
from tfprune.reporting.measures import measure_of


def accuracy_panel(summary: Summary, method: str = "dynamic") -> Panel:
    """Returns the mean difference of each trial and its 95 % interval, with the margin as a band.

    Args:
        summary: what `comparison.summarise` returns.
        method: whose trials are drawn in colour.
    """
    measure = measure_of(summary)
    found = {trial: values[measure.name] for trial, values in summary.items() if values[measure.name]}
    scale = measure.metric.scale

    def draw(axes: Axes, theme: Theme) -> None:
        for place, (trial, own) in enumerate(found.items()):
            colour = theme.train if summary[trial]["method"] == method else theme.muted
            low, mean, high = (scale * own[name] for name in ("low", "mean", "high"))
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot(mean, place, "o", color=colour, markersize=6)
        margin = scale * next(iter(found.values()))["margin"] if found else 0.0
        axes.axvspan(-margin, margin, color=theme.muted, alpha=0.18, linewidth=0)
        axes.axvline(0, color=theme.muted, linewidth=0.8)
        axes.set_yticks(range(len(found)), list(map(label_of, found)))
        axes.invert_yaxis()
        axes.set_xlabel(f"{measure.label} - {BASELINE}{measure.points} (mean and 95 % interval; band: the margin)")

    said = "; ".join(
        f"{trial} {measure.interval(own['mean'], own['low'], own['high'])}" for trial, own in found.items()
    )
    label, unit = f"{measure.label[:1].upper()}{measure.label[1:]}", ", in points" * measure.metric.share
    return Panel(draw, f"{label} less that of {BASELINE}{unit}: {said}.", width=6.4, height=1.0 + 0.3 * len(found))
