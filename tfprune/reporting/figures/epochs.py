"""What happens over the epochs of a run: loss, accuracy, sparsity, and when it was pruned."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tfprune.data.objectives import OBJECTIVES
from tfprune.reporting.figures.panels import Panel, Rows, Theme, label_of, mark
from tfprune.reporting.figures.rendering import write_png

METRICS = {name: metric for task in OBJECTIVES for name, metric in OBJECTIVES[task].metrics.items()}
NO_SCORES = ("phase", "epoch", "step", "sparsity")  # keys of a history's rows
OF_CLASSES = ["loss", "accuracy"]
MOST_TIPS = 24  # of a line on a page


def _called(name: str, names: Sequence[str]) -> str:
    """Returns what a score is called in a figure of some; the loss of classes is their cross-entropy."""
    if name == "loss":
        return "cross-entropy" if list(names) == OF_CLASSES else "loss"
    return METRICS[name].label


def plot_curves(history: Rows, path: Path, *, title: str) -> None:
    """Draws loss and accuracy on training and validation data over epochs, with what was pruned when.

    Args:
        history: rows of `history.csv`.
        path: the PNG to write.
        title: above the figure.
    """
    names = [name for name in history[0] if name not in NO_SCORES and not name.startswith("val_")]
    panels = [
        Panel(
            functools.partial(_draw_curves, history=history, name=name, label=_called(name, names)),
            _called(name, names),
        )
        for name in names
    ]
    write_png(panels, path, title=title)


def plot_sparsity(history: Rows, layers: Mapping[str, Mapping[str, int]], path: Path, *, title: str) -> None:
    """Draws overall sparsity over epochs and the share of zeros in each kernel at the end.

    Args:
        history: rows of `history.csv`.
        layers: kernel name -> its `zeros` and `size`.
        path: the PNG to write.
        title: above the figure.
    """
    over_epochs = functools.partial(_draw_sparsity, history=history)
    a_kernel = functools.partial(_draw_layers, layers=layers)
    height = max(3.2, 1.4 + 0.28 * len(layers))
    write_png([Panel(draw, "sparsity", height=height) for draw in (over_epochs, a_kernel)], path, title=title)


def plot_mean_curves(histories: Mapping[str, Sequence[Rows]], path: Path, *, title: str) -> None:
    """Draws each trial's loss over epochs, training and validation: the mean over seeds, and their range as a band.

    What is far above nearly all of the values is cut off at the top.

    Args:
        histories: trial -> rows of `history.csv`, one list a seed.
        path: the PNG to write.
        title: above the figure.
    """
    write_png(curves_panels(histories), path, title=title, columns=4)


def curves_panels(histories: Mapping[str, Sequence[Rows]]) -> list[Panel]:
    """Returns the loss over epochs of each trial, all with the same limits, see `plot_mean_curves`."""
    curves = {trial: _common(seeds) for trial, seeds in histories.items()}
    values = np.concatenate([own[name].ravel() for _, own in curves.values() for name in own])
    values = values[np.isfinite(values)]
    top = min(values.max(), 1.5 * np.quantile(values, 0.99))  # a spike of an epoch must not flatten all the rest
    margin = 0.04 * (top - values.min() or 1.0)
    limits = (values.min() - margin, top + margin)
    panels = []
    for trial, (rows, own) in curves.items():
        _, positions, _ = _one_axis(rows)
        events = [f"{event:,.0f}" for event in _events(rows, positions)]
        alt = (
            f"Loss of {trial} over {positions[-1]:,.0f} epochs, at the end {own['loss'][:, -1].mean():.3f} in training "
            f"and {own['val_loss'][:, -1].mean():.3f} in validation; "
            + (f"pruned after epoch {', '.join(events)}." if events else "never pruned.")
        )
        draw = functools.partial(_draw_mean_curves, rows=rows, values=own, limits=limits)
        panels.append(Panel(draw, alt, trial, width=3.6, height=2.7))
    return panels


def _draw_mean_curves(
    axes: Axes, theme: Theme, *, rows: Rows, values: Mapping[str, np.ndarray], limits: tuple[float, float]
) -> None:
    _, positions, _ = _one_axis(rows)
    for split, name in (("train", "loss"), ("validation", "val_loss")):
        colour = getattr(theme, split)
        for phase in dict.fromkeys(row["phase"] for row in rows):
            own = [n for n, row in enumerate(rows) if row["phase"] == phase]
            x, y = [positions[n] for n in own], values[name][:, own]
            label = split if phase == rows[0]["phase"] else None
            marker = "o" if len(own) == 1 else None
            axes.plot(x, y.mean(axis=0), color=colour, label=label, marker=marker, markersize=3)
            axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.18, linewidth=0)
            shown = range(0, len(x), -(-len(x) // MOST_TIPS))
            points = axes.plot([x[n] for n in shown], y.mean(axis=0)[shown], "o", color=colour, alpha=0, markersize=3)
            mark(points, "", [f"epoch {x[n]:,.4g}, {split}: {y[:, n].mean():.4f}{_range(y[:, n])}" for n in shown])
    _mark_events(axes, theme, rows, positions)
    label = "cross-entropy" if rows and "accuracy" in rows[0] else "loss"
    axes.set(xlabel="epoch", ylabel=label, ylim=limits)
    _count_epochs(axes, 5)


def _count_epochs(axes: Axes, most: int | None = None) -> None:
    """Has whole epochs below the axes, written as in tables."""
    axes.xaxis.set_major_locator(MaxNLocator(most or "auto", integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _range(values: np.ndarray) -> str:
    return f" ({values.min():.4f} to {values.max():.4f})" if len(values) > 1 else ""


def _draw_curves(axes: Axes, theme: Theme, *, history: Rows, name: str, label: str) -> None:
    rows, positions, phases = _one_axis(history)
    for split, prefix in (("train", ""), ("validation", "val_")):
        _plot_by_phase(axes, rows, positions, prefix + name, color=getattr(theme, split), label=split)
    _mark_events(axes, theme, rows, positions)
    _mark_phases(axes, theme, phases)
    axes.set(xlabel="epoch", ylabel=label)
    _count_epochs(axes)
    if name != "loss" and METRICS[name].share:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _draw_sparsity(axes: Axes, theme: Theme, *, history: Rows) -> None:
    rows, positions, phases = _one_axis(history)
    axes.step([0, *positions], [0, *(row["sparsity"] for row in rows)], where="post", color=theme.sparsity)
    _mark_phases(axes, theme, phases)
    axes.set(xlabel="epoch", ylabel="sparsity", ylim=(0, 1))
    _count_epochs(axes)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _draw_layers(axes: Axes, theme: Theme, *, layers: Mapping[str, Mapping[str, int]]) -> None:
    names = list(layers)[::-1]
    shares = [layers[name]["zeros"] / layers[name]["size"] for name in names]
    bars = axes.barh(range(len(names)), shares, color=theme.sparsity)
    axes.set_yticks(range(len(names)), list(map(label_of, names)))
    counts = [f"{layers[name]['zeros']:,} of {layers[name]['size']:,}" for name in names]
    for bar, share, count in zip(bars, shares, counts, strict=True):
        inside = share > 0.6
        axes.text(
            share + (-0.01 if inside else 0.01),
            bar.get_y() + bar.get_height() / 2,
            count,
            va="center",
            ha="right" if inside else "left",
            color=theme.paper if inside else theme.ink,
            fontsize=8,
        )
    axes.set(xlabel="pruned", xlim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _common(seeds: Sequence[Rows]) -> tuple[list[Mapping[str, Any]], dict[str, np.ndarray]]:
    """Returns the rows of the epochs that all seeds have logged, and of both losses an array [seeds, epochs]."""
    tables = [{(row["phase"], row["epoch"], row["step"]): row for row in rows} for rows in seeds]
    shared = [key for key in tables[0] if all(key in table for table in tables)]
    values = {
        name: np.array([[table[key][name] for key in shared] for table in tables], float)
        for name in ("loss", "val_loss")
    }
    return [tables[0][key] for key in shared], values


def _plot_by_phase(axes: Axes, rows: Rows, positions: Sequence[float], name: str, *, color: str, label: str) -> None:
    """Draws one line a phase, so that no line leads from the end of a training to the start of the next."""
    known = [(row["phase"], x, row[name]) for row, x in zip(rows, positions, strict=True) if row.get(name) is not None]
    for number, phase in enumerate(dict.fromkeys(phase for phase, _, _ in known)):
        points = [(x, value) for other, x, value in known if other == phase]
        marker = "o" if len(points) < 15 else None
        axes.plot(*zip(*points, strict=True), color=color, marker=marker, markersize=3, label=None if number else label)


def _one_axis(history: Rows) -> tuple[list[Mapping[str, Any]], list[float], list[tuple[str, float]]]:
    """Lays the phases of a run end to end: rows, their place in epochs, and where each phase starts."""
    steps_per_epoch = history[0]["step"] / history[0]["epoch"]
    positions = [row["step"] / steps_per_epoch for row in history]
    phases: dict[str, float] = {}
    for row, start in zip(history, [0.0, *positions], strict=False):
        phases.setdefault(row["phase"], start)
    return list(history), positions, list(phases.items())


def _events(rows: Rows, positions: Sequence[float]) -> list[float]:
    """Returns where a run was pruned."""
    before, events = 0.0, []
    for number, row in enumerate(rows):
        if row["sparsity"] > before:
            between = number > 0 and row["phase"] != rows[number - 1]["phase"]  # pruned after the phase before
            events.append(positions[number - 1] if between else positions[number])
            before = row["sparsity"]
    return events


def _mark_events(axes: Axes, theme: Theme, rows: Rows, positions: Sequence[float]) -> None:
    for number, position in enumerate(_events(rows, positions)):
        axes.axvline(position, color=theme.muted, linewidth=1, linestyle="--", label=None if number else "pruned")


def _mark_phases(axes: Axes, theme: Theme, phases: Sequence[tuple[str, float]]) -> None:
    if len(phases) < 2:
        return
    for name, start in phases:
        axes.axvline(start, color=theme.muted, alpha=0.4, linewidth=1, zorder=0)
        axes.annotate(
            label_of(name),
            (start, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=8,
        )
