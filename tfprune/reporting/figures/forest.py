"""Differences of accuracy to the baseline with their intervals, one method apart from the others in grey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
        rows = {
            label_of(trial): [scale * own[name] for name in ("mean", "low", "high")] for trial, own in found.items()
        }
        own = [theme.train if summary[trial]["method"] == method else theme.muted for trial in found]
        margin = scale * next(iter(found.values()))["margin"] if found else 0.0
        draw_intervals(axes, theme, rows, own, margin)
        axes.set_xlabel(f"{measure.label} - {BASELINE}{measure.points} (mean and 95 % interval; band: the margin)")

    said = "; ".join(
        f"{trial} {measure.interval(own['mean'], own['low'], own['high'])}" for trial, own in found.items()
    )
    label, unit = f"{measure.label[:1].upper()}{measure.label[1:]}", ", in points" * measure.metric.share
    return Panel(draw, f"{label} less that of {BASELINE}{unit}: {said}.", width=6.4, height=1.0 + 0.3 * len(found))


def draw_intervals(
    axes: Axes, theme: Theme, rows: Mapping[str, Sequence[float]], colours: Sequence[str], margin: float
) -> None:
    """Draws means with their intervals, a row each, the first at the top.

    Args:
        axes, theme: where and in which colours.
        rows: name -> mean, low, high; all in the units of the axis.
        colours: one for each row.
        margin: half the width of the band in which a difference is none.
    """
    for place, ((mean, low, high), colour) in enumerate(zip(rows.values(), colours, strict=True)):
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot(mean, place, "o", color=colour, markersize=6)
    axes.axvspan(-margin, margin, color=theme.muted, alpha=0.18, linewidth=0)
    axes.axvline(0, color=theme.muted, linewidth=0.8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
