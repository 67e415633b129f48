"""`tfprune overview`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option, table_as_dicts
from tfprune.cli._terminal import echo, echo_table


@click.command(cls=Command, short_help="Set comparisons of several data sets side by side.")
@click.argument("files", nargs=-1, required=True, metavar="JSON...", type=click.Path(path_type=Path))
@click.option("--page", type=click.Path(path_type=Path), help="A Markdown page to renew.")
@json_option
def overview(files: tuple[Path, ...], page: Path | None, as_json: bool) -> None:
    """Set the comparisons of several data sets side by side: what `compare --json` or `report` wrote."""
    from tfprune.experiments.results import read_comparisons
    from tfprune.reporting.tables import markdown_table, overview_table, overview_verdicts, update_page

    comparisons = [comparison for file in files for comparison in read_comparisons(file)]
    tables = [table for table in (overview_table(comparisons), overview_verdicts(comparisons)) if table[1]]
    if as_json:
        names = ("data_sets", "verdicts")
        echo_json({name: table_as_dicts(*table) for name, table in zip(names, tables, strict=False)})
    for headers, rows in () if as_json else tables:
        echo_table(rows, headers)
        echo()
    if page:
        update_page(page, "overview", "\n\n".join(map(markdown_table, tables)))
        echo(f"Page: {page}", err=as_json)
