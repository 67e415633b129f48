"""The metric by which runs are compared, in its unit and direction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfprune.reporting.statistics import MARGIN


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number that says how good answers are.

    Args:
        name: in files.
        label: in tables and figures.
        higher: whether more is better.
        share: whether it is in [0, 1], and shown in percent.
    """

    name: str
    label: str
    higher: bool = True
    share: bool = True

    @property
    def scale(self) -> float:
        """What a number is multiplied by where it is shown."""
        return 100.0 if self.share else 1.0


@dataclasses.dataclass(frozen=True)
class Measure:
    """A metric of the test split, as comparisons have it.

    Args:
        metric: of the runs.
        margin: how much worse counts as no difference; in [0, 1] of a share, or in the metric's unit.
    """

    metric: Metric
    margin: float

    @property
    def name(self) -> str:
        """The key of the tests on its differences."""
        return self.metric.name

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return self.metric.label

    @property
    def column(self) -> str:
        """The column of a comparison's rows that it is in."""
        return f"test_{self.metric.name}"

    @property
    def sign(self) -> int:
        """What a difference to the baseline is multiplied by, so that more is better."""
        return 1 if self.metric.higher else -1

    def text(self, mean: float, deviation: float | None = None) -> str:
        """Returns a mean and the standard deviation over seeds."""
        spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
        return f"{100 * mean:.1f}{spread} %"

    def interval(self, mean: float, low: float, high: float) -> str:
        """Returns a mean difference and its interval, in points."""
        return f"{100 * mean:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"

    @property
    def margin_text(self) -> str:
        """Returns the margin with its unit."""
        return f"{100 * self.margin:g} points"


def measure_of(summary: Mapping[str, Mapping[str, Any]]) -> Measure:
    """Returns the metric that the trials of a comparison are compared by."""
    return Measure(Metric("accuracy", "accuracy"), MARGIN)
