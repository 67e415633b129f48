"""Commands that are suggested: the same experiment as the one at hand, with every setting that is not default."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tfprune.data._user import asked_of, is_user_data
from tfprune.methods import BASELINE, METHODS, TRIALS
from tfprune.models._user import FINGERPRINT
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError

_PARTS = {"model_settings": "model", "optimizer_settings": "optimizer", "channel_settings": "channels"}
_OPTIONS = (  # settings with an option of their own name
    *("model", "backend", "epochs", "batch_size", "learning_rate", "optimizer", "scope", "granularity", "exclude"),
    *("precision", "strategy", "checkpoint_every", "out", "mlflow", "data_dir", "stream", "metrics", "class_weight"),
)
_SWITCHES = ("xla", "deterministic")
_ELSEWHERE = ("dataset", "data_settings", "method", "settings", "seed", *_PARTS)


def compare_command(config: Config, seeds: int = 3, typed: Collection[str] | None = None) -> str:
    """Returns the command that compares a run with other methods over several seeds, its own among them.

    Args:
        config: of the run.
        seeds: how many.
        typed: see `experiment_options`.
    """
    words = ["tfprune", "compare", *experiment_options(config, typed)]
    default = _default(config)
    method, setting = config.pruning, config.pruning.sparsity_setting
    own = {key: value for key, value in config.settings.items() if value != default.settings[key]}
    sparsity = own.pop(setting, None)
    if config.units is not None and config.units.text != default.pattern:
        sparsity = None if config.granularity == "n:m" else sparsity  # the pattern says it
    if sparsity is not None:
        words += ["--sparsity", _text(sparsity)]
    names = [name for name in TRIALS if name == BASELINE or _can_do(name, config)]
    names = dict.fromkeys([*names, config.method])
    alike = sparsity is None and config.granularity != "n:m" and setting is not None
    level = method.requested_sparsity if alike and own else default.pruning.requested_sparsity
    given = {name: own if name == config.method else {} for name in names}
    if level != default.pruning.requested_sparsity:  # by a setting that the others do not have
        for name in names:
            if name != config.method and (key := METHODS[name].sparsity_setting):
                given[name] = {key: level}
    if list(names) != list(TRIALS) or any(given.values()):
        words += ["--methods", ",".join(_with_settings(name, values) for name, values in given.items())]
    words += ["--seeds", str(seeds)]
    return shlex.join([*words, *(["--first-seed", str(config.seed)] if config.seed >= seeds else [])])


def _can_do(method: str, config: Config) -> bool:
    """Returns whether a method, with its own settings, prunes what a run does, in as many epochs."""
    try:
        METHODS[method]().check(config.epochs)
    except ConfigError:
        return False
    return config.granularity in METHODS[method].granularities


def train_command(config: Config, *options: str) -> str:
    """Returns the command that trains with the settings of a run, of another method, and further options."""
    return shlex.join(["tfprune", "train", *experiment_options(config), *options])


def experiment_options(config: Config, typed: Collection[str] | None = None) -> list[str]:
    """Returns the options for the settings of a run but for its method and its seed, without what is default.

    Args:
        config: of the run.
        typed: settings of own data that were chosen by a person, and not found in the data; None if nobody knows.
    """
    default = _default(config)
    plain = Config(dataset=config.dataset, data_settings=config.data_settings, method=config.method)
    words = ["--dataset", _path(config.dataset), *_data_options(config, typed)]
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        usual = getattr(plain if name in ("model", "optimizer", "granularity") else default, name)
        if name in _ELSEWHERE or value == usual:
            continue
        option = f"--{name.replace('_', '-')}"
        if name in _SWITCHES:
            words.append(option if value else f"--no-{name}")
        elif name in _OPTIONS:
            words += [option, ",".join(value) if isinstance(value, tuple) else str(value)]
        else:
            words += ["--set", f"{name}={_text(value)}"]
    for part, prefix in _PARTS.items():
        usual = getattr(default, part)
        for key, value in getattr(config, part).items():
            if key != FINGERPRINT and (key not in usual or value != usual[key]):
                words += ["--set", f"{prefix}.{key}={_text(value)}"]
    return words


def _default(config: Config) -> Config:
    """Returns the settings that a run would have if none but its parts had been chosen; opens no file."""
    found = {key: value for key, value in config.model_settings.items() if key == FINGERPRINT}
    return Config(
        dataset=config.dataset,
        data_settings=config.data_settings,
        method=config.method,
        model=config.model,
        model_settings=found,
        optimizer=config.optimizer,
        granularity=config.granularity,
    )


def _path(dataset: str) -> str:
    """Returns the path of own data as it is typed in this folder."""
    try:
        near = str(Path(dataset).relative_to(Path.cwd()))
    except (ValueError, FileNotFoundError):  # elsewhere, no path, or this folder was removed
        return dataset
    return near if is_user_data(near) else os.path.join(".", near)


def _data_options(config: Config, typed: Collection[str] | None) -> list[str]:
    words = []
    for key, value in asked_of(config.data_settings).items() if config.has_own_data else ():
        if typed is not None and key not in typed:
            continue
        if key == "label":
            words += [word for name in ([value] if isinstance(value, str) else value) for word in ("--label", name)]
        else:
            words += (
                [f"--{key}", value] if key in ("missing", "task", "text") else ["--set", f"data.{key}={_text(value)}"]
            )
    return words


def _with_settings(method: str, settings: Mapping[str, Any]) -> str:
    return ":".join((method, *(f"{key}={_text(value)}" for key, value in settings.items())))


def _text(value: Any) -> str:
    """Returns a value as `--set` reads it: text as it is unless it would be read as something else."""
    if not isinstance(value, str):
        return json.dumps(value, separators=(",", ":"))
    try:
        json.loads(value)
    except ValueError:
        return value if value == value.strip() else json.dumps(value)
    return json.dumps(value)
