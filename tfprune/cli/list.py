"""`tfprune list`."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._terminal import echo
from tfprune.data import DATASETS
from tfprune.data.objectives import OBJECTIVES, primary_metric
from tfprune.exporting.formats import FORMATS, QUANTIZED
from tfprune.methods import METHODS
from tfprune.models import MODELS
from tfprune.pruning.criteria import CRITERIA
from tfprune.training.config import model_defaults

GRANULARITIES = {  # what --granularity can be, and what goes then
    "weight": "zeroes single weights",
    "block": "zeroes blocks of weights, --set pattern=4x1",
    "n:m": "zeroes all but n in every m weights, --set pattern=2:4",
    "filter": "removes filters and units, with all weights that read them: a smaller model",
    "branch": "removes whole residual branches: a model of fewer layers",
}


@click.command("list", cls=Command, short_help="List data sets, models and methods.")
@json_option
def list_names(as_json: bool) -> None:
    """List data sets, models and methods with their settings; tasks, granularities and export formats."""
    if as_json:
        echo_json(_as_dict())
        return
    echo("DATA SETS (--dataset)")
    for name in DATASETS:
        spec = DATASETS[name]
        training = {"model": spec.model, "epochs": spec.epochs, "batch_size": spec.batch_size}
        _echo(name, spec.summary, training | {"learning_rate": spec.learning_rate, "optimizer": spec.optimizer})
        echo(f"      source: {spec.source}")
    echo("", "MODELS (--model; settings with --set model.KEY=VALUE)")
    for name in MODELS:
        _echo(name, inspect.getdoc(MODELS[name]).splitlines()[0], model_defaults(name))
    echo("", "TASKS (--task; the metric by which methods are compared, and the others)")
    for name in OBJECTIVES:
        others = [own for own in OBJECTIVES[name].metrics if own != OBJECTIVES[name].primary]
        echo(f"  {name}: {primary_metric(name).better}; {', '.join(others)}", bold=name)
    echo("", "CRITERIA (--set criterion=NAME, of methods that have it)")
    echo(f"  {', '.join(CRITERIA)}")
    echo("", "GRANULARITIES (--granularity)")
    for name, summary in GRANULARITIES.items():
        echo(f"  {name}: {summary}", bold=name)
    echo("", "FORMATS (tfprune export --format)")
    for name in FORMATS:
        how = QUANTIZED.get(name)
        echo(f"  {name}{f': --quantize {chr(124).join(how)}' if how else ''}", bold=name)
    echo("", "METHODS (--method; settings with --set KEY=VALUE)")
    for name in METHODS:
        method = METHODS[name]
        _echo(name, method.summary(), method.defaults())
        echo(f"      granularities: {', '.join(method.granularities)}", f"      paper: {method.paper}")


def _as_dict() -> dict[str, Any]:
    sets = {name: DATASETS[name] for name in DATASETS}
    names = ("summary", "source", "model", "epochs", "batch_size", "learning_rate", "optimizer")
    methods = {name: METHODS[name] for name in METHODS}
    return {
        "datasets": {name: {key: getattr(spec, key) for key in names} for name, spec in sets.items()},
        "models": {name: model_defaults(name) for name in MODELS},
        "tasks": {
            name: {"compared_by": OBJECTIVES[name].primary, "metrics": list(OBJECTIVES[name].metrics)}
            for name in OBJECTIVES
        },
        "criteria": list(CRITERIA),
        "methods": {
            name: {
                "summary": method.summary(),
                "settings": method.defaults(),
                "paper": method.paper,
                "granularities": method.granularities,
            }
            for name, method in methods.items()
        },
        "granularities": GRANULARITIES,
        "formats": {name: {"quantize": QUANTIZED.get(name, ())} for name in FORMATS},
    }


def _echo(name: str, summary: str, settings: dict[str, Any]) -> None:
    echo(f"  {name}: {summary}", bold=name)
    if settings:
        echo(f"      {', '.join(f'{key}={_text(value)}' for key, value in settings.items())}")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{item:.3g}" if isinstance(item, float) else str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)
