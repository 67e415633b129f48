import numpy as np
import pytest

from tfprune.structured.costs import FittedTimes, Product, Side, SumOfProducts, fit_times, parts_of_time, product_of
from tfprune.structured.labels import drop_axes


def kernels() -> list[Product]:
    """Two dense layers with a bias, of 5 inputs and 3 outputs and `a` units between them."""
    return [
        Product(1.0, (Side(5.0), Side(0.0, {"a": 1.0}))),
        Product(1.0, (Side(0.0, {"a": 1.0}),)),
        Product(1.0, (Side(0.0, {"a": 1.0}), Side(3.0))),
        Product(3.0, ()),
    ]


def test_parameters_are_counted_exactly():
    cost = SumOfProducts(kernels())
    assert [cost({"a": n}) for n in (8, 4, 1)] == [5 * n + n + 3 * n + 3 for n in (8, 4, 1)]


def test_a_channel_may_stand_for_several_entries_and_two_groups_share_a_side():
    flat = Product(2.0, (Side(1.0, {"a": 4.0, "b": 1.0}), Side(7.0)))
    assert flat({"a": 3, "b": 2}) == 2 * (1 + 12 + 2) * 7
    assert flat.groups() == {"a", "b"}


@pytest.mark.parametrize("group", ["a", "b", "elsewhere"])
def test_the_cost_at_many_widths_is_that_at_each(group):
    cost = SumOfProducts([*kernels(), Product(1.0, (Side(0.0, {"a": 1.0}), Side(2.0, {"b": 3.0})))])
    widths = {"a": 8, "b": 6, "elsewhere": 4}
    choices = np.array([8, 5, 1])
    assert cost.at(widths, group, choices).tolist() == [cost({**widths, group: int(n)}) for n in choices]


def test_sides_are_rounded_up_to_lanes_and_thin_ones_are_found():
    assert [Side(0.0, {"a": 1.0}, lanes=16).entries({"a": n}) for n in (1, 16, 17)] == [16, 16, 32]
    assert [float(Side(0.0, {"a": 1.0}, below=16).entries({"a": n})) for n in (8, 15, 16)] == [1, 1, 0]


def measured(seconds, count: int = 30, seed: int = 0) -> list[tuple[dict[str, int], float]]:
    random = np.random.default_rng(seed)
    drawn = [{"a": int(random.integers(1, 9)) * 8, "b": int(random.integers(1, 9)) * 8} for _ in range(count)]
    return [(widths, seconds(widths)) for widths in drawn]


def layers() -> list[Product]:
    return [
        Product(100.0, (Side(3.0), Side(0.0, {"a": 1.0}))),
        Product(50.0, (Side(0.0, {"a": 1.0}), Side(0.0, {"b": 1.0}))),
        Product(1.0, (Side(0.0, {"b": 1.0}), Side(10.0))),
    ]


def test_times_that_go_by_the_parts_are_found_again():
    macs = SumOfProducts(layers())
    fitted = fit_times([macs], measured(lambda widths: 1e-3 + 2e-9 * macs(widths)))
    assert fitted.constant == pytest.approx(1e-3)
    assert fitted.weights == (pytest.approx(2e-9),)
    assert fitted.error < 1e-9


def test_eight_channels_that_are_slower_than_sixteen_are_seen():
    """As measured in bfloat16 (docs/faster-and-smaller.md): what does not fill the lanes costs extra."""

    def seconds(widths):
        return 1e-3 + sum(2e-8 * layer(widths) * (4 if min(widths.values()) < 16 else 1) for layer in layers())

    parts = parts_of_time({"Conv2D": layers()}, [Product(1.0, (Side(0.0, {group: 1.0}),)) for group in "ab"])
    fitted = fit_times(parts, measured(seconds, 60))
    assert fitted({"a": 64, "b": 8}) > 1.3 * fitted({"a": 64, "b": 16})
    plain = fit_times(parts[:1], measured(seconds, 60))
    assert plain({"a": 64, "b": 8}) < plain({"a": 64, "b": 16})
    assert fitted.error < plain.error


def test_fitted_times_at_many_widths_are_those_at_each():
    parts = parts_of_time({"Conv2D": layers()}, [])
    fitted = FittedTimes(tuple(parts), tuple(0.5 + n for n in range(len(parts))), 3.0, 0.0)
    widths = {"a": 24, "b": 40}
    for group in "ab":
        at = fitted.at(widths, group, np.array([8, 16, 40]))
        assert at.tolist() == pytest.approx([fitted({**widths, group: n}) for n in (8, 16, 40)])


def test_the_products_of_weights_count_what_is_left_of_them():
    """Heads (3) and the channels of each (4) on one axis, units on another: what stays is counted by removing it."""
    heads, each = np.repeat([0, 1, 2], 4), np.tile([10, 11, 12, 13], 3)
    units = np.array([20, 21, 22, 23, 24, 5, 5])  # two entries that stay
    group_of = {**dict.fromkeys(range(3), "heads"), **dict.fromkeys(range(10, 14), "each")}
    group_of |= dict.fromkeys(range(20, 25), "units")
    axes = {0: np.stack([heads, each]), 2: units}
    product = product_of((12, 6, 7), axes, 2.0, group_of)
    assert product({"heads": 3, "each": 4, "units": 5}) == pytest.approx(2 * 12 * 6 * 7)
    left = drop_axes(np.ones((12, 6, 7)), axes, np.array([1, 12, 13, 20]))
    assert product({"heads": 2, "each": 2, "units": 4}) == pytest.approx(2 * left.size)
