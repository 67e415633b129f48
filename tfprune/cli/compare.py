"""`tfprune compare`."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


if TYPE_CHECKING:
    from tfprune.experiments.results import Result
    from tfprune.reporting.report import Section


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
        echo_runs(configs)
        return
    from tfprune.experiments.sweeps import run_all
    from tfprune.reporting.across_tables import across_sections
    from tfprune.reporting.pages import comparisons_json, draw_across
    from tfprune.reporting.tables import legend
    from tfprune.utils.files import write_json, written_to

    results, failures = run_all(configs, executor)
    if not results:
        echo_failures(failures)
    found = _sections(configs, results, planned=plan is not None)
    over, reason = across_sections(found)
    as_json = json_file is not None and str(json_file) == "-"
    if as_json:
        echo(*json.dumps(comparisons_json(found, over, failures), indent=2, allow_nan=False).split("\n"))
    else:
        for section in found:
            echo_section(section, many=len(found) > 1, wide=wide)
        echo(legend(section.summary for section in found) if wide else BRIEFLY)
        echo_across(over, reason)
    folder = figures or Path(configs[0].out)
    with written_to(folder / "figure"):
        drawn = [figure for section in found for figure in _draw(section, _kind(section, equal_budget), folder)]
        drawn += draw_across(over, folder) if over else []
    for figure in drawn:
        echo(f"Figure: {figure}", err=as_json)
    if json_file and not as_json:
        with written_to(json_file):
            write_json(json_file, comparisons_json(found, over, failures))
        echo(f"Numbers: {json_file}")
    for page in pages:
        for section in found:
            _write_page(page, section, _kind(section, equal_budget))
        echo(f"Page: {page}", err=as_json)
    echo(f"Next: tfprune report {shlex.quote(configs[0].out)} --out report.html", err=as_json)
    echo_failures(failures)


def _sections(configs: Sequence[Config], results: Sequence[Result], *, planned: bool) -> list[Section]:
    """Returns a comparison for each data set, or for each group of comparable runs of a plan."""
    from tfprune.experiments.rundir import RunDir
    from tfprune.reporting.diverged import find_diverged
    from tfprune.reporting.report import section, sections

    diverged = find_diverged([RunDir(Path(config.out) / config.run_id) for config in configs], results)
    if planned:
        return sections(results, diverged)
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.config.data_name, []).append(result)
    return [section(group, diverged) for group in groups.values()]


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
    check_whole("--first-seed", first, least=0)
    if "," not in text:
        return list(range(first, first + check_whole("--seeds", text, least=1)))
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
    configs = []
    for text in sorted(chosen, key=lambda name: name != BASELINE):  # others share its training
        method, *own = text.split(":")
        if not all("=" in setting for setting in own):
            raise ConfigError(
                f"--methods {text}: a colon is followed by a setting as KEY=VALUE, as in fine_tuned:rounds=3"
            )
        own = {"method": method, "assignments": (*given["assignments"], *own)}
        levels = sparsities if METHODS[method].sparsity_setting else (None,)
        for dataset, sparsity in itertools.product(datasets, levels):
            first = make_config(None, given | own | {"dataset": dataset, "sparsity": sparsity})
            first = first.within(first.epochs) if equal_budget else first
            configs += [first.replace(seed=seed) for seed in seeds]
    configs = list({config.run_id: config for config in configs}.values())  # one may be named twice
    places = {config.dataset: place for place, config in reversed([*enumerate(configs)])}
    return sorted(configs, key=lambda config: (places[config.dataset], config.seed))  # what is compared, side by side


def _each(names: str) -> list[str]:
    """Splits `--methods` at the commas that are not within the brackets of a setting's list."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", names) if name.strip()]


def _kind(section: Section, equal_budget: bool) -> str:
    several = len(section.summary) > len({values["method"] for values in section.summary.values()})
    return "sparsities" if several else "budget" if equal_budget else "results"


def _draw(section: Section, kind: str, folder: Path) -> list[Path]:
    from tfprune.reporting.diverged import with_finished_runs
    from tfprune.reporting.figures.epochs import plot_mean_curves
    from tfprune.reporting.figures.strips import plot_comparison
    from tfprune.reporting.figures.trade_offs import plot_sparsities, plot_trade_offs

    config, summary = section.results[0].config, with_finished_runs(section.summary)
    trained = f"{config.data_name}: {config.model_name}, {config.epochs:,} epochs"
    if kind == "sparsities":
        paths = [folder / f"{config.data_name}-{what}.png" for what in ("sparsities", "trade-offs")]
        plot_sparsities(summary, paths[0], title=trained)
        if BASELINE not in summary:
            return paths[:1]
        plot_trade_offs(summary, paths[1], title=trained)
        return paths
    name = f"{config.data_name}-budget" if kind == "budget" else config.data_name
    paths = [folder / f"{name}-{what}.png" for what in ("comparison", "curves")]
    plot_comparison(summary, paths[0], title=trained)
    histories = {trial: [run.history() for run in runs] for trial, runs in section.trials.items()}
    plot_mean_curves(histories, paths[1], title=f"{config.data_name}: mean and range over seeds")
    return paths


def _write_page(page: Path, section: Section, kind: str) -> None:
    from tfprune.reporting.pages import page_block
    from tfprune.reporting.report import source
    from tfprune.reporting.tables import update_page

    config = section.results[0].config
    update_page(page, f"{kind} {config.data_name}", page_block(section.summary, source(section)))
