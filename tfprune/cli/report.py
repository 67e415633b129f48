"""`tfprune report`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._terminal import echo
from tfprune.utils.checks import check_least
from tfprune.utils.errors import ConfigError, RunError


@click.command(cls=Command, short_help="Write a report on finished runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUNS...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "files",
    metavar="FILE",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A .html, .md, .csv, .json or .tex file to write. May be repeated.",
)
@click.option(
    "--tables",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for each table as .tex and .csv, each figure as .svg and .pdf.",
)
@click.option(
    "--margin",
    metavar="POINTS",
    type=float,
    help="How far below unpruned the smallest network may be.  [default: 0.5]",
)
@json_option
def report(
    runs: tuple[Path, ...], files: tuple[Path, ...], folder: Path | None, margin: float | None, as_json: bool
) -> None:
    """Report on finished RUNS: run folders, folders that hold run folders, or a sweep file (.toml, .json).

    Runs with the same settings but for method and seed are compared, in a section of their own, and the methods of
    several data sets over these. Runs that diverged count, at chance.
    """
    from tfprune.experiments.results import find_results, run_folders
    from tfprune.experiments.rundir import RunDir
    from tfprune.reporting.diverged import find_diverged
    from tfprune.reporting.made import Made

    made = Made.now(_command(runs, files, folder, margin))  # first: NumPy reads that variable too, as it is imported
    from tfprune.reporting.pages import writer_for
    from tfprune.reporting.report import sections, still_left_out
    from tfprune.reporting.sheets import write_sheets

    if not files and folder is None:
        raise ConfigError("name a file to write, --out report.html, or a folder, --tables DIR")
    margin = None if margin is None else check_least("--margin", margin, 0.0)
    writers = [(writer_for(file), file) for file in files] + ([(write_sheets, folder)] if folder else [])
    folders = [folder for run in runs for folder in (_of_plan(run) if run.is_file() else run_folders(run))]
    results, left_out = find_results(folders)
    found = sections(results, find_diverged(map(RunDir, folders), results), margin)
    left_out = still_left_out(left_out, found)
    for line in left_out:
        echo(f"Left out: {line}", err=True)
    written = [(path, file) for write, file in writers for path in write(found, file, made)]
    if as_json:
        reports, figures = [path for path, file in written if path == file], [p for p, file in written if p != file]
        echo_json({"reports": reports, "figures": figures, "left_out": left_out})
        return
    for path, file in written:
        if file != folder:
            echo(f"Report: {path}" if path == file else f"Figure: {path}")
    if folder:
        echo(f"Tables and figures: {sum(file == folder for _, file in written)} files in {folder}")


def _command(runs: Sequence[Path], files: Sequence[Path], folder: Path | None, margin: float | None) -> str:
    """Returns the command as it can be typed again."""
    words = ["tfprune", "report", *map(str, runs)]
    for file in files:
        words += ["--out", str(file)]
    words += ["--tables", str(folder)] if folder else []
    return shlex.join(words + (["--margin", f"{margin:g}"] if margin is not None else []))


def _of_plan(plan: Path) -> list[Path]:
    """Returns the folders of a sweep file's runs that were begun."""
    from tfprune.experiments.plans import read_plan
    from tfprune.experiments.rundir import RunDir

    folders = [Path(config.out) / config.run_id for config in read_plan(plan)]
    begun = [folder for folder in folders if RunDir(folder).config.is_file()]
    if not begun:
        raise RunError(f"{plan}: none of its {len(folders):,} runs was begun; `tfprune sweep {plan}` trains them")
    return begun
