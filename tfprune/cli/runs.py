"""`tfprune runs`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json
from tfprune.cli._terminal import echo, echo_table
from tfprune.experiments.listing import COLUMNS, SHOWN, as_csv, condition, in_order, list_runs, runs_table
from tfprune.utils.folders import OUT, USUAL_OUT, runs_folder

HELP = f"""List runs, finished or not: run folders, or folders that hold run folders.

By default those in {USUAL_OUT}, or in the folder that {OUT} names. Columns: {", ".join(COLUMNS)}. Accuracy and loss are
of the test split, parameters those that are not zero, bytes those of the weights, gzipped.
"""


@click.command(cls=Command, help=HELP, short_help="List runs, finished or not.")
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path(path_type=Path))
@click.option(
    "--sort", "key", metavar="[-]COLUMN", help="The lowest first; with a minus (--sort=-accuracy) the highest."
)
@click.option(
    "--where",
    "conditions",
    metavar="CONDITION",
    multiple=True,
    help="Such as 'sparsity>0.5' or state=finished. May be repeated: all must hold.",
)
@click.option("--wide", is_flag=True, help="Show all columns.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV, with all digits.")
@click.option("--json", "form", flag_value="json", help="Print JSON, with all digits.")
def runs(folders: tuple[Path, ...], key: str | None, conditions: tuple[str, ...], wide: bool, form: str | None) -> None:
    meant = [condition(text) for text in conditions]
    rows, left_out = list_runs(folders or (Path(runs_folder()),))
    for line in left_out:
        echo(f"Left out: {line}", err=True)
    rows = [row for row in rows if all(meets(row) for meets in meant)]
    if key:
        rows = in_order(rows, key)
    if form == "json":
        echo_json({"runs": rows})
        return
    if form == "csv":
        echo(*as_csv(rows).rstrip("\n").split("\n"))
        return
    headers, cells = runs_table(rows, None if wide else SHOWN)
    echo_table(cells, headers, wide=wide)
