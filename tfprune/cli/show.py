"""`tfprune show`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._output import echo_result
from tfprune.cli._terminal import echo, echo_table
from tfprune.experiments.results import read_result
from tfprune.experiments.rundir import RunDir


@click.command(cls=Command, short_help="Show what a finished run came to.")
@click.argument("run", type=click.Path(path_type=Path))
def show(run: Path) -> None:
    """Show what the finished run in folder RUN came to."""
    result = read_result(RunDir(run))
    echo_result(result)
    echo()
    layers = result.metrics["sparsity"]["layers"]
    echo_table(
        [(name, f"{c['zeros']:,}", f"{c['size']:,}", f"{c['zeros'] / c['size']:.1%}") for name, c in layers.items()],
        ("kernel", "gone" if "channels" in result.metrics else "zeros", "size", "sparsity"),
    )
    echo("", f"Settings     {result.folder.config}", f"History      {result.folder.history}")
    if result.folder.exported:
        echo(f"Plots        {result.folder.curves}, {result.folder.sparsity.name}")
        return
    if "networks" not in result.metrics:
        echo("", "Its SavedModel is gone.", f"Next         tfprune train --config {result.folder.config} --force")
        return
    echo(
        "",
        f"This run was trained side by side with {result.metrics['networks'] - 1} others and left no SavedModel and "
        "no plots.",
        f"Next         tfprune train --config {result.folder.config}   # makes them",
    )
