"""What `tfprune bench` measured, kept in the folders of its runs, so that reports can say which is fastest.

Only times that were measured in turns, by one call, can be compared: they share a `measurement`.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfprune.experiments.results import Result
from tfprune.experiments.run_files import check, read_json
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.schemas import Inference
from tfprune.utils.errors import RunError
from tfprune.utils.files import write_json
from tfprune.utils.text import date_text

log = logging.getLogger(__name__)

SCHEMA = 1


def write_latencies(
    results: Iterable[Result], times: Mapping[str, Sequence[Mapping[str, Any]]], machine: Mapping[str, Any]
) -> None:
    """Keeps the times of one measurement; a folder that cannot be written keeps none.

    Args:
        results: the runs that were measured.
        times: run id -> `file`, `batch`, `median_seconds` and `ratio` of each of its files and batches.
        machine: that they were measured on.
    """
    measurement = {"schema": SCHEMA, "measurement": uuid.uuid4().hex, "date": date_text(), "machine": machine}
    for result in results:
        with contextlib.suppress(OSError):
            write_json(result.folder.latency, {**measurement, "times": list(times[result.config.run_id])})


def read_latency(folder: RunDir) -> Inference | None:
    """Returns the last times that were measured of a run's files; None if there are none that can be read."""
    if not folder.latency.is_file():
        return None
    try:
        return check(read_json(folder.latency), Inference, folder.latency)
    except RunError as error:
        log.warning("left aside: %s", error)
        return None
