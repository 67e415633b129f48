"""`tfprune overview`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._output import echo_table


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="JSON...", type=click.Path(path_type=Path))
@click.option("--page", type=click.Path(path_type=Path), help="A Markdown page to renew.")
def overview(files: tuple[Path, ...], page: Path | None) -> None:
    """Set the comparisons of several data sets side by side: what `compare --json` or `report` wrote."""
    from tabulate import tabulate

    from tfprune.results import read_comparisons
    from tfprune.tables import overview_table, update_page

    headers, rows = overview_table([comparison for file in files for comparison in read_comparisons(file)])
    echo_table(rows, headers)
    if page:
        cells = [[cell.replace("\n", "<br>") for cell in row] for row in rows]
        update_page(page, "overview", tabulate(cells, headers, tablefmt="github", disable_numparse=True))
        click.echo(f"\nPage: {page}")
