"""`tfprune resume`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._running import train_and_tell
from tfprune.errors import RunError
from tfprune.results import read_config
from tfprune.rundir import RunDir


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def resume(run: Path) -> None:
    """Go on with the run in folder RUN from its last checkpoint, with the settings that it was started with.

    A run that has no checkpoint yet starts anew; a finished one is shown.
    """
    folder = RunDir(run)
    if not folder.config.is_file():
        raise RunError(f"{run}: this is no run folder (it has no {folder.config.name})")
    config = read_config(folder).replace(out=str(run.resolve().parent))
    if config.run_id != run.resolve().name:
        raise RunError(f"{run}: a folder with these settings must be called {config.run_id}; rename it")
    train_and_tell(config)
