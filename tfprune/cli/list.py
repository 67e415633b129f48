"""`tfprune list`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from tfprune.cli._help import Command
from tfprune.cli._terminal import echo
from tfprune.data import DATASETS
from tfprune.methods import METHODS
from tfprune.models import MODELS
from tfprune.pruning.criteria import CRITERIA
from tfprune.training.config import model_defaults


@click.command("list", cls=Command, short_help="List data sets, models and methods.")
def list_names() -> None:
    """List data sets, models and methods with their settings."""
    echo("DATA SETS (--dataset)")
    for name in DATASETS:
        spec = DATASETS[name]
        training = {"model": spec.model, "epochs": spec.epochs, "batch_size": spec.batch_size}
        _echo(name, spec.summary, training | {"learning_rate": spec.learning_rate, "optimizer": spec.optimizer})
        echo(f"      source: {spec.source}")
    echo("", "MODELS (--model; settings with --set model.KEY=VALUE)")
    for name in MODELS:
        _echo(name, inspect.getdoc(MODELS[name]).splitlines()[0], model_defaults(name))
    echo("", "CRITERIA (--set criterion=NAME, of methods that have it)")
    echo(f"  {', '.join(CRITERIA)}")
    echo("", "METHODS (--method; settings with --set KEY=VALUE)")
    for name in METHODS:
        method = METHODS[name]
        _echo(name, method.summary(), method.defaults())
        echo(f"      paper: {method.paper}")


def _echo(name: str, summary: str, settings: dict[str, Any]) -> None:
    echo(f"  {name}: {summary}", bold=name)
    if settings:
        echo(f"      {', '.join(f'{key}={_text(value)}' for key, value in settings.items())}")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{item:.3g}" if isinstance(item, float) else str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)
