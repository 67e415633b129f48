"""From rows to figures: each is drawn by one function, for a PNG or for a page that is light or dark. No TensorFlow."""

from __future__ import annotations

import dataclasses
import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter, PercentFormatter

from tfprune.methods import BASELINE
from tfprune.reporting.comparison import paired_difference
from tfprune.utils.files import replacing
from tfprune.utils.text import shortened, showable

NEAR_THE_BEST = 0.08  # of accuracy, what the second panel of a figure shows
LONGEST_LABEL, LONGEST_TITLE = 50, 110  # characters; longer ones would leave no room for what is drawn
MARKERS = "osD^vPX<>*"
SCORES = {"test_loss": "test loss", "test_accuracy": "test accuracy"}
UNITS = {"test_loss": "", "test_accuracy": "%"}
Rows = Sequence[Mapping[str, Any]]
Summary = Mapping[str, Mapping[str, Any]]  # what `comparison.summarise` returns


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours of a figure.

    Attributes:
        ink: of text.
        muted: of axes and of marks that are no data.
        paper: of what lies behind.
        train, validation, sparsity: of those lines.
        methods: of the methods in their order. From Okabe & Ito's colours, which stay apart for colour-blind
            readers, made as dark or light as the paper asks for.
    """

    ink: str
    muted: str
    paper: str
    train: str
    validation: str
    sparsity: str
    methods: tuple[str, ...]


LIGHT = Theme(
    ink="#1f2328",
    muted="#767e87",
    paper="#ffffff",
    train="#0072B2",
    validation="#C4500A",
    sparsity="#00845F",
    methods=(
        *("#5b6167", "#0072B2", "#C07A00", "#00845F", "#B4518F"),
        *("#C4500A", "#2C93CE", "#857A00", "#6650B8", "#8A5A3C"),
    ),
)
DARK = Theme(
    ink="#e6e8ea",
    muted="#868e98",
    paper="#16191d",
    train="#5FB3F0",
    validation="#FF9457",
    sparsity="#3CC79D",
    methods=(
        *("#b9c0c8", "#5FB3F0", "#F0B03A", "#3CC79D", "#EC97CA"),
        *("#FF8A5C", "#A6DCFA", "#DDD44E", "#AE9FF7", "#CFA283"),
    ),
)


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        draw: puts it onto axes in the colours of a theme.
        alt: what it shows, for those who do not see it.
        title: its name among its neighbours.
        width, height: in inches.
    """

    draw: Callable[[Axes, Theme], None]
    alt: str
    title: str = ""
    width: float = 5.0
    height: float = 3.6


def plot_curves(history: Rows, path: Path, *, title: str) -> None:
    """Draws loss and accuracy on training and validation data over epochs, with what was pruned when.

    Args:
        history: rows of `history.csv`.
        path: the PNG to write.
        title: above the figure.
    """
    panels = [
        Panel(functools.partial(_draw_curves, history=history, name=name, label=label), label)
        for name, label in (("loss", "cross-entropy"), ("accuracy", "accuracy"))
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


def plot_comparison(summary: Summary, path: Path, *, title: str) -> None:
    """Draws test loss and accuracy of each trial: a dot a seed, the mean and one standard deviation.

    Args:
        summary: what `comparison.summarise` returns.
        path: the PNG to write.
        title: above the figure.
    """
    write_png(comparison_panels(summary), path, title=title)


def plot_sparsities(summary: Summary, path: Path, *, title: str) -> None:
    """Draws test accuracy against sparsity: a line a method through its means, with one standard deviation.

    Args:
        summary: what `comparison.summarise` returns; a method without pruning is a level line.
        path: the PNG to write.
        title: above the figure.
    """
    write_png(sparsities_panels(summary), path, title=title)


def plot_trade_offs(summary: Summary, path: Path, *, title: str) -> None:
    """Draws test accuracy against compression and against the FLOPs of the training: a line a method through its means.

    Args:
        summary: what `comparison.summarise` returns, with a baseline.
        path: the PNG to write.
        title: above the figure.
    """
    write_png(trade_off_panels(summary), path, title=title)


def plot_mean_curves(histories: Mapping[str, Sequence[Rows]], path: Path, *, title: str) -> None:
    """Draws each trial's loss over epochs, training and validation: the mean over seeds, and their range as a band.

    What is far above nearly all of the values is cut off at the top.

    Args:
        histories: trial -> rows of `history.csv`, one list a seed.
        path: the PNG to write.
        title: above the figure.
    """
    write_png(curves_panels(histories), path, title=title, columns=4)


def plot_latencies(bars: Mapping[str, Mapping[str, tuple[float, float, float]]], path: Path, *, title: str) -> None:
    """Draws how long calls of models took.

    Args:
        bars: panel -> model -> seconds: median, 10th and 90th percentile.
        path: the PNG to write.
        title: above the figure.
    """
    panels = []
    for name, own in bars.items():
        said = ", ".join(f"{model} {1000 * median:.2f} ms" for model, (median, _, _) in own.items())
        draw = functools.partial(_draw_latencies, times=own)
        panels.append(Panel(draw, f"{name}: {said}.", name, width=8.0, height=1.2 + 0.3 * len(own)))
    write_png(panels, path, title=title, columns=1)


def comparison_panels(summary: Summary) -> list[Panel]:
    """Returns test loss and test accuracy of each trial, see `plot_comparison`."""
    panels = []
    for name, label in SCORES.items():
        strips = {}
        for trial, values in summary.items():
            mean, sd = values["mean"][name], values["sd"][name]
            bar = None if sd is None else (mean - sd, mean + sd)
            strips[trial] = Strip(values["method"], [row[name] for row in values["seeds"].values()], mean, bar)
        panels.append(_strip_panel(strips, summary, label, "standard deviation", unit=UNITS[name]))
    return panels


def differences_panels(summary: Summary) -> list[Panel]:
    """Returns the differences to the baseline in test loss and test accuracy: a dot a seed, mean and 95 % interval.

    Returns:
        No panels where there is no baseline or nothing else.
    """
    panels = []
    for name, label in SCORES.items():
        strips = {}
        for trial, values in summary.items():
            baseline = summary.get(BASELINE, {"seeds": {}})["seeds"]
            own = [row[name] - baseline[seed][name] for seed, row in values["seeds"].items() if seed in baseline]
            if trial == BASELINE or not own:
                continue
            paired = paired_difference(values["seeds"], baseline, name)
            bar = (paired["low"], paired["high"]) if paired else None
            strips[trial] = Strip(values["method"], own, float(np.mean(own)), bar)
        if strips:
            loss = name == "test_loss"
            label = f"{label} - {BASELINE}'s{'' if loss else ', points'} ({'less' if loss else 'more'} is better)"
            unit = UNITS[name].replace("%", "points")
            panels.append(_strip_panel(strips, summary, label, "95 % interval", unit=unit, zero=True))
    return panels


def sparsities_panels(summary: Summary) -> list[Panel]:
    """Returns test accuracy against sparsity: all of it and, if that is not all, what is near the best."""
    accuracies = [values["mean"]["test_accuracy"] for values in summary.values()]
    best = max(accuracies)
    said = ", ".join(
        f"{trial} {100 * values['mean']['test_accuracy']:.1f} % at {100 * _place(values):.0f} %"
        for trial, values in summary.items()
    )
    panels = [Panel(functools.partial(_draw_sparsities, summary=summary), f"Test accuracy against sparsity: {said}.")]
    if min(accuracies) < best - 2 * NEAR_THE_BEST:
        draw = functools.partial(_draw_sparsities, summary=summary, near=best)
        panels.append(Panel(draw, f"The same, within {100 * NEAR_THE_BEST:.0f} points of the best."))
    return [dataclasses.replace(panel, width=4.6, height=_height_with_legend(summary)) for panel in panels]


def costs_panels(summary: Summary) -> list[Panel]:
    """Returns test loss and test accuracy against the FLOPs of the training."""
    panels = []
    for name, label in SCORES.items():
        said = ", ".join(
            f"{trial} {values['mean'][name]:.3f} for {values['mean']['training_flops']:.3g} "
            f"({values['mean']['training_flops_masked']:.3g} with zeros left out)"
            for trial, values in summary.items()
        )
        draw = functools.partial(_draw_costs, summary=summary, name=name)
        text = f"{label.capitalize()} against training FLOPs: {said}."
        panels.append(Panel(draw, text, width=4.6, height=_height_with_legend(summary)))
    return panels


def trade_off_panels(summary: Summary) -> list[Panel]:
    """Returns test accuracy against what it was had for, as Blalock et al. 2020 (arXiv:2003.03033) ask for it.

    What is far below all the rest (more than three times the range of the middle half below that) is cut off.

    Args:
        summary: what `comparison.summarise` returns, with a baseline.
    """
    accuracies = [values["mean"]["test_accuracy"] for values in summary.values()]
    low, high = np.quantile(accuracies, (0.25, 0.75))
    lowest = min(accuracy for accuracy in accuracies if accuracy >= low - 3 * (high - low))
    bottom = lowest - 0.02 if min(accuracies) < lowest else None
    axes = {
        "compression": lambda ratio: 1 / ratio["nonzero_parameters"],
        "training FLOPs / unpruned, zeros left out": lambda ratio: ratio["training_flops_masked"],
    }
    panels = []
    for label, place in axes.items():
        places = {trial: place(values["ratio"]) for trial, values in summary.items()}
        said = ", ".join(
            f"{trial} {100 * values['mean']['test_accuracy']:.1f} % at {places[trial]:.2f}"
            for trial, values in summary.items()
        )
        draw = functools.partial(_draw_trade_off, summary=summary, places=places, label=label, bottom=bottom)
        text = f"Test accuracy against {label}: {said}."
        panels.append(Panel(draw, text, width=5.4, height=1.0 + _height_with_legend(summary)))
    return panels


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


def write_png(panels: Sequence[Panel], path: Path, *, title: str, columns: int = 2) -> None:
    """Draws panels side by side into a PNG on white paper."""
    with _style(LIGHT), replacing(path) as draft:
        _figure(panels, LIGHT, title=title, columns=columns).savefig(draft, dpi=120)


def svg(panel: Panel, theme: Theme, *, legend: bool = True) -> str:
    """Draws a panel as an SVG with nothing behind it and no title; the same panel always comes to the same text.

    Args:
        panel: what to draw.
        theme: its colours.
        legend: whether what is drawn is named below it.
    """
    text = io.StringIO()
    unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with _style(theme):
        _figure([dataclasses.replace(panel, title="")], theme, legend=legend).savefig(
            text, format="svg", transparent=True, metadata=unsaid
        )
    content = text.getvalue()
    return content[content.index("<svg") :]


@dataclasses.dataclass(frozen=True)
class Strip:
    """What is drawn of one trial in a row of dots.

    Attributes:
        method: decides colour and marker.
        values: a dot each.
        mean: a marker.
        bar: both ends of the line through it, or None.
    """

    method: str
    values: Sequence[float]
    mean: float
    bar: tuple[float, float] | None


def _strip_panel(
    strips: Mapping[str, Strip], summary: Summary, label: str, bar: str, *, unit: str, zero: bool = False
) -> Panel:
    def text(value: float) -> str:
        return f"{100 * value:.1f} {unit}" if unit else f"{value:.4f}"

    said = (
        f"{trial} {text(strip.mean)}" + (f" ({text(strip.bar[0])} to {text(strip.bar[1])})" if strip.bar else "")
        for trial, strip in strips.items()
    )
    barred = f" and {bar}" if any(strip.bar for strip in strips.values()) else ""
    alt = f"{label.capitalize()}, mean{barred}: {', '.join(said)}."
    draw = functools.partial(_draw_strips, strips=strips, summary=summary, label=label, unit=unit, zero=zero)
    return Panel(draw, alt, width=4.6, height=0.9 + 0.3 * max(len(strips), 4))


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
    looks = _looks(summary, theme)
    for place, strip in enumerate(strips.values()):
        colour, marker = looks[strip.method]
        count = len(strip.values)
        if count > 1:
            order = np.arange(count)  # on both sides of the bar, neighbours far apart, and the same every time
            spread = np.where(order % 2, 1, -1) * (0.14 + 0.18 * (0.618 * order % 1))
            axes.plot(strip.values, place + spread, "o", color=colour, alpha=0.5, markersize=3, markeredgewidth=0)
        if strip.bar:
            axes.plot(strip.bar, (place, place), color=theme.paper, linewidth=4, solid_capstyle="butt")
            axes.plot(strip.bar, (place, place), color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(strip.mean, place, marker, color=colour, markersize=7, markeredgecolor=theme.paper)
    if zero:
        axes.axvline(0, color=theme.ink, linewidth=1, linestyle="--", zorder=1)
    axes.set_yticks(range(len(strips)), list(map(_label, strips)))
    axes.set(xlabel=label, ylim=(len(strips) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=theme.muted, alpha=0.2)
    axes.xaxis.set_major_locator(_ticks())
    if unit == "points":
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}".replace("-", "\N{MINUS SIGN}"))
    if unit == "%":
        axes.xaxis.set_major_formatter(_percent)
        axes.set_xlim(right=min(axes.get_xlim()[1], 1.01))  # a deviation may reach beyond, an accuracy cannot


def _draw_latencies(axes: Axes, theme: Theme, *, times: Mapping[str, tuple[float, float, float]]) -> None:
    for place, (median, low, high) in enumerate(times.values()):
        axes.barh(place, 1000 * median, color=theme.train, height=0.6)
        axes.plot((1000 * low, 1000 * high), (place, place), color=theme.ink, linewidth=1.5)
    axes.set_yticks(range(len(times)), list(map(_label, times)))
    axes.set(xlabel="milliseconds a call: median, 10th to 90th percentile", ylim=(len(times) - 0.5, -0.5))
    axes.tick_params(axis="y", length=0)


def _draw_sparsities(axes: Axes, theme: Theme, *, summary: Summary, near: float | None = None) -> None:
    width = max(map(_place, summary.values())) or 1.0
    looks = _looks(summary, theme)
    crowded = len(looks) > len(MARKERS)  # then marks would be moved far, and bars hide each other
    barred = not crowded and any(values["sd"]["test_accuracy"] is not None for values in summary.values())
    shifts = _apart([_place(values) / width for values in summary.values()]) if barred else [0.0] * len(summary)
    points: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
    for values, shift in zip(summary.values(), shifts, strict=True):
        points.setdefault(values["method"], []).append((_place(values) + shift * width, values))
    for method, (colour, marker) in looks.items():
        own = sorted(points[method], key=lambda point: point[0])
        means = [values["mean"]["test_accuracy"] for _, values in own]
        deviations = [values["sd"]["test_accuracy"] for _, values in own]
        spread = deviations if barred and None not in deviations else None
        look = {"color": colour, "marker": marker, "markersize": 7, "markeredgecolor": theme.paper}
        axes.errorbar([x for x, _ in own], means, spread, **look, elinewidth=1.2, capsize=3, label=method, zorder=3)
        if not any(_place(values) for _, values in own):
            axes.axhline(means[0], color=colour, linewidth=1, linestyle="--", alpha=0.8)
    axes.set(xlabel="sparsity", ylabel="test accuracy", xlim=(-0.15 * width, 1.15 * width))
    axes.set_xticks([tick for tick in _ticks().tick_values(0, width) if 0 <= tick <= min(1.15 * width, 1)])
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, 1.01))
    if near is not None:
        axes.set_ylim(max(near - NEAR_THE_BEST, low), near + NEAR_THE_BEST / 10)


def _draw_costs(axes: Axes, theme: Theme, *, summary: Summary, name: str) -> None:
    looks, named = _looks(summary, theme), set()
    costs = [values["mean"]["training_flops"] for values in summary.values()]
    most, least = max(costs), min(values["mean"]["training_flops_masked"] for values in summary.values())
    wide = 0 < least < most / 20
    shifts = _apart([math.log(cost, most / least) if wide else cost / most for cost in costs])
    for values, shift in zip(summary.values(), shifts, strict=True):
        method, mean, sd = values["method"], values["mean"], values["sd"][name]
        colour, marker = looks[method]
        done, needed = (
            cost * (most / least) ** shift if wide else cost + shift * most
            for cost in (mean["training_flops"], mean["training_flops_masked"])
        )
        look = {"color": colour, "marker": marker, "markersize": 7}
        if needed < done:
            axes.plot([done, needed], [mean[name]] * 2, color=colour, linewidth=0.8, alpha=0.6)
            axes.plot(needed, mean[name], **look, markerfacecolor="none", linestyle="none")
        edge = {"markeredgecolor": theme.paper, "linestyle": "none"}
        axes.errorbar(done, mean[name], sd, **look, **edge, elinewidth=1.2, capsize=3)
        if method not in named:  # without a bar, which a legend has no room for
            axes.plot([], [], **look, **edge, label=method)
            named.add(method)
    axes.set(xlabel="training FLOPs (hollow: with zeros left out)", ylabel=SCORES[name])
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, 1.15 * most)
        axes.xaxis.set_major_locator(_ticks())
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    if name == "test_accuracy":
        axes.yaxis.set_major_formatter(_percent)
        axes.set_ylim(top=min(axes.get_ylim()[1], 1.01))


def _draw_trade_off(
    axes: Axes, theme: Theme, *, summary: Summary, places: Mapping[str, float], label: str, bottom: float | None
) -> None:
    for place, (method, (colour, marker)) in enumerate(_looks(summary, theme).items()):
        own = sorted(
            (places[trial], v["mean"]["test_accuracy"]) for trial, v in summary.items() if v["method"] == method
        )
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
    axes.set(xlabel=label, ylabel="test accuracy" if bottom is None else "test accuracy (lower ones are cut off)")
    axes.set_ylim(bottom=bottom)
    axes.yaxis.set_major_formatter(_percent)
    if label == "compression":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g} x")
    else:
        axes.set_xlim(left=0)


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
    _mark_events(axes, theme, rows, positions)
    axes.set(xlabel="epoch", ylabel="cross-entropy", ylim=limits)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _draw_curves(axes: Axes, theme: Theme, *, history: Rows, name: str, label: str) -> None:
    rows, positions, phases = _one_axis(history)
    for split, prefix in (("train", ""), ("validation", "val_")):
        _plot_by_phase(axes, rows, positions, prefix + name, color=getattr(theme, split), label=split)
    _mark_events(axes, theme, rows, positions)
    _mark_phases(axes, theme, phases)
    axes.set(xlabel="epoch", ylabel=label)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _draw_sparsity(axes: Axes, theme: Theme, *, history: Rows) -> None:
    rows, positions, phases = _one_axis(history)
    axes.step([0, *positions], [0, *(row["sparsity"] for row in rows)], where="post", color=theme.sparsity)
    _mark_phases(axes, theme, phases)
    axes.set(xlabel="epoch", ylabel="sparsity", ylim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _draw_layers(axes: Axes, theme: Theme, *, layers: Mapping[str, Mapping[str, int]]) -> None:
    names = list(layers)[::-1]
    shares = [layers[name]["zeros"] / layers[name]["size"] for name in names]
    bars = axes.barh(range(len(names)), shares, color=theme.sparsity)
    axes.set_yticks(range(len(names)), list(map(_label, names)))
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
    axes.set(xlabel="zeros", xlim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _looks(summary: Summary, theme: Theme) -> dict[str, tuple[str, str]]:
    """Returns colour and marker of each method, by its place in the comparison."""
    methods = dict.fromkeys(values["method"] for values in summary.values())
    return {
        method: (theme.methods[place % len(theme.methods)], MARKERS[(place + place // len(MARKERS)) % len(MARKERS)])
        for place, method in enumerate(methods)  # of more than there are colours no two have both alike
    }


def _place(values: Mapping[str, Any]) -> float:
    """Returns the sparsity that a trial is drawn at: a narrower dense network's is that of its sparse counterpart."""
    return values["mean"]["sparsity"] or values["requested_sparsity"]


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


def _label(name: str, longest: int = LONGEST_LABEL) -> str:
    """Returns a name as a figure has room for it."""
    return shortened(showable(name), longest)


def _ticks() -> MaxNLocator:
    return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])


def _percent(share: float, _: int) -> str:
    return f"{100 * share:.4g} %"


def _height_with_legend(summary: Summary) -> float:
    return 3.3 + 0.2 * math.ceil(len({values["method"] for values in summary.values()}) / 3)


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
            _label(name),
            (start, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, 2),
            textcoords="offset points",
            fontsize=8,
        )


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
            "svg.fonttype": "path",
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
        figure.suptitle(_label(title, LONGEST_TITLE))
    named = {}
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(lines, columns, number)
        panel.draw(axes, theme)
        axes.set_title(_label(panel.title))
        handles, labels = axes.get_legend_handles_labels()
        named = dict(zip(map(_label, labels), handles, strict=True)) | named
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
