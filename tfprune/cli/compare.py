"""`tfprune compare`."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from tfprune.cli._comparison import BRIEFLY, echo_across, echo_section
from tfprune.cli._dry_run import echo_runs
from tfprune.cli._help import Command
from tfprune.cli._options import executor_options, make_config, make_executor, run_options
from tfprune.cli._output import echo_failures
from tfprune.cli._terminal import echo, start_logging
from tfprune.methods import BASELINE, METHODS, TRIALS
from tfprune.training.config import Config
from tfprune.utils.checks import check_least, check_whole
from tfprune.utils.errors import ConfigError, choose_from

OPTIONS = {"assignments": "set"}  # of settings with another name
PRUNING = ("scope", "granularity", "pattern", "pooling")  # settings that methods which prune may each have of their own
SEVERAL = {"dataset": "--dataset", "method": "--methods", "seed": "--seeds"}  # settings that differ between the runs

if TYPE_CHECKING:
    from tfprune.experiments.results import Result
    from tfprune.reporting.report import Section


class Group(NamedTuple):
    """Runs that are compared with each other.

    Attributes:
        name: of its figures and of its place on pages: that of the data set, with a number where an earlier group has
            it.
        kind: what its figures show.
        configs: the settings of its runs.
    """

    name: str
    kind: str
    configs: Sequence[Config]

    @property
    def mark(self) -> str:
        """Names its place on pages."""
        return f"{self.kind} {self.name}"


@click.command(cls=Command, short_help="Compare methods over several seeds.")
@run_options(sparsities=True)
@click.option(
    "--methods",
    metavar="NAME[:KEY=VALUE...],...",
    help=f"Methods to compare, with settings of their own, or `all`; by default {', '.join(TRIALS)}.",
)
@click.option(
    "--seeds", metavar="N|SEED,...", default="3", show_default=True, help="Runs of each method: how many, or which."
)
@click.option("--first-seed", type=int, default=0, show_default=True, help="The first of the seeds.")
@click.option(
    "--compression", type=float, multiple=True, metavar="RATIO", help="Another way to say --sparsity 1-1/RATIO."
)
@executor_options
@click.option("--equal-budget", is_flag=True, help="--epochs is what each method takes over all its trainings.")
@click.option("--plan", type=click.Path(path_type=Path), help="A sweep file that names the runs; see `tfprune sweep`.")
@click.option("--dry-run", is_flag=True, help="Name the runs and which are finished, and train none.")
@click.option("--wide", is_flag=True, help="Show all tables: results, verdicts, tests, sizes, costs.")
@click.option(
    "--json",
    "json_file",
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    type=click.Path(path_type=Path),
    help="Write the numbers to FILE too; without FILE print them instead of tables.",
)
@click.option("--figures", type=click.Path(path_type=Path), help="Folder of the figures; by default that of the runs.")
@click.option("--page", "pages", type=click.Path(path_type=Path), multiple=True, help="A Markdown page to renew.")
def compare(
    seeds: str,
    first_seed: int,
    equal_budget: bool,
    plan: Path | None,
    dry_run: bool,
    wide: bool,
    json_file: Path | None,
    figures: Path | None,
    pages: tuple[Path, ...],
    **given: Any,
) -> None:
    """Compare methods over several seeds; finished runs are reused.

    With several --sparsity or --compression the methods are compared at each of them, with several --dataset (or those
    of a --plan) over data sets too.
    """
    executor = make_executor(given)
    if plan:
        configs = _planned(plan, given)
    else:
        configs = _configs(seeds_of(seeds, first_seed), equal_budget, given)
    start_logging(progress=True)
    if dry_run:
        echo_runs(configs, as_json=str(json_file) == "-")
        return
    from tfprune.experiments.sweeps import run_all
    from tfprune.reporting.across_tables import across_sections
    from tfprune.reporting.pages import comparisons_json, draw_across, page_block
    from tfprune.reporting.report import source
    from tfprune.reporting.tables import legend, update_page
    from tfprune.utils.files import write_json, written_to

    groups, folder = _groups(configs, plan is not None, equal_budget), figures or Path(configs[0].out)
    as_json = json_file is not None and str(json_file) == "-"
    _check_places(groups, [folder] if as_json or not json_file else [folder, json_file.parent], pages)
    results, failures = run_all(configs, executor)
    if not results:
        echo_failures(failures)
    compared = _compared(groups, results)
    found = [section for _, section in compared]
    over, reason = across_sections(found)
    if as_json:
        echo(*json.dumps(comparisons_json(found, over, failures), indent=2, allow_nan=False).split("\n"))
    else:
        for section in found:
            echo_section(section, many=len(found) > 1, wide=wide)
        echo(legend(section.summary for section in found) if wide else BRIEFLY)
        echo_across(over, reason)
    if json_file and not as_json:
        with written_to(json_file):
            write_json(json_file, comparisons_json(found, over, failures))
        echo(f"Numbers: {json_file}")
    with written_to(folder / "figure"):
        drawn = [figure for group, section in compared for figure in _draw(section, group, folder)]
        drawn += draw_across(over, folder) if over else []
    for figure in drawn:
        echo(f"Figure: {figure}", err=as_json)
    for page in pages:
        for group, section in compared:
            update_page(page, group.mark, page_block(section.summary, source(section)))
        echo(f"Page: {page}", err=as_json)
    echo(f"Next: tfprune report {shlex.quote(configs[0].out)} --out report.html", err=as_json)
    echo_failures(failures)


def _groups(configs: Sequence[Config], planned: bool, equal_budget: bool) -> list[Group]:
    """Returns the runs of each data set, or each group of comparable runs of a plan."""
    from tfprune.reporting.diverged import data_of
    from tfprune.reporting.report import comparable

    if planned:
        gathered = comparable(configs, lambda config: config)
    else:
        gathered = [list(own) for _, own in itertools.groupby(configs, data_of)]
    groups: list[Group] = []
    for own in gathered:
        name, used = own[0].data_name, {group.name for group in groups}
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        groups.append(Group(next(name for name in names if name not in used), _kind(own, equal_budget), own))
    return groups


def _kind(configs: Iterable[Config], equal_budget: bool) -> str:
    from tfprune.reporting.comparison import several_sparsities

    asked = ("method", "granularity", "requested_sparsity")
    several = several_sparsities({name: getattr(config, name) for name in asked} for config in configs)
    return "sparsities" if several else "budget" if equal_budget else "results"


def _check_places(groups: Sequence[Group], folders: Sequence[Path], pages: Sequence[Path]) -> None:
    """Looks, before anything is trained, whether there are places for figures and tables.

    Raises:
        RunError: a folder cannot be made or written to, or a page lacks marks.
    """
    from tfprune.reporting.tables import page_around
    from tfprune.utils.files import written_to

    for folder in folders:
        with written_to(folder):
            folder.mkdir(exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
    for page, group in itertools.product(pages, groups):
        page_around(page, group.mark)


def _compared(groups: Sequence[Group], results: Sequence[Result]) -> list[tuple[Group, Section]]:
    """Returns the comparison of each group that has a finished run."""
    from tfprune.experiments.rundir import RunDir
    from tfprune.reporting.diverged import find_diverged
    from tfprune.reporting.report import sections_of

    folders = [RunDir(Path(config.out) / config.run_id) for group in groups for config in group.configs]
    ran = {run.config.run_id: run for run in (*results, *find_diverged(folders, results))}
    finished = {result.config.run_id for result in results}
    kept = [group for group in groups if any(config.run_id in finished for config in group.configs)]
    runs = [[ran[config.run_id] for config in group.configs if config.run_id in ran] for group in kept]
    return list(zip(kept, sections_of(runs), strict=True))


def _planned(plan: Path, given: dict[str, Any]) -> list[Config]:
    """Returns the runs of a sweep file; all settings stand there, but for places."""
    from tfprune.experiments.plans import read_plan

    places = {name: str(value) for name in ("out", "data_dir") if (value := given.pop(name)) is not None}
    typed = click.get_current_context().get_parameter_source
    settings = (*given, "seeds", "first_seed", "equal_budget")
    used = [
        OPTIONS.get(name, name).replace("_", "-") for name in settings if typed(name) == ParameterSource.COMMANDLINE
    ]
    if used:
        raise ConfigError(f"--plan names all runs: put {', '.join(used)} into {plan}")
    return read_plan(plan, places)


def seeds_of(text: str, first: int) -> list[int]:
    """Returns the seeds that `--seeds` names: so many from the first one on, or, with commas, those.

    Raises:
        ConfigError: there is none, one is no whole number, or one is there twice.
    """
    from tfprune.experiments.plans import MAX_SEEDS

    check_whole("--first-seed", first, least=0)
    if "," not in text:
        return list(range(first, first + check_whole("--seeds", text, least=1, most=MAX_SEEDS)))
    if first:
        raise ConfigError("--first-seed is for a number of seeds; --seeds names them: leave it out")
    seeds = [check_whole("--seeds", seed.strip(), least=0) for seed in text.split(",") if seed.strip()]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds must be whole numbers, each once, such as 0,1,2; got {text!r}")
    return seeds


def _configs(seeds: Sequence[int], equal_budget: bool, given: dict[str, Any]) -> list[Config]:
    """Returns a config for each data set, method (the baseline first), sparsity (of those that prune) and seed."""
    ratios = (check_least("--compression", ratio, 1.0) for ratio in given.pop("compression"))
    sparsities = (*given.pop("sparsity"), *(1 - 1 / ratio for ratio in ratios)) or (None,)
    datasets = given.pop("dataset") or (None,)
    names = given.pop("methods")
    chosen = list(TRIALS) if names is None else _each(names)
    if chosen == ["all"]:
        granularity = given.get("granularity") or "weight"
        chosen = [name for name in METHODS if granularity in METHODS[name].granularities or name == BASELINE]
    if not chosen:
        raise ConfigError(f"--methods is empty. {choose_from('', METHODS)}")
    for key in map(_key, given["assignments"]):
        if key in SEVERAL:
            raise ConfigError(f"--set {key} would be that of all runs: use {SEVERAL[key]}")
    settled = {"epochs": "--equal-budget"} if equal_budget else {}
    configs = []
    for text in sorted(chosen, key=lambda name: name != BASELINE):  # others share its training
        method, own = _entry(text)
        setting = METHODS[method].sparsity_setting
        _check_own(text, method, own, settled | ({setting: "--sparsity"} if sparsities != (None,) else {}))
        own = {"method": method, "assignments": (*given["assignments"], *own)}
        levels = sparsities if setting else (None,)
        for dataset, sparsity in itertools.product(datasets, levels):
            first = make_config(None, given | own | {"dataset": dataset, "sparsity": sparsity})
            first = first.within(first.epochs) if equal_budget else first
            configs += [first.replace(seed=seed) for seed in seeds]
    configs = list({config.run_id: config for config in configs}.values())  # one may be named twice
    places = {config.dataset: place for place, config in reversed([*enumerate(configs)])}
    return sorted(configs, key=lambda config: (places[config.dataset], config.seed))  # what is compared, side by side


def _entry(text: str) -> tuple[str, list[str]]:
    """Returns the method and the `KEY=VALUE` settings of an entry of `--methods`; patterns have colons of their own.

    >>> _entry("dynamic:granularity=n:m:pattern=2:4:criterion=random")
    ('dynamic', ['granularity=n:m', 'pattern=2:4', 'criterion=random'])
    """
    method, *settings = re.split(r":(?=[^:]*=)", text)
    if ":" in method:
        raise ConfigError(f"--methods {text}: a colon is followed by a setting as KEY=VALUE, as in fine_tuned:rounds=3")
    return method, settings


def _check_own(text: str, method: str, settings: Sequence[str], settled: Mapping[str | None, str]) -> None:
    """Checks which settings an entry of `--methods` has of its own: the others are for all that is compared.

    Args:
        text: the entry.
        method: the method in it.
        settings: its `KEY=VALUE`.
        settled: setting -> the option that decides it.
    """
    cls, keys = METHODS[method], list(map(_key, settings))
    choices = [*cls.defaults(), "epochs", *(PRUNING if cls.sparsity_setting else ())]
    for place, key in enumerate(keys):
        if key in settled:
            raise ConfigError(f"--methods {text}: {settled[key]} decides {key}; leave one of the two out")
        if key in keys[:place]:
            raise ConfigError(f"--methods {text}: {key} is there twice")
        if key not in choices and not (cls.sparsity_setting and key.startswith("channels.")):
            raise ConfigError(
                f"--methods {text}: {method} has no setting {key!r} of its own; what all methods share goes into an "
                f"option or --set. {choose_from(key, choices)}"
            )


def _key(assignment: str) -> str:
    return assignment.partition("=")[0].strip()


def _each(names: str) -> list[str]:
    """Splits `--methods` at the commas that are not within the brackets of a setting's list."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", names) if name.strip()]


def _draw(section: Section, group: Group, folder: Path) -> list[Path]:
    from tfprune.reporting.diverged import with_finished_runs
    from tfprune.reporting.figures.epochs import plot_mean_curves
    from tfprune.reporting.figures.strips import plot_comparison
    from tfprune.reporting.figures.trade_offs import plot_sparsities, plot_trade_offs

    config, summary = section.results[0].config, with_finished_runs(section.summary)
    trained = f"{group.name}: {config.model_name}, {config.epochs:,} epochs"
    if group.kind == "sparsities":
        paths = [folder / f"{group.name}-{what}.png" for what in ("sparsities", "trade-offs")]
        plot_sparsities(summary, paths[0], title=trained)
        if BASELINE not in summary:
            return paths[:1]
        plot_trade_offs(summary, paths[1], title=trained)
        return paths
    name = f"{group.name}-budget" if group.kind == "budget" else group.name
    paths = [folder / f"{name}-{what}.png" for what in ("comparison", "curves")]
    plot_comparison(summary, paths[0], title=trained)
    histories = {trial: [run.history() for run in runs] for trial, runs in section.trials.items()}
    plot_mean_curves(histories, paths[1], title=f"{group.name}: mean and range over seeds")
    return paths
