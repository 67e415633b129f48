"""From rows to tables. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfprune.utils.errors import RunError
from tfprune.utils.files import MEGABYTE, atomic_write, read_text
from tfprune.utils.text import Table, markdown

MAX_PAGE = 64 * MEGABYTE  # bytes of a Markdown page

LEGEND = (
    "Mean ± standard deviation over seeds; p of a paired t test of the test loss, corrected by Holm for the number of "
    "methods; ratios to unpruned are medians over seeds; time is CPU time of the training unless a GPU computed. "
    "A step of training counts as three forward passes. A seed reaches unpruned's loss when its network, as sparse as "
    "in the end, has the validation loss that unpruned ends with. Compression is unpruned's non-zero parameters over "
    "those of the method, biases included; speed-up is that of multiply-adds, if those with zeros took no time. "
    "Sparsity is the share of kernel weights that are zero; of trials named `filter` or `branch`, that of channels or "
    "branches that are gone."
)


def comparison_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
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


def cost_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
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
                "" if seconds is None else f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}",
            )
        )
    return headers, rows


def levels_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns headers and rows with a method a row and a sparsity a column: accuracy, and the loss beside unpruned's.

    Args:
        summary: what `comparison.summarise` returns, with methods at several sparsities. What has none stands in the
            first column.
    """
    levels = sorted({values["requested_sparsity"] for values in summary.values()} - {0.0})
    rows: dict[str, dict[float, str]] = {}
    for trial, values in summary.items():
        mean, sd, delta = values["mean"], values["sd"], values["delta"]
        cell = f"{100 * mean['test_accuracy']:.1f}{_plus_minus(sd['test_accuracy'], '.1f', 100)} %"
        cell += f", loss {delta['mean']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f})" if delta else ""
        level = values["requested_sparsity"]
        rows.setdefault(trial.replace(f" {100 * level:.3g} %", ""), {})[level or levels[0]] = cell
    headers = ("method", *(f"{100 * level:.3g} % zeros" for level in levels))
    return headers, [(name, *(own.get(level, "") for level in levels)) for name, own in rows.items()]


def trade_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns headers and rows of what accuracy was had for: size, speed and training (Blalock et al. 2020).

    Args:
        summary: what `comparison.summarise` returns.
    """
    headers = (
        *("method", "compression", "theoretical speed-up", "FLOPs / unpruned, zeros left out"),
        *("test accuracy", "before tuning"),
    )
    rows = []
    for method, values in summary.items():
        mean, sd, ratio, untuned = values["mean"], values["sd"], values["ratio"], values["untuned_accuracy"]
        left = (ratio["nonzero_parameters"], ratio["forward_flops_masked"])
        rows.append(
            (
                method,
                *(f"{1 / share:.1f} x" if share else "" for share in left),
                _ratio(ratio["training_flops_masked"]),
                f"{100 * mean['test_accuracy']:.1f}" + _plus_minus(sd["test_accuracy"], ".1f", 100) + " %",
                "" if untuned is None else f"{100 * untuned:.1f} %",
            )
        )
    return headers, rows


def verdict_table(verdicts: Sequence[Any]) -> Table:
    """Returns headers and rows of `verdicts.verdicts`."""
    return ("statement", "verdict", "evidence (95 %)"), [(v.statement, v.outcome, v.evidence) for v in verdicts]


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def overview_table(comparisons: Sequence[Mapping[str, Any]]) -> Table:
    """Returns headers and rows with a data set a row and a method that all have a column; cells have several lines.

    Args:
        comparisons: what `tfprune compare --json` writes, one a data set.
    """
    methods = [trial for trial in comparisons[0]["methods"] if all(trial in other["methods"] for other in comparisons)]
    rows = []
    for comparison in comparisons:
        settings, summary = comparison["settings"], comparison["methods"]
        seeds = max(len(values["seeds"]) for values in summary.values())
        trained = f"{settings['model']}, {settings['epochs']:,} epochs, {seeds} seed{'s' if seeds > 1 else ''}"
        cells = (_overview_cell(summary[method]) for method in methods)
        rows.append(((comparison["dataset"], trained), *cells))
    return ("data set", *methods), rows


def overview_verdicts(comparisons: Sequence[Mapping[str, Any]]) -> Table:
    """Returns headers and rows with a statement a row and a data set a column, or no rows if nothing was judged."""
    judged = [
        {verdict["statement"]: verdict["outcome"] for verdict in comparison["verdicts"]} for comparison in comparisons
    ]
    statements = dict.fromkeys(statement for outcomes in judged for statement in outcomes)
    rows = [(statement, *(outcomes.get(statement, "") for outcomes in judged)) for statement in statements]
    return ("statement", *(comparison["dataset"] for comparison in comparisons)), rows


def _overview_cell(values: Mapping[str, Any]) -> tuple[str, ...]:
    mean, sd, delta = values["mean"], values["sd"], values["delta"]
    parts = [f"{100 * mean['test_accuracy']:.1f}{_plus_minus(sd['test_accuracy'], '.1f', 100)} %"]
    if mean["sparsity"]:
        parts.append(f"{100 * mean['sparsity']:.0f} % zeros")
    if delta:
        parts.append(f"loss {delta['mean']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f})")
    return tuple(parts)


def markdown_table(table: Table) -> str:
    """Returns a table for a Markdown page; whatever a cell holds, it stays one."""
    from tabulate import tabulate

    headers, rows = table
    cells = [["<br>".join(map(markdown, (cell,) if isinstance(cell, str) else cell)) for cell in row] for row in rows]
    return tabulate(cells, list(map(markdown, headers)), tablefmt="github", disable_numparse=True)


def update_page(path: Path, name: str, content: str) -> None:
    """Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a Markdown page.

    Raises:
        RunError: the page is missing or has no such marks.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        page = read_text(path, MAX_PAGE)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: cannot be read ({error})") from None
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise RunError(f"{path}: has no {start} ... {end} to write a table between")
    with atomic_write(path) as draft:
        draft.write_text(f"{before}{start}\n{content.strip()}\n{end}{after}", encoding="utf-8")


def _plus_minus(deviation: float | None, form: str, scale: float = 1.0) -> str:
    return "" if deviation is None else f" ± {scale * deviation:{form}}"


def layer_sparsities(trials: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, float | None]]:
    """Returns the share of zeros in each kernel at the end, the mean over seeds.

    Args:
        trials: trial -> its runs (`results.Result`).

    Returns:
        kernel -> trial -> share in [0, 1], None where the trial's network has no such kernel; last `"all"`.
    """
    shares: dict[str, dict[str, list[float]]] = {}
    for trial, runs in trials.items():
        for run in runs:
            for kernel, counts in run.metrics["sparsity"]["layers"].items():
                shares.setdefault(kernel, {}).setdefault(trial, []).append(counts["zeros"] / counts["size"])
    means = {
        kernel: {trial: sum(own[trial]) / len(own[trial]) if trial in own else None for trial in trials}
        for kernel, own in shares.items()
    }
    achieved = {t: [run.metrics["sparsity"]["achieved"] for run in runs] for t, runs in trials.items()}
    return means | {"all": {trial: sum(values) / len(values) for trial, values in achieved.items()}}


def layer_table(trials: Mapping[str, Sequence[Any]]) -> Table:
    """Returns headers and rows of `layer_sparsities`."""
    rows = [
        (kernel, *("" if share is None else f"{100 * share:.1f} %" for share in own.values()))
        for kernel, own in layer_sparsities(trials).items()
    ]
    return ("kernel", *trials), rows
