"""Which times can be compared: those of one machine and one loop, with as many networks trained as one model.

Networks that are trained as one model share one measurement: its seconds divided by their number are no measurement of
each. There is no interval of such times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfprune.utils.text import counted

KEY = "timing"  # of a comparison's rows
ALONE = "alone"
REMEDY = "time all of them alike: the same seeds in one command, with --out NEW_FOLDER or --set loop=plain"
Rows = Mapping[str, Mapping[str, Any]]  # seed -> what a comparison says of its run


def timing_of(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Returns what the times of a run depend on, beside its settings: name -> value."""
    networks = metrics.get("networks", 1)
    fused = "networks" in metrics or "compile" in metrics["seconds"]
    return {
        "networks": ALONE if networks == 1 else f"{networks} as one model",
        "loop": "in the fused loop" if fused else "in the plain loop",
        "machine": f"on {machine_text(metrics['machine'])}",
    }


def trained_as_stacks(rows: Rows) -> int | None:
    """Returns how many measurements the times of a trial's seeds are, if they were trained as one model; else None.

    Rows of earlier versions do not say so; there it shows in many seeds having the same seconds.
    """
    times = [row["training_time"] for row in rows.values() if row.get("training_time") is not None]
    stacked = [row[KEY]["networks"] != ALONE for row in rows.values() if KEY in row]
    distinct = len(set(times))
    if any(stacked) if stacked else len(times) > 3 and 2 * distinct <= len(times):
        return distinct
    return None


def machine_text(machine: Mapping[str, Any]) -> str:
    """Returns a machine's processor, cores and GPUs."""
    return ", ".join((machine["cpu"], counted(machine["cores"], "core"), *machine["gpus"]))


def why_times_differ(trial: str, rows: Rows, other_trial: str, other_rows: Rows) -> str | None:
    """Returns why the times of two trials cannot be compared seed by seed; None if they can."""
    pairs = [
        (own[KEY], other_rows[seed][KEY])
        for seed, own in rows.items()
        if KEY in own and KEY in other_rows.get(seed, {})  # which rows of earlier versions do not have
    ]
    differing = [key for key in (pairs[0][0] if pairs else ()) if any(own[key] != other[key] for own, other in pairs)]
    if not differing:
        return None
    own, other = (
        "; ".join(
            ", ".join(values) for values in dict.fromkeys(tuple(side[key] for key in differing) for side in sides)
        )
        for sides in zip(*pairs, strict=True)
    )
    return f"times do not compare: {trial} was trained {own}, {other_trial} {other}"


def timing_notes(summary: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns why cells of a comparison that are about time are blank or rough, and what to do about it."""
    reasons = [reason for values in summary.values() if (reason := values.get("times_differ"))]
    notes = [f"Blank where {'; '.join(reasons)}; {REMEDY}."] if reasons else []
    if stacks := {trial: n for trial, values in summary.items() if (n := trained_as_stacks(values["seeds"]))}:
        [*most] = sorted(set(stacks.values()))
        count = str(most[0]) if len(most) == 1 else f"{most[0]} to {most[-1]}"
        notes.append(
            f"Many networks were trained as one model: times of a method are {count} measurement"
            f"{'' if most[-1] == 1 else 's'}, not one per seed, so there are no intervals of times."
        )
    return notes
