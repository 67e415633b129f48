"""The figures of a comparison in a report. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfprune.data.objectives import DEFAULT
from tfprune.methods import BASELINE
from tfprune.reporting.diverged import with_finished_runs
from tfprune.reporting.measures import measure_of
from tfprune.reporting.report import Section

if TYPE_CHECKING:
    from tfprune.reporting.figures.panels import Panel


@dataclasses.dataclass(frozen=True)
class Figure:
    """Panels that belong together, and what is said of them.

    Attributes:
        name: of its file, where it has one.
        heading, caption: above and below.
        panels: what is drawn; none if there is nothing to draw, which `caption` then explains.
        columns: how many of them fit side by side.
        key: what the page names once for all panels: `methods` or `splits`; "" if nothing has to be named.
    """

    name: str
    heading: str
    caption: str
    panels: Sequence[Panel]
    columns: int = 2
    key: str = ""


def figures_of(section: Section) -> list[Figure]:
    """Returns what is drawn of a comparison, in the order of the page."""
    from tfprune.reporting.figures.epochs import curves_panels
    from tfprune.reporting.figures.strips import comparison_panels, differences_panels
    from tfprune.reporting.figures.trade_offs import costs_panels, sparsities_panels

    summary = with_finished_runs(section.summary)
    label = measure_of(summary).label
    loss = "Cross-entropy" if section.results[0].config.task == DEFAULT else "Loss"
    histories = {trial: [run.history() for run in runs] for trial, runs in section.trials.items()}
    differences, sparsities = differences_panels(summary), sparsities_panels(summary)
    several = any(len(values["seeds"]) > 1 for values in summary.values())
    bars = "Mean and one standard deviation over seeds. " if several else ""
    narrow = any(not values["mean"]["sparsity"] and values["requested_sparsity"] for values in summary.values())
    counterpart = " A narrower dense network stands at the sparsity of the one it is the counterpart of."
    return [
        Figure(
            "sparsity",
            f"{label[:1].upper()}{label[1:]} against sparsity",
            _sparsities_caption(bars, sparsities) + counterpart * narrow,
            sparsities,
            columns=3 if len(sparsities) > 2 else 2,
            key="" if len(sparsities) > 2 else "methods",
        ),
        Figure(
            "differences",
            f"Differences to {BASELINE}, seed by seed",
            _differences_caption(summary)
            if differences
            else f"This needs {BASELINE} and another method with the same seeds.",
            differences,
        ),
        Figure(
            "scores",
            f"Test loss and {label}",
            "A dot a seed; the large mark is the mean, the bar one standard deviation."
            if several
            else "One seed a method.",
            comparison_panels(summary),
        ),
        Figure(
            "curves",
            "Training curves",
            f"{loss} over the epochs of all trainings of a run, on the same scale throughout"
            + ("; mean over seeds, and their range as a band." if several else "."),
            curves_panels(histories),
            columns=3,
            key="splits",
        ),
        Figure(
            "costs",
            f"Loss and {label} against training cost",
            f"{bars}The cost is that of all trainings of a run. A hollow mark is what the same training needs if "
            "multiplications with pruned weights are left out.",
            costs_panels(summary),
            key="methods",
        ),
    ]


def _sparsities_caption(bars: str, panels: Sequence[Panel]) -> str:
    if not panels:
        return "So many methods at one sparsity each would cover each other here; their scores are below."
    if len(panels) > 2:
        return f"{bars}Each panel shows one method in colour and all others in grey, on the same scale."
    return (
        f"{bars}What prunes nothing is at 0, with a level line. Methods at the same sparsity are drawn a little apart."
    )


def _differences_caption(summary: Any) -> str:
    if all(len(values["seeds"]) == 1 for values in summary.values()):
        return "One seed: no intervals."
    return (
        "A dot a seed: the same split, initial weights and order of the data. The large mark is the mean, the bar its "
        "95 % interval (Student's t, not corrected for the number of methods)."
    )
