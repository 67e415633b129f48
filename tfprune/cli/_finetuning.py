"""Options by which a command on a model's file takes a data set, to measure accuracy and to train what is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.cli._options import make_config
from tfprune.utils.checks import check_whole
from tfprune.utils.errors import ConfigError

if TYPE_CHECKING:
    from tfprune.experiments.on_files import Training
    from tfprune.training.config import Config

RESCALE = ("auto", "none", "unit", "signed")
OF_DATA = "the data set's"
_NAMES = ("dataset", "label", "missing", "data_dir", "assignments")
_OF_DATA = (
    click.option("--dataset", metavar="NAME|PATH", help="Data that the model tells apart; `tfprune list` has names."),
    click.option("--label", metavar="COLUMN", help="Column of a table that holds the labels (data.label)."),
    click.option("--missing", metavar="refuse|drop|impute", help="What becomes of missing cells (data.missing)."),
    click.option("--data-dir", metavar="FOLDER", type=click.Path(path_type=Path), help="Prepared data sets (TFDS)."),
    click.option(
        "--set",
        "assignments",
        metavar="data.KEY=VALUE",
        multiple=True,
        help="Any other setting of --dataset. May be repeated.",
    ),
    click.option(
        "--rescale",
        type=click.Choice(RESCALE),
        default="auto",
        show_default=True,
        help="Images to [0, 1] or [-1, 1]; auto: to [0, 1] unless the model scales them itself.",
    ),
)
_OF_TRAINING = (
    click.option("--finetune-epochs", type=int, default=0, show_default=True, help="Passes over --dataset."),
    click.option("--batch-size", type=int, help="Examples per step of fine-tuning.", show_default=OF_DATA),
    click.option("--learning-rate", type=float, help="Of fine-tuning.", show_default=OF_DATA),
    click.option("--optimizer", metavar="adam|adamw|sgd", help="Of fine-tuning.", show_default=OF_DATA),
    click.option("--seed", type=int, default=0, show_default=True, help="Root of all random draws."),
)


def data_options(command: Callable) -> Callable:
    """Adds the options of a data set; `data_of` takes them."""
    for option in reversed(_OF_DATA):
        command = option(command)
    return command


def finetuning_options(command: Callable) -> Callable:
    """Adds the options of a data set and of training on it; `training_of` takes them."""
    for option in reversed(_OF_TRAINING):
        command = option(command)
    return data_options(command)


def data_of(given: dict[str, Any], **settings: Any) -> tuple[Config | None, str]:
    """Takes what `data_options` added out of `given`.

    Args:
        given: option -> value.
        settings: further ones of the run whose data these are: a batch size, a seed.

    Returns:
        The settings by which the data are loaded, None without a data set; and how images are scaled.

    Raises:
        ConfigError: an option of a data set was given without one, or `--set` is of something else.
    """
    own = {name: given.pop(name) for name in _NAMES}
    rescale = given.pop("rescale")
    if own["dataset"] is None:
        if any(own.values()) or rescale != "auto":
            raise ConfigError("--dataset is missing: the other options of a data set are of no use without one")
        return None, rescale
    for text in own["assignments"]:
        if not text.startswith("data."):
            raise ConfigError(f"--set {text}: only settings of the data set can be given here, as data.KEY=VALUE")
    return make_config(None, own | settings), rescale


def of_a_run(given: dict[str, Any], backend: str | None) -> dict[str, Any]:
    """Returns what `data_options` added out of `given` for a run, which knows the rest.

    Raises:
        ConfigError: an option was given that is of model files alone.
    """
    config = {name: given.pop(name) for name in ("label", "missing", "assignments")} | {"backend": backend}
    rescale = given.pop("rescale")
    if wrong := [name for name, value in config.items() if value] + (["rescale"] if rescale != "auto" else []):
        name = {"assignments": "set"}.get(wrong[0], wrong[0])
        raise ConfigError(f"--{name} is of model files; a run's settings say it")
    return given


def training_of(given: dict[str, Any]) -> Callable[[], Training] | None:
    """Takes what `finetuning_options` added out of `given`; returns what loads the data set, None without one.

    Raises:
        ConfigError: an option is out of range, or one of training was given without a data set.
    """
    epochs, optimizer = given.pop("finetune_epochs"), given.pop("optimizer")
    batch_size, rate = given.pop("batch_size"), given.pop("learning_rate")
    seed = check_whole("--seed", given.pop("seed"), least=0)
    check_whole("--finetune-epochs", epochs, least=0)
    config, rescale = data_of(given, batch_size=batch_size, learning_rate=rate, optimizer=optimizer, seed=seed)
    if config is None and epochs:
        raise ConfigError("--dataset is missing: --finetune-epochs trains on it")
    if not epochs:
        for option, value in (("--learning-rate", rate), ("--optimizer", optimizer)):
            if value is not None:
                raise ConfigError(f"{option} is of the training that --finetune-epochs asks for, and there is none")
    if config is None:
        if batch_size is not None:
            raise ConfigError("--dataset is missing: --batch-size is of its examples")
        return None

    def training() -> Training:
        from tfprune.experiments.on_files import Training
        from tfprune.experiments.run_data import load_data

        settings = {**config.optimizer_settings, "learning_rate": config.learning_rate}
        return Training(load_data(config), epochs, config.batch_size, config.optimizer, settings, seed, rescale)

    return training
