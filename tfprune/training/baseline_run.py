"""A dense training that is done, for methods that begin with the same one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class BaselineRun:
    """A dense training that is done, for methods that begin with the same one to take over.

    Args:
        phase: its name.
        weights: returns those at its end, see `mask_values.get_weights`.
        history: the rows of its `callbacks.History`.
        epochs, seconds, cpu_seconds: what it took.
        source: where it comes from.
    """

    phase: str
    weights: Callable[[], list[np.ndarray]]
    history: list[dict[str, Any]]
    epochs: int
    seconds: float
    cpu_seconds: float
    source: str
