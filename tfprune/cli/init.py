"""`tfprune init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from tfprune.cli._help import Command
from tfprune.cli._options import make_config, run_options
from tfprune.cli._terminal import echo
from tfprune.models._user import is_function
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError
from tfprune.utils.files import atomic_write, written_to


@click.command(cls=Command, short_help="Write a commented file of settings.")
@click.argument("path", default=Path("tfprune.toml"), type=click.Path(path_type=Path))
@run_options()
@click.option("--method", metavar="NAME", help="Pruning method; `tfprune list` shows them.", show_default=Config.method)
@click.option("--seed", type=int, help="Root of all random draws.", show_default=str(Config.seed))
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(path: Path, force: bool, **given: Any) -> None:
    """Write a commented file of settings to PATH, by default tfprune.toml, for `tfprune train --config`.

    Beside it goes a JSON schema, by which editors complete names and mark what is wrong. The data of --dataset are
    looked at; every other option of `tfprune train` may be given too.
    """
    if path.suffix != ".toml":
        raise ConfigError(f"{path}: the file must end in .toml")
    if path.exists() and not force:
        raise ConfigError(f"{path}: is there already; --force replaces it")
    config = make_config(None, given)
    from tfprune.experiments.config_file import settings_file
    from tfprune.experiments.settings_schema import FILE, schema_text

    folder = config.data_dir and Path(config.data_dir)
    data = config.spec.load(folder, config.seed, config.stream) if config.has_own_data else None
    typed = {name: given[name] for name in ("dataset", "model") if given.get(name)}
    schema = path.with_name(FILE)
    for file, text in ((path, settings_file(config, data, typed, schema.name)), (schema, schema_text())):
        with written_to(file), atomic_write(file) as draft:
            draft.write_text(text, encoding="utf-8")
    train = ["tfprune", "train", "--config", str(path)]
    train += ["--model", config.model] if is_function(config.model) else []  # which no file may name alone
    echo(f"Wrote {path}, and {schema}, by which editors check it.", f"Next: {shlex.join(train)} --dry-run")
