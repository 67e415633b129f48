"""`tfprune list`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from tfprune.config import model_defaults
from tfprune.criteria import CRITERIA
from tfprune.data import DATASETS
from tfprune.methods import METHODS
from tfprune.models import MODELS


@click.command("list")
def list_names() -> None:
    """List data sets, models and methods with their settings."""
    click.echo("DATA SETS (--dataset)")
    for name in DATASETS:
        spec = DATASETS[name]
        training = {"model": spec.model, "epochs": spec.epochs, "batch_size": spec.batch_size}
        _echo(name, spec.summary, training | {"learning_rate": spec.learning_rate, "optimizer": spec.optimizer})
        click.echo(f"      source: {spec.source}")
    click.echo("\nMODELS (--model; settings with --set model.KEY=VALUE)")
    for name in MODELS:
        _echo(name, inspect.getdoc(MODELS[name]).splitlines()[0], model_defaults(name))
    click.echo("\nCRITERIA (--set criterion=NAME, of methods that have it)")
    click.echo(f"  {', '.join(CRITERIA)}")
    click.echo("\nMETHODS (--method; settings with --set KEY=VALUE)")
    for name in METHODS:
        method = METHODS[name]
        _echo(name, method.summary(), method.defaults())
        click.echo(f"      paper: {method.paper}")


def _echo(name: str, summary: str, settings: dict[str, Any]) -> None:
    click.echo(f"  {click.style(name, bold=True)}: {summary}")
    if settings:
        click.echo(f"      {', '.join(f'{key}={_text(value)}' for key, value in settings.items())}")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{item:.3g}" if isinstance(item, float) else str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)
