"""Settings before they are a `Config`: read from files, with assignments from a command line."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from tfprune.methods import METHODS
from tfprune.training.config import ALIASES, Config, without_aliases
from tfprune.utils.errors import ConfigError, choose_from
from tfprune.utils.files import MEGABYTE, read_text

MAX_SETTINGS = 32 * MEGABYTE  # bytes of a file of settings


def read_settings(path: Path) -> dict[str, Any]:
    """Reads settings from a `.json` or `.toml` file.

    Raises:
        ConfigError: the file cannot be read or is not a table of settings.
    """
    if path.suffix not in (".json", ".toml"):
        raise ConfigError(f"{path}: a config file must end in .json or .toml")
    try:
        content = read_text(path, MAX_SETTINGS, "utf-8-sig")
        values = json.loads(content) if path.suffix == ".json" else _toml().loads(content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # of JSON, of TOML and of UTF-8 alike; nested without end
        raise ConfigError(f"{path}: this is not {path.suffix[1:].upper()} ({error})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: the settings must be a table of names and values, got {type(values).__name__}")
    return without_aliases(values)


def with_assignments(values: Mapping[str, Any], assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Adds `KEY=VALUE` settings to a table of settings.

    A key is a setting of the run, or one of the method; `model.NAME`, `optimizer.NAME`, `channels.NAME` and
    `data.NAME` reach the settings of those.
    """
    result = dict(values)
    fields = [field.name for field in dataclasses.fields(Config)]
    method = METHODS[result.get("method", "dynamic")]
    for key, value in assignments.items():
        key = ALIASES.get(key, key)
        owner, dot, name = key.partition(".")
        if dot and owner in ("model", "optimizer", "channels", "data"):
            part = f"{owner.removesuffix('s')}_settings"
            result[part] = {**result.get(part, {}), name: value}
        elif key in method.defaults():
            result["settings"] = {**result.get("settings", {}), key: value}
        elif key in fields:
            result[key] = value
        else:
            choices = [*method.defaults(), *fields]
            raise ConfigError(f"unknown setting {key!r}: {choose_from(key, choices)}")
    return result


def with_sparsity(values: Mapping[str, Any], sparsity: float) -> dict[str, Any]:
    """Sets the final sparsity under the name that the method has for it."""
    name = values.get("method", "dynamic")
    setting = METHODS[name].sparsity_setting
    if setting is None:
        raise ConfigError(f"method {name} prunes nothing, so it takes no sparsity")
    return with_assignments(values, {setting: sparsity})


def _toml() -> ModuleType:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib
    import tomli

    return tomli
