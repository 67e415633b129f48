"""`tfprune sweep`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from tfprune.adapters.backend import BACKENDS
from tfprune.adapters.loading.trust import check_function, trust_function
from tfprune.cli._dry_run import echo_runs
from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option, table_as_dicts
from tfprune.cli._options import executor_options, make_executor, trust_option
from tfprune.cli._output import echo_failures
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.experiments.plans import outcome, plan_table, read_plan
from tfprune.models._user import is_function


@click.command(cls=Command, short_help="Train a plan: a grid or a list of settings.")
@click.argument("plan", type=click.Path(path_type=Path))
@trust_option
@click.option("--model", metavar="NAME|PATH", help="Model of all runs. A function must be typed here, not in the plan.")
@click.option("--backend", metavar="|".join(BACKENDS), help="What models of Keras 3 are trained on, in all runs.")
@click.option("--out", metavar="FOLDER", type=click.Path(path_type=Path), help="Where run folders are made.")
@click.option(
    "--data-dir", metavar="FOLDER", type=click.Path(path_type=Path), help="Prepared data sets (TFDS, OpenML)."
)
@click.option("--dry-run", is_flag=True, help="Name the runs and which are finished, and train none.")
@executor_options
@json_option
def sweep(
    plan: Path,
    model: str | None,
    out: Path | None,
    data_dir: Path | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Train what a plan describes: a grid or a list of settings, methods, sparsities and seeds.

    Finished runs are reused: the same command goes on where an earlier one was stopped. Runs that fail are named in
    the end, and the exit code is then 1.
    """
    executor = make_executor(given)
    places = {"out": out and str(out), "data_dir": data_dir and str(data_dir), "model": model} | given
    if model and is_function(model):
        trust_function(model)
    configs = read_plan(plan, {name: value for name, value in places.items() if value is not None})
    for config in configs:
        if is_function(config.model):
            check_function(config.model)
    start_logging(progress=True)
    if dry_run:
        echo_runs(configs, as_json=as_json)
        return
    from tfprune.experiments.sweeps import run_all

    outcomes, failures = run_all(configs, executor, skipped=Exception, keep=outcome)
    if as_json:
        table = table_as_dicts(*plan_table(outcomes)) if outcomes else []
        echo_json({"runs": len(configs), "finished": len(outcomes), "medians": table, "failures": failures})
        echo_failures(failures)
        return
    if outcomes:
        headers, rows = plan_table(outcomes)
        echo_table(rows, headers)
    echo("", f"Medians over seeds. {len(outcomes)} of {len(configs)} runs are finished.")
    echo(f"Next: tfprune report {shlex.quote(configs[0].out)} --out report.html")
    echo_failures(failures)
