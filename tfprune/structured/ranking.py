"""How many channels each group keeps: the same share of all, or more where they are worth more. NumPy only.

`choose_widths` meets a share of the channels, `fit_budget` a limit of a cost. Both rank channels in a *scope*: each
group alone (`layer`), all together (`global`), or all of those groups together that are built alike (`isomorphic`).
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from tfprune.structured.costs import Cost
from tfprune.structured.widths import FLOOR, width
from tfprune.utils.errors import ConfigError

BISECTIONS = 40


@dataclasses.dataclass(frozen=True)
class Ranked:
    """The channels of a group.

    Attributes:
        name: of the group.
        scores: one a channel; larger is worth more. Those of several groups are compared, see `NORMALIZERS`.
        multiple: widths are a multiple of this, or the whole.
        form: what groups that are built alike have in common (Fang et al. 2024, arXiv:2407.04616).
        initial: how many there were before some went, of which shares are; None: as many as there are.
    """

    name: str
    scores: np.ndarray
    multiple: int = 1
    form: Hashable = None
    initial: int | None = None

    @property
    def whole(self) -> int:
        """How many channels shares are of."""
        return len(self) if self.initial is None else self.initial

    def __len__(self) -> int:
        return len(self.scores)

    def choices(self, floor: float) -> np.ndarray:
        """Returns the widths that there are, the widest first; none keeps less than a share of `floor`."""
        size = len(self)
        narrower = np.arange((size - 1) // self.multiple, 0, -1) * self.multiple
        return np.array([size, *(own for own in narrower if own >= floor * self.whole)])

    def worth(self) -> np.ndarray:
        """Returns what the best channels are worth together, by how many there are: 0, the best, the best two, ..."""
        best_first = np.sort(self.scores)[::-1]
        return np.concatenate([[0.0], np.cumsum(best_first)])


def choose_widths(groups: Sequence[Ranked], keep: float, scope: str = "layer", floor: float = FLOOR) -> dict[str, int]:
    """Returns how many channels of each group stay so that about a share of all of them does.

    Args:
        groups: that may lose channels.
        keep: share that stays, in (0, 1], of each group (`layer`), of all channels (`global`) or of those of each form
            (`isomorphic`), before rounding to multiples.
        scope: one of `SCOPES`.
        floor: least share of a group that stays in the last two.

    >>> groups = [Ranked("a", np.array([9.0, 8.0, 7.0, 6.0])), Ranked("b", np.array([3.0, 2.0, 1.0, 0.0]))]
    >>> choose_widths(groups, 0.5), choose_widths(groups, 0.5, "global")
    ({'a': 2, 'b': 2}, {'a': 3, 'b': 1})
    """
    if scope == "layer":
        return {own.name: min(len(own), width(own.whole, keep, own.multiple)) for own in groups}
    widths: dict[str, int] = {}
    forms = {group.form if scope == "isomorphic" else None for group in groups}
    for form in forms:
        alike = [group for group in groups if scope == "global" or group.form == form]
        widths |= _share_of_all(alike, keep, floor)
    return {group.name: widths[group.name] for group in groups}


def _share_of_all(groups: Sequence[Ranked], keep: float, floor: float) -> dict[str, int]:
    """Takes away, step by step, the channels that are worth least each, until no more than the share is left."""
    total = sum(group.whole for group in groups)
    return _narrowed(groups, _Channels(), keep * total, floor)


class _Channels:
    """The number of channels as a cost."""

    def __call__(self, widths: Mapping[str, int]) -> float:
        return float(sum(widths.values()))

    def at(self, widths: Mapping[str, int], group: str, choices: np.ndarray) -> np.ndarray:
        return self(widths) - widths[group] + np.asarray(choices, float)


def fit_budget(
    groups: Sequence[Ranked],
    cost: Cost,
    limit: float,
    scope: str = "global",
    floor: float = FLOOR,
) -> dict[str, int]:
    """Returns the widths that are worth most within a limit.

    Of scope `global` that is, step by step, the narrowing that loses least worth for what it saves, and at the end what
    still fits is put back: the greedy solution of a knapsack (as in Shen et al. 2022, HALP, arXiv:2110.10811). Of the
    other scopes it is the largest share that fits.

    Args:
        groups: that may lose channels.
        cost: of a network, see `costs`.
        limit: of that cost.
        scope: one of `SCOPES`.
        floor: least share of a group that stays.

    Raises:
        ConfigError: the narrowest network costs more.
    """
    least = {group.name: int(group.choices(floor)[-1]) for group in groups}
    if cost(least) > limit:
        whole = cost({group.name: len(group) for group in groups})
        raise ConfigError(
            f"no width comes down to {limit / whole:.3g} of the whole: the narrowest that is allowed costs "
            f"{cost(least) / whole:.3g} of it; ask for less, or allow fewer channels (floor={floor:g})"
        )
    if scope == "global":
        return _narrowed(groups, cost, limit, floor)
    return _largest_share(lambda keep: choose_widths(groups, keep, scope, floor), cost, limit, least)


def _largest_share(
    widths_at: Callable[[float], dict[str, int]], cost: Cost, limit: float, least: dict[str, int]
) -> dict[str, int]:
    """Returns the widths of the largest share of channels that is within a limit, by bisection."""
    low, high, best = 0.0, 1.0, least
    if cost(widths_at(1.0)) <= limit:
        return widths_at(1.0)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        widths = {name: max(count, least[name]) for name, count in widths_at(max(middle, 1e-9)).items()}
        if cost(widths) <= limit:
            low, best = middle, widths
        else:
            high = middle
    return best


def _narrowed(groups: Sequence[Ranked], cost: Cost, limit: float, floor: float) -> dict[str, int]:
    """Narrows groups until a cost is within a limit; each time what loses least worth for what it saves."""
    widths = {group.name: len(group) for group in groups}
    by_name = {group.name: group for group in groups}
    choices = {group.name: group.choices(floor) for group in groups}
    worth = {group.name: group.worth() for group in groups}
    order = itertools.count()

    def best_step(name: str) -> tuple[float, int] | None:
        now = widths[name]
        narrower = choices[name][choices[name] < now]
        if not len(narrower):
            return None
        saved = cost(widths) - cost.at(widths, name, narrower)
        lost = worth[name][now] - worth[name][narrower]
        with np.errstate(divide="ignore", invalid="ignore"):
            price = np.where(saved > 0, lost / saved, np.inf)
        first = int(np.argmin(price))  # the smallest step of equal ones
        return None if np.isinf(price[first]) else (float(price[first]), int(narrower[first]))

    heap = [(*step, next(order), name) for name in by_name if (step := best_step(name))]
    heap = [(price, number, name) for price, _, number, name in heap]
    heapq.heapify(heap)
    while heap and cost(widths) > limit:
        _, _, name = heapq.heappop(heap)
        step = best_step(name)  # others have become narrower since
        if step is None:
            continue
        price, target = step
        if heap and price > heap[0][0]:
            heapq.heappush(heap, (price, next(order), name))
            continue
        widths[name] = target
        following = best_step(name)
        if following:
            heapq.heappush(heap, (following[0], next(order), name))
    return _refilled(widths, choices, worth, cost, limit)


def _refilled(
    widths: dict[str, int],
    choices: Mapping[str, np.ndarray],
    worth: Mapping[str, np.ndarray],
    cost: Cost,
    limit: float,
) -> dict[str, int]:
    """Widens groups again where there is room, each time by what gains most worth for what it costs."""
    while True:
        best: tuple[float, str, int] | None = None
        for name, now in widths.items():
            wider = choices[name][choices[name] > now]
            if not len(wider):
                continue
            costs = cost.at(widths, name, wider)
            gained = worth[name][wider] - worth[name][now]
            added = np.maximum(costs - cost(widths), np.finfo(float).tiny)
            rate = np.where(costs <= limit, gained / added, -1.0)
            place = int(np.argmax(rate))
            if rate[place] >= 0 and (best is None or rate[place] > best[0]):
                best = float(rate[place]), name, int(wider[place])
        if best is None:
            return widths
        widths[best[1]] = best[2]


def _mean(scores: np.ndarray) -> np.ndarray:
    return scores / _positive(np.mean(scores))


def _max(scores: np.ndarray) -> np.ndarray:
    return scores / _positive(np.max(scores))


def _sum(scores: np.ndarray) -> np.ndarray:
    return scores / _positive(np.sum(scores))


def _standard(scores: np.ndarray) -> np.ndarray:
    return (scores - np.min(scores)) / _positive(np.max(scores) - np.min(scores))


def _lamp(scores: np.ndarray) -> np.ndarray:
    """Each score over the sum of those that are no smaller (Lee et al. 2021, arXiv:2010.07611)."""
    order = np.argsort(-scores, kind="stable")
    normalized = np.empty(len(scores))
    normalized[order] = scores[order] / np.maximum(np.cumsum(scores[order]), np.finfo(float).tiny)
    return normalized


def _positive(value: float) -> float:
    return float(value) if value > 0 else 1.0


# Make scores of different groups comparable; those of Torch-Pruning by its names.
NORMALIZERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": _mean,
    "max": _max,
    "sum": _sum,
    "standardization": _standard,
    "lamp": _lamp,
    "none": lambda scores: scores,
}
