"""What a figure is: panels, in the colours of a theme; and what several kinds of figures draw alike."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tfprune.reporting.measures import measure_of
from tfprune.utils.text import printable, shortened

LONGEST_LABEL, LONGEST_TITLE = 50, 110  # characters; longer ones would leave no room for what is drawn
MARKERS = "osD^vPX<>*"
MARK = "mark:"  # begins the group id of an artist that `mark` says something of

Rows = Sequence[Mapping[str, Any]]
Summary = Mapping[str, Mapping[str, Any]]  # what `comparison.summarise` returns


def scores_of(summary: Summary) -> dict[str, tuple[str, str, bool]]:
    """Returns the columns that are drawn of a comparison: name -> its label, its unit, whether more is better."""
    found = measure_of(summary)
    own = (f"test {found.label}", "%" if found.metric.share else "", found.metric.higher)
    return {"test_loss": ("test loss", "", False), found.column: own}


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours of a figure.

    Attributes:
        ink: of text.
        muted: of axes and of marks that are no data.
        paper: of what lies behind.
        train, validation, sparsity: of those lines.
        methods: of the methods in their order. From Okabe & Ito's colours, which stay apart for colour-blind
            readers, made as dark or light as the paper asks for.
    """

    ink: str
    muted: str
    paper: str
    train: str
    validation: str
    sparsity: str
    methods: tuple[str, ...]


LIGHT = Theme(
    ink="#1f2328",
    muted="#767e87",
    paper="#ffffff",
    train="#0072B2",
    validation="#C4500A",
    sparsity="#00845F",
    methods=(
        *("#5b6167", "#0072B2", "#C07A00", "#00845F", "#B4518F"),
        *("#C4500A", "#2C93CE", "#857A00", "#6650B8", "#8A5A3C"),
    ),
)

DARK = Theme(
    ink="#e6e8ea",
    muted="#868e98",
    paper="#16191d",
    train="#5FB3F0",
    validation="#FF9457",
    sparsity="#3CC79D",
    methods=(
        *("#b9c0c8", "#5FB3F0", "#F0B03A", "#3CC79D", "#EC97CA"),
        *("#FF8A5C", "#A6DCFA", "#DDD44E", "#AE9FF7", "#CFA283"),
    ),
)


@dataclasses.dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        draw: puts it onto axes in the colours of a theme.
        alt: what it shows, for those who do not see it.
        title: its name among its neighbours.
        width, height: in inches.
    """

    draw: Callable[[Axes, Theme], None]
    alt: str
    title: str = ""
    width: float = 5.0
    height: float = 3.6


def looks_of(summary: Summary, theme: Theme) -> dict[str, tuple[str, str]]:
    """Returns colour and marker of each method, by its place in the comparison."""
    methods = dict.fromkeys(values["method"] for values in summary.values())
    return {
        method: (theme.methods[place % len(theme.methods)], MARKERS[(place + place // len(MARKERS)) % len(MARKERS)])
        for place, method in enumerate(methods)  # of more than there are colours no two have both alike
    }


def label_of(name: str, longest: int = LONGEST_LABEL) -> str:
    """Returns a name as a figure has room for it."""
    return shortened(printable(name), longest)


def ticks() -> MaxNLocator:
    return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])


def percent(share: float, _: int) -> str:
    return f"{100 * share:.4g} %"


def within_range(low: float, high: float, unit: str) -> tuple[float, float]:
    """Returns the ends of a bar; a deviation may reach beyond 0 and 100 %, a share cannot."""
    return (max(low, 0.0), min(high, 1.0)) if unit == "%" else (low, high)


def height_with_legend(summary: Summary) -> float:
    return 3.3 + 0.2 * math.ceil(len({values["method"] for values in summary.values()}) / 3)


def mark(artists: Iterable[Artist], series: str = "", tips: Sequence[str] = ()) -> None:
    """Says of what is drawn which series it belongs to, and what each of its marks is; pages show both."""
    for artist in artists:
        artist.set_gid(MARK + json.dumps({"series": series, "tips": list(tips)}))
