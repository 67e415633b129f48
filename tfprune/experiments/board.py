"""What TensorBoard shows of a run beside its training: hyperparameters, final scores, and curves from a history."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfprune.experiments.rundir import RunDir
from tfprune.training.config import NON_IDENTITY_FIELDS, Config

NOT_SCALARS = ("phase", "epoch", "step")  # columns of a history
FINAL = "final_by_parameters"  # the charts of final scores
VALIDATION = "val_"  # begins the names of the columns of the validation split


def hyperparameters(config: Config) -> dict[str, Any]:
    """Returns the settings of a run that are one text or number, and those of its method."""
    flat = {key: value for key, value in config.to_dict().items() if isinstance(value, (str, int, float))}
    flat |= {f"{config.method}.{key}": _scalar(own) for key, own in config.settings.items() if own is not None}
    return {key: value for key, value in flat.items() if key not in NON_IDENTITY_FIELDS}


def write_final(folder: RunDir, config: Config, metrics: Mapping[str, Any]) -> None:
    """Writes hyperparameters and final scores of a run beside the scalars that it logged while it trained.

    Args:
        folder: of the run.
        config: its settings.
        metrics: those of `metrics.json`.
    """
    _write_events(folder.tensorboard / "train", _final(config, metrics))


def write_board(
    folder: RunDir, config: Config, history: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]
) -> None:
    """Writes the scalars of a finished run, on the charts of runs that log while they train.

    Runs that are trained side by side have no model of their own to log from; histograms and masks are left out.

    Args:
        folder: of the run.
        config: its settings.
        history: its rows, of `history.csv`.
        metrics: those of `metrics.json`.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary

    rows = [(int(row["step"]), _scalars(row)) for row in history]
    for split, validation in (("train", False), ("validation", True)):
        summaries = [] if validation else _final(config, metrics)
        for step, scalars in rows:
            own = {tag: v for tag, v in scalars.items() if tag.startswith(VALIDATION) is validation}
            values = [Summary.Value(tag=tag.removeprefix(VALIDATION), simple_value=v) for tag, v in own.items()]
            if values:
                summaries.append((step, Summary(value=values)))
        _write_events(folder.tensorboard / split, summaries)


def _final(config: Config, metrics: Mapping[str, Any]) -> list[tuple[int, Any]]:
    """Returns hyperparameters, and the final scores at the step that is the number of non-zero parameters.

    A run has one such point: over its steps it would show nothing, over parameters the chart compares all runs.
    """
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.plugins.hparams.api import hparams_pb

    scores = {f"{FINAL}/{split}_{key}": v for split in ("validation", "test") for key, v in metrics[split].items()}
    metadata = SummaryMetadata(summary_description="One point for each run. The axis counts **non-zero parameters**.")
    values = [Summary.Value(tag=tag, simple_value=value, metadata=metadata) for tag, value in scores.items()]
    points = int(metrics["nonzero_parameters"]), Summary(value=values)
    return [(0, hparams_pb(hyperparameters(config), trial_id=config.run_id)), points]


def _scalars(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name not in NOT_SCALARS and value is not None}


def _write_events(folder: Path, summaries: Iterable[tuple[int, Any]]) -> None:
    """Writes an event file at once, without the thread and the queue of TensorBoard's writers."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    with open(folder / f"events.out.tfevents.{int(now)}.{socket.gethostname()}", "wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for step, summary in summaries:
            records.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())


def _scalar(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else json.dumps(value)
