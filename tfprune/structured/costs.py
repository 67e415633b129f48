"""What a network costs as a function of the widths of its groups of channels. NumPy only.

Parameters, bytes and multiply-adds are sums of products (`SumOfProducts`): each weight has as many numbers as its sides
multiply to, and each side is an affine function of widths. Time is fitted to measurements by such sums (`fit_times`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from tfprune.structured.labels import Axes, rows_of

Widths = Mapping[str, int]  # group of channels -> how many of them there are
LANES = 16  # numbers that processors work on at once; a side that is no multiple of it costs as much as the next one


class Cost(Protocol):
    """A cost of a network."""

    def __call__(self, widths: Widths) -> float:
        """Returns the cost at some widths."""

    def at(self, widths: Widths, group: str, choices: np.ndarray) -> np.ndarray:
        """Returns the cost at each width in `choices` of one group, float64; others are as in `widths`."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of a weight: so many entries, as a function of widths.

    Attributes:
        fixed: entries that stay whatever goes.
        per_channel: group -> entries that one of its channels stands for.
        lanes: what the count is rounded up to a multiple of.
        below: count 1 if there are fewer entries than this and 0 otherwise, in place of the entries; 0: count entries.
    """

    fixed: float
    per_channel: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lanes: int = 1
    below: int = 0

    def entries(self, widths: Mapping[str, int | np.ndarray]) -> float | np.ndarray:
        """Returns how many there are."""
        count = self.fixed + sum(each * widths[group] for group, each in self.per_channel.items())
        if self.below:
            return np.where(count < self.below, 1.0, 0.0)
        return count if self.lanes == 1 else np.ceil(count / self.lanes - 1e-9) * self.lanes


@dataclasses.dataclass(frozen=True)
class Product:
    """One term of a cost: `factor` times the entries of all sides.

    Attributes:
        factor: what is counted for each entry.
        sides: of a weight.
        shares: of sides that are made of two groups, such as the heads and the channels of each: the share, at most 1,
            that the second leaves.
    """

    factor: float
    sides: tuple[Side, ...]
    shares: tuple[Side, ...] = ()

    def __call__(self, widths: Mapping[str, int | np.ndarray]) -> float | np.ndarray:
        value: float | np.ndarray = self.factor
        for side in (*self.sides, *self.shares):
            value = value * side.entries(widths)
        return value

    def groups(self) -> set[str]:
        """Returns the groups that it goes by."""
        return {group for side in (*self.sides, *self.shares) for group in side.per_channel}


def product_of(shape: Sequence[int], axes: Axes, factor: float, group_of: Mapping[int, str]) -> Product:
    """Returns how many numbers of a weight there are at some widths.

    Args:
        shape: of the weight.
        axes: labels of the axes that are channels.
        factor: what is counted for each number: 1 for parameters, how often each is used for multiply-adds.
        group_of: label -> its group, for those that can go; others stay.

    >>> kernel = product_of((3, 4), {1: np.array([7, 8, 7, 8])}, 10.0, {7: "a", 8: "a"})
    >>> kernel({"a": 2}), kernel({"a": 1})
    (120.0, 60.0)
    """
    sides, shares = [], []
    for axis, size in enumerate(shape):
        rows = rows_of(axes[axis]) if axis in axes else ()
        first, *others = [_side(row, group_of) for row in rows] or [Side(float(size))]
        if not first.per_channel:
            factor *= size
        else:
            sides.append(first)
        shares += [_share(other, size) for other in others if other.per_channel]
    return Product(float(factor), tuple(sides), tuple(shares))


def _side(labels: np.ndarray, group_of: Mapping[int, str]) -> Side:
    """Returns a side of the entries that labels stand for; of a group's channels each for as many as the average."""
    counts = Counter(group_of.get(int(label)) for label in labels)
    channels: dict[str, int] = Counter(group_of.values())
    fixed = float(counts.pop(None, 0))
    return Side(fixed, {group: count / channels[group] for group, count in counts.items() if group is not None})


def _share(side: Side, size: int) -> Side:
    return Side(side.fixed / size, {group: each / size for group, each in side.per_channel.items()})


class SumOfProducts:
    """A cost that is a sum of products of sides.

    >>> kernel = Product(1.0, (Side(3.0), Side(0.0, {"a": 1.0})))
    >>> bias = Product(1.0, (Side(0.0, {"a": 1.0}),))
    >>> parameters = SumOfProducts([kernel, bias])
    >>> parameters({"a": 8}), parameters.at({"a": 8}, "a", np.array([4, 2]))
    (32.0, array([16.,  8.]))
    """

    def __init__(self, products: Sequence[Product]) -> None:
        self.products = tuple(products)
        self._of: dict[str, list[Product]] = {}
        for product in self.products:
            for group in product.groups():
                self._of.setdefault(group, []).append(product)

    def __call__(self, widths: Widths) -> float:
        return float(sum(product(widths) for product in self.products))

    def at(self, widths: Widths, group: str, choices: np.ndarray) -> np.ndarray:
        """See `Cost`."""
        changing = self._of.get(group, ())
        before = sum(float(product(widths)) for product in changing)
        after = np.zeros(len(choices))
        for product in changing:
            after = after + product({**widths, group: np.asarray(choices)})
        return self(widths) - before + after


@dataclasses.dataclass(frozen=True)
class FittedTimes:
    """Seconds as a weighted sum of costs, see `fit_times`.

    Attributes:
        parts: the costs.
        weights: seconds a unit of each, none below 0.
        constant: seconds that no width changes.
        error: median of the relative errors on measurements that the fit had not seen (one left out at a time).
    """

    parts: tuple[Cost, ...]
    weights: tuple[float, ...]
    constant: float
    error: float

    def __call__(self, widths: Widths) -> float:
        return self.constant + sum(w * part(widths) for w, part in zip(self.weights, self.parts, strict=True) if w)

    def at(self, widths: Widths, group: str, choices: np.ndarray) -> np.ndarray:
        """See `Cost`."""
        total = np.full(len(choices), self.constant)
        for weight, part in zip(self.weights, self.parts, strict=True):
            if weight:
                total = total + weight * part.at(widths, group, choices)
        return total


def fit_times(parts: Sequence[Cost], measured: Sequence[tuple[Widths, float]]) -> FittedTimes:
    """Fits seconds to measurements by non-negative least squares of relative errors.

    Args:
        parts: costs that time may go by, such as multiply-adds, the same with sides rounded up to what a processor
            works on at once, and numbers that are read and written; see `parts_of_time`.
        measured: widths and the seconds that a network of those took; more of them than parts make a better fit.

    Returns:
        The fit. Look at its `error` before you trust it.
    """
    rows = np.array([[1.0, *(part(widths) for part in parts)] for widths, _ in measured])
    seconds = np.array([taken for _, taken in measured])
    everything = np.arange(len(seconds))
    weights = _fitted(rows, seconds)
    unseen = [
        abs(float(rows[n] @ _fitted(rows[everything != n], seconds[everything != n])) / seconds[n] - 1)
        for n in (everything if len(seconds) > 1 else ())
    ]
    error = float(np.median(unseen)) if unseen else 0.0
    return FittedTimes(tuple(parts), tuple(map(float, weights[1:])), float(weights[0]), error)


def _fitted(rows: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    from scipy.optimize import nnls

    scale = np.maximum(np.abs(rows).max(axis=0), np.finfo(float).tiny)  # of parts that differ by powers of ten
    weights, _ = nnls(rows / scale / seconds[:, None], np.ones(len(seconds)))
    return np.asarray(weights / scale)


def parts_of_time(multiply_adds: Mapping[str, Sequence[Product]], numbers: Sequence[Product]) -> list[Cost]:
    """Returns what the time of a network may go by.

    Args:
        multiply_adds: kind of layer -> its layers' multiply-adds; a depthwise convolution takes longer for one than a
            dense layer does.
        numbers: what each layer writes.

    Returns:
        Multiply-adds of each kind; the same with each side rounded up to whole lanes; those of sides that do not fill
        the lanes, which some processors and number formats are slow at; and numbers written, plain and in lanes.
    """
    costs: list[Cost] = []
    for products in (*multiply_adds.values(), numbers):
        costs.append(SumOfProducts(products))
        costs.append(SumOfProducts([_in_lanes(product) for product in products]))
        costs.append(SumOfProducts([thin for product in products for thin in _too_thin(product)]))
    return costs


def _in_lanes(product: Product) -> Product:
    sides = [dataclasses.replace(side, lanes=LANES) if side.per_channel else side for side in product.sides]
    return dataclasses.replace(product, sides=tuple(sides))


def _too_thin(product: Product) -> list[Product]:
    """Returns, for each side that goes by widths, the product where that side does not fill the lanes."""
    return [
        Product(
            product.factor * LANES,
            tuple(
                dataclasses.replace(side, below=LANES) if own == n else side for own, side in enumerate(product.sides)
            ),
        )
        for n, changing in enumerate(product.sides)
        if changing.per_channel
    ]
