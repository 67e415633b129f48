"""What `tfprune bench` does with model files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.cli._json import echo_json
from tfprune.cli._models import check_backend
from tfprune.cli._terminal import echo, echo_table
from tfprune.utils.progress import progress_bar
from tfprune.utils.text import milliseconds, percent, ratio_text

if TYPE_CHECKING:
    from tfprune.exporting.file_latency import Measured
    from tfprune.exporting.latency import Latency

MADE_UP = "Times are of made-up inputs, in turns; the ratio is the median over calls of the same round."


def bench_files(
    paths: Sequence[Path], sizes: Sequence[int], rounds: int, figure: Path | None, as_json: bool, backend: str | None
) -> None:
    """Measures models in files, and prints what came out; the first is what the others are compared with."""
    from tfprune.exporting.file_latency import checked, file_latencies, open_for_latency

    models = [open_for_latency(path) for path in paths]
    for own in models:
        if own.model is not None:
            check_backend(own.path, own.kind, backend)
    checked(models)
    measured = [file_latencies(models, size, rounds) for size in progress_bar(sizes, desc="latency", leave=False)]
    if as_json:
        echo_json({"models": [_as_dict(own, [times[n] for times in measured], [times[0] for times in measured])
                              for n, own in enumerate(models)]})  # fmt: skip
    else:
        _echo_tables(paths, models, measured)
    if figure:
        _draw(models, sizes, measured, figure)
        echo(f"Figure: {figure}", err=as_json)


def _echo_tables(paths: Sequence[Path], models: Sequence[Measured], measured: Sequence[Sequence[Latency]]) -> None:
    folder, names = _names(paths)
    if folder:
        echo(f"Models in {folder}", "")
    sizes_of = [(name, *_size_cells(own)) for name, own in zip(names, models, strict=True)]
    echo_table(sizes_of, ("model", "kind", "kB", "kB gzipped", "MACs", "zeros"))
    echo()
    rows = [cells for times in measured for cells in _time_cells(names, times)]
    echo_table(rows, ("model", "batch", "ms per call", "p10 to p90", "examples / s", "time / first's"))
    echo("", MADE_UP)


def _names(paths: Sequence[Path]) -> tuple[str, list[str]]:
    """Returns the folder that all files are in, "" of one alone, and their paths in it, for which tables have room."""
    folder = os.path.commonpath([path.absolute().parent for path in paths])
    shown = os.path.commonpath([path.parent for path in paths]) if not any(p.is_absolute() for p in paths) else folder
    if len(paths) == 1 or not shown or shown == os.sep:
        return "", [str(path) for path in paths]
    return shown, [os.path.relpath(path.absolute(), folder) for path in paths]


def _size_cells(own: Measured) -> tuple[str, ...]:
    macs = "" if own.macs is None else f"{own.macs:,}"
    zeros = "" if own.sparsity is None else percent(own.sparsity)
    return own.kind, f"{own.raw / 1000:,.1f}", f"{own.gzip / 1000:,.1f}", macs, zeros


def _time_cells(names: Sequence[str], times: Sequence[Latency]) -> list[tuple[str, ...]]:
    """Returns the rows of one size of batch, the fastest first."""
    rows = []
    for name, took in sorted(zip(names, times, strict=True), key=lambda pair: pair[1].median):
        low, high = took.spread
        ratio = "" if took is times[0] else ratio_text(took.ratio(times[0]))
        spread = f"{milliseconds(low)} to {milliseconds(high)}"
        rows.append((name, f"{took.batch:,}", milliseconds(took.median), spread, f"{took.throughput:,.0f}", ratio))
    return rows


def _as_dict(own: Measured, times: Sequence[Latency], first: Sequence[Latency]) -> dict[str, Any]:
    sizes = {"raw": own.raw, "gzip": own.gzip, "macs": own.macs, "sparsity": own.sparsity}
    calls = [
        {
            "batch": took.batch,
            "median_seconds": took.median,
            "p10_seconds": took.spread[0],
            "p90_seconds": took.spread[1],
            "ratio": None if took is other else took.ratio(other),
        }
        for took, other in zip(times, first, strict=True)
    ]
    return {"path": str(own.path), "kind": own.kind, **sizes, "times": calls}


def _draw(
    models: Sequence[Measured], sizes: Sequence[int], measured: Sequence[Sequence[Latency]], figure: Path
) -> None:
    from tfprune.reporting.figures.latencies import plot_latencies
    from tfprune.utils.files import written_to

    bars = {
        f"batch of {size}": {str(m.path): (t.median, *t.spread) for m, t in zip(models, times, strict=True)}
        for size, times in zip(sizes, measured, strict=True)
    }
    with written_to(figure):
        plot_latencies(bars, figure, title="time per call")
