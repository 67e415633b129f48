"""`tfprune show`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._models import quoted
from tfprune.cli._output import echo_result, result_as_dict
from tfprune.cli._terminal import echo, echo_table
from tfprune.cli._typed import places_of
from tfprune.experiments.results import read_result
from tfprune.experiments.rundir import RunDir
from tfprune.utils.text import counted, percent


@click.command(cls=Command, short_help="Show what a finished run came to.")
@click.argument("run", type=click.Path(path_type=Path))
@json_option
def show(run: Path, as_json: bool) -> None:
    """Show what the finished run in folder RUN came to."""
    result = read_result(RunDir(run))
    if as_json:
        echo_json(result_as_dict(result))
        return
    echo_result(result)
    echo()
    layers = result.metrics["sparsity"]["layers"]
    echo_table(
        [(name, f"{c['zeros']:,}", f"{c['size']:,}", percent(c["zeros"] / c["size"])) for name, c in layers.items()],
        ("kernel", "gone" if "channels" in result.metrics else "zeros", "size", "sparsity"),
    )
    echo("", f"Settings     {result.folder.config}", f"History      {result.folder.history}")
    if result.folder.exported:
        echo(f"Plots        {result.folder.curves}, {result.folder.sparsity.name}")
        return
    config = f"{quoted(result.folder.config)}{places_of(result.config)}"
    if "networks" not in result.metrics:
        echo("", "Its SavedModel is gone.", f"Next         tfprune train --config {config} --force")
        return
    echo(
        "",
        f"This run was trained side by side with {counted(result.metrics['networks'] - 1, 'other')} and left no "
        "SavedModel and no plots.",
        f"Next         tfprune train --config {config}   # makes them",
    )
