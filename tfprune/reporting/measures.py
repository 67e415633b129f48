"""The metric by which runs are compared: that of their task, in its unit and direction."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfprune.data.objectives import DEFAULT, primary_metric
from tfprune.data.objectives._base import Metric


@dataclasses.dataclass(frozen=True)
class Measure:
    """A metric of the test split, as comparisons have it.

    Args:
        metric: of a task.
        margin: how much worse counts as no difference; in points of a share, or the metric's unit.
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
    def untuned(self) -> str:
        """The column of what it was between pruning and the training after it."""
        return f"untuned_{self.metric.name}"

    @property
    def sign(self) -> int:
        """What a difference to the baseline is multiplied by, so that more is better."""
        return 1 if self.metric.higher else -1

    @property
    def points(self) -> str:
        """The unit of differences, after a comma; "" for numbers in the target's unit."""
        return ", points" if self.metric.share else ""

    def text(self, mean: float, deviation: float | None = None) -> str:
        """Returns a mean and the standard deviation over seeds."""
        form, scale = self.metric.form, self.metric.scale
        spread = "" if deviation is None else f" ± {scale * deviation:{form}}"
        return f"{scale * mean:{form}}{spread}{self.metric.unit}"

    def difference(self, value: float) -> str:
        """Returns a difference with its sign."""
        return f"{self.metric.scale * value:{'+.2f' if self.metric.share else '+,.3g'}}"

    def interval(self, mean: float, low: float, high: float) -> str:
        """Returns a mean difference and its interval."""
        return f"{self.difference(mean)} ({self.bounds(low, high)})"

    def bounds(self, low: float, high: float) -> str:
        """Returns the bounds of an interval; one of no width is no interval."""
        return "all seeds alike" if low == high else f"{self.difference(low)} to {self.difference(high)}"

    @property
    def margin_text(self) -> str:
        """Returns the margin with its unit."""
        return f"{100 * self.margin:g} points" if self.metric.share else f"{self.margin:.3g}"


def measure_of(summary: Mapping[str, Mapping[str, Any]]) -> Measure:
    """Returns the metric that the trials of a comparison are compared by.

    Args:
        summary: trials, each with its `task` unless that is the usual one, and with its `constant`, if known.
    """
    first = next(iter(summary.values()), {})
    return measure(first.get("task", DEFAULT), first.get("constant"))


def measure(task: str, constant: float | None = None) -> Measure:
    """Returns the metric of a task; `constant` is what the best answer that is the same for all comes to."""
    metric = primary_metric(task)
    return Measure(metric, metric.margin(constant))
