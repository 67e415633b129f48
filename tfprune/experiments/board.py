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
VALIDATION = "val_"  # begins the names of the columns of the validation split


def hyperparameters(config: Config) -> dict[str, Any]:
    """Returns the settings of a run that are one text or number, and those of its method."""
    flat = {key: value for key, value in config.to_dict().items() if isinstance(value, (str, int, float))}
    flat |= {f"{config.method}.{key}": _scalar(own) for key, own in config.settings.items() if own is not None}
    return {key: value for key, value in flat.items() if key not in NON_IDENTITY_FIELDS}


def final_scores(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns the scores of a finished run by their names on the board.

    Args:
        metrics: those of `metrics.json`.
    """
    scores = {f"final/{split}_{key}": v for split in ("validation", "test") for key, v in metrics[split].items()}
    return scores | {"final/sparsity": metrics["sparsity"]["achieved"]}


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
    from tensorboard.plugins.hparams.api import hparams_pb

    rows = [(int(row["step"]), _scalars(row)) for row in history]
    first = hparams_pb(hyperparameters(config), trial_id=config.run_id)
    first.value.extend(Summary.Value(tag=tag, simple_value=value) for tag, value in final_scores(metrics).items())
    for split, validation in (("train", False), ("validation", True)):
        summaries = [] if validation else [(0, first)]
        for step, scalars in rows:
            own = {tag: v for tag, v in scalars.items() if tag.startswith(VALIDATION) is validation}
            values = [Summary.Value(tag=tag.removeprefix(VALIDATION), simple_value=v) for tag, v in own.items()]
            if values:
                summaries.append((step, Summary(value=values)))
        _write_events(folder.tensorboard / split, summaries)


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
