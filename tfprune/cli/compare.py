"""`tfprune compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.checks import check_whole
from tfprune.cli._options import make_config, run_options
from tfprune.cli._output import echo_table, start_logging
from tfprune.config import Config
from tfprune.methods import METHODS


@click.command()
@run_options
@click.option("--seeds", type=int, default=3, show_default=True, help="Runs of each method, from seed 0 on.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers here too.")
@click.option(
    "--figure", type=click.Path(path_type=Path), help="The figure; by default comparison.png beside the runs."
)
def compare(seeds: int, json_file: Path | None, figure: Path | None, **given: Any) -> None:
    """Compare all methods over several seeds; runs that are finished are not repeated."""
    check_whole("--seeds", seeds, least=1)
    configs = _configs(seeds, given)
    start_logging()
    from tqdm import tqdm

    from tfprune.comparison import run_all, summarise
    from tfprune.experiment import train
    from tfprune.report import plot_comparison
    from tfprune.rundir import write_json

    with tqdm(configs, desc="runs", unit="run", disable=None, position=0) as bar:
        results, failures = run_all(bar, train)
    summary = summarise(results)
    first = configs[0]
    figure = figure or Path(first.out) / f"comparison-{first.dataset}.png"
    if summary:
        plot_comparison(
            {method: list(values["seeds"].values()) for method, values in summary.items()},
            figure,
            title=f"{first.dataset}: {seeds} seeds, {first.epochs:,} epochs",
        )
        echo_table(_rows(summary), ("method", "seeds", "test loss", "test accuracy", "sparsity", "epochs", "seconds"))
        click.echo(f"\nMean ± standard deviation over seeds. Figure: {figure}")
    if json_file:
        write_json(json_file, {"schema": 1, "dataset": first.dataset, "methods": summary, "failures": failures})
        click.echo(f"Numbers: {json_file}")
    for failure in failures:
        click.echo(f"Failed: {failure}", err=True)
    if failures:
        raise click.exceptions.Exit(1)


def _configs(seeds: int, given: dict[str, Any]) -> list[Config]:
    """Returns a config for each method and seed; `--sparsity` goes to the methods that prune."""
    sparsity = given.pop("sparsity")
    configs = []
    for method in METHODS:
        wanted = sparsity if METHODS[method].sparsity_setting else None
        first = make_config(None, given | {"method": method, "sparsity": wanted})
        configs += [first.replace(seed=seed) for seed in range(seeds)]
    return sorted(configs, key=lambda config: config.seed)


def _rows(summary: dict[str, dict[str, Any]]) -> list[tuple[Any, ...]]:
    rows = []
    for method, values in summary.items():
        mean, sd = values["mean"], values["sd"]
        rows.append(
            (
                method,
                len(values["seeds"]),
                f"{mean['test_loss']:.4f}" + (f" ± {sd['test_loss']:.4f}" if sd["test_loss"] is not None else ""),
                f"{mean['test_accuracy']:.1%}"
                + (f" ± {sd['test_accuracy']:.1%}" if sd["test_loss"] is not None else ""),
                f"{mean['sparsity']:.1%}",
                f"{mean['epochs']:,.0f}",
                f"{mean['seconds']:.1f}",
            )
        )
    return rows
