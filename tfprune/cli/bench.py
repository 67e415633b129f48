"""`tfprune bench`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.cli._bench_files import bench_files
from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._models import backend_option, is_model
from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.cli._typed import again, as_typed, takes_data
from tfprune.cli.export import export_command
from tfprune.utils.checks import check_whole
from tfprune.utils.errors import ConfigError
from tfprune.utils.progress import progress_bar
from tfprune.utils.text import milliseconds, percent, ratio_text

if TYPE_CHECKING:
    from tfprune.data.objectives._base import Metric
    from tfprune.experiments.results import Result
    from tfprune.exporting.latency import Latency, Model

Cells = tuple[list[tuple[str, ...]], tuple[str, ...]]  # rows and headers
FIGURES = (".png", ".svg", ".pdf")
NO_FASTER = 0.95  # of the time of what it is compared with


@click.command(cls=Command, short_help="Measure the size and speed of models side by side.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN|MODEL...", type=click.Path(path_type=Path))
@click.option("--batch", "batches", default="1,32", show_default=True, metavar="N,...", help="Examples per call.")
@click.option("--rounds", type=int, default=100, show_default=True, help="Interleaved calls per model.")
@click.option("--figure", metavar="FILE", type=click.Path(path_type=Path), help="Draw the times: .png, .svg or .pdf.")
@takes_data
@trust_option
@backend_option
@json_option
def bench(
    runs: tuple[Path, ...],
    batches: str,
    rounds: int,
    figure: Path | None,
    as_json: bool,
    backend: str | None,
    **given: Any,
) -> None:
    """Measure the size and speed of models side by side.

    Of finished RUNs all files that their models were exported to are measured, with their test accuracy; a MODEL is a
    file (.keras, .h5, .tflite, .onnx) or a SavedModel, measured on made-up inputs. The first is what the others are
    compared with: name the unpruned one first. Runs keep their times, and `tfprune report` says which is fastest.
    """
    check_whole("--rounds", rounds, least=1)
    if figure is not None and figure.suffix.lower() not in FIGURES:
        raise ConfigError(f"--figure must end in {', '.join(FIGURES)}, got {str(figure)!r}")
    sizes = _sizes(batches)
    files = [is_model(run) for run in runs]
    if any(files) and not all(files):
        model, run = runs[files.index(True)], runs[files.index(False)]
        raise ConfigError(f"name either runs or models: {model} is a model, and {run} is none")
    start_logging(steps=True)
    if all(files):
        if any(value is not None for value in given.values()):
            raise ConfigError("--dataset and --data-dir are of runs; models in files are measured on made-up inputs")
        bench_files(runs, sizes, rounds, figure, as_json, backend)
        return
    if backend is not None:
        raise ConfigError("--backend is of model files; runs are measured with TensorFlow")
    _bench_runs(runs, sizes, rounds, figure, as_json, given)


def _bench_runs(
    runs: Sequence[Path],
    sizes: Sequence[int],
    rounds: int,
    figure: Path | None,
    as_json: bool,
    given: Mapping[str, Any],
) -> None:
    from tfprune.experiments.exports import check_left_a_model, models_of, prepare_to_read
    from tfprune.experiments.results import check_model, read_result
    from tfprune.experiments.run_data import load_data
    from tfprune.experiments.rundir import RunDir
    from tfprune.exporting.latency import latencies, score

    results = [read_result(RunDir(run)) for run in runs]
    if len({(result.config.data_name, str(result.config.data_settings)) for result in results}) > 1:
        raise ConfigError("runs of several data sets cannot be compared; name runs of one")
    for result in results:
        check_left_a_model(result.folder)
        check_model(result.folder)
    prepare_to_read(*results)
    data = load_data(as_typed(results[0].config, given))
    test = data.test
    models = sorted((model for result in results for model in models_of(result, data)), key=lambda model: model.file)
    objective = data.objective
    metric = objective.metrics[objective.primary]
    through = progress_bar(models, desc=metric.label, unit="file", leave=False)
    scores = [score(model, test, objective) for model in through]
    measured = [latencies(models, test.x, size, rounds) for size in progress_bar(sizes, desc="latency", leave=False)]
    _keep(results, models, measured)
    first = results[0].config.run_id
    if as_json:
        echo_json({"models": _as_dicts(models, metric, scores, measured, first)})
    else:
        if len(results) == 1:
            echo(f"Run {first}", "")
        echo_table(*_for_runs(results, *_sizes_table(models, metric, scores)))
        echo()
        echo_table(*_for_runs(results, *_times_table(models, measured, first)))
    if figure:
        _draw(results, models, sizes, measured, figure)
        echo(f"Figure: {figure}", err=as_json)
    for line in () if as_json else (*_alone(models, first, runs[0], given), *_in_vain(models, measured, first)):
        echo(line)


def _draw(
    results: Sequence[Result],
    models: Sequence[Model],
    sizes: Sequence[int],
    measured: Sequence[Sequence[Latency]],
    figure: Path,
) -> None:
    from tfprune.reporting.figures.latencies import plot_latencies
    from tfprune.utils.files import written_to

    names = _names(results)
    bars = {
        f"batch of {size}": {
            f"{m.file}, {names[m.run]}": (t.median, *t.spread) for m, t in zip(models, own, strict=True)
        }
        for size, own in zip(sizes, measured, strict=True)
    }
    with written_to(figure):
        alike = {f"{m.file}, {names[m.run]}": m.run for m in models}
        plot_latencies(bars, figure, title=f"{results[0].config.data_name}: time per call", alike=alike)


def _names(results: Sequence[Result]) -> dict[str, str]:
    """Returns run -> what a figure calls it: as comparisons call its trial, with the seed if that has several runs."""
    from tfprune.reporting.comparison import by_trial

    return {
        run.config.run_id: trial if len(runs) == 1 else f"{trial}, seed {run.config.seed}"
        for trial, runs in by_trial(results).items()
        for run in runs
    }


def _keep(results: Sequence[Result], models: Sequence[Model], measured: Sequence[Sequence[Latency]]) -> None:
    """Keeps the times in the folders of the runs, for reports."""
    from tfprune.adapters.backend import machine
    from tfprune.experiments.latency_files import write_latencies

    times: dict[str, list[dict[str, Any]]] = {result.config.run_id: [] for result in results}
    for own in measured:
        for model, took in zip(models, own, strict=True):
            place = _first(models, model, results[0].config.run_id)
            ratio = None if place is None else took.ratio(own[place])
            found = {"file": model.file, "batch": took.batch, "median_seconds": took.median, "ratio": ratio}
            times[model.run].append(found)
    write_latencies(results, times, machine())


def _sizes(batches: str) -> list[int]:
    try:
        sizes = [int(part) for part in batches.split(",")]
    except ValueError:
        raise ConfigError(f"--batch must be whole numbers like 1,32, got {batches!r}") from None
    for size in sizes:
        check_whole("--batch", size, least=1)
    return sizes


def _for_runs(results: Sequence[Result], rows: list[tuple[str, ...]], headers: tuple[str, ...]) -> Cells:
    """Returns a table without the column of runs if there is one alone, whose name takes the room of the others."""
    if len(results) > 1:
        return rows, headers
    place = headers.index("run")
    return [row[:place] + row[place + 1 :] for row in rows], headers[:place] + headers[place + 1 :]


def _sizes_table(models: Sequence[Model], metric: Metric, scores: Sequence[float]) -> Cells:
    rows = [
        (
            *(model.file, model.run, f"{model.raw / 1000:,.1f}", f"{model.gzip / 1000:,.1f}"),
            *("" if n is None else f"{n:,}" for n in (model.multiplications, model.nonzero_multiplications)),
            metric.text(own, 2),
        )
        for model, own in zip(models, scores, strict=True)
    ]
    return rows, ("file", "run", "kB", "kB gzipped", "MACs", "with zeros left out", f"test {metric.label}")


def _times_table(models: Sequence[Model], measured: Sequence[Sequence[Latency]], first: str) -> Cells:
    rows = []
    for own in measured:
        for model, took in zip(models, own, strict=True):
            low, high = took.spread
            rows.append(
                (
                    *(f"{took.batch:,}", model.file, model.run, milliseconds(took.median)),
                    *(f"{milliseconds(low)} to {milliseconds(high)}", f"{took.throughput:,.0f}"),
                    _ratio(models, model, own, first),
                )
            )
    return rows, ("batch", "file", "run", "ms per call", "p10 to p90", "examples / s", "time / first run's")


def _first(models: Sequence[Model], model: Model, first: str) -> int | None:
    """Returns the place of the first run's file that is called as a model's is; None if it was not exported so."""
    places = (number for number, other in enumerate(models) if (other.file, other.run) == (model.file, first))
    return next(places, None)


def _ratio(models: Sequence[Model], model: Model, times: Sequence[Latency], first: str) -> str:
    place = _first(models, model, first)
    if place is None or models[place] is model:
        return ""
    return ratio_text(next(t for m, t in zip(models, times, strict=True) if m is model).ratio(times[place]))


def _alone(models: Sequence[Model], first: str, run: Path, given: Mapping[str, Any]) -> list[str]:
    """Says which files are compared with none, as the first run was not exported so."""
    files = dict.fromkeys(model.file for model in models if _first(models, model, first) is None)
    return [
        f"{file}: {first} has none to compare with; make it with {export_command(run, file)}{again(given)}"
        for file in files
    ]


def _as_dicts(
    models: Sequence[Model], metric: Metric, scores: Sequence[float], measured: Sequence[Sequence[Latency]], run: str
) -> list[dict[str, Any]]:
    found = []
    for number, (model, score) in enumerate(zip(models, scores, strict=True)):
        first = _first(models, model, run)
        times = [
            {
                "batch": own[number].batch,
                "median_seconds": own[number].median,
                "p10_seconds": own[number].spread[0],
                "p90_seconds": own[number].spread[1],
                "ratio": None if first in (None, number) else own[number].ratio(own[first]),
            }
            for own in measured
        ]
        sizes = {"raw": model.raw, "gzip": model.gzip, "macs": model.multiplications}
        nonzero = {"macs_without_zeros": model.nonzero_multiplications, f"test_{metric.name}": score}
        found.append({"run": model.run, "file": model.file, **sizes, **nonzero, "times": times})
    return found


def _fewer(model: Model, other: Model) -> str:
    """Says what share of the multiplications that another model does, one leaves out or does by zero; "" if none."""
    done, left = model.multiplications, model.nonzero_multiplications
    if not done or left is None or other.multiplications is None or other.nonzero_multiplications is None:
        return ""
    if done < other.multiplications:
        return f"{percent(1 - done / other.multiplications, 0)} fewer multiplications matter too little here"
    if done > other.multiplications or left >= other.nonzero_multiplications:
        return ""
    return f"{percent(1 - left / done, 0)} of its multiplications are by zero, and are done all the same"


def _in_vain(models: Sequence[Model], measured: Sequence[Sequence[Latency]], run: str) -> list[str]:
    """Says of which runs fewer multiplications matter, and are no faster for that than the first run."""
    ratios: dict[str, list[float]] = {}
    reasons = {}
    for number, model in enumerate(models):
        other = _first(models, model, run)
        if other is not None and (reason := _fewer(model, models[other])):
            reasons[model.run] = reason
            ratios.setdefault(model.run, []).extend(own[number].ratio(own[other]) for own in measured)
    return [
        f"Pruning bought no speed: {name} takes {min(own):.2f} to {max(own):.2f} x the time of {run}. {reasons[name]}."
        for name, own in ratios.items()
        if statistics.median(own) > NO_FASTER
    ]
