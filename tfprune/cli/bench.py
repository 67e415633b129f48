"""`tfprune bench`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.cli._typed import as_typed, takes_data
from tfprune.utils.checks import check_whole
from tfprune.utils.errors import ConfigError

if TYPE_CHECKING:
    from tfprune.exporting.latency import Latency, Model

NO_FASTER = 0.95  # of the time of what it is compared with


@click.command()
@trust_option
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--batch", "batches", default="1,32", show_default=True, metavar="N,...", help="Examples a call.")
@click.option("--rounds", type=int, default=100, show_default=True, help="Calls of each model, in turns.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the latencies into this PNG.")
@takes_data
def bench(runs: tuple[Path, ...], batches: str, rounds: int, figure: Path | None, **given: Any) -> None:
    """Measure size, speed and test accuracy of all files that the models of finished RUNs were exported to.

    The first RUN is what the others are compared with, file by file: name the unpruned one first.
    """
    check_whole("--rounds", rounds, least=1)
    sizes = _sizes(batches)
    start_logging(steps=True)
    from tqdm import tqdm

    from tfprune.experiments.exports import models_of, prepare_to_read
    from tfprune.experiments.results import check_model, read_result
    from tfprune.experiments.run_data import load_data
    from tfprune.experiments.rundir import RunDir
    from tfprune.exporting.latency import accuracy, latencies
    from tfprune.utils.files import written_to

    results = [read_result(RunDir(run)) for run in runs]
    if len({(result.config.data_name, str(result.config.data_settings)) for result in results}) > 1:
        raise ConfigError("runs of several data sets cannot be compared; name runs of one")
    for result in results:
        check_model(result.folder)
    prepare_to_read(*results)
    data = load_data(as_typed(results[0].config, given))
    test = data.test
    models = sorted((model for result in results for model in models_of(result, data)), key=lambda model: model.file)
    right = [accuracy(model, test) for model in tqdm(models, "accuracy", unit="file", disable=None, leave=False)]
    measured = [latencies(models, test.x, size, rounds) for size in tqdm(sizes, "latency", disable=None, leave=False)]
    echo_table(*_sizes_table(models, right))
    echo()
    echo_table(*_times_table(models, measured))
    if figure:
        from tfprune.reporting.figures.latencies import plot_latencies

        bars = {
            f"batch of {size}": {f"{m.file}, {m.run}": (t.median, *t.spread) for m, t in zip(models, own, strict=True)}
            for size, own in zip(sizes, measured, strict=True)
        }
        with written_to(figure):
            plot_latencies(bars, figure, title=f"{results[0].config.data_name}: time of a call")
        echo(f"Figure: {figure}")
    for line in _in_vain(models, measured):
        echo(line)


def _sizes(batches: str) -> list[int]:
    try:
        sizes = [int(part) for part in batches.split(",")]
    except ValueError:
        raise ConfigError(f"--batch must be whole numbers like 1,32, got {batches!r}") from None
    for size in sizes:
        check_whole("--batch", size, least=1)
    return sizes


def _sizes_table(models: Sequence[Model], right: Sequence[float]) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    rows = [
        (
            *(model.file, model.run, f"{model.raw / 1000:,.1f}", f"{model.gzip / 1000:,.1f}"),
            *(f"{model.multiplications:,}", f"{model.nonzero_multiplications:,}", f"{share:.2%}"),
        )
        for model, share in zip(models, right, strict=True)
    ]
    return rows, ("file", "run", "kB", "kB gzipped", "MACs", "with zeros left out", "test accuracy")


def _times_table(
    models: Sequence[Model], measured: Sequence[Sequence[Latency]]
) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    rows = []
    for own in measured:
        for model, took in zip(models, own, strict=True):
            low, high = took.spread
            rows.append(
                (
                    *(f"{took.batch:,}", model.file, model.run, f"{1000 * took.median:.2f}"),
                    *(f"{1000 * low:.2f} to {1000 * high:.2f}", f"{took.throughput:,.0f}"),
                    f"{took.ratio(own[_first(models, model)]):.2f}",
                )
            )
    return rows, ("batch", "file", "run", "ms a call", "p10 to p90", "examples / s", "time / first run's")


def _first(models: Sequence[Model], model: Model) -> int:
    return next(number for number, other in enumerate(models) if other.file == model.file)


def _in_vain(models: Sequence[Model], measured: Sequence[Sequence[Latency]]) -> list[str]:
    """Says of which runs fewer multiplications matter, and are no faster for that than the first run."""
    ratios: dict[str, list[float]] = {}
    reasons, first = {}, models[0].run
    for number, model in enumerate(models):
        other = _first(models, model)
        fewer = 1 - model.nonzero_multiplications / models[other].nonzero_multiplications
        if fewer > 0:
            zeros = model.multiplications == models[other].multiplications
            done = "of its multiplications are by zero, and are done all the same"
            reasons[model.run] = f"{fewer:.0%} {done if zeros else 'fewer multiplications matter too little here'}"
            first = models[other].run
            ratios.setdefault(model.run, []).extend(own[number].ratio(own[other]) for own in measured)
    return [
        f"Pruning bought no speed: {run} takes {min(own):.2f} to {max(own):.2f} x the time of {first}. {reasons[run]}."
        for run, own in ratios.items()
        if statistics.median(own) > NO_FASTER
    ]
