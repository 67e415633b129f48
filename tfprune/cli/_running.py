"""What the commands that train one run do."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

from tfprune.cli._json import echo_json
from tfprune.cli._models import quoted
from tfprune.cli._output import echo_result, result_as_dict
from tfprune.cli._suggestions import compare_command
from tfprune.cli._terminal import echo, start_logging
from tfprune.cli._typed import places_of, resuming
from tfprune.experiments.results import Result, find_result, tidy
from tfprune.experiments.rundir import RunDir
from tfprune.training.config import Config

HIGH_SPARSITY = 0.85  # from which on ranking across layers was better, with these methods
BETTER_ACROSS = ("dynamic", "fine_tuned", "gradual", "lottery", "rate_rewinding")


def train_and_report(
    config: Config, *, force: bool = False, as_json: bool = False, typed: Collection[str] | None = None
) -> None:
    """Trains a run, or goes on with it, and prints what came out.

    Args:
        config: its settings.
        force: repeat a finished run.
        as_json: print JSON alone.
        typed: see `experiment_options`.
    """
    start_logging(steps=True)
    if as_json:
        echo_json(result_as_dict(_finished(config, force) or _trained(config, force)))
        return
    trained = f"{config.data_name}: {config.model_name} trained as {config.method} for {config.epochs:,} epochs"
    echo(f"{trained}, seed {config.seed}")
    result = _finished(config, force)
    if result is not None:
        echo("This run is finished already; --force repeats it.")
    else:
        result = _trained(config, force)
    echo_result(result)
    run = result.folder
    lines = {"Keras 3": f"{run.keras_model}" if run.keras_model.is_file() else ""}
    lines |= {"SavedModel": f"{run.model}" if run.model.is_dir() else ""}
    lines |= {"Plots": f"{run.curves}, {run.sparsity.name}"}
    lines |= {"TensorBoard": f"tensorboard --logdir {quoted(Path(config.out))}" if run.tensorboard.is_dir() else ""}
    after = f"predict {quoted(run.root)} FILE"
    if not run.model.is_dir():
        after = f"export {quoted(run.root)} --format savedmodel{places_of(config, 'data_dir', 'dataset')}"
    echo(
        "",
        *(f"{name:<12} {text}" for name, text in lines.items() if text),
        f"Next         tfprune show {quoted(run.root)}",
        f"             tfprune {after}",
        f"             {compare_command(config, typed=typed)}",
        *(f"Hint         {line}" for line in _hints(config)),
    )


def _hints(config: Config) -> list[str]:
    """Returns what was measured to be better than a setting of a run, see docs/which-method.md."""
    sparse = config.method in BETTER_ACROSS and (config.pruning.requested_sparsity or 0.0) >= HIGH_SPARSITY
    if sparse and config.granularity == "weight" and config.scope == "layer":
        return ["--scope global kept more accuracy on Fashion-MNIST and CIFAR-10 at 87.5 % zeros and more"]
    return []


def _finished(config: Config, force: bool) -> Result | None:
    folder = RunDir(Path(config.out) / config.run_id)
    result = find_result(config) if folder.exported and not force else None
    if result is not None:
        tidy(folder)
    return result


def _trained(config: Config, force: bool) -> Result:
    from tfprune.experiments.experiment import train  # TensorFlow, which a finished run is shown without

    try:
        return train(config, force=force)
    except KeyboardInterrupt as error:
        echo(f"Interrupted. {_kept(RunDir(Path(config.out) / config.run_id), config)}", err=True)
        raise click.exceptions.Exit(getattr(error, "exit_code", 130)) from None


def _kept(folder: RunDir, config: Config) -> str:
    if folder.checkpoints.is_dir():
        return f"The same command, or {resuming(config, folder.root)}, goes on from the last checkpoint."
    if folder.finished or not folder.history.is_file():
        return "No file was changed. The same command starts the run again."
    kept = f"Kept in {folder.root}: the settings, the history so far and the TensorBoard logs."
    return f"{kept} The same command starts the run again."
