"""What `--dry-run` prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.cli._json import echo_json
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.data.objectives import DEFAULT
from tfprune.experiments.rundir import RunDir
from tfprune.training.config import Config
from tfprune.utils.text import percent

if TYPE_CHECKING:
    from tfprune.data._base import Data
    from tfprune.experiments.forecast import Event, Forecast

MAX_EVENTS = 12  # that are shown; of more the first and the last


def echo_runs(configs: Iterable[Config], *, as_json: bool = False) -> None:
    """Names runs, and says which are finished."""
    from tfprune.experiments.results import find_result

    found = [(config, find_result(config) is not None) for config in configs]
    if as_json:
        runs = [{"run": own.run_id, "folder": str(Path(own.out) / own.run_id), "finished": done} for own, done in found]
        echo_json({"runs": runs})
        return
    for config, finished in found:
        echo(f"{config.run_id}{'  finished' if finished else ''}")


def echo_plan(config: Config, *, as_json: bool = False) -> None:
    """Says what a run would do and take."""
    start_logging(steps=True)
    from tfprune.data._base import SPLITS
    from tfprune.experiments.forecast import forecast
    from tfprune.structured.summaries import HEADERS

    found = forecast(config)
    if as_json:
        echo_json(_as_dict(config, found))
        return
    _echo_data(found.data, SPLITS)
    echo()
    echo_table(found.summary.rows(), HEADERS)
    echo()
    _echo_events(config, found)
    _echo_costs(config, found)
    folder = RunDir(Path(config.out) / config.run_id)
    echo(f"Writes       {folder.root}/: {', '.join(path.name for path in found.files)}")
    if folder.finished:
        echo("This run is finished already: it would be shown; --force repeats it.")
    elif folder.checkpoints.is_dir():
        echo("This run was begun already: it would go on from its last checkpoint; --force starts it anew.")
    echo("Nothing was written. The same command without --dry-run trains.")


def _as_dict(config: Config, found: Forecast) -> dict[str, Any]:
    names = ("steps", "steps_per_epoch", "prunable", "seconds", "start_seconds", "step_seconds", "precision", "memory")
    plan = {name: getattr(found, name) for name in names}
    events = [dataclasses.asdict(event) for event in found.events]
    files = [path.name for path in found.files]
    return {"run": config.run_id, "settings": config.to_dict(), **plan, "events": events, "files": files}


def _echo_data(data: Data, splits: Iterable[str]) -> None:
    counts = data.class_counts()
    for note in data.notes:
        echo(note)
    if data.objective.name != DEFAULT:
        sizes = [
            (split, f"{len(getattr(data, split)):,}", *map(_short_number, counts[split].values())) for split in splits
        ]
        echo_table(sizes, ("split", "examples", *(f"{data.objective.counted} {label}" for label in data.labels)))
        for warning in data.warnings:
            echo(warning)
        return
    rows = [
        (label, *(f"{own[label]:,} ({percent(own[label] / max(1, sum(own.values())))})" for own in counts.values()))
        for label in data.labels
    ]
    echo_table([*rows, ("total", *(f"{sum(own.values()):,}" for own in counts.values()))], (data.target, *splits))
    for warning in (*data.warnings, data.imbalance()):
        if warning:
            echo(warning)


def _echo_events(config: Config, found: Forecast) -> None:
    events = list(found.events)
    half = MAX_EVENTS // 2
    hidden = len(events) - 2 * half
    rows = [_cells(event, found.prunable) for event in events]
    if hidden > 1:
        rows[half:-half] = [("...", "", "", f"{hidden:,} more", "", "")]
    left = {"filter": "filters, units left", "branch": "branches left", "block": "blocks left"}.get(
        config.granularity, "weights left"
    )
    echo_table(rows, ("training", "after epoch", "step", "", left, "sparsity"))


def _cells(event: Event, prunable: int) -> tuple[str, ...]:
    left = "" if event.left is None else f"{event.left:,} of {prunable:,}"
    sparsity = "" if event.sparsity is None else percent(event.sparsity)
    return (event.phase, f"{event.epoch:,}", f"{event.step:,}", event.what, left, sparsity)


def _echo_costs(config: Config, found: Forecast) -> None:
    memory = ", ".join(f"{size / 1e6:,.0f} MB of {where}" for where, size in found.memory.items())
    looks = f", {found.validations:,} looks at the validation split" if found.validation_seconds else ""
    start = f"{_short(found.start_seconds)} until the first step is done, then "
    each = f"{_short(found.step_seconds)} a step (of {found.measured_steps:,} measured, in {found.precision})"
    echo(
        "",
        f"Steps        {found.steps:,}, {found.steps_per_epoch:,} an epoch, of up to {config.batch_size:,} examples",
        f"Time         about {_duration(found.seconds)}: {start}{each}{looks}; saving, logging, export come on top",
        f"Memory       {memory}, at most, while this was measured",
    )


def _short_number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _short(seconds: float) -> str:
    return (
        f"{1e6 * seconds:.0f} µs"
        if seconds < 1e-3
        else f"{1e3 * seconds:.3g} ms"
        if seconds < 1
        else f"{seconds:.3g} s"
    )
