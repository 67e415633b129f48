"""`tfprune report`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._terminal import echo


@click.command(cls=Command, short_help="Write a report on finished runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "files",
    metavar="FILE",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A .html, .md, .csv or .json file to write. May be repeated.",
)
def report(runs: tuple[Path, ...], files: tuple[Path, ...]) -> None:
    """Report on finished RUNS: run folders, or folders that hold run folders.

    Runs with the same settings but for method and seed are compared, in a section of their own.
    """
    from tfprune.experiments.results import find_results
    from tfprune.reporting.pages import writer_for
    from tfprune.reporting.report import sections

    writers = [(writer_for(file), file) for file in files]
    results, left_out = find_results(runs)
    for line in left_out:
        echo(f"Left out: {line}", err=True)
    found = sections(results)
    for write, file in writers:
        for path in write(found, file):
            echo(f"Report: {path}" if path == file else f"Figure: {path}")
