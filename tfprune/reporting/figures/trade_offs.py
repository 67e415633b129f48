"""Scores against what they were had for: sparsity, compression, FLOPs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from tfprune.methods import BASELINE
from tfprune.reporting.figures.panels import (
    LIGHT,
    MARKERS,
    Panel,
    Summary,
    Theme,
    height_with_legend,
    looks_of,
    mark,
    percent,
    scores_of,
    ticks,
)
from tfprune.reporting.figures.rendering import write_png
from tfprune.reporting.measures import Measure, measure_of

MOST_TOGETHER = 8  # lines in one panel; of more each method has its own
NEAR_THE_BEST = 0.08  # of accuracy, what the second panel of a figure shows


def plot_sparsities(summary: Summary, path: Path, *, title: str) -> None:
    """Draws test accuracy against sparsity: one line per method through its means, with one standard deviation.

    Args:
        summary: what `comparison.summarise` returns; a method without pruning is a level line.
        path: the PNG to write.
        title: above the figure.
    """
    panels = sparsities_panels(summary)
    write_png(panels, path, title=title, columns=4 if len(panels) > 2 else 2)


def plot_trade_offs(summary: Summary, path: Path, *, title: str) -> None:
    """Draws test accuracy against compression and against the FLOPs of the training: one line per method through its
    means.

    Args:
        summary: what `comparison.summarise` returns, with a baseline.
        path: the PNG to write.
        title: above the figure.
    """
    write_png(trade_off_panels(summary), path, title=title)


def sparsities_panels(summary: Summary) -> list[Panel]:
    """Returns test accuracy against sparsity: all of it and, if that is not all, what is near the best."""
    found = measure_of(summary)
    means = [values["mean"][found.column] for values in summary.values()]
    best = max(means)
    count = len(looks_of(summary, LIGHT))
    if count > MOST_TOGETHER and count < len(summary):
        return _highlighting_panels(summary)
    if count > len(MARKERS):  # at one sparsity each, where they would cover each other
        return []
    said = ", ".join(
        f"{trial} {found.text(values['mean'][found.column])} at {100 * _place(values):.0f} %"
        for trial, values in summary.items()
    )
    panels = [
        Panel(functools.partial(_draw_sparsities, summary=summary), f"Test {found.label} against sparsity: {said}.")
    ]
    if found.metric.share and min(means) < best - 2 * NEAR_THE_BEST:
        draw = functools.partial(_draw_sparsities, summary=summary, near=best)
        panels.append(Panel(draw, f"The same, within {100 * NEAR_THE_BEST:.0f} points of the best."))
    return [dataclasses.replace(panel, width=4.6, height=height_with_legend(summary)) for panel in panels]


def _highlighting_panels(summary: Summary) -> list[Panel]:
    """Returns a panel per method: it in colour, all others in grey."""
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for values in summary.values():
        methods.setdefault(values["method"], []).append(values)
    found = measure_of(summary)
    bars = [(v["mean"][found.column], v["sd"][found.column] or 0.0) for v in summary.values()]
    limits = _limits(bars) if found.metric.share else None
    panels = []
    for method, own in methods.items():
        said = "; ".join(_point_text(method, values, found) for values in own)
        draw = functools.partial(_draw_highlighted, methods=methods, method=method, found=found, limits=limits)
        panels.append(Panel(draw, f"Test {found.label} against sparsity: {said}.", method, width=3.0, height=2.2))
    return panels


def _limits(bars: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Returns what is shown of means and deviations: what is far below nearly all of them is cut off."""
    means = [mean for mean, _ in bars]
    low, high = np.quantile(means, (0.25, 0.75))
    shown = [(mean - deviation, mean + deviation) for mean, deviation in bars if mean >= low - 3 * (high - low)]
    bottom, top = max(0.0, min(low for low, _ in shown)), min(1.0, max(high for _, high in shown))
    margin = 0.05 * (top - bottom) or 0.01
    return bottom - margin, min(top + margin, 1.01)


def _draw_highlighted(
    axes: Axes,
    theme: Theme,
    *,
    methods: Mapping[str, Sequence[Mapping[str, Any]]],
    method: str,
    found: Measure,
    limits: tuple[float, float] | None,
) -> None:
    for name in sorted(methods, key=lambda name: name == method):  # the one in colour last, above the others
        own = sorted(methods[name], key=_place)
        x, y = [_place(values) for values in own], [values["mean"][found.column] for values in own]
        if name != method:
            axes.plot(x, y, color=theme.muted, linewidth=0.8, alpha=0.45, marker="o" * (len(x) == 1), markersize=2)
            continue
        deviations = [values["sd"][found.column] for values in own]
        spread = None if None in deviations else _reach(y, deviations, found)
        look = {"color": theme.train, "marker": "o", "markersize": 4.5, "elinewidth": 1.2, "capsize": 2}
        drawn = axes.errorbar(x, y, spread, **look, zorder=3)
        _mark_points(drawn, "", [_point_text(name, values, found) for values in own])
        if not any(x):
            axes.axhline(y[0], color=theme.train, linewidth=1, linestyle="--", alpha=0.8)
    axes.set(xlabel="sparsity", ylabel=f"test {found.label}", ylim=limits)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(percent)
    if found.metric.share:
        axes.yaxis.set_major_formatter(percent)


def costs_panels(summary: Summary) -> list[Panel]:
    """Returns test loss and test accuracy against the FLOPs of the training."""
    panels = []
    for name, (label, *_) in scores_of(summary).items():
        said = ", ".join(
            f"{trial} {values['mean'][name]:.3f} for {values['mean']['training_flops']:.3g} "
            f"({values['mean']['training_flops_masked']:.3g} with zeros left out)"
            for trial, values in summary.items()
        )
        draw = functools.partial(_draw_costs, summary=summary, name=name)
        text = f"{label.capitalize()} against training FLOPs: {said}."
        panels.append(Panel(draw, text, width=4.6, height=height_with_legend(summary)))
    return panels


def trade_off_panels(summary: Summary) -> list[Panel]:
    """Returns test accuracy against what it was had for, as Blalock et al. 2020 (arXiv:2003.03033) ask for it.

    What is far below all the rest (more than three times the range of the middle half below that) is cut off.

    Args:
        summary: what `comparison.summarise` returns, with a baseline.
    """
    found = measure_of(summary)
    means = [values["mean"][found.column] for values in summary.values()]
    low, high = np.quantile(means, (0.25, 0.75))
    lowest = min(own for own in means if own >= low - 3 * (high - low))
    bottom = lowest - 0.02 if found.metric.share and min(means) < lowest else None
    axes = {
        "compression": lambda ratio: 1 / ratio["nonzero_parameters"],
        "training FLOPs / unpruned, zeros left out": lambda ratio: ratio["training_flops_masked"],
    }
    panels = []
    for label, place in axes.items():
        places = {trial: place(values["ratio"]) for trial, values in summary.items()}
        said = ", ".join(
            f"{trial} {found.text(values['mean'][found.column])} at {places[trial]:.2f}"
            for trial, values in summary.items()
        )
        draw = functools.partial(_draw_trade_off, summary=summary, places=places, label=label, bottom=bottom)
        text = f"Test {found.label} against {label}: {said}."
        panels.append(Panel(draw, text, width=5.4, height=1.0 + height_with_legend(summary)))
    return panels


def _draw_sparsities(axes: Axes, theme: Theme, *, summary: Summary, near: float | None = None) -> None:
    width = max(map(_place, summary.values())) or 1.0
    looks = looks_of(summary, theme)
    crowded = len(looks) > len(MARKERS)  # then marks would be moved far, and bars hide each other
    found = measure_of(summary)
    barred = not crowded and any(values["sd"][found.column] is not None for values in summary.values())
    places = [_place(values) / width for values in summary.values()]
    shifts = _in_order(_apart(places), places, [values["method"] for values in summary.values()])
    shifts = shifts if barred else [0.0] * len(summary)
    points: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
    for values, shift in zip(summary.values(), shifts, strict=True):
        points.setdefault(values["method"], []).append((_place(values) + shift * width, values))
    for method, (colour, marker) in looks.items():
        own = sorted(points[method], key=lambda point: point[0])
        means = [values["mean"][found.column] for _, values in own]
        deviations = [values["sd"][found.column] for _, values in own]
        spread = _reach(means, deviations, found) if barred and None not in deviations else None
        look = {"color": colour, "marker": marker, "markersize": 7, "markeredgecolor": theme.paper}
        drawn = axes.errorbar([x for x, _ in own], means, spread, **look, elinewidth=1.2, capsize=3, zorder=3)
        drawn.set_label(method)
        _mark_points(drawn, method, [_point_text(method, values, found) for _, values in own])
        if not any(_place(values) for _, values in own):
            mark([axes.axhline(means[0], color=colour, linewidth=1, linestyle="--", alpha=0.8)], method)
    axes.set(xlabel="sparsity", ylabel=f"test {found.label}", xlim=(-0.15 * width, 1.15 * width))
    axes.set_xticks([tick for tick in ticks().tick_values(0, width) if 0 <= tick <= min(1.15 * width, 1)])
    axes.xaxis.set_major_formatter(percent)
    if not found.metric.share:
        return
    axes.yaxis.set_major_formatter(percent)
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, 1.01))
    if near is not None:
        axes.set_ylim(max(near - NEAR_THE_BEST, low), min(max(near + NEAR_THE_BEST / 10, high), 1.01))


def _draw_costs(axes: Axes, theme: Theme, *, summary: Summary, name: str) -> None:
    looks, named, found = looks_of(summary, theme), set(), measure_of(summary)
    costs = [values["mean"]["training_flops"] for values in summary.values()]
    most, least = max(costs), min(values["mean"]["training_flops_masked"] for values in summary.values())
    wide = 0 < least < most / 20
    shifts = _apart([math.log(cost, most / least) if wide else cost / most for cost in costs])
    for (trial, values), shift in zip(summary.items(), shifts, strict=True):
        method, mean, sd = values["method"], values["mean"], values["sd"][name]
        colour, marker = looks[method]
        done, needed = (
            cost * (most / least) ** shift if wide else cost + shift * most
            for cost in (mean["training_flops"], mean["training_flops_masked"])
        )
        look = {"color": colour, "marker": marker, "markersize": 7}
        if needed < done:
            mark(axes.plot([done, needed], [mean[name]] * 2, color=colour, linewidth=0.8, alpha=0.6), method)
            hollow = axes.plot(needed, mean[name], **look, markerfacecolor="none", linestyle="none")
            mark(hollow, method, [f"{trial}, zeros left out: {mean['training_flops_masked']:.3g} FLOPs"])
        edge = {"markeredgecolor": theme.paper, "linestyle": "none"}
        of_metric = name == found.column
        bar = None if sd is None else _reach([mean[name]], [sd], found) if of_metric else sd
        drawn = axes.errorbar(done, mean[name], bar, **look, **edge, elinewidth=1.2, capsize=3)
        score = found.text(mean[name]) if of_metric else f"{mean[name]:.4f}"
        _mark_points(drawn, method, [f"{trial}: {score} for {mean['training_flops']:.3g} FLOPs"])
        if method not in named:  # without a bar, which a legend has no room for
            axes.plot([], [], **look, **edge, label=method)
            named.add(method)
    axes.set(xlabel="training FLOPs (hollow: with zeros left out)", ylabel=scores_of(summary)[name][0])
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, 1.15 * most)
        axes.xaxis.set_major_locator(ticks())
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    if scores_of(summary)[name][1] == "%":
        axes.yaxis.set_major_formatter(percent)
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.01))


def _draw_trade_off(
    axes: Axes, theme: Theme, *, summary: Summary, places: Mapping[str, float], label: str, bottom: float | None
) -> None:
    found = measure_of(summary)
    for place, (method, (colour, marker)) in enumerate(looks_of(summary, theme).items()):
        own = sorted((places[trial], v["mean"][found.column]) for trial, v in summary.items() if v["method"] == method)
        look = {"color": colour, "marker": marker, "markersize": 6, "markeredgecolor": theme.paper}
        axes.plot(
            *zip(*own, strict=True),
            **look,
            linewidth=1.2,
            linestyle=("-", "--", ":")[place // len(theme.methods) % 3],
            label=method,
        )
        if method == BASELINE:
            axes.axhline(own[0][1], color=colour, linewidth=1, linestyle="--", alpha=0.8)
    cut = "" if bottom is None else " (lower ones are cut off)"
    axes.set(xlabel=label, ylabel=f"test {found.label}{cut}")
    axes.set_ylim(bottom=bottom)
    if found.metric.share:
        axes.yaxis.set_major_formatter(percent)
    if label == "compression":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g} x")
    else:
        axes.set_xlim(left=0)


def _reach(means: Sequence[float], deviations: Sequence[float], found: Measure) -> np.ndarray:
    """Returns how far bars go down and up: those of shares no further than 0 and 100 %."""
    if not found.metric.share:
        return np.array([deviations, deviations])
    low, high = np.minimum(deviations, means), np.minimum(deviations, 1 - np.asarray(means))
    return np.array([low, np.maximum(high, 0.0)])


def _mark_points(drawn: ErrorbarContainer, method: str, tips: Sequence[str]) -> None:
    line, caps, bars = drawn
    mark([line], method, tips)
    mark([*caps, *bars], method)


def _point_text(method: str, values: Mapping[str, Any], found: Measure) -> str:
    score = found.text(values["mean"][found.column], values["sd"][found.column])
    return f"{method} at {100 * _place(values):.3g} %: {score}"


def _place(values: Mapping[str, Any]) -> float:
    """Returns the sparsity that a trial is drawn at: a narrower dense network's is that of its sparse counterpart."""
    return values["mean"]["sparsity"] or values["requested_sparsity"]


def _in_order(shifts: Sequence[float], places: Sequence[float], methods: Sequence[str]) -> list[float]:
    """Returns shifts that are so small that no method's marks change places with one another.

    >>> _in_order([-0.03, 0.03, 0.0], [0.90, 0.95, 0.5], ["a", "a", "b"])
    [-0.02, 0.02, 0.0]
    """
    own: dict[str, list[float]] = {}
    for method, place in zip(methods, places, strict=True):
        own.setdefault(method, []).append(place)
    gaps = [float(gap) for several in own.values() for gap in np.diff(sorted(several)) if gap > 0]
    most, allowed = max(map(abs, shifts), default=0.0), 0.4 * min(gaps, default=1.0)
    scale = min(1.0, allowed / most) if most else 1.0
    return [round(scale * shift, 6) for shift in shifts]


def _apart(places: Sequence[float]) -> list[float]:
    """Returns how far marks are moved aside so that those at about the same place, and their bars, stay apart.

    >>> [round(shift, 3) for shift in _apart([0.0, 0.9, 0.9, 0.91])]
    [0.0, -0.03, 0.0, 0.03]
    """
    shifts = []
    for number, place in enumerate(places):
        rivals = [n for n, other in enumerate(places) if abs(other - place) < 0.04]
        rivals.sort(key=lambda n: places[n])
        shifts.append((rivals.index(number) - (len(rivals) - 1) / 2) * min(0.03, 0.24 / len(rivals)))
    return shifts
