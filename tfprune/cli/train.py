"""`tfprune train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.cli._dry_run import echo_plan
from tfprune.cli._help import Command
from tfprune.cli._json import json_option
from tfprune.cli._options import data_settings_typed, make_config, run_options
from tfprune.cli._running import train_and_report
from tfprune.training.config import Config


@click.command(cls=Command, short_help="Train and prune one model.")
@run_options()
@click.option("--method", metavar="NAME", help="Pruning method; `tfprune list` shows them.", show_default=Config.method)
@click.option("--seed", type=int, help="Root of all random draws.", show_default=str(Config.seed))
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings from a .json or .toml file.")
@click.option("--force", is_flag=True, help="Repeat a finished run.")
@click.option("--dry-run", is_flag=True, help="Show the plan, with times of a few measured steps, and write nothing.")
@json_option
def train(file: Path | None, force: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Train and prune one model."""
    config = make_config(file, given)
    if dry_run:
        echo_plan(config, as_json=as_json)
    else:
        train_and_report(config, force=force, as_json=as_json, typed=data_settings_typed(file, given))
