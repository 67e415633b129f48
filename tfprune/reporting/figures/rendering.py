"""Panels side by side, as a PNG on white paper or as the SVG of a page."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tfprune.reporting.figures.panels import LIGHT, LONGEST_TITLE, Panel, Theme, label_of
from tfprune.utils.files import atomic_write


def write_png(panels: Sequence[Panel], path: Path, *, title: str, columns: int = 2) -> None:
    """Draws panels side by side into a PNG on white paper."""
    with _style(LIGHT), atomic_write(path) as draft:
        _figure(panels, LIGHT, title=title, columns=columns).savefig(draft, dpi=120)


def svg(panel: Panel, theme: Theme, *, legend: bool = True) -> str:
    """Draws a panel as an SVG with nothing behind it and no title; the same panel always comes to the same text.

    Args:
        panel: what to draw.
        theme: its colours.
        legend: whether what is drawn is named below it.
    """
    text = io.StringIO()
    savefig(panel, theme, text, legend=legend)
    return _inner(text)


def svg_of_panels(panels: Sequence[Panel], theme: Theme, *, columns: int = 2) -> str:
    """Draws panels side by side, each with its title, as `svg` does."""
    text = io.StringIO()
    with _style(theme):
        _save_svg(_figure(panels, theme, columns=columns), text)
    return _inner(text)


def savefig(panel: Panel, theme: Theme, file: IO[str], *, legend: bool) -> None:
    """Writes a panel without its title as an SVG file, see `svg`."""
    with _style(theme):
        _save_svg(_figure([dataclasses.replace(panel, title="")], theme, legend=legend), file)


def _save_svg(figure: Figure, file: IO[str]) -> None:
    unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=unsaid)


def _inner(text: io.StringIO) -> str:
    content = text.getvalue()
    return content[content.index("<svg") :]


def write_vector(panels: Sequence[Panel], path: Path, *, title: str, columns: int = 2) -> None:
    """Draws panels side by side on white paper, as the suffix says: `.svg` or `.pdf`."""
    undated = {"Date": None} if path.suffix == ".svg" else {"CreationDate": None}
    with _style(LIGHT), atomic_write(path) as draft:
        figure = _figure(panels, LIGHT, title=title, columns=columns)
        figure.savefig(draft, format=path.suffix[1:], metadata=undated)


def _style(theme: Theme) -> Any:
    return matplotlib.rc_context(
        {
            "font.size": 9.5,
            "axes.titlesize": 10,
            "axes.edgecolor": theme.muted,
            "axes.labelcolor": theme.ink,
            "figure.facecolor": theme.paper,
            "axes.facecolor": theme.paper,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "lines.linewidth": 1.6,
            "text.color": theme.ink,
            "text.parse_math": False,  # names are shown as they are
            "xtick.color": theme.muted,
            "xtick.labelcolor": theme.ink,
            "ytick.color": theme.muted,
            "ytick.labelcolor": theme.ink,
            "svg.hashsalt": "tfprune",
        }
    )


def _figure(panels: Sequence[Panel], theme: Theme, *, title: str = "", columns: int = 2, legend: bool = True) -> Figure:
    columns = min(columns, len(panels))
    lines = -(-len(panels) // columns)
    width = columns * max(panel.width for panel in panels)
    height = lines * max(panel.height for panel in panels) + (0.4 if title else 0.0)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(label_of(title, LONGEST_TITLE))
    named = {}
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(lines, columns, number)
        panel.draw(axes, theme)
        axes.set_title(label_of(panel.title))
        handles, labels = axes.get_legend_handles_labels()
        named = dict(zip(map(label_of, labels), handles, strict=True)) | named
    if named and legend:
        room = max(1, int(72 * width / (32 + 5.7 * max(map(len, named)))))
        figure.legend(
            *(named.values(), named.keys()),
            loc="outside lower center",
            ncols=min(len(named), room),
            frameon=False,
            handlelength=1.6,
            handletextpad=0.5,
            columnspacing=1.0,
        )
    return figure
