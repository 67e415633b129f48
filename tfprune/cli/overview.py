"""`tfprune overview`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._output import echo_table


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="JSON...", type=click.Path(path_type=Path))
@click.option("--page", type=click.Path(path_type=Path), help="A Markdown page to renew.")
def overview(files: tuple[Path, ...], page: Path | None) -> None:
    """Set the comparisons of several data sets side by side: what `compare --json` wrote."""
    from tabulate import tabulate

    from tfprune.report import overview_table, update_page
    from tfprune.results import read_comparison

    headers, rows = overview_table([read_comparison(file) for file in files])
    echo_table(rows, headers)
    if page:
        cells = [[cell.replace("\n", "<br>") for cell in row] for row in rows]
        update_page(page, "overview", tabulate(cells, headers, tablefmt="github", disable_numparse=True))
        click.echo(f"\nPage: {page}")
