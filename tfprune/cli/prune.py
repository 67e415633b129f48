"""`tfprune prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.cli._finetuning import finetuning_options, training_of
from tfprune.cli._help import Command
from tfprune.cli._json import echo_json
from tfprune.cli._models import check_backend, echo_written, writes_a_model, written_as_dict
from tfprune.cli._terminal import start_logging
from tfprune.methods._base import ZEROED
from tfprune.training.setting_checks import WEIGHT_SCOPES
from tfprune.utils.checks import check_choice, check_fraction, check_names
from tfprune.utils.errors import ConfigError


@click.command(cls=Command, short_help="Zero the smallest weights of a model in a file.")
@writes_a_model("pruned")
@click.option("--sparsity", metavar="FRACTION", type=float, help="Share of the kernel weights to zero, in [0, 1).")
@click.option(
    "--scope",
    metavar="|".join(WEIGHT_SCOPES),
    default="layer",
    show_default=True,
    help="Rank weights within each layer or across all of them.",
)
@click.option(
    "--granularity",
    metavar="|".join(ZEROED),
    default="weight",
    show_default=True,
    help="Zero single weights, blocks of them, or all but n in every m.",
)
@click.option("--pattern", metavar="4x1|2:4", help="Sides of a block, or n and m.")
@click.option("--pooling", metavar="avg|max", help="What a block is worth: the mean or the highest of its magnitudes.")
@click.option("--exclude", metavar="LAYER,...", default="", help="Layers never pruned: names, `first`, `last`.")
@click.option("--include", metavar="WEIGHT,...", default="", help="Other weights to prune; see `tfprune summary`.")
@finetuning_options
def prune(
    model: Path, out: Path, exclude: str, include: str, force: bool, as_json: bool, backend: str | None, **given: Any
) -> None:
    """Zero the smallest weights of the trained model in file MODEL.

    MODEL is a .keras or .h5 file of Keras 3 or tf_keras, or a SavedModel with Keras' layers. The weights that it holds
    are pruned: nothing is trained unless --finetune-epochs asks for it, and then the zeros stay. The sparse model is
    written to --out in the format of MODEL.
    """
    check_choice("--scope", given["scope"], WEIGHT_SCOPES)
    check_choice("--granularity", given["granularity"], ZEROED)
    if given["sparsity"] is not None:
        check_fraction("--sparsity", given["sparsity"])
    elif given["granularity"] != "n:m":
        raise ConfigError("--sparsity is missing: 0.5 zeroes half of the kernel weights")
    training = training_of(given)
    start_logging(steps=True)
    from tfprune.experiments.on_files import prune_file

    done = prune_file(
        *(model, out),
        force=force,
        training=training,
        check=lambda found: check_backend(found.path, found.written_by, backend),
        exclude=check_names("--exclude", exclude),
        include=check_names("--include", include),
        **given,
    )
    echo_json(written_as_dict(done)) if as_json else echo_written(done, force)
