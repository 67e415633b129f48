"""Plans: a file that describes many runs, and what its runs came to. No TensorFlow."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tfprune.data.objectives import primary_metric
from tfprune.methods import METHODS, TRIALS
from tfprune.training.config import Config
from tfprune.training.settings_files import read_settings, with_assignments, with_sparsity
from tfprune.utils.checks import check_whole
from tfprune.utils.errors import ConfigError, choose_from
from tfprune.utils.text import Table

if TYPE_CHECKING:
    from tfprune.data.objectives._base import Metric
    from tfprune.experiments.results import Result

PARTS = ("methods", "sparsities", "seeds", "grid", "runs")  # of a plan; all else is a setting of every run
MAX_SEEDS = 10_000  # that a number stands for; a list may name more
_OWN = ("method", "sparsity", "seed")  # what an entry of `runs` may fix
_TABLES = ("model", "optimizer", "channels", "data")  # of settings, beside those of methods


def read_plan(path: Path, changes: Mapping[str, Any] | None = None) -> list[Config]:
    """Reads a plan from a `.toml` or `.json` file.

    Args:
        path: the file, see `expand`.
        changes: settings of every run that replace those of the file.

    Raises:
        ConfigError: the file cannot be read or a setting is unknown or out of range.
    """
    try:
        return expand(read_settings(path) | dict(changes or {}))
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def expand(plan: Mapping[str, Any]) -> list[Config]:
    """Returns every run of a plan, once.

    A key is a setting of every run, or one of

    * `methods`: names, or `"all"`; `sparsities`: the methods that prune are run at each of them; `seeds`: a list, or
      how many from 0 on;
    * `grid`: a table from a setting to a list of its values; all combinations are run;
    * `runs`: a list of tables of settings; the grid is run with each of them. They may set `method`, `sparsity` and
      `seed` too.

    A setting is spelled as for `--set`: one of the run, `model.NAME`, `optimizer.NAME`, `channels.NAME`, `data.NAME`,
    or `METHOD.NAME`, which the other methods ignore. A table such as `[model]` holds several of these.

    Raises:
        ConfigError: a key is unknown, or a value is of the wrong kind or out of range.
    """
    parts = {name: plan[name] for name in PARTS if name in plan}
    common = dict(_flat({key: value for key, value in plan.items() if key not in PARTS}))
    methods = _methods(parts.get("methods", TRIALS))
    sparsities = _list("sparsities", parts.get("sparsities", [None]))
    seeds = _seeds(parts.get("seeds", 1))
    configs: dict[str, Config] = {}
    for own, combination in itertools.product(_entries(parts.get("runs", [{}])), _combinations(parts.get("grid", {}))):
        settings = {**common, **combination, **own}
        fixed = {name: settings.pop(name) for name in _OWN if name in settings}
        for method in _methods([fixed["method"]]) if "method" in fixed else methods:
            levels = [fixed["sparsity"]] if "sparsity" in fixed else sparsities
            for sparsity in levels if METHODS[method].sparsity_setting else [None]:
                first = _config(method, sparsity, settings)
                for seed in [fixed["seed"]] if "seed" in fixed else seeds:
                    config = first.replace(seed=seed)
                    configs[config.run_id] = config
    return list(configs.values())


def _config(method: str, sparsity: Any, settings: Mapping[str, Any]) -> Config:
    values: dict[str, Any] = {"method": method}
    assignments = {}
    for key, value in settings.items():
        owner, dot, name = key.partition(".")
        if not dot:
            if key in METHODS[method].defaults():
                raise ConfigError(f"{key} is a setting of methods: write {method}.{key}")
            values[key] = value
        elif owner not in METHODS:
            assignments[key] = value
        elif name not in METHODS[owner].defaults():
            raise ConfigError(f"method {owner} has no setting {name!r}: {choose_from(name, METHODS[owner].defaults())}")
        elif owner == method:
            if sparsity is not None and name == METHODS[method].sparsity_setting:
                raise ConfigError(f"{key} and the sparsities both say how much to prune: leave one of the two out")
            assignments[name] = value
    if "dataset" not in values:
        raise ConfigError("dataset is missing: name one for all runs")
    values = with_assignments(values, assignments)
    return Config.from_dict(values if sparsity is None else with_sparsity(values, sparsity))


def _methods(names: Any) -> list[str]:
    names = list(METHODS) if names in ("all", ["all"]) else _list("methods", names)
    for name in names:
        METHODS[name]  # an unknown one is an error that lists the choices
    return list(dict.fromkeys(names))


def _seeds(seeds: Any) -> list[int]:
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        return list(range(check_whole("seeds", seeds, least=1, most=MAX_SEEDS)))
    return [check_whole("seeds", seed, least=0) for seed in _list("seeds", seeds)]


def _combinations(grid: Any) -> Iterable[dict[str, Any]]:
    if not isinstance(grid, Mapping):
        raise ConfigError(f"grid must be a table from settings to lists of values, got {grid!r}")
    columns = [[(key, value) for value in _list(f"grid.{key}", values)] for key, values in _flat(grid)]
    return map(dict, itertools.product(*columns))


def _entries(runs: Any) -> list[dict[str, Any]]:
    if not isinstance(runs, list) or not runs or not all(isinstance(own, Mapping) for own in runs):
        raise ConfigError(f"runs must be a list of tables of settings, got {runs!r}")
    return [dict(_flat(own)) for own in runs]


def _flat(table: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yields names and values; TOML reads an unquoted `model.hidden = ...` as a table in a table."""
    for key, value in table.items():
        if isinstance(value, Mapping) and (key in METHODS or key in _TABLES):
            yield from ((f"{key}.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def _list(name: str, values: Any) -> list[Any]:
    if not isinstance(values, (list, tuple)) or not values:
        raise ConfigError(f"{name} must be a list with at least one value, got {values!r}")
    return list(values)


class Outcome(NamedTuple):
    """What a plan's table says of a run: all that a sweep of very many keeps of each."""

    config: Config
    validation_loss: float
    test_loss: float
    test_score: float  # the task's metric
    sparsity: float
    seconds: float
    networks: int


def outcome(result: Result) -> Outcome:
    """Returns what a plan's table says of a run."""
    metrics = result.metrics
    return Outcome(
        result.config,
        metrics["validation"]["loss"],
        metrics["test"]["loss"],
        metrics["test"][result.config.objective.primary],
        metrics["sparsity"]["achieved"],
        metrics["seconds"]["total"],
        metrics.get("networks", 1),
    )


def plan_table(outcomes: Iterable[Outcome]) -> Table:
    """Returns headers and rows with a row for runs that differ in nothing but their seed: medians over seeds.

    The settings that not all share have a column each; so has how many networks were trained as one model, as seconds
    compare only where these agree.
    """
    trials: dict[str, list[Outcome]] = {}
    for own in outcomes:
        trials.setdefault(own.config.trial_id, []).append(own)
    described = [_described(runs[0].config) for runs in trials.values()]
    names = list(dict.fromkeys(name for own in described for name in own))
    values = {name: {repr(own[name]) for own in described if name in own} for name in names}
    varying = [name for name in names if len(values[name]) > 1 or name == "method"]
    sizes = [", ".join(map(str, sorted({run.networks for run in runs}))) for runs in trials.values()]
    mixed = len(set(sizes)) > 1 or "," in "".join(sizes)
    rows = []
    for own, runs, size in zip(described, trials.values(), sizes, strict=True):
        _, validation_loss, test_loss, scores, sparsity, seconds, _ = zip(*runs, strict=True)
        metric = _metric(runs[0])
        rows.append(
            (
                *(str(own.get(name, "")) for name in varying),
                str(len(runs)),
                f"{statistics.median(validation_loss):.4f}",
                f"{statistics.median(test_loss):.4f}",
                metric.text(statistics.median(scores)),
                f"{100 * statistics.median(sparsity):.1f} %",
                f"{statistics.median(seconds):.3g}",
                *([size] if mixed else []),
            )
        )
    labels = dict.fromkeys(_metric(runs[0]).label for runs in trials.values())
    columns = ("seeds", "validation loss", "test loss", f"test {' or '.join(labels)}", "sparsity", "seconds")
    return (*varying, *columns, *(["networks at once"] if mixed else [])), rows


def _metric(own: Outcome) -> Metric:
    return primary_metric(own.config.task)


def _described(config: Config) -> dict[str, Any]:
    """Returns the settings that tell a run from others, all on one level, spelled as in a plan."""
    parts = {"settings": config.method, "channel_settings": "channels"}
    parts |= {f"{part}_settings": part for part in ("model", "optimizer", "data")}
    flat: dict[str, Any] = {"method": config.method}
    if METHODS[config.method].sparsity_setting:
        flat["sparsity asked for"] = f"{config.requested_sparsity:.3g}"
    for name, value in config.identity().items():
        if name in parts:
            own = METHODS[config.method].sparsity_setting if name == "settings" else None
            flat |= {f"{parts[name]}.{key}": inner for key, inner in value.items() if key != own}
        elif name != "seed":
            flat[name] = value
    return flat
