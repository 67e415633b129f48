"""`tfprune shrink`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tfprune.cli._finetuning import finetuning_options, training_of
from tfprune.cli._help import Command
from tfprune.cli._json import echo_json
from tfprune.cli._models import check_backend, echo_written, writes_a_model, written_as_dict
from tfprune.cli._terminal import start_logging
from tfprune.structured.widths import CRITERIA, DATA_CRITERIA, FLOOR, SCOPES
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import ConfigError

RUNTIMES = ("keras", "savedmodel", "tflite", "onnx")
TARGETS = ("parameters", "macs", "bytes", "latency")


@click.command(cls=Command, short_help="Remove filters and units of a model in a file.")
@writes_a_model("shrunk")
@click.option("--keep", type=float, help="Share that stays, in (0, 1]; without a target a half.")
@click.option("--target-parameters", type=float, help="Most parameters: a number, or a share in (0, 1).")
@click.option("--target-macs", type=float, help="Most multiply-adds: a number, or a share in (0, 1).")
@click.option("--target-bytes", type=float, help="Most bytes of weights: a number, or a share in (0, 1).")
@click.option("--target-latency", type=float, help="Most time as measured here: a share in (0, 1).")
@click.option(
    "--runtime",
    metavar="|".join(RUNTIMES),
    default=RUNTIMES[0],
    show_default=True,
    help="What --target-latency is measured of: the model, or an exported file.",
)
@click.option(
    "--scope",
    metavar="|".join(SCOPES),
    help="Rank within each group, across all, or among groups that are built alike.",
    show_default="layer, with a target global",
)
@click.option(
    "--floor", type=float, default=FLOOR, show_default=True, help="Least share of a group when groups compete."
)
@click.option(
    "--granularity",
    metavar="|".join(CRITERIA),
    default="filter",
    show_default=True,
    help="Remove filters and units, or whole residual branches.",
)
@click.option(
    "--criterion",
    metavar="|".join(CRITERIA["filter"]),
    default="l1",
    show_default=True,
    help=f"What they are ranked by; {', '.join(DATA_CRITERIA)} need --dataset.",
)
@click.option("--multiple", type=int, default=8, show_default=True, help="Widths are rounded to a multiple of it.")
@finetuning_options
def shrink(model: Path, out: Path, force: bool, as_json: bool, backend: str | None, **given: Any) -> None:
    """Remove filters and units of the trained model in file MODEL.

    MODEL is a .keras or .h5 file, or a SavedModel with Keras' layers. The filters and units that matter least go, with
    all weights that read them; the smaller model is written to --out in the format of MODEL, with its inputs and
    outputs. What went is missed at first: --finetune-epochs trains the rest.
    """
    check_choice("--granularity", given["granularity"], CRITERIA)
    check_choice("--criterion", given["criterion"], CRITERIA[given["granularity"]])
    check_whole("--multiple", given["multiple"], least=1)
    _check_amount(given)
    if given["criterion"] in DATA_CRITERIA and given["dataset"] is None:
        raise ConfigError(f"--criterion {given['criterion']} ranks by examples: add --dataset, or take l1")
    seed = given["seed"]
    training = training_of(given)
    start_logging(steps=True)
    from tfprune.experiments.on_files import shrink_file

    done = shrink_file(
        *(model, out),
        force=force,
        training=training,
        check=lambda found: check_backend(found.path, found.written_by, backend),
        seed=seed,
        **given,
    )
    echo_json(written_as_dict(done)) if as_json else echo_written(done, force)


def _check_amount(given: Mapping[str, Any]) -> None:
    """Raises `ConfigError` if it is not clear how much stays."""
    if given["keep"] is not None and not 0 < given["keep"] <= 1:
        raise ConfigError(f"--keep must be in (0, 1], got {given['keep']}")
    if sum(given[name] is not None for name in ("keep", *(f"target_{what}" for what in TARGETS))) > 1:
        raise ConfigError(f"say how much stays by one of --keep, {', '.join(f'--target-{what}' for what in TARGETS)}")
    if given["scope"] is not None:
        check_choice("--scope", given["scope"], SCOPES)
    check_choice("--runtime", given["runtime"], RUNTIMES)
