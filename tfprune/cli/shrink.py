"""`tfprune shrink`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tfprune.cli._finetuning import finetuning_options, training_of
from tfprune.cli._help import Command
from tfprune.cli._json import echo_json
from tfprune.cli._models import check_backend, echo_written, writes_a_model, written_as_dict
from tfprune.cli._terminal import start_logging
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import ConfigError

GRANULARITIES = ("filter", "branch")
CRITERIA = ("l1", "l2", "bn", "fpgm", "taylor", "taylor2", "activation", "random")
FROM_DATA = ("taylor", "taylor2", "activation")  # criteria that look at examples
SCOPES = ("layer", "global", "isomorphic")
MEASURED = 8  # made-up examples, by which latency is measured
TARGETS = ("parameters", "macs", "bytes", "latency")


@click.command(cls=Command, short_help="Remove filters and units of a model in a file.")
@writes_a_model
@click.option("--keep", type=float, help="Share that stays, in (0, 1].", show_default="0.5")
@click.option("--target-parameters", type=float, help="Most parameters: a number, or a share in (0, 1).")
@click.option("--target-macs", type=float, help="Most multiply-adds: a number, or a share in (0, 1).")
@click.option("--target-bytes", type=float, help="Most bytes of float32 weights: a number, or a share in (0, 1).")
@click.option("--target-latency", type=float, help="Most time of an answer, a share in (0, 1), as measured here.")
@click.option(
    "--granularity",
    metavar="|".join(GRANULARITIES),
    default="filter",
    show_default=True,
    help="Remove filters and units, or whole residual branches.",
)
@click.option(
    "--criterion",
    metavar="|".join(CRITERIA),
    default="l1",
    show_default=True,
    help=f"What they are ranked by; {', '.join(FROM_DATA)} need --dataset.",
)
@click.option(
    "--scope",
    metavar="|".join(SCOPES),
    help="Keep the same share of each group, or rank the channels of all against each other.",
    show_default="layer; global with a target",
)
@click.option("--multiple", type=int, default=8, show_default=True, help="Widths are rounded to a multiple of it.")
@finetuning_options
def shrink(model: Path, out: Path, force: bool, as_json: bool, backend: str | None, **given: Any) -> None:
    """Remove filters and units of the trained model in file MODEL.

    MODEL is a .keras or .h5 file, or a SavedModel with Keras' layers. The filters and units that matter least go, with
    all weights that read them; the smaller model is written to --out in the format of MODEL, with its inputs and
    outputs. What went is missed at first: --finetune-epochs trains the rest.
    """
    targets = {f"target_{name}": given.pop(f"target_{name}") for name in TARGETS}
    _check(given, targets)
    settings = targets | {name: given.pop(name) for name in ("keep", "granularity", "criterion", "scope", "multiple")}
    settings["seed"] = given["seed"]
    training = training_of(given)
    start_logging(steps=True)
    from tfprune.experiments.on_files import shrink_file

    done = shrink_file(
        *(model, out, functools.partial(_smaller, settings)),
        force=force,
        training=training,
        check=lambda found: check_backend(found, backend),
    )
    echo_json(written_as_dict(done)) if as_json else echo_written(done, force)


def _check(given: Mapping[str, Any], targets: Mapping[str, float | None]) -> None:
    """Raises `ConfigError` if an option is out of range, or at odds with another one."""
    check_choice("--granularity", given["granularity"], GRANULARITIES)
    check_choice("--criterion", given["criterion"], CRITERIA)
    check_whole("--multiple", given["multiple"], least=1)
    if given["scope"] is not None:
        check_choice("--scope", given["scope"], SCOPES)
    asked = [name for name, value in {"keep": given["keep"], **targets}.items() if value is not None]
    if len(asked) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise ConfigError(f"say how much stays by one option, got {options}")
    if given["keep"] is not None and not 0 < given["keep"] <= 1:
        raise ConfigError(f"--keep must be in (0, 1], got {given['keep']:g}")
    if given["criterion"] in FROM_DATA and given["dataset"] is None:
        raise ConfigError(f"--criterion {given['criterion']} looks at examples: add --dataset, or take l1")


def _smaller(settings: Mapping[str, Any], model: Any, examples: Any) -> Any:
    from tfprune.api import shrink as shrunk

    data = examples
    if data is None and settings["target_latency"] is not None:
        from tfprune.exporting.named import examples_like

        data = examples_like(model, MEASURED)
        data = next(iter(data.values())) if len(data) == 1 else data
    return shrunk(model, **settings, data=data)
