"""A run's settings as a TOML file for people: those that were asked for, and all others with what they mean."""

from __future__ import annotations

import inspect
import json
import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tfprune.adapters.tf_keras.optimizers import OPTIMIZERS
from tfprune.data._base import SPLITS, Data
from tfprune.data._user import KIND, KINDS, asked_of
from tfprune.data.objectives import DEFAULT
from tfprune.models import MODELS
from tfprune.models._user import FINGERPRINT
from tfprune.structured.widths import DEFAULTS, check_channel_settings
from tfprune.training.config import Config, model_defaults
from tfprune.utils.text import printable

ALWAYS = ("dataset", "method", "model", "epochs", "batch_size", "optimizer", "learning_rate", "seed")
WIDTH = 100
MAX_NAMES = 12  # of classes or columns that are spelled out


def settings_file(
    config: Config, data: Data | None = None, typed: Mapping[str, str] | None = None, schema: str | None = None
) -> str:
    """Returns TOML that `settings_files.read_settings` and `Config.from_dict` make the same settings of.

    Args:
        config: the settings.
        data: the run's, to be described; None where they are no person's own.
        typed: setting -> a path as a person wrote it, which stays so.
        schema: name of a file beside it with its JSON schema, for editors.
    """
    lines = [
        *([f"#:schema {schema}", ""] if schema else []),
        f"# Settings of a run on {config.data_name}. A line like `# name = value` shows a default: take the # away and",
        "# change it. Paths that are not absolute start where the command is called.",
        "",
        *([*(f"# {line}" for line in describe_data(data)), ""] if data else []),
        *_run(config, typed or {}),
    ]
    owners = {"settings": f"method {config.method}", "model_settings": f"model {config.model}"}
    owners |= {
        "optimizer_settings": f"optimizer {config.optimizer}",
        "channel_settings": f"granularity {config.granularity}",
    }
    for name, (own, defaults, doc) in _tables(config).items():
        lines += [f"[{name}]  # of {owners.get(name, config.data_name)}", *_settings(own, defaults, meanings(doc))]
    return "\n".join(lines).rstrip() + "\n"


def describe_data(data: Data) -> Iterator[str]:
    """Yields lines on what was found in a user's data."""
    counts = data.class_counts()
    sizes = ", ".join(f"{len(getattr(data, split)):,} for {split}" for split in SPLITS)
    yield f"Examples: {sizes}."
    inputs = data.inputs["serving_default"]
    names = [
        f"{inputs.columns.get(name, name)} ({'text' if kind == 'string' else 'numbers'})"
        for name, (kind, shape) in inputs.signature.items()
        if not shape
    ]
    if names:
        yield from _wrapped(f"Columns: {_few(names)}.")
    else:
        yield f"An example has the shape {' x '.join(map(str, data.input_shape))}."
    if data.objective.name == DEFAULT:
        total = {label: sum(own[label] for own in counts.values()) for label in data.labels}
        yield from _wrapped(
            f"Classes ({data.target}): {_few([f'{label} {count:,}' for label, count in total.items()])}."
        )
    else:
        yield from _wrapped(f"Task {data.objective.name}, {data.objective.told}: {_few(list(data.labels))}.")
    for warning in (*data.notes, *data.warnings, data.imbalance()):
        yield from _wrapped(warning or "")


def _few(names: list[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _run(config: Config, typed: Mapping[str, str]) -> Iterator[str]:
    settings = config.to_dict()
    asked = {"dataset": config.dataset}
    own = {"data_settings": asked_of(config.data_settings)} if config.has_own_data else {}
    defaults = Config(**asked, **own, method=config.method).to_dict()
    plain = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    live = {key: value for key, value in plain.items() if key in ALWAYS or value != defaults[key]}
    live |= {name: path for name, path in typed.items() if live.get(name) == os.path.abspath(path)}
    order = {key: defaults[key] for key in (*ALWAYS, *plain)}
    yield from _settings(live, order, meanings(Config))


def _tables(config: Config) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any], Any]]:
    """Returns table -> the settings that are not default, the defaults, and who documents them."""
    plain = config.to_dict()
    method, optimizer = type(config.pruning), OPTIMIZERS[config.optimizer]
    known: dict[str, tuple[Mapping[str, Any], Any]] = {
        "settings": (method.defaults(), method),
        "model_settings": _of_model(config),
        "optimizer_settings": (optimizer[1], None),
    }
    if config.removes:
        known["channel_settings"] = (DEFAULTS[config.granularity], check_channel_settings)
    tables = {
        name: ({key: value for key, value in plain[name].items() if key != FINGERPRINT}, defaults, doc)
        for name, (defaults, doc) in known.items()
    }
    tables = {
        name: ({key: value for key, value in own.items() if value != _listed(defaults.get(key))}, defaults, doc)
        for name, (own, defaults, doc) in tables.items()
    }
    if config.has_own_data:
        kind = KINDS[config.data_settings[KIND]]
        defaults = {key: value for key, value in kind.defaults().items() if key not in kind.found}
        tables = {"data_settings": (asked_of(config.data_settings), defaults, kind)} | tables
    return {name: table for name, table in tables.items() if table[0] or table[1]}


def _of_model(config: Config) -> tuple[Mapping[str, Any], Any]:
    if config.has_own_model:
        return {}, None
    settings = config.spec.model_settings if config.model == config.spec.model else {}
    return model_defaults(config.model) | dict(settings), MODELS[config.model]


def _settings(live: Mapping[str, Any], defaults: Mapping[str, Any], meanings: Mapping[str, str]) -> Iterator[str]:
    """Yields one line per setting after those that say what it means, and an empty one."""
    for name in dict.fromkeys((*defaults, *live)):
        yield from (f"# {line}" for line in _wrapped(meanings.get(name, "")))
        if name in live:
            yield f"{name} = {_toml(live[name])}"
        else:
            yield f"# {name} = {_toml(defaults[name]) if defaults[name] is not None else '...'}"
        yield ""


def meanings(documented: Any) -> dict[str, str]:
    """Returns what a docstring's `Args:` say: name -> text; of a class, those of the classes that it comes from too."""
    found: dict[str, str] = {}
    for one in reversed(documented.__mro__) if inspect.isclass(documented) else (documented,):
        text = inspect.cleandoc(one.__doc__ or "") if one is not object else ""
        arguments = re.search(r"^Args:\n((?: +.*\n?|\n)*)", text, re.MULTILINE)
        for names, meaning in re.findall(
            r"^    (\w[\w, ]*): (.*(?:\n     .*)*)", arguments[1] if arguments else "", re.M
        ):
            text = re.sub(r",? see `[a-z0-9_.]+`", "", " ".join(meaning.split()))  # a file of the package
            name = text.startswith("`")  # of a value, which stays as it is written
            text = re.sub(r"\bNone\b", "left out", text.replace("`", ""))  # which TOML does not have
            found |= dict.fromkeys(names.split(", "), text if name else text[:1].upper() + text[1:])
    return found


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(printable(" ".join(text.split())), WIDTH - 2)  # TOML has no control characters in comments


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _toml(value: Any) -> str:
    """Returns a value as TOML has it, on one line.

    >>> _toml({"a": [1, 2.5, True], "b c": "1 \\" 2"})
    '{ a = [1, 2.5, true], "b c" = "1 \\\\" 2" }'
    """
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)  # numbers and true and false are written alike


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
