"""Filters or residual branches removed in the middle of training, beside training unpruned and beside a small network
from scratch.

    python benchmarks/shrink_in_training.py --dataset fashion_mnist --epochs 12 --precision mixed_bfloat16
    python benchmarks/shrink_in_training.py --dataset cifar10 --model resnet20 --epochs 30 --precision float32
    python benchmarks/shrink_in_training.py --dataset cifar10 --model resnet20 --granularity branch --sparsity 0.57

Three trainings a seed, in turns: the whole network; the same one whose filters or branches go at early events
(`dynamic`); and `small_dense`, a network of the very layers and widths that this ends with, trained from scratch for
the same time: for as many epochs as fit into what `dynamic` took, which is found with the first seed. Compiling and
surgery count. Printed are ratios of the same seed, medians over seeds, and test accuracies. What goes when and by
which criterion is to be chosen beforehand with `--select`, which looks at validation data, with other seeds. Finished
runs are read again, so that a benchmark that was cut off goes on.
"""

from __future__ import annotations

import functools
import json
import logging
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.cli._options import make_config
from tfprune.experiments.experiment import train
from tfprune.experiments.results import Result
from tfprune.reporting.figures.panels import Panel, Theme
from tfprune.reporting.figures.rendering import write_png
from tfprune.training.config import Config
from tfprune.training.setting_checks import REMOVING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAININGS = ("unpruned", "removed in training", "small from scratch")


@click.command()
@click.option("--dataset", default="fashion_mnist", show_default=True)
@click.option("--model", default=None, help="By default the data set's own.")
@click.option("--epochs", type=int, default=12, show_default=True)
@click.option("--seeds", type=int, default=3, show_default=True)
@click.option("--first-seed", type=int, default=0, show_default=True)
@click.option("--precision", default="mixed_bfloat16", show_default=True)
@click.option("--granularity", type=click.Choice(REMOVING), default="filter", show_default=True)
@click.option("--events", default="1", show_default=True, help="Epochs after which they go, with commas.")
@click.option("--sparsity", type=float, default=0.5, show_default=True, help="Share that goes in all.")
@click.option("--criterion", default=None, help="By default the granularity's own.")
@click.option("--exclude", default="", help="Layers that keep all they have, with commas.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any other setting of the runs.")
@click.option("--select", is_flag=True, help="Only `dynamic`, and its validation accuracy: to choose events by.")
@click.option("--limit", type=int, default=None, help="Examples of each split at most, to try it out.")
@click.option("--out", default="saved_models/benchmark", show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers here too.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw accuracy against time into this PNG.")
def main(
    *,
    dataset: str,
    model: str | None,
    epochs: int,
    seeds: int,
    first_seed: int,
    precision: str,
    granularity: str,
    events: str,
    sparsity: float,
    criterion: str | None,
    exclude: str,
    assignments: tuple[str, ...],
    select: bool,
    limit: int | None,
    out: str,
    json_file: Path | None,
    figure: Path | None,
) -> None:
    """Compare a training that loses filters or branches with an unpruned one and a small one of the same time."""
    for library in ("tensorflow", "tfprune"):
        logging.getLogger(library).setLevel(logging.ERROR)
    given = {"dataset": dataset, "model": model, "epochs": epochs, "precision": precision, "limit": limit, "out": out}
    given |= {"method": "dynamic", "granularity": granularity, "exclude": exclude}
    fractions = [(int(epoch) + 0.5) / epochs for epoch in events.split(",")]
    given |= {"settings": {"events": fractions, "final_sparsity": sparsity}}
    assignments = (*([f"channels.criterion={criterion}"] if criterion else []), *assignments)
    base = make_config(None, given | {"assignments": assignments})
    _warm_up(base)
    rows: list[dict[str, Any]] = []
    budget = 0
    for seed in range(first_seed, first_seed + seeds):
        dynamic = base.replace(seed=seed)
        if select:
            result = train(dynamic)
            accuracy = result.metrics["validation"]["accuracy"]
            own = " ".join((f"events {events}", *assignments))
            click.echo(f"seed {seed}, {own}: validation accuracy {accuracy:.4f}, {_seconds(result)}")
            continue
        whole = dynamic.as_baseline().replace(exclude=())
        pair = [train(config) for config in ((whole, dynamic) if seed % 2 else (dynamic, whole))]
        by_method = {result.config.method: result for result in pair}
        small = _small(by_method["dynamic"], sparsity)
        if not budget:  # with the first seed; it is the same for the others
            trial = train(small)
            budget = int(epochs * _cpu(by_method["dynamic"]) / _cpu(trial))
        rows.append(_row(seed, by_method["unpruned"], by_method["dynamic"], train(small.replace(epochs=budget))))
        click.echo(json.dumps(rows[-1]))
    if rows:
        _echo(rows)
        if json_file:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            made = {name: by_method["dynamic"].metrics[name] for name in ("versions", "machine")}
            json_file.write_text(json.dumps({"settings": dynamic.to_dict(), **made, "seeds": rows}, indent=2) + "\n")
        if figure:
            title = f"{dataset}: {dynamic.model}, {epochs} epochs, {seeds} seeds"
            draw = functools.partial(_draw, rows=rows)
            write_png([Panel(draw, "Test accuracy against CPU time.", width=7.0, height=4.0)], figure, title=title)


def _small(dynamic: Result, sparsity: float) -> Config:
    """Returns the settings of a network that starts as small as this one ended."""
    config = dynamic.config.replace(method="small_dense", settings={"sparsity": sparsity})
    if config.granularity == "filter":
        return config
    (group,) = dynamic.metrics["channels"]["groups"].values()
    return config.replace(channel_settings=config.channel_settings | {"order": group["gone"]})


def _warm_up(config: Config) -> None:
    """Pays what the first training of a process pays once, on a few examples."""
    train(config.replace(limit=4 * config.batch_size, seed=10**6, out=f"{config.out}/warm-up"), force=True)


def _cpu(result: Result) -> float:
    """Returns the CPU seconds of all training, surgery and compiling included."""
    return result.metrics["cpu_seconds"]["total"]


def _wall(result: Result) -> float:
    took = result.metrics["cpu_seconds"]
    return sum(result.metrics["seconds"][phase] for phase in took if phase != "total")


def _seconds(result: Result) -> str:
    return f"{_wall(result):.0f} s, {_cpu(result):.0f} s of CPU time"


def _row(seed: int, *trained: Result) -> dict[str, Any]:
    row: dict[str, Any] = {"seed": seed}
    for name, result in zip(TRAININGS, trained, strict=True):
        row[name] = {
            "test_accuracy": result.metrics["test"]["accuracy"],
            "parameters": result.metrics["parameters"],
            "epochs": result.metrics["epochs"],
            "wall": _wall(result),
            "cpu": _cpu(result),
        }
    return row


def _echo(rows: list[dict[str, Any]]) -> None:
    click.echo("| training | epochs | parameters | wall time / unpruned | CPU time / unpruned | test accuracy |")
    click.echo("|---|---|---|---|---|---|")
    for name in TRAININGS:
        ratios = [
            f"{statistics.median(row[name][clock] / row[TRAININGS[0]][clock] for row in rows):.2f}"
            for clock in ("wall", "cpu")
        ]
        accuracies = ", ".join(f"{100 * row[name]['test_accuracy']:.2f}" for row in rows)
        mean = statistics.mean(100 * row[name]["test_accuracy"] for row in rows)
        epochs = "/".join(str(count) for count in sorted({row[name]["epochs"] for row in rows}))
        share = rows[0][name]["parameters"] / rows[0][TRAININGS[0]]["parameters"]
        click.echo(f"| {name} | {epochs} | {share:.2f} | {' | '.join(ratios)} | {mean:.2f} % ({accuracies}) |")


def _draw(axes: Axes, theme: Theme, *, rows: list[dict[str, Any]]) -> None:
    looks = zip(TRAININGS, (theme.ink, theme.train, theme.validation), "osD", strict=True)
    for name, colour, marker in looks:
        times = [row[name]["cpu"] / row["unpruned"]["cpu"] for row in rows]
        accuracies = [100 * row[name]["test_accuracy"] for row in rows]
        axes.plot(times, accuracies, marker, color=colour, markersize=7, label=name, linestyle="none")
    axes.set(xlabel="CPU time of the training / unpruned", ylabel="test accuracy, %", xlim=(0, 1.1))


if __name__ == "__main__":
    main()
