"""How long calls of exported models take."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from tfprune.reporting.figures.panels import Panel, Theme, label_of
from tfprune.reporting.figures.rendering import write_png
from tfprune.utils.text import milliseconds


def plot_latencies(
    bars: Mapping[str, Mapping[str, tuple[float, float, float]]],
    path: Path,
    *,
    title: str,
    alike: Mapping[str, str] | None = None,
) -> None:
    """Draws how long calls of models took.

    Args:
        bars: panel -> model -> seconds: median, 10th and 90th percentile.
        path: the PNG to write.
        title: above the figure.
        alike: model -> what has one colour: its run or method.
    """
    panels = []
    for name, own in bars.items():
        said = ", ".join(f"{model} {milliseconds(median)} ms" for model, (median, _, _) in own.items())
        draw = functools.partial(_draw_latencies, times=own, alike=alike or {})
        panels.append(Panel(draw, f"{name}: {said}.", name, width=8.0, height=1.2 + 0.3 * len(own)))
    write_png(panels, path, title=title, columns=1)


def _draw_latencies(
    axes: Axes, theme: Theme, *, times: Mapping[str, tuple[float, float, float]], alike: Mapping[str, str]
) -> None:
    kinds = list(dict.fromkeys(alike.values()))
    colours = {kind: theme.methods[place % len(theme.methods)] for place, kind in enumerate(kinds)}
    for place, (model, (median, low, high)) in enumerate(times.items()):
        axes.barh(place, 1000 * median, color=colours.get(alike.get(model, ""), theme.train), height=0.6)
        axes.plot((1000 * low, 1000 * high), (place, place), color=theme.ink, linewidth=1.5)
        end = (1000 * max(median, high), place)
        axes.annotate(milliseconds(median), end, (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(times)), list(map(label_of, times)))
    axes.set(xlabel="milliseconds per call: median, 10th to 90th percentile", ylim=(len(times) - 0.5, -0.5))
    axes.margins(x=0.12)  # room for the numbers
    axes.tick_params(axis="y", length=0)
