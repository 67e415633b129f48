"""A JSON schema of files of settings, by which editors complete names and mark what is wrong.

Everything in it comes from the registries and docstrings that the settings themselves are checked by.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tfprune.adapters.backend import BACKENDS
from tfprune.adapters.tf_keras.optimizers import OPTIMIZERS
from tfprune.data._base import STREAMS
from tfprune.data._user import KINDS
from tfprune.data.objectives._base import CLASS_WEIGHTS
from tfprune.experiments.config_file import meanings
from tfprune.methods import METHODS
from tfprune.models import MODELS
from tfprune.structured.widths import DEFAULTS
from tfprune.training.config import ALIASES, Config, model_defaults
from tfprune.training.learning_rates import LEARNING_RATE_SCHEDULES
from tfprune.training.setting_checks import GRANULARITIES, LOOPS, PRECISIONS, SCOPES, STRATEGIES

DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that editors of TOML take
FILE = "tfprune.schema.json"
CHOICES = {  # setting -> the names that it takes, where it takes no others
    **{"backend": BACKENDS, "granularity": GRANULARITIES, "scope": SCOPES, "precision": PRECISIONS, "loop": LOOPS},
    **{"strategy": STRATEGIES, "learning_rate_schedule": LEARNING_RATE_SCHEDULES, "stream": STREAMS},
    **{"method": tuple(METHODS), "optimizer": tuple(OPTIMIZERS), "class_weight": CLASS_WEIGHTS},
}
LEAST = {"epochs": 1, "batch_size": 1, "seed": 0, "limit": 1, "warmup_epochs": 0}
TYPES = {
    **{"bool": ["boolean"], "int": ["integer"], "float": ["number"], "str": ["string"]},
    **{"tuple": ["array", "string"], "Mapping": ["object"], "checkpoint_every": ["string", "integer"]},
}


def settings_schema() -> dict[str, Any]:
    """Returns the schema of the files that `tfprune train --config` reads, JSON or TOML."""
    said = meanings(Config)
    fields = {own.name: own for own in dataclasses.fields(Config)}
    properties = {name: _setting(name, own.type, own.default, said.get(name, "")) for name, own in fields.items()}
    properties |= {old: properties[name] | {"deprecated": True} for old, name in ALIASES.items()}
    kinds = [KINDS[name] for name in KINDS]
    own_data = {key: value for kind in kinds for key, value in _properties(kind.defaults(), kind).items()}
    properties["data_settings"] |= {"properties": own_data | {"kind": {"enum": list(KINDS)}}}
    return {
        "$schema": DRAFT,
        "title": "Settings of a run of tfprune",
        "type": "object",
        "required": ["dataset"],
        "properties": properties,
        "additionalProperties": False,
        "allOf": [*_parts()],
    }


def schema_text() -> str:
    """Returns the schema as the text of a file."""
    return json.dumps(settings_schema(), indent=1, ensure_ascii=False) + "\n"


def _parts() -> Iterator[dict[str, Any]]:
    """Yields what the tables of settings hold, which depends on what was chosen."""
    for name in METHODS:
        yield _if("method", name, "settings", _properties(METHODS[name].defaults(), METHODS[name]))
    for name in MODELS:
        yield _if("model", name, "model_settings", _properties(model_defaults(name), MODELS[name]))
    for name, (_, defaults) in OPTIMIZERS.items():
        yield _if("optimizer", name, "optimizer_settings", _properties(defaults, None))
    for name, defaults in DEFAULTS.items():
        yield _if("granularity", name, "channel_settings", _properties(defaults, None))


def _if(setting: str, value: str, table: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    own = {"properties": properties, "additionalProperties": False}
    condition: dict[str, Any] = {"properties": {setting: {"const": value}}}
    if value != getattr(Config, setting, None):  # the default is meant where none is named too
        condition["required"] = [setting]
    return {"if": condition, "then": {"properties": {table: own}}}


def _setting(name: str, annotation: str, default: Any, meaning: str) -> dict[str, Any]:
    """Returns the schema of a setting of the run."""
    plain = annotation.removesuffix(" | None")
    types = TYPES.get(name) or TYPES[plain.partition("[")[0]]
    found: dict[str, Any] = {"description": meaning, "type": [*types, *(["null"] if plain != annotation else [])]}
    if name in CHOICES:
        found["enum"] = [*CHOICES[name], *([None] if plain != annotation else [])]
    if name in LEAST:
        found["minimum"] = LEAST[name]
    if name == "learning_rate":
        found["exclusiveMinimum"] = 0
    if default not in (None, dataclasses.MISSING, ()):
        found["default"] = default
    return found


def _properties(defaults: Mapping[str, Any], documented: Any) -> dict[str, Any]:
    """Returns the schemas of settings whose types their defaults show."""
    said = {} if documented is None else meanings(documented)
    found: dict[str, Any] = {}
    for name, value in defaults.items():
        own: dict[str, Any] = {"description": said[name]} if said.get(name) else {}
        if isinstance(value, bool):
            own["type"] = "boolean"
        elif isinstance(value, (int, float)):
            own["type"] = ["number", "null"]
        elif isinstance(value, str):
            own["type"] = ["string", "array"] if name in ("label", "classes") else "string"
        elif isinstance(value, (tuple, list)):
            own["type"] = ["array", "string", "number"]
        found[name] = own | ({} if value is None else {"default": value})
    return found
