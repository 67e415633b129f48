"""`tfprune report`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._terminal import echo
from tfprune.utils.errors import RunError


@click.command(cls=Command, short_help="Write a report on finished runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "files",
    metavar="FILE",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A .html, .md, .csv, .json or .tex file to write. May be repeated.",
)
@json_option
def report(runs: tuple[Path, ...], files: tuple[Path, ...], as_json: bool) -> None:
    """Report on finished RUNS: run folders, folders that hold run folders, or a sweep file (.toml, .json).

    Runs with the same settings but for method and seed are compared, in a section of their own, and the methods of
    several data sets over these. Runs that diverged count, at chance.
    """
    from tfprune.experiments.results import find_results, run_folders
    from tfprune.experiments.rundir import RunDir
    from tfprune.reporting.diverged import find_diverged
    from tfprune.reporting.pages import writer_for
    from tfprune.reporting.report import sections

    writers = [(writer_for(file), file) for file in files]
    folders = [folder for run in runs for folder in (_of_plan(run) if run.is_file() else run_folders(run))]
    results, left_out = find_results(folders)
    for line in left_out:
        echo(f"Left out: {line}", err=True)
    found = sections(results, find_diverged(map(RunDir, folders), results))
    written = [(path, file) for write, file in writers for path in write(found, file)]
    if as_json:
        reports, figures = [path for path, file in written if path == file], [p for p, file in written if p != file]
        echo_json({"reports": reports, "figures": figures, "left_out": left_out})
        return
    for path, file in written:
        echo(f"Report: {path}" if path == file else f"Figure: {path}")


def _of_plan(plan: Path) -> list[Path]:
    """Returns the folders of a sweep file's runs that were begun."""
    from tfprune.experiments.plans import read_plan

    folders = [Path(config.out) / config.run_id for config in read_plan(plan)]
    if not any(folder.is_dir() for folder in folders):
        raise RunError(f"{plan}: none of its {len(folders):,} runs was begun; `tfprune sweep {plan}` trains them")
    return [folder for folder in folders if folder.is_dir()]
