"""`tfprune resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.cli._help import Command
from tfprune.cli._json import json_option
from tfprune.cli._options import trust_option
from tfprune.cli._running import train_and_report
from tfprune.cli._terminal import start_logging
from tfprune.cli._typed import as_typed, takes_data, with_model
from tfprune.experiments.results import read_config
from tfprune.experiments.rundir import RunDir
from tfprune.utils.errors import RunError


@click.command(cls=Command, short_help="Go on with an interrupted run.")
@trust_option
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--model", metavar="PATH|MODULE:FUNCTION", help="The run's model, if it is your own.")
@takes_data
@click.option("--mlflow", metavar="FOLDER|URI", help="Track the run in MLflow too.")
@json_option
def resume(run: Path, model: str | None, as_json: bool, **given: Any) -> None:
    """Go on with the run in folder RUN from its last checkpoint, with the settings that it was started with.

    A run that has no checkpoint yet starts anew; a finished one is shown. Of its settings those that lead out of the
    folder (a model or data of your own, --data-dir, --mlflow) count only if they are typed again, or with --trust.
    """
    start_logging(steps=True)
    folder = RunDir(run)
    if not folder.config.is_file():
        raise RunError(f"{run}: this is no run folder (it has no {folder.config.name})")
    config = read_config(folder).replace(out=str(run.resolve().parent))
    if not folder.finished:
        config = with_model(as_typed(config, given), model)
    if config.run_id != run.resolve().name:
        raise RunError(f"{run}: a folder with these settings must be called {config.run_id}; rename it")
    train_and_report(config, as_json=as_json)
