"""Settings of a run that lead out of its folder count only if they are typed in this command, or it says --trust.

A run's folder may have come from anywhere: `mlflow` opens connections, `data_dir`, a data set's path and a model's file
read what is there, a model's function is imported.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from tfprune.adapters.loading.trust import check_function, trust_function, trusted
from tfprune.data._user import asked_of, is_in_a_collection, is_user_data
from tfprune.models._user import FINGERPRINT, is_application, is_function, is_user_model
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError

log = logging.getLogger(__name__)

ASIDE = {"mlflow": "--mlflow", "data_dir": "--data-dir"}  # settings that a run can do without, and their options


def takes_data(command: Callable) -> Callable:
    """Adds the options that say where a run's data are."""
    for option in (
        click.option(
            "--data-dir", metavar="FOLDER", type=click.Path(path_type=Path), help="Prepared data sets (TFDS, OpenML)."
        ),
        click.option("--dataset", metavar="PATH", help="The run's data set, if it is a file or folder of yours."),
    ):
        command = option(command)
    return command


def with_typed(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's settings without those places that nobody has typed, and says which they are.

    Args:
        values: the settings as they are stored.
        given: option -> what was typed, or None.
    """
    if trusted():
        return dict(values)
    aside = [name for name in ASIDE if values.get(name) is not None and given.get(name) is None]
    if aside:
        log.warning(
            "left aside, as nobody typed it: %s; to have it, add %s, or --trust",
            ", ".join(f"{name}={values[name]}" for name in aside),
            " ".join(f"{ASIDE[name]} {values[name]}" for name in aside),
        )
    return {name: value for name, value in values.items() if name not in aside}


def check_typed(values: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Looks at a run's settings before anything that they name is opened.

    Args:
        values: the settings as they are stored.
        given: option -> what was typed, or None.

    Raises:
        ConfigError: the data set or the model is a file or folder that nobody typed.
    """
    if trusted():
        return
    dataset, model = values.get("dataset"), values.get("model")
    if is_user_data(dataset) and not is_in_a_collection(dataset) and given.get("dataset") is None:
        raise ConfigError(f"the run's data set is read only if it is typed: add --dataset {dataset}, or --trust")
    is_file = is_user_model(model) and not is_function(model) and not is_application(model)
    if is_file and given.get("model") is None:
        raise ConfigError(f"the run's model is read only if it is typed: add --model {model}, or --trust")


def as_typed(config: Config, given: Mapping[str, Any]) -> Config:
    """Returns the settings of a run, with its data where they were typed to be.

    Args:
        config: as it is stored.
        given: option -> what was typed, or None: `mlflow`, `data_dir`, `dataset`.

    Raises:
        ConfigError: the data set is a file or folder that nobody typed.
    """
    dataset = given.get("dataset")
    if not config.has_own_data and dataset is not None:
        raise ConfigError(f"--dataset names files of your own; this run's data set is {config.dataset}")
    if config.has_own_data and not is_in_a_collection(config.dataset) and dataset is None and not trusted():
        raise ConfigError(f"the run's data set is read only if it is typed: add --dataset {config.dataset}, or --trust")
    typed = {name: given[name] for name in ASIDE if given.get(name) is not None}
    kept = with_typed({name: getattr(config, name) for name in ASIDE}, given)
    places = {name: typed.get(name, kept.get(name)) for name in ASIDE}
    asked = {**asked_of(config.data_settings), "task": config.task} if dataset is not None else {}
    own = {} if dataset is None else {"dataset": dataset, "data_settings": asked}
    return config.replace(**places, **own)


def again(given: Mapping[str, Any]) -> str:
    """Returns the options of places as they were typed, to be typed once more."""
    options = ASIDE | {"dataset": "--dataset", "model": "--model"}
    words = [word for name, option in options.items() if given.get(name) is not None for word in (option, given[name])]
    return "".join(f" {shlex.quote(str(word))}" for word in words)


def places_of(config: Config, *names: str) -> str:
    """Returns the options of a run's places that count only if they are typed.

    Args:
        config: of the run.
        names: of the places: `mlflow`, `data_dir`, `dataset`, `model`; all if none is named.
    """
    own_data = config.has_own_data and not is_in_a_collection(config.dataset)
    own_model = config.has_own_model and not is_application(config.model)
    places = {name: getattr(config, name) for name in ASIDE}
    places |= {"dataset": config.dataset if own_data else None, "model": config.model if own_model else None}
    return again({name: places[name] for name in names or places})


def resuming(config: Config, folder: Path) -> str:
    """Returns the command that goes on with a run of one's own."""
    return f"tfprune resume {shlex.quote(str(folder))}{places_of(config)}"


def with_model(config: Config, model: str | None) -> Config:
    """Returns the settings of a run that goes on, with its model from where it was typed to be.

    Raises:
        ConfigError: the model is a file that nobody typed.
        ModelError: it is a function that nobody typed.
    """
    if not is_user_model(config.model) or is_application(config.model):
        if model is not None:
            raise ConfigError(f"--model names a model of your own; this run's is {config.model}")
        return config
    if is_function(config.model):
        if model is not None and is_function(model):
            trust_function(model)
        check_function(config.model)
        return config
    if model is None and not trusted():
        raise ConfigError(f"the run's model is read only if it is typed: add --model {config.model}, or --trust")
    settings = {key: value for key, value in config.model_settings.items() if key != FINGERPRINT}
    return config if model is None else config.replace(model=model, model_settings=settings)
