import itertools

import numpy as np
import pytest

from tfprune.structured.costs import Product, Side, SumOfProducts
from tfprune.structured.ranking import NORMALIZERS, Ranked, choose_widths, fit_budget
from tfprune.structured.widths import SCOPES
from tfprune.utils.errors import ConfigError


def drawn(seed: int, sizes: dict[str, int], multiple: int = 1) -> list[Ranked]:
    random = np.random.default_rng(seed)
    return [Ranked(name, random.random(size), multiple, form=size) for name, size in sizes.items()]


def chain(names: str, ends: tuple[float, float] = (3.0, 2.0)) -> SumOfProducts:
    """The parameters of dense layers one after the other."""
    sides = [Side(ends[0]), *(Side(0.0, {name: 1.0}) for name in names), Side(ends[1])]
    return SumOfProducts([Product(1.0, pair) for pair in itertools.pairwise(sides)])


def test_in_its_own_scope_each_group_keeps_the_same_share():
    assert choose_widths(drawn(0, {"a": 64, "b": 32}, 8), 0.5) == {"a": 32, "b": 16}


def test_a_group_whose_channels_are_worth_more_keeps_more():
    groups = [Ranked("a", np.arange(16) + 100.0, 4), Ranked("b", np.arange(16) + 0.0, 4)]
    assert choose_widths(groups, 0.5, "global") == {"a": 12, "b": 4}  # and never less than the floor leaves
    assert choose_widths(groups, 0.75, "global") == {"a": 16, "b": 8}


def test_isomorphic_groups_compete_with_their_like_alone():
    groups = [
        Ranked("a", np.full(8, 9.0), form="conv"),
        Ranked("b", np.full(8, 1.0), form="conv"),
        Ranked("c", np.full(8, 0.1), form="dense"),
    ]
    assert choose_widths(groups, 0.625, "isomorphic", floor=0.25) == {"a": 8, "b": 2, "c": 5}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.25])
def test_a_budget_is_met_and_used(scope, share):
    groups, cost = drawn(1, {"a": 64, "b": 128, "c": 64}, 8), chain("abc")
    whole = cost({"a": 64, "b": 128, "c": 64})
    widths = fit_budget(groups, cost, share * whole, scope)
    assert cost(widths) <= share * whole
    assert all(widths[name] % 8 == 0 and widths[name] >= 0.1 * size for name, size in (("a", 64), ("b", 128)))
    if scope == "global":  # nothing more would fit
        for name in widths:
            assert widths[name] in (64, 128) or cost({**widths, name: widths[name] + 8}) > share * whole


@pytest.mark.parametrize("seed", range(20))
def test_the_greedy_solution_is_close_to_the_best_one(seed):
    groups, cost = drawn(seed, {"a": 6, "b": 6, "c": 6}), chain("abc")
    limit = 0.5 * cost({"a": 6, "b": 6, "c": 6})
    possible = [dict(zip("abc", counts, strict=True)) for counts in itertools.product(range(1, 7), repeat=3)]

    def worth(widths):
        return sum(group.worth()[widths[group.name]] for group in groups)

    best = max(worth(widths) for widths in possible if cost(widths) <= limit)
    assert worth(fit_budget(groups, cost, limit, floor=0)) >= 0.95 * best


def test_a_width_that_is_slower_than_a_wider_one_is_jumped_over():
    """16 channels that take longer than 32 save nothing; 8 do."""

    class Odd:
        def __call__(self, widths):
            return float({32: 1.0, 24: 0.95, 16: 1.2, 8: 0.4}[widths["a"]])

        def at(self, widths, group, choices):
            return np.array([self({"a": int(choice)}) for choice in choices])

    groups = [Ranked("a", np.ones(32), 8)]
    assert fit_budget(groups, Odd(), 0.9, floor=0) == {"a": 8}
    assert fit_budget(groups, Odd(), 0.96, floor=0) == {"a": 24}


def test_a_limit_that_nothing_meets_says_how_far_it_goes():
    groups, cost = drawn(0, {"a": 64}, 8), chain("a")
    with pytest.raises(ConfigError, match=r"no width comes down to 0\.01 of the whole.*costs 0\.125"):
        fit_budget(groups, cost, 0.01 * cost({"a": 64}))


@pytest.mark.parametrize("name", sorted(NORMALIZERS))
def test_normalizers_keep_the_order_within_a_group(name):
    scores = np.array([0.5, 3.0, 0.0, 2.0, 2.5])
    assert np.argsort(NORMALIZERS[name](scores)).tolist() == np.argsort(scores).tolist()
    assert np.all(np.isfinite(NORMALIZERS[name](np.zeros(3))))


@pytest.mark.parametrize("name", sorted({*NORMALIZERS} - {"none"}))
def test_normalizers_take_no_notice_of_a_groups_scale(name):
    scores = np.random.default_rng(0).random(9)
    assert NORMALIZERS[name](1000 * scores) == pytest.approx(NORMALIZERS[name](scores))
