"""Which times can be compared: those of one machine and one loop, with as many networks trained as one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "timing"  # of a comparison's rows
REMEDY = "time all of them alike: the same seeds in one command, with --out NEW_FOLDER or --set loop=plain"
Rows = Mapping[str, Mapping[str, Any]]  # seed -> what a comparison says of its run


def timing_of(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Returns what the times of a run depend on, beside its settings: name -> value."""
    networks = metrics.get("networks", 1)
    fused = "networks" in metrics or "compile" in metrics["seconds"]
    return {
        "networks": "alone" if networks == 1 else f"{networks} as one model",
        "loop": "in the fused loop" if fused else "in the plain loop",
        "machine": f"on {machine_text(metrics['machine'])}",
    }


def machine_text(machine: Mapping[str, Any]) -> str:
    """Returns a machine's processor, cores and GPUs."""
    return ", ".join((machine["cpu"], f"{machine['cores']} cores", *machine["gpus"]))


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
    """Returns why cells of a comparison that are about time are blank, and what to do about it."""
    reasons = [reason for values in summary.values() if (reason := values.get("times_differ"))]
    return [f"Blank where {'; '.join(reasons)}; {REMEDY}."] if reasons else []
