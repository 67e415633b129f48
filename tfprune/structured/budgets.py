"""Widths of a model's groups of channels within a budget: of parameters, bytes, multiply-adds or measured time."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.structured.channels import Channels, Group
from tfprune.structured.costs import Cost, FittedTimes, Product, SumOfProducts, fit_times, parts_of_time, product_of
from tfprune.structured.labels import rows_of
from tfprune.structured.ranking import NORMALIZERS, Ranked, choose_widths, fit_budget
from tfprune.structured.selecting import least_important
from tfprune.structured.surgery import remove_groups
from tfprune.structured.widths import FLOOR, MULTIPLE, SCOPES, width
from tfprune.utils.checks import as_number, check_choice, check_whole
from tfprune.utils.errors import ConfigError

log = logging.getLogger(__name__)

SIZES = ("parameters", "macs", "bytes")
SAMPLES = 24  # networks of other widths that are measured before the times are fitted
CORRECTIONS = 6  # times that a network is chosen, measured and learned from
CLOSE = 0.97  # of the time that is allowed: near enough

Times = Callable[[Sequence[Any]], Sequence[float]]  # models -> the time that each takes, as a share of the first one's


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a smaller network may cost.

    Attributes:
        what: one of `SIZES`, or `latency`.
        most: a share of what the whole model costs, in (0, 1), or a number; of `latency` a share.
    """

    what: str
    most: float

    def __post_init__(self) -> None:
        shares_only = self.what == "latency"
        object.__setattr__(self, "most", as_number(f"target_{self.what}", self.most))
        if not self.most > 0 or self.most == 1 or (shares_only and self.most > 1):
            unit = "a share of the whole model's in (0, 1)" + ("" if shares_only else ", or a number above 1")
            raise ConfigError(f"target_{self.what} must be {unit}, got {self.most!r}")

    def limit(self, whole: float) -> float:
        """Returns the most that it may cost, given what the whole model costs."""
        return self.most * whole if self.most < 1 else self.most


@dataclasses.dataclass(frozen=True)
class Request:
    """How many channels are to stay.

    Attributes:
        keep: share that stays, in (0, 1]; None: as many as the budget allows.
        budget: what the smaller network may cost, or None.
        scope, floor: see `ranking`.
        normalizer: one of `ranking.NORMALIZERS`.
        multiple: what the outputs of a layer are rounded to a multiple of.
    """

    keep: float | None = 0.5
    budget: Budget | None = None
    scope: str = "layer"
    normalizer: str = "mean"
    multiple: int = MULTIPLE
    floor: float = FLOOR

    def __post_init__(self) -> None:
        check_choice("scope", self.scope, SCOPES)
        check_choice("normalizer", self.normalizer, NORMALIZERS)
        object.__setattr__(self, "multiple", check_whole("multiple", self.multiple, least=1))
        if (self.keep is None) == (self.budget is None):
            raise ConfigError("say how much stays by exactly one of keep and the targets")
        if self.keep is not None:
            object.__setattr__(self, "keep", as_number("keep", self.keep))
            if not 0 < self.keep <= 1:
                raise ConfigError(f"keep must be in (0, 1], got {self.keep:g}")
        object.__setattr__(self, "floor", as_number("floor", self.floor))
        if not 0 <= self.floor <= 1:
            raise ConfigError(f"floor must be in [0, 1], got {self.floor!r}")

    def branch_share(self) -> float:
        """Returns the share of the residual branches that stays; a `ConfigError` if a budget is asked for."""
        if self.keep is None or self.scope != "layer":
            raise ConfigError("residual branches go by keep alone: leave out scope and the targets, or take filters")
        return self.keep

    def is_stuck(self, group: Group) -> bool:
        """Returns whether all channels of a group stay, whatever they are worth."""
        size, multiple = len(group), group.step(self.multiple)
        if self.keep is not None and self.scope == "layer":
            return width(size, self.keep, multiple) == size
        return size <= multiple


def choose_within(
    model: Any,
    found: Channels,
    scores: Mapping[str, np.ndarray],
    asked: Request,
    times: Times | None = None,
) -> dict[str, int]:
    """Returns the widths of the groups that may lose channels.

    Args:
        model: whose channels were `found`.
        found: its channels.
        scores: of the channels of each group.
        asked: how many are to stay.
        times: measures models, for a budget of `latency`.

    Raises:
        ConfigError: no network is so small or so fast.
    """
    forms = forms_of(model, found)
    groups = [
        Ranked(name, NORMALIZERS[asked.normalizer](scores[name]), group.step(asked.multiple), forms[name])
        for name, group in found.free.items()
    ]
    if asked.budget is None:
        assert asked.keep is not None
        return choose_widths(groups, asked.keep, asked.scope, asked.floor)
    if asked.budget.what == "latency":
        assert times is not None
        return _within_time(model, found, groups, asked, times)
    cost = size_of(model, found, asked.budget.what)
    limit = asked.budget.limit(cost({group.name: len(group) for group in groups}))
    return fit_budget(groups, cost, limit, asked.scope, asked.floor)


def size_of(model: Any, found: Channels, what: str) -> SumOfProducts:
    """Returns one of `SIZES` of a model as a function of its widths; exact, but for products that have no weights.

    Multiply-adds are those of kernels; an attention's products of queries and keys are counted by `summary` alone.
    """
    uses = _uses(model) if what == "macs" else {}
    products = []
    for weight, _ in _weights(model):
        shape = tuple(weight.shape)
        each = {
            "parameters": 1.0,
            "bytes": float(_bytes(weight)),
            "macs": uses.get(id(weight), 0) / max(1, math.prod(shape)),
        }
        if each[what]:
            products.append(product_of(shape, found.axes.get(id(weight), {}), each[what], _group_of(found)))
    return SumOfProducts(products)


def _uses(model: Any) -> dict[int, int]:
    """Returns the multiply-adds of an example's forward pass by the kernels' ids."""
    graphs = adapter_of(model).graphs
    counts = graphs.macs_per_kernel(model)
    return {id(kernel): counts.get(name, 0) for name, kernel in graphs.kernels(model).items()}


def _bytes(weight: Any) -> int:
    name = getattr(weight.dtype, "name", str(weight.dtype))
    return 2 if name in ("float16", "bfloat16") else np.dtype(name).itemsize


def forms_of(model: Any, found: Channels) -> dict[str, Hashable]:
    """Returns, for each group that may lose channels, what it has in common with those that are built alike.

    That is which sides of which kinds of layers its channels are.
    """
    group_of = _group_of(found)
    forms: dict[str, list[tuple[str, int, int]]] = {name: [] for name in found.free}
    for weight, layer in _weights(model):
        for axis, labels in found.axes.get(id(weight), {}).items():
            for name in {group_of[int(label)] for label in np.unique(labels) if int(label) in group_of}:
                forms[name].append((type(layer).__name__, len(weight.shape), axis))
    return {name: tuple(sorted(sides)) for name, sides in forms.items()}


def _weights(model: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the weights of a model, each once, with the layer that they are in."""
    seen = set()
    for layer in adapter_of(model).graphs.leaf_layers(model):
        for weight in layer.weights:
            if id(weight) not in seen and hasattr(weight, "shape"):  # and no vocabularies
                seen.add(id(weight))
                yield weight, layer


def _group_of(found: Channels) -> dict[int, str]:
    """Returns the group of each label that can go."""
    return {int(label): name for name, group in found.free.items() for label in group.channels}


def time_parts(model: Any, found: Channels) -> list[Cost]:
    """Returns what the time of a model may go by, see `costs.parts_of_time`."""
    uses, group_of = _uses(model), _group_of(found)
    multiply_adds: dict[str, list[Product]] = {}
    numbers = []
    for weight, layer in _weights(model):
        shape, axes = tuple(weight.shape), found.axes.get(id(weight), {})
        if uses.get(id(weight)):
            often = uses[id(weight)] / math.prod(shape)
            multiply_adds.setdefault(type(layer).__name__, []).append(product_of(shape, axes, often, group_of))
            for axis in found.made.get(id(weight), ()):
                numbers.append(product_of((shape[axis],), {0: rows_of(axes[axis])[0]}, often, group_of))
    return parts_of_time(multiply_adds, numbers)


def _within_time(model: Any, found: Channels, groups: Sequence[Ranked], asked: Request, times: Times) -> dict[str, int]:
    """Returns widths whose network was measured to take no more than the share of time that is allowed.

    Networks of random widths are measured, a model of the times is fitted, the best widths within the budget are
    measured, and what that says goes into the fit, until a network is close enough to what is allowed.
    """
    assert asked.budget is not None
    target = asked.budget.most
    whole = {group.name: len(group) for group in groups}
    least = {group.name: int(group.choices(asked.floor)[-1]) for group in groups}
    drawn = [least, *_drawn(groups, asked.floor)]
    taken = _measured(model, found, drawn, times)
    if taken[0] > target:
        raise ConfigError(
            f"no width makes the model take {target:.3g} x its time here: the narrowest that is allowed takes "
            f"{taken[0]:.3g} x; ask for less, or allow fewer channels (floor={asked.floor:g})"
        )
    known: list[tuple[Mapping[str, int], float]] = [(whole, 1.0), *zip(drawn, taken, strict=True)]
    parts = time_parts(model, found)

    def worth(widths: Mapping[str, int]) -> float:
        return sum(float(group.worth()[widths[group.name]]) for group in groups)

    drawn_too = known[1 : None if asked.scope == "global" else 2]  # other scopes tie widths together
    best = max((own for own in drawn_too if own[1] <= target), key=lambda own: worth(own[0]))
    aim = target
    for _ in range(CORRECTIONS):
        fitted = fit_times(parts, known)
        try:
            widths = fit_budget(groups, fitted, aim, asked.scope, asked.floor)
        except ConfigError:  # the fit errs, for the narrowest was measured to be fast enough
            aim = fitted(least)
            continue
        (share,) = _measured(model, found, [widths], times)
        known.append((widths, share))
        if share <= target and worth(widths) >= worth(best[0]):
            best = widths, share
        if CLOSE * target <= share <= target:
            break
        aim *= target / share
    _say(fitted, best[1], target)
    return best[0]


def _say(fitted: FittedTimes, share: float, target: float) -> None:
    log.info(
        "%.2f x the time of the whole model, measured; %.2f x is allowed. Times are foreseen with an error of %.0f %%.",
        share,
        target,
        100 * fitted.error,
    )


def _drawn(groups: Sequence[Ranked], floor: float) -> list[dict[str, int]]:
    """Returns widths drawn at random, each group's alone."""
    random = np.random.default_rng(0)
    return [{group.name: int(random.choice(group.choices(floor))) for group in groups} for _ in range(SAMPLES)]


def _measured(model: Any, found: Channels, widths: Sequence[Mapping[str, int]], times: Times) -> list[float]:
    """Returns the times of networks of some widths, as shares of the whole one's; which channels stay plays no role.

    Copies are measured: a step of training changes what makes it.
    """
    first = {name: -np.arange(len(group)) for name, group in found.free.items()}
    gone = [least_important(first, own, found) for own in widths]
    return list(times([remove_groups(model, removed) for removed in ({}, *gone)]))[1:]
