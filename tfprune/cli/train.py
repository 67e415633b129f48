"""`tfprune train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.cli._options import data_options, make_config, run_options
from tfprune.cli._output import echo_result, start_logging
from tfprune.rundir import RunDir


@click.command()
@run_options()
@click.option("--method", metavar="NAME", help="Pruning method; `tfprune list` shows them.")
@click.option("--seed", type=int, help="Root of all random draws.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings from a .json or .toml file.")
@click.option("--force", is_flag=True, help="Repeat a finished run.")
def train(file: Path | None, force: bool, **given: Any) -> None:
    """Train and prune one model."""
    config = make_config(file, given)
    start_logging(steps=True)
    trained = f"{config.data_name}: {config.model_name} trained as {config.method} for {config.epochs:,} epochs"
    click.echo(f"{trained}, seed {config.seed}")
    folder = RunDir(Path(config.out) / config.run_id)
    repeated = not force and folder.exported
    from tfprune.experiment import train as run

    try:
        result = run(config, force=force)
    except KeyboardInterrupt:
        kept = f"Kept in {folder.root}: the settings, the history so far and the TensorBoard logs."
        untouched = folder.finished or not folder.history.is_file()
        click.echo(
            f"Interrupted. {'No file was changed.' if untouched else kept} The same command starts the run again.",
            err=True,
        )
        raise click.exceptions.Exit(130) from None
    if repeated:
        click.echo("This run is finished already; --force repeats it.")
    echo_result(result)
    click.echo(
        f"\nSavedModel   {result.folder.model}\n"
        f"Plots        {result.folder.curves}, {result.folder.sparsity.name}\n"
        f"TensorBoard  tensorboard --logdir {config.out}\n"
        f"Next         tfprune show {result.folder.root}\n"
        f"             tfprune predict {result.folder.root} FILE\n"
        f"             tfprune compare {data_options(config)} --seeds 3"
    )
