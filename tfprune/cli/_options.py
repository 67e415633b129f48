"""Options that several commands share, and how they become a `Config`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.adapters.backend import BACKENDS
from tfprune.adapters.loading.trust import check_function, trust, trust_function
from tfprune.cli._typed import check_typed, with_typed
from tfprune.data import DATASETS
from tfprune.data._base import STREAMS
from tfprune.data._user import asked_of
from tfprune.data.objectives import AUTO, DEFAULT, OBJECTIVES
from tfprune.data.objectives._base import CLASS_WEIGHTS
from tfprune.experiments.executors import EXECUTORS
from tfprune.experiments.rundir import RunDir
from tfprune.methods import METHODS
from tfprune.models._user import FINGERPRINT, is_function
from tfprune.training.config import Config
from tfprune.training.setting_checks import GRANULARITIES, PRECISIONS, SCOPES, STRATEGIES
from tfprune.training.settings_files import read_settings, with_assignments, with_sparsity
from tfprune.utils.checks import check_fraction
from tfprune.utils.errors import ConfigError, choose_from
from tfprune.utils.folders import OUT, USUAL_OUT
from tfprune.utils.system_errors import explain_bad_name

if TYPE_CHECKING:
    from tfprune.experiments.executors._base import Executor

_PARTS = {  # setting -> others of a file that are for that value of it alone
    "method": ("settings",),
    "dataset": ("data_settings",),
    "model": ("model_settings",),
    "optimizer": ("optimizer_settings",),
    "granularity": ("channel_settings", "pattern", "pooling"),
}
_FILES = ("dataset", "model")  # that may be paths
trust_option = click.option(
    "--trust",
    is_flag=True,
    expose_value=False,
    callback=lambda context, parameter, value: trust() if value else None,
    help="Let a model's file execute code: you know where it comes from.",
)
_OPTIONS = (
    click.option(
        "--label",
        metavar="COLUMN,...",
        multiple=True,
        help="Column of a table with the labels (data.label); several: numbers to predict, or labels of 0 and 1.",
    ),
    click.option(
        "--task",
        metavar="|".join((AUTO, *OBJECTIVES)),
        help="What is learnt from the labels (data.task).",
        show_default=f"{AUTO}: goes by the labels",
    ),
    click.option("--text", metavar="COLUMN", help="Read the words of that column of a table alone (data.text)."),
    click.option("--metrics", metavar="NAME,...", help="Metrics beside those of the task: f1, auc, ..."),
    click.option("--class-weight", metavar="|".join(CLASS_WEIGHTS), help="Have all classes count alike in the loss."),
    click.option("--missing", metavar="refuse|drop|impute", help="What becomes of missing cells (data.missing)."),
    click.option(
        "--model",
        metavar="NAME|PATH",
        help="Model, or your own: MODULE:FUNCTION, a file.",
        show_default="the data set's",
    ),
    click.option("--backend", metavar="|".join(BACKENDS), help="What a model of Keras 3 is trained on."),
    trust_option,
    click.option("--epochs", type=int, help="Passes over the training data.", show_default="the data set's"),
    click.option("--batch-size", type=int, help="Examples per step.", show_default="the data set's"),
    click.option("--learning-rate", type=float, help="Of the optimizer.", show_default="the data set's"),
    click.option(
        "--optimizer",
        metavar="adam|adamw|sgd",
        help="Its other settings with --set optimizer.KEY=VALUE.",
        show_default="the data set's",
    ),
    click.option(
        "--scope",
        metavar="|".join(SCOPES),
        help="Rank weights within each layer or across all of them.",
        show_default="the method's",
    ),
    click.option("--exclude", metavar="LAYER,...", help="Layers never pruned: names, or `first`, `last`, `frozen`."),
    click.option(
        "--precision",
        metavar="|".join(PRECISIONS),
        help="Arithmetic of the training; auto measures.",
        show_default=Config.precision,
    ),
    click.option(
        "--strategy",
        metavar="|".join(STRATEGIES),
        help="Divide batches between devices, or between the workers of TF_CONFIG.",
        show_default=Config.strategy,
    ),
    click.option("--xla/--no-xla", default=None, help="Compile the training step with XLA."),
    click.option(
        "--deterministic/--no-deterministic",
        default=None,
        help="The same bits from a GPU each time; slower there, by how much is not measured. A CPU's are as it is.",
    ),
    click.option("--pretrained", is_flag=True, default=None, help="Start from ImageNet weights (model.pretrained)."),
    click.option(
        "--checkpoint-every",
        metavar="N|SECONDSs",
        help="Save after so many epochs (5) or seconds (30s).",
        show_default=str(Config.checkpoint_every),
    ),
    click.option(
        "--out",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Where run folders are made.",
        show_default=f"{OUT}, or {USUAL_OUT}",
    ),
    click.option("--mlflow", metavar="FOLDER|URI", help="Track runs in MLflow too."),
    click.option(
        "--data-dir", metavar="FOLDER", type=click.Path(path_type=Path), help="Prepared data sets (TFDS, OpenML)."
    ),
    click.option(
        "--stream",
        metavar="|".join(STREAMS),
        help="Read images at once, or each when it is needed.",
        show_default=Config.stream,
    ),
    click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        help="Any other setting, also `model.KEY`, `optimizer.KEY`, `channels.KEY` and `data.KEY`. May be repeated.",
    ),
)

_SHORT = {
    "pretrained": "model.pretrained",
    "label": "data.label",
    "missing": "data.missing",
    "task": "data.task",
    "text": "data.text",
}


def run_options(*, sparsities: bool = False, granularity: str = Config.granularity) -> Callable[[Callable], Callable]:
    """Adds the options that describe a run.

    Args:
        sparsities: whether it is several data sets and sparsities.
        granularity: the default.
    """
    several = " May be repeated." if sparsities else ""
    dataset = click.option(
        "--dataset",
        metavar="NAME|PATH",
        multiple=sparsities,
        help=f"Data set (`tfprune list`), or your own: a file, a folder.{several}",
    )
    unit = click.option(
        "--granularity",
        metavar="|".join(GRANULARITIES),
        help="Zero single weights, remove filters and units or residual branches, zero blocks or all but n in every m.",
        show_default=granularity,
    )
    sparsity = click.option(
        "--sparsity",
        metavar="FRACTION",
        multiple=sparsities,
        help=f"Final share of the kernel weights that are zero, or of the channels that are gone, in [0, 1).{several}",
        show_default="the method's",
    )

    def add(command: Callable) -> Callable:
        for option in reversed((dataset, *_OPTIONS, unit, sparsity)):
            command = option(command)
        return command

    return add


def executor_options(command: Callable) -> Callable:
    """Adds the options that say where many runs are trained; `make_executor` takes them."""
    for option in (
        click.option("--gpus-per-trial", type=float, help="GPUs of each run on a cluster; fractions share one."),
        click.option("--cpus-per-trial", type=float, help="Cores of each run on a cluster; by default 1."),
        click.option("--address", metavar="HOST:PORT", help="Of the cluster; by default RAY_ADDRESS or one made here."),
        click.option(
            "--executor", metavar="|".join(EXECUTORS), default="local", show_default=True, help="Where runs train."
        ),
        click.option(
            "--jobs", type=int, help="Runs at a time, which share the cores: 1, or what has room on a cluster."
        ),
    ):
        command = option(command)
    return command


def make_executor(given: dict[str, Any]) -> Executor:
    """Takes what `executor_options` added out of `given` and makes the executor.

    It was called `backend` before there was one of Keras, and may still be.
    """
    executor = given.pop("executor")
    if given.get("backend") in EXECUTORS:
        executor = given.pop("backend")
    names = ("jobs", "address", "cpus_per_trial", "gpus_per_trial")
    from tfprune.experiments.executors._base import Resources

    return EXECUTORS[executor](Resources(**{name: given.pop(name) for name in names}))


def make_config(file: Path | None, given: Mapping[str, Any]) -> Config:
    """Builds the settings of a run: those of a file, then the options, then `--set`.

    Args:
        file: a `.json` or `.toml` file, or None.
        given: option -> value, None where it was not used; may hold `sparsity` and `assignments`.
    """
    values = read_settings(file) if file else {}
    given = {name: value for name, value in given.items() if value is not None}
    if file and (resolved := file.resolve()).name == RunDir(file.parent).config.name:
        check_typed(values, given)  # of a run, which may have come from anywhere
        values = with_typed(values, given) | {"out": str(resolved.parent.parent)}
    sparsity, assignments = given.pop("sparsity", None), dict(map(_parse, given.pop("assignments", ())))
    for option, setting in _SHORT.items():
        if (value := given.pop(option, None)) not in (None, ()):
            assignments.setdefault(setting, one_or_all(value) if option == "label" else value)
    assignments = _without_usual_task(given.get("dataset", values.get("dataset")), assignments)
    values = _without_parts(values, assignments | given) | given
    if "dataset" not in values:
        raise ConfigError(f"--dataset is missing. {choose_from('', DATASETS)}")
    values = with_assignments(values, assignments)
    if sparsity is not None:
        values = with_sparsity(values, check_fraction("--sparsity", sparsity))
        if with_assignments(values, assignments) != values:
            raise ConfigError(f"--sparsity {sparsity} and --set say different sparsities: give one of them")
    typed = given.get("model") or assignments.get("model")
    if isinstance(typed, str) and is_function(typed):
        trust_function(typed)
    config = Config.from_dict(values)
    if is_function(config.model):
        check_function(config.model)
    for name in ("out", "data_dir", "dataset", "model"):  # of which TensorFlow makes UTF-8, perhaps hours later
        if problem := explain_bad_name(getattr(config, name) or ""):
            raise ConfigError(problem)
    return config


def _without_parts(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a file without those that are for a method, a model, ... other than the one given."""
    kept = dict(values)
    for name, parts in _PARTS.items():
        if name not in given or (name not in values and name != "method"):  # which has a default
            continue
        stored, typed = values.get(name), given[name]
        files = name in _FILES and isinstance(stored, str) and isinstance(typed, str)
        if stored == typed or (files and _same_path(stored, typed)):
            continue
        for part in parts:
            own = kept.pop(part, None)
            if own and files and _same_name(stored, typed):
                kept[part] = asked_of(own) if name == "dataset" else {k: v for k, v in own.items() if k != FINGERPRINT}
    every_m = given.get("granularity", values.get("granularity")) == "n:m"
    if every_m and given.keys() & {"granularity", "pattern"} and isinstance(kept.get("settings"), Mapping):
        decided = METHODS[given.get("method", values.get("method", Config.method))].sparsity_setting  # by the pattern
        kept["settings"] = {key: value for key, value in kept["settings"].items() if key != decided}
    return kept


def _same_path(stored: str, typed: str) -> bool:
    return os.path.realpath(stored) == os.path.realpath(typed)


def _same_name(stored: str, typed: str) -> bool:
    """Returns whether two paths are of one file that lies elsewhere now."""
    return os.path.isabs(stored) and os.path.basename(stored) == os.path.basename(os.path.realpath(typed))


def data_settings_typed(file: Path | None, given: Mapping[str, Any]) -> set[str]:
    """Returns the settings of own data that a person chose, in a file or by options; others are looked up anew.

    Args:
        file, given: as for `make_config`, which has taken them.
    """
    typed = set(read_settings(file).get("data_settings") or ()) if file else set()
    dotted = [name for name, _ in map(_parse, given.get("assignments") or ())]
    dotted += [setting for option, setting in _SHORT.items() if given.get(option) not in (None, ())]
    return typed | {name.removeprefix("data.") for name in dotted if name.startswith("data.")}


def one_or_all(names: Sequence[str]) -> str | list[str]:
    """Returns the name of a column, or those of several."""
    return names[0] if len(names) == 1 else list(names)


def _without_usual_task(dataset: object, assignments: dict[str, Any]) -> dict[str, Any]:
    """Lets a data set of tfprune, which has no settings, be asked for the task that it has."""
    task = assignments.get("data.task")
    if task is None or dataset not in DATASETS:
        return assignments
    if task not in (AUTO, DEFAULT):
        raise ConfigError(f"data set {dataset} is of task {DEFAULT}, got {task}; a table of your own can have another")
    return {key: value for key, value in assignments.items() if key != "data.task"}


def _parse(assignment: str) -> tuple[str, Any]:
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set needs KEY=VALUE, got {assignment!r}")
    try:
        value = json.loads(text)
    except ValueError:
        value = text.strip()
    return key.strip(), value
