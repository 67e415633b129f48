"""What several commands print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tfprune.cli._terminal import echo, echo_table
from tfprune.data._base import SPLITS
from tfprune.data.objectives import DEFAULT
from tfprune.experiments.results import Result
from tfprune.training.config import Config
from tfprune.utils.text import percent


def echo_failures(failures: Sequence[str]) -> None:
    """Names the runs that failed, and ends the command with exit code 1 if there are any."""
    for failure in failures:
        echo(f"Failed: {failure}", err=True)
    if failures:
        raise click.exceptions.Exit(1)


def result_as_dict(result: Result) -> dict[str, Any]:
    """Returns what a finished run came to, as JSON holds it: its settings and `metrics.json`."""
    folder = result.folder
    places = {"run": result.config.run_id, "folder": str(folder.root), "model": str(folder.model)}
    places["model"] = places["model"] if folder.exported else None
    return {**places, "settings": result.config.to_dict(), "metrics": result.metrics}


def scores_table(result: Result) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    """Returns rows and headers of the scores of each split, of other tasks than classes also of a constant answer."""
    known = result.config.objective.metrics
    names = [name for name in result.metrics["test"] if name in known]
    scores = {name: result.metrics[name] for name in SPLITS}
    if result.config.task != DEFAULT:
        scores["one answer for all, test"] = result.constant["test"]
    rows = [
        (split, f"{own['loss']:.4f}", *(known[name].text(own[name]) if name in own else "" for name in names))
        for split, own in scores.items()
    ]
    return rows, ("split", "loss", *(known[name].label for name in names))


def echo_result(result: Result) -> None:
    """Prints loss, accuracy, sparsity and sizes of a finished run."""
    metrics = result.metrics
    echo("", f"{result.config.run_id}, finished in {metrics['seconds']['total']:.0f} s", "")
    for note in metrics.get("data", {}).get("notes", ()):
        echo(f"Labels       {note}", "")
    echo_table(*scores_table(result))
    layers = metrics["sparsity"]["layers"].values()
    zeros, total = sum(layer["zeros"] for layer in layers), sum(layer["size"] for layer in layers)
    exported = "raw" in metrics["bytes"]
    size, of = (metrics["bytes"], "") if exported else (metrics["bytes"]["weights"], " (the weights alone)")
    if "channels" in metrics:
        _echo_channels(metrics["channels"], metrics["sparsity"])
    else:
        echo(
            "",
            f"Sparsity     {percent(metrics['sparsity']['achieved'])} ({zeros:,} of {total:,} kernel weights are zero)",
            f"Parameters   {metrics['nonzero_parameters']:,} of {metrics['parameters']:,} are not zero: "
            f"{percent(result.total_sparsity)} of all weights are zero",
        )
    if "pattern" in metrics:
        _echo_pattern(result.config, metrics["pattern"]["layers"])
    echo(f"Size         {size['raw'] / 1000:,.1f} kB, {size['gzip'] / 1000:,.1f} kB gzipped{of}")


def _echo_pattern(config: Config, layers: Mapping[str, Mapping[str, int]]) -> None:
    """Prints what weights are pruned by, and where its units did not come out whole."""
    unit = f"blocks by their {config.pooling}" if config.granularity == "block" else "along the inputs"
    echo(f"Pattern      {config.pattern}, {unit}")
    for name, own in layers.items():
        if own["smaller"]:
            what = "blocks" if config.granularity == "block" else f"groups of {config.pattern.partition(':')[2]}"
            echo(f"Cut short: {name}: {own['smaller']:,} of {own['units']:,} {what} are smaller, at its edge")


def _echo_channels(channels: Mapping[str, Any], sparsity: Mapping[str, Any]) -> None:
    """Prints what the removal of channels came to, what was left alone why, and what was asked for if that is other."""
    echo()
    branches = [name for group in channels["groups"].values() for name in group.get("gone", ())]
    counts = [(name, group["before"], group["after"]) for name, group in channels["groups"].items()]
    rows = [*counts, *((n, channels[n]["before"], channels[n]["after"]) for n in ("parameters", "macs"))]
    names = {"parameters": "parameters", "macs": "MACs"}
    echo_table(
        [(names.get(n, n), f"{before:,}", f"{after:,}", percent(after / before)) for n, before, after in rows],
        ("" if branches else "filters, units", "before", "after", "left"),
    )
    for name, reason in channels["left_alone"].items():
        echo(f"Left alone: {name}: {reason}")
    what = (
        f"residual branches are gone: {', '.join(branches)}" if branches else "filters and units that can go are gone"
    )
    gone, asked = percent(sparsity["achieved"]), sparsity.get("requested")
    other = f", and {percent(asked)} were asked for" if asked and percent(asked) != gone else ""
    if other and (multiple := channels.get("multiple", 1)) > 1:
        other += f": widths are multiples of {multiple} (channels.multiple)"
    echo("", f"Sparsity     {gone} of the {what}{other}")
