"""`tfprune shrink`."""

from __future__ import annotations

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
CRITERIA = ("l1", "l2", "bn", "taylor", "random")


@click.command(cls=Command, short_help="Remove filters and units of a model in a file.")
@writes_a_model
@click.option("--keep", type=float, default=0.5, show_default=True, help="Share that stays, in (0, 1].")
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
    help="What they are ranked by; taylor needs --dataset.",
)
@click.option("--multiple", type=int, default=8, show_default=True, help="Widths are rounded to a multiple of it.")
@finetuning_options
def shrink(model: Path, out: Path, force: bool, as_json: bool, backend: str | None, **given: Any) -> None:
    """Remove filters and units of the trained model in file MODEL.

    MODEL is a .keras or .h5 file, or a SavedModel with Keras' layers. The filters and units that matter least go, with
    all weights that read them; the smaller model is written to --out in the format of MODEL, with its inputs and
    outputs. What went is missed at first: --finetune-epochs trains the rest.
    """
    check_choice("--granularity", given["granularity"], GRANULARITIES)
    check_choice("--criterion", given["criterion"], CRITERIA)
    check_whole("--multiple", given["multiple"], least=1)
    if not 0 < given["keep"] <= 1:
        raise ConfigError(f"--keep must be in (0, 1], got {given['keep']}")
    if given["criterion"] == "taylor" and given["dataset"] is None:
        raise ConfigError("--criterion taylor ranks by the loss on examples: add --dataset, or take l1")
    seed = given["seed"]
    training = training_of(given)
    start_logging(steps=True)
    from tfprune.experiments.on_files import shrink_file

    done = shrink_file(
        *(model, out),
        force=force,
        training=training,
        check=lambda found: check_backend(found, backend),
        seed=seed,
        **given,
    )
    echo_json(written_as_dict(done)) if as_json else echo_written(done, force)
