"""From rows to tables. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfprune.reporting.measures import Measure, measure_of
from tfprune.reporting.statistics import CONFIDENCE, HIGHER, LEVEL, LOWER, MARGIN, OPEN
from tfprune.reporting.timing import trained_as_stacks
from tfprune.training.setting_checks import REMOVING, UNITS
from tfprune.utils.errors import RunError
from tfprune.utils.files import MEGABYTE, atomic_write, read_text
from tfprune.utils.text import Table, markdown, printable

MAX_PAGE = 64 * MEGABYTE  # bytes of a Markdown page

LEGEND = (  # of a comparison of accuracies, see `legend`
    "Mean ± standard deviation over seeds. Intervals are over seeds and say nothing of other data: all seeds share a "
    "data set, and of most data sets a test split. The accuracy is better than unpruned's, non-inferior (above it less "
    f"{100 * MARGIN:g} points) or worse (below that) by one-sided paired t tests at {100 * LEVEL:g} %, corrected for "
    "the number of trials compared (Holm); the intervals are not. Else it is open; the number of seeds is an estimate "
    "of what would settle it with 80 % power, for equal networks or, where they are shown to be lower, for the "
    "difference seen. Statements are tested each by itself. p of a paired t test of the test loss, corrected by Holm "
    "for the number of methods; ratios to unpruned are medians over seeds; time is CPU time of the training unless a "
    "GPU computed. A step of training counts as three forward passes. A seed reaches unpruned's loss once its network "
    "has been pruned for the last time and its validation loss is as low as unpruned's final one. Compression is "
    "unpruned's non-zero parameters over those of the method, biases included; speed-up is that of multiply-adds, if "
    "those with zeros took no time. Sparsity is the share of kernel weights that are zero; of trials named `filter` or "
    "`branch`, that of channels or branches that are gone."
)


def legend(summaries: Iterable[Mapping[str, Mapping[str, Any]]]) -> str:
    """Returns what the columns of tables mean, for comparisons by one metric or another."""
    found = list(dict.fromkeys(map(measure_of, summaries)))
    if all(own.metric.name == "accuracy" for own in found):
        return LEGEND
    labels = " or ".join(dict.fromkeys(own.label for own in found))
    margins = " or ".join(dict.fromkeys(own.margin_text for own in found))
    lower = "" if all(own.metric.higher for own in found) else " of an error lower is better;"
    return LEGEND.replace("The accuracy is", f"The {labels} is").replace(
        f"(above it less {100 * MARGIN:g} points)", f"(no more than {margins} worse;{lower} see the headers)"
    )


def answer_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns headers and rows of the question that a comparison answers: what accuracy is kept, at what size and cost.

    Args:
        summary: what `comparison.summarise` returns.
    """
    own = measure_of(summary)
    headers = (
        *("method", f"test {own.label}", f"- unpruned{own.points} (95 %)", f"at a margin of {own.margin_text}"),
        *("non-zero parameters", "epochs"),
    )
    rows = []
    for method, values in summary.items():
        mean, sd, found = values["mean"], values["sd"], values[own.name]
        rows.append(
            (
                method,
                own.text(mean[own.column], sd[own.column]),
                own.interval(found["mean"], found["low"], found["high"]) if found else "",
                outcome_text(found),
                _number(mean["nonzero_parameters"], ",.0f"),
                _number(mean["epochs"], ",.0f"),
            )
        )
    return headers, rows


def significance_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns headers and rows of the tests on the task's metric, each corrected by Holm for the trials compared.

    Args:
        summary: what `comparison.summarise` returns.
    """
    names, own = ("better", "non_inferior", "worse", "equivalent"), measure_of(summary)
    headers = (
        *("method", "seeds", f"{own.label} - unpruned{own.points}", "t interval", "bootstrap interval"),
        *(f"p {name.replace('_', '-')} (Holm)" for name in names),
        "outcome",
    )
    rows = []
    for method, values in summary.items():
        if found := values[own.name]:
            bounds = ((found["low"], found["high"]), found["bootstrap"] or ())
            rows.append(
                (
                    method,
                    str(found["seeds"]),
                    own.difference(found["mean"]),
                    *(" to ".join(map(own.difference, pair)) for pair in bounds),
                    *(p_text(found[f"p_{name}_holm"]) for name in names),
                    outcome_text(found),
                )
            )
    return headers, rows


def points(mean: float, low: float, high: float) -> str:
    """Returns a difference of accuracies and its interval, in points."""
    return f"{100 * mean:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def outcome_text(found: Mapping[str, Any] | None) -> str:
    """Returns what tests on accuracy came to; where that is open, how many seeds would tell."""
    if not found:
        return ""
    outcome, needed = found["outcome"], found["seeds_needed"]
    if outcome not in (OPEN, LOWER, HIGHER) or (needed is not None and needed <= found["seeds"]):
        return outcome
    return f"{outcome}; needs {seeds_text(needed)}"


def seeds_text(needed: int | None) -> str:
    """Returns a number of seeds with two digits, which is more than a spread over a few seeds tells."""
    return "more seeds than can be had" if needed is None else f"about {float(f'{needed:.2g}'):,.0f} seeds"


def p_text(p: float) -> str:
    """Returns a p value with three digits."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def comparison_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns headers and rows of a comparison: means, ± the standard deviation over seeds.

    Args:
        summary: what `comparison.summarise` returns.
    """
    own = measure_of(summary)
    headers = (
        *("method", "seeds", "test loss", "loss - unpruned (95 %)", "p (Holm)", f"test {own.label}", "sparsity"),
        *("non-zero parameters", "weights, kB gzipped", "epochs", "time / unpruned"),
    )
    rows = []
    for method, values in summary.items():
        mean, sd, delta = values["mean"], values["sd"], values["delta"]
        rows.append(
            (
                method,
                str(len(values["seeds"])),
                f"{mean['test_loss']:.4f}" + _plus_minus(sd["test_loss"], ".4f"),
                f"{delta['mean']:+.4f} ({delta['low']:+.4f} to {delta['high']:+.4f})" if delta else "",
                p_text(delta["p_holm"]) if delta else "",
                own.text(mean[own.column], sd[own.column]),
                _number(mean["sparsity"], ".1f", 100, " %"),
                _number(mean["nonzero_parameters"], ",.0f"),
                _number(mean["weights_gzip"], ",.1f", 0.001),
                _number(mean["epochs"], ",.0f"),
                _time(values),
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
                _number(mean["epochs"], ",.0f"),
                _number(mean["examples"], ",.0f"),
                _number(mean["training_flops"], ".3g"),
                *(_ratio(ratio[name]) for name in ("training_flops", "training_flops_masked")),
                _time(values),
                f"{100 * reached['share']:.0f} %" if reached else "",
                f"{epochs:,.0f}" if epochs is not None else "",
                "" if seconds is None else f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}",
            )
        )
    return headers, rows


def levels_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns headers and rows with a method a row and a sparsity a column: its metric, and the loss beside unpruned's.

    Args:
        summary: what `comparison.summarise` returns, with methods at several sparsities. What is at none but 0 stands
            in the first column.
    """
    rows: dict[str, dict[float, str]] = {}
    found = measure_of(summary)
    for trial, values in summary.items():
        mean, sd, delta = values["mean"], values["sd"], values["delta"]
        cell = found.text(mean[found.column], sd[found.column])
        cell += f", loss {delta['mean']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f})" if delta else ""
        level = values["requested_sparsity"]
        rows.setdefault(trial.replace(f" {100 * level:.3g} %", ""), {})[level] = cell
    levels = sorted({level for own in rows.values() for level in own if level or len(own) > 1}) or [0.0]
    of_weights = all(values.get("granularity", "weight") == "weight" for values in summary.values())
    what = "zeros" if of_weights else "pruned"  # filters and branches are gone, not zero
    headers = ("method", *(f"{100 * level:.3g} % {what}" for level in levels))
    placed = {name: own if any(own) else {levels[0]: own[0.0]} for name, own in rows.items()}
    return headers, [(name, *(own.get(level, "") for level in levels)) for name, own in placed.items()]


def trade_table(summary: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns headers and rows of what accuracy was had for: size, speed and training (Blalock et al. 2020).

    Args:
        summary: what `comparison.summarise` returns.
    """
    own = measure_of(summary)
    headers = (
        *("method", "compression", "theoretical speed-up", "FLOPs / unpruned, zeros left out"),
        *(f"test {own.label}", "before tuning"),
    )
    rows = []
    for method, values in summary.items():
        mean, sd, ratio, untuned = values["mean"], values["sd"], values["ratio"], values[own.untuned]
        left = (ratio["nonzero_parameters"], ratio["forward_flops_masked"])
        rows.append(
            (
                method,
                *(f"{1 / share:.1f} x" if share else "" for share in left),
                _ratio(ratio["training_flops_masked"]),
                own.text(mean[own.column], sd[own.column]),
                "" if untuned is None else own.text(untuned),
            )
        )
    return headers, rows


def verdict_table(verdicts: Sequence[Any]) -> Table:
    """Returns headers and rows of `verdicts.verdicts`."""
    return ("statement", "verdict", f"evidence ({100 * CONFIDENCE:.0f} %)"), [
        (v.statement, v.outcome, v.evidence) for v in verdicts
    ]


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _number(value: float | None, form: str, scale: float = 1.0, unit: str = "") -> str:
    """Returns a mean, or nothing where all networks diverged."""
    return "" if value is None else f"{scale * value:{form}}{unit}"


def _time(values: Mapping[str, Any]) -> str:
    """Returns the ratio of training times; with one digit where networks trained as one model share a measurement."""
    ratio = values["ratio"]["training_time"]
    return _ratio(ratio) if ratio is None or not trained_as_stacks(values["seeds"]) else f"about {ratio:.1f}"


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
        cells = (_overview_cell(summary[method], measure_of(summary)) for method in methods)
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


def _overview_cell(values: Mapping[str, Any], own: Measure) -> tuple[str, ...]:
    mean, sd, delta = values["mean"], values["sd"], values["delta"]
    parts = [own.text(mean[own.column], sd[own.column])]
    if mean["sparsity"]:
        granularity = values.get("granularity", "weight")
        what = f"of the {UNITS[granularity]} removed" if granularity in REMOVING else "zeros"
        parts.append(f"{100 * mean['sparsity']:.0f} % {what}")
    if delta:
        parts.append(f"loss {delta['mean']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f})")
    return tuple(parts)


def markdown_table(table: Table) -> str:
    """Returns a table for a Markdown page; whatever a cell holds, it stays one."""
    from tabulate import tabulate

    headers, rows = table
    cells = [["<br>".join(map(markdown, (cell,) if isinstance(cell, str) else cell)) for cell in row] for row in rows]
    return tabulate(cells, list(map(markdown, headers)), tablefmt="github", disable_numparse=True)


def latex_table(table: Table, caption: str) -> str:
    """Returns a table for a LaTeX document that loads booktabs; whatever a cell holds, it stays one."""
    headers, rows = table
    cells = [[", ".join((cell,) if isinstance(cell, str) else cell) for cell in row] for row in rows]
    named = _latex([[caption]]).split("\n")[2].strip().removesuffix("\\\\").rstrip()  # the only cell
    lines = ("\\begin{table}", "\\centering", f"\\caption{{{named}}}", _latex(cells, headers), "\\end{table}")
    return "\n".join(lines).replace("±", "$\\pm$")


def _latex(cells: Sequence[Sequence[str]], headers: Sequence[str] = ()) -> str:
    from tabulate import tabulate

    shown = [list(map(printable, row)) for row in cells]
    return tabulate(shown, list(map(printable, headers)), tablefmt="latex_booktabs", disable_numparse=True)


def update_page(path: Path, name: str, content: str) -> None:
    """Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->` in a Markdown page.

    Raises:
        RunError: the page is missing or has no such marks.
    """
    before, after = page_around(path, name)
    with atomic_write(path) as draft:
        draft.write_text(f"{before}\n{content.strip()}\n{after}", encoding="utf-8")


def page_around(path: Path, name: str) -> tuple[str, str]:
    """Returns what stands before and after the place of `update_page`, up to its marks and with them.

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
    return before + start, end + after


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
