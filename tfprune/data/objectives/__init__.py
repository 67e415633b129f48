"""What a model learns from labels: `--task` on the command line.

A new one is a file beside this one and a line in `OBJECTIVES`. Pruning methods have a `Task` of another kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfprune.utils.registry import Registry

if TYPE_CHECKING:
    from tfprune.data.objectives._base import Metric

DEFAULT = "classification"
AUTO = "auto"
OBJECTIVES = Registry(
    "task",
    {
        "classification": "tfprune.data.objectives.classification:Classification",
        "regression": "tfprune.data.objectives.regression:Regression",
        "multilabel": "tfprune.data.objectives.multilabel:MultiLabel",
        "segmentation": "tfprune.data.objectives.segmentation:Segmentation",
    },
)


def primary_metric(task: str) -> Metric:
    """Returns the metric by which a task's methods are compared."""
    objective = OBJECTIVES[task]
    return objective.metrics[objective.primary]
