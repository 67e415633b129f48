"""`tfprune train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.cli._options import make_config, run_options
from tfprune.cli._running import train_and_tell


@click.command()
@run_options()
@click.option("--method", metavar="NAME", help="Pruning method; `tfprune list` shows them.")
@click.option("--seed", type=int, help="Root of all random draws.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings from a .json or .toml file.")
@click.option("--force", is_flag=True, help="Repeat a finished run.")
def train(file: Path | None, force: bool, **given: Any) -> None:
    """Train and prune one model."""
    train_and_tell(make_config(file, given), force=force)
