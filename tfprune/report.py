"""From rows to tables and figures. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tfprune.errors import RunError
from tfprune.rundir import replacing

# Okabe & Ito's colours, which stay apart for colour-blind readers.
COLOURS = {"train": "#0072B2", "validation": "#D55E00", "sparsity": "#009E73"}
METHOD_COLOURS = ("#555555", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442")
NEAR_THE_BEST = 0.08  # of accuracy, what the second panel of a figure shows
Rows = Sequence[Mapping[str, Any]]


def plot_curves(history: Rows, path: Path, *, title: str) -> None:
    """Draws loss and accuracy on training and validation data over epochs, with what was pruned when.

    Args:
        history: rows of `history.csv`.
        path: the PNG to write.
        title: above the figure.
    """
    rows, positions, phases = _one_axis(history)
    figure = _figure(10, 4, title)
    for number, (name, label) in enumerate((("loss", "cross-entropy"), ("accuracy", "accuracy")), start=1):
        axes = figure.add_subplot(1, 2, number)
        for split, prefix in (("train", ""), ("validation", "val_")):
            _plot_by_phase(axes, rows, positions, prefix + name, color=COLOURS[split], label=split)
        _mark_events(axes, rows, positions)
        _mark_phases(axes, phases)
        axes.set(xlabel="epoch", ylabel=label)
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.legend(frameon=False, loc="best")
    _save(figure, path)


def plot_sparsity(history: Rows, layers: Mapping[str, Mapping[str, int]], path: Path, *, title: str) -> None:
    """Draws overall sparsity over epochs and the share of zeros in each kernel at the end.

    Args:
        history: rows of `history.csv`.
        layers: kernel name -> its `zeros` and `size`.
        path: the PNG to write.
        title: above the figure.
    """
    rows, positions, phases = _one_axis(history)
    figure = _figure(10, max(3.2, 1.4 + 0.28 * len(layers)), title)
    axes = figure.add_subplot(1, 2, 1)
    axes.step([0, *positions], [0, *(row["sparsity"] for row in rows)], where="post", color=COLOURS["sparsity"])
    _mark_phases(axes, phases)
    axes.set(xlabel="epoch", ylabel="sparsity", ylim=(0, 1))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes = figure.add_subplot(1, 2, 2)
    names = list(layers)[::-1]
    shares = [layers[name]["zeros"] / layers[name]["size"] for name in names]
    bars = axes.barh(names, shares, color=COLOURS["sparsity"])
    counts = [f"{layers[name]['zeros']:,} of {layers[name]['size']:,}" for name in names]
    for bar, share, count in zip(bars, shares, counts, strict=True):
        inside = share > 0.6
        axes.text(
            share + (-0.01 if inside else 0.01),
            bar.get_y() + bar.get_height() / 2,
            count,
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else "black",
            fontsize=8,
        )
    axes.set(xlabel="zeros", xlim=(0, 1))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _save(figure, path)


def plot_comparison(runs: Mapping[str, Rows], path: Path, *, title: str) -> None:
    """Draws test loss and accuracy of each method: a dot a seed, the mean and one standard deviation.

    Args:
        runs: method -> rows with `test_loss` and `test_accuracy`, one a seed.
        path: the PNG to write.
        title: above the figure.
    """
    import numpy as np

    figure = _figure(10, 4, title)
    for number, (name, label) in enumerate((("test_loss", "test loss"), ("test_accuracy", "test accuracy")), start=1):
        axes = figure.add_subplot(1, 2, number)
        for place, rows in enumerate(runs.values()):
            values = np.array([row[name] for row in rows])
            spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
            colour = METHOD_COLOURS[place % len(METHOD_COLOURS)]
            axes.plot(place + spread, values, "o", color=colour, alpha=0.45, markersize=4)
            deviation = values.std(ddof=1) if len(values) > 1 else 0.0
            axes.errorbar(place + 0.27, values.mean(), deviation, fmt="D", color=colour, capsize=4, markersize=6)
        axes.set_xticks(range(len(runs)), list(runs))
        axes.set(ylabel=label, xlim=(-0.5, len(runs) - 0.3))
        if name == "test_accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.set_ylim(top=min(axes.get_ylim()[1], 1.01))  # a deviation may reach beyond, an accuracy cannot
    _save(figure, path)


def plot_sparsities(summary: Mapping[str, Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draws test accuracy against sparsity: a line a method through its means, with one standard deviation.

    Twice: all of it, and what is near the best.

    Args:
        summary: what `comparison.summarise` returns; a method without pruning is a level line.
        path: the PNG to write.
        title: above the figure.
    """
    figure = _figure(10, 4.2, title)
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for values in sorted(summary.values(), key=lambda values: values["mean"]["sparsity"]):
        methods.setdefault(values["method"], []).append(values)
    colours = dict(zip(dict.fromkeys(values["method"] for values in summary.values()), METHOD_COLOURS, strict=False))
    best = max(values["mean"]["test_accuracy"] for values in summary.values())
    for number in (1, 2):
        axes = figure.add_subplot(1, 2, number)
        for method, colour in colours.items():
            _plot_method(axes, methods[method], color=colour, label=method)
        axes.set(xlabel="sparsity", ylabel="test accuracy" if number == 1 else "")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if number == 2:
            axes.set_ylim(max(best - NEAR_THE_BEST, axes.get_ylim()[0]), best + NEAR_THE_BEST / 10)
        else:
            axes.legend(frameon=False, loc="best")
    _save(figure, path)


def _plot_method(axes, trials: Sequence[Mapping[str, Any]], *, color: str, label: str) -> None:
    """Draws the mean accuracies of a method at its sparsities; one that prunes nothing as a level line."""
    means = [values["mean"]["test_accuracy"] for values in trials]
    deviations = [values["sd"]["test_accuracy"] for values in trials]
    spread = None if None in deviations else deviations
    sparsities = [values["mean"]["sparsity"] for values in trials]
    if any(sparsities):
        axes.errorbar(sparsities, means, spread, color=color, marker="o", markersize=5, capsize=4, label=label)
        return
    axes.axhline(means[0], color=color, linestyle="--", label=label)
    if spread:
        axes.axhspan(means[0] - spread[0], means[0] + spread[0], color=color, alpha=0.12, linewidth=0)


def plot_mean_curves(histories: Mapping[str, Sequence[Rows]], path: Path, *, title: str) -> None:
    """Draws each method's loss over epochs, training and validation: the mean over seeds, and their range as a band.

    Args:
        histories: method -> rows of `history.csv`, one list a seed, all with the same epochs.
        path: the PNG to write.
        title: above the figure.
    """
    import numpy as np

    columns = min(4, len(histories))
    lines = -(-len(histories) // columns)
    figure = _figure(3.2 * columns, 3.2 * lines, title)
    shared = None
    for number, (method, seeds) in enumerate(histories.items(), start=1):
        axes = shared = figure.add_subplot(lines, columns, number, sharey=shared)
        rows, positions, _ = _one_axis(seeds[0])
        for split, name in (("train", "loss"), ("validation", "val_loss")):
            values = np.array([[row[name] for row in history] for history in seeds], float)
            for phase in dict.fromkeys(row["phase"] for row in rows):
                own = [n for n, row in enumerate(rows) if row["phase"] == phase]
                x = [positions[n] for n in own]
                label = split if phase == rows[0]["phase"] else None
                marker = "o" if len(own) == 1 else None
                axes.plot(
                    x, values[:, own].mean(axis=0), color=COLOURS[split], label=label, marker=marker, markersize=3
                )
                axes.fill_between(
                    x,
                    values[:, own].min(axis=0),
                    values[:, own].max(axis=0),
                    color=COLOURS[split],
                    alpha=0.15,
                    linewidth=0,
                )
        _mark_events(axes, rows, positions)
        axes.set(title=method, xlabel="epoch", ylabel="cross-entropy" if number % columns == 1 else "")
    handles, labels = shared.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    _save(figure, path)


def comparison_table(summary: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns headers and rows of a comparison: means, ± the standard deviation over seeds.

    Args:
        summary: what `comparison.summarise` returns.
    """
    headers = (
        *("method", "seeds", "test loss", "loss - unpruned (95 %)", "p (Holm)", "test accuracy", "sparsity"),
        *("non-zero parameters", "weights, kB gzipped", "epochs", "time / unpruned"),
    )
    rows = []
    for method, values in summary.items():
        mean, sd, ratio, delta = values["mean"], values["sd"], values["ratio"], values["delta"]
        rows.append(
            (
                method,
                str(len(values["seeds"])),
                f"{mean['test_loss']:.4f}" + _plus_minus(sd["test_loss"], ".4f"),
                f"{delta['mean']:+.4f} ({delta['low']:+.4f} to {delta['high']:+.4f})" if delta else "",
                "" if not delta else "< 0.001" if delta["p_holm"] < 0.001 else f"{delta['p_holm']:.3f}",
                f"{100 * mean['test_accuracy']:.1f}" + _plus_minus(sd["test_accuracy"], ".1f", 100) + " %",
                f"{100 * mean['sparsity']:.1f} %",
                f"{mean['nonzero_parameters']:,.0f}",
                f"{mean['weights_gzip'] / 1000:,.1f}",
                f"{mean['epochs']:,.0f}",
                _ratio(ratio["training_time"]),
            )
        )
    return headers, rows


def cost_table(summary: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns headers and rows of what the trials of a comparison cost, and when they got where the baseline ends.

    Args:
        summary: what `comparison.summarise` returns.
    """
    headers = (
        *("method", "epochs", "examples", "training FLOPs", "FLOPs / unpruned", "with zeros left out"),
        *("time / unpruned", "seeds that reach its loss", "after epochs", "after seconds"),
    )
    rows = []
    for method, values in summary.items():
        mean, ratio, reached = values["mean"], values["ratio"], values["reached"] or {}
        epochs, seconds = (reached.get(f"{name}_to_reach") for name in ("epochs", "seconds"))
        rows.append(
            (
                method,
                f"{mean['epochs']:,.0f}",
                f"{mean['examples']:,.0f}",
                f"{mean['training_flops']:.3g}",
                *(_ratio(ratio[name]) for name in ("training_flops", "training_flops_masked", "training_time")),
                f"{100 * reached['share']:.0f} %" if reached else "",
                f"{epochs:,.0f}" if epochs is not None else "",
                f"{seconds:,.3g}" if seconds is not None else "",
            )
        )
    return headers, rows


def verdict_table(verdicts: Sequence[Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns headers and rows of `verdicts.verdicts`."""
    return ("statement", "verdict", "evidence (95 %)"), [(v.statement, v.outcome, v.evidence) for v in verdicts]


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def overview_table(comparisons: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns headers and rows with a data set a row and a method a column; cells have several lines.

    Args:
        comparisons: what `tfprune compare --json` writes, one a data set.
    """
    methods = tuple(dict.fromkeys(trial for comparison in comparisons for trial in comparison["methods"]))
    rows = []
    for comparison in comparisons:
        settings, summary = comparison["settings"], comparison["methods"]
        seeds = max(len(values["seeds"]) for values in summary.values())
        trained = f"{settings['model']}, {settings['epochs']:,} epochs, {seeds} seed{'s' if seeds > 1 else ''}"
        cells = (_overview_cell(summary[method]) if method in summary else "" for method in methods)
        rows.append((f"{comparison['dataset']}\n{trained}", *cells))
    return ("data set", *methods), rows


def _overview_cell(values: Mapping[str, Any]) -> str:
    mean, sd, delta = values["mean"], values["sd"], values["delta"]
    parts = [f"{100 * mean['test_accuracy']:.1f}{_plus_minus(sd['test_accuracy'], '.1f', 100)} %"]
    if mean["sparsity"]:
        parts.append(f"{100 * mean['sparsity']:.0f} % zeros")
    if delta:
        parts.append(f"loss {delta['mean']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f})")
    return "\n".join(parts)


def update_page(path: Path, name: str, content: str) -> None:
    """Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a Markdown page.

    Raises:
        RunError: the page is missing or has no such marks.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise RunError(f"{path}: has no {start} ... {end} to write a table between")
    with replacing(path) as draft:
        draft.write_text(f"{before}{start}\n{content.strip()}\n{end}{after}", encoding="utf-8")


def _plus_minus(deviation: float | None, form: str, scale: float = 1.0) -> str:
    return "" if deviation is None else f" ± {scale * deviation:{form}}"


def _plot_by_phase(axes, rows: Rows, positions: Sequence[float], name: str, *, color: str, label: str) -> None:
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


def _mark_events(axes, rows: Rows, positions: Sequence[float]) -> None:
    before, labelled = 0.0, False
    for number, row in enumerate(rows):
        if row["sparsity"] > before:
            between = number > 0 and row["phase"] != rows[number - 1]["phase"]  # pruned after the phase before
            position = positions[number - 1] if between else positions[number]
            axes.axvline(position, color="#999999", linewidth=1, linestyle="--", label=None if labelled else "pruned")
            before, labelled = row["sparsity"], True


def _mark_phases(axes, phases: Sequence[tuple[str, float]]) -> None:
    if len(phases) < 2:
        return
    for name, start in phases:
        axes.axvline(start, color="#cccccc", linewidth=1, zorder=0)
        axes.annotate(
            name, (start, 1), xycoords=("data", "axes fraction"), xytext=(2, 2), textcoords="offset points", fontsize=8
        )


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=120)
