import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfprune.pruning import masks
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import (
    AT_ONCE,
    SCOPES,
    check_sparsity,
    drop_and_grow,
    erk_counts,
    expected_kept,
    ones_like,
    prune_masks,
    sparsity_of,
    topk_mask,
)
from tfprune.utils.errors import SparsityError

scores = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=8), elements=st.sampled_from([0, 1, 2, 3]))


def test_keeps_the_largest():
    np.testing.assert_array_equal(topk_mask(np.array([[3.0, 1.0], [2.0, 4.0]]), 2), [[1, 0], [0, 1]])


def test_of_equal_scores_the_lower_index_survives():
    np.testing.assert_array_equal(topk_mask(np.array([1.0, 2.0, 1.0, 1.0]), 3), [1, 1, 1, 0])


@given(scores, st.floats(0, 1))
def test_keeps_exactly_as_many_as_asked_and_none_below_a_dropped_one(scores, share):
    keep = round(share * scores.size)
    mask = topk_mask(scores, keep)
    assert mask.shape == scores.shape
    assert mask.sum() == keep
    if 0 < keep < scores.size:
        assert scores[mask == 1].min() >= scores[mask == 0].max()


@given(st.lists(scores, min_size=1, max_size=4), st.sampled_from(SCOPES), st.floats(0, 0.99), st.data())
def test_two_cuts_meet_their_counts_in_either_scope_and_revive_nothing(arrays, scope, sparsity, data):
    first = {str(n): array for n, array in enumerate(arrays)}
    events = [PruningEvent(rate=0.3), PruningEvent(sparsity=sparsity)]
    masks = prune_masks(first, ones_like(first), events[0], scope)
    second = {
        name: data.draw(hnp.arrays(np.float32, array.shape, elements=st.integers(0, 5)))
        for name, array in first.items()
    }
    later = prune_masks(second, masks, events[1], scope)
    assert all(np.all(later[name] <= masks[name]) for name in masks)
    assert all(mask.any() for mask in later.values())
    zeroed = {name: np.where(later[name], second[name] + 1, 0) for name in later}
    check_sparsity(zeroed, later, events, scope, "model")


def test_global_scope_ranks_across_kernels_but_empties_none():
    weights = {"large": np.arange(10.0, 20.0), "small": np.array([0.1, 0.2])}
    masks = prune_masks(weights, ones_like(weights), PruningEvent(sparsity=0.5), "global")
    np.testing.assert_array_equal(masks["small"], [0, 1])
    np.testing.assert_array_equal(masks["large"], [0] * 5 + [1] * 5)


def test_layer_scope_ranks_within_each_kernel():
    weights = {"large": np.arange(10.0, 20.0), "small": np.array([0.1, 0.2])}
    masks = prune_masks(weights, ones_like(weights), PruningEvent(sparsity=0.5), "layer")
    assert masks["large"].sum() == 5 and masks["small"].sum() == 1


def test_scores_that_are_no_numbers_are_refused():
    bad = {"a": np.array([1.0, np.nan])}
    with pytest.raises(ValueError, match="cannot rank a"):
        prune_masks(bad, ones_like(bad), PruningEvent(rate=0.5), "layer")


def test_a_pruned_weight_off_zero_is_an_error():
    with pytest.raises(SparsityError, match="model: 1 pruned weights of a are not zero"):
        check_sparsity(
            {"a": np.array([1.0, 1e-9])}, {"a": np.array([1, 0])}, [PruningEvent(sparsity=0.5)], "layer", "model"
        )


def test_a_mask_one_weight_off_is_an_error():
    weights, masks = {"a": np.array([1.0, 1.0, 0.0, 0.0])}, {"a": np.array([1, 1, 0, 0])}
    check_sparsity(weights, masks, [PruningEvent(sparsity=0.5)], "layer", "model")
    with pytest.raises(SparsityError, match="a keeps 2 weights where 3 were asked for"):
        check_sparsity(weights, masks, [PruningEvent(sparsity=0.25)], "layer", "model")
    with pytest.raises(SparsityError, match="all kernels keeps 2 weights where 3 were asked for"):
        check_sparsity(weights, masks, [PruningEvent(sparsity=0.25)], "global", "model")


def test_no_cuts_ask_for_every_weight():
    shapes = {"a": (7,), "b": (1, 3)}
    assert expected_kept(shapes, [], "layer") == expected_kept(shapes, [], "erk") == {"a": 7, "b": 3}
    assert expected_kept(shapes, [], "global") == {"all kernels": 10}


def test_sparsity_counts_over_all_masks():
    assert sparsity_of({"a": np.array([0, 1]), "b": np.array([0, 0])}) == 0.75
    assert sparsity_of({}) == 0.0


def erk_densities(shapes, density):
    """RigL's own way: kernels that would be more than dense are taken out until none is left that would be."""
    dense, sizes = set(), {name: np.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    while True:
        rest = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        scale = rest / sum(raw[name] * sizes[name] for name in shapes if name not in dense)
        beyond = {name for name in shapes if name not in dense and scale * raw[name] > 1}
        if not beyond:
            return {name: 1.0 if name in dense else scale * raw[name] for name in shapes}
        dense |= {max(beyond, key=raw.__getitem__)}


RESNET = {"conv": (3, 3, 3, 16), "a": (3, 3, 16, 16), "b": (3, 3, 16, 32), "skip": (1, 1, 16, 32), "head": (64, 10)}


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8, 0.95])
def test_erk_gives_the_densities_of_its_formula_to_one_weight(sparsity):
    size = sum(np.prod(shape) for shape in RESNET.values())
    counts = erk_counts(RESNET, round(size * (1 - sparsity)))
    assert sum(counts.values()) == round(size * (1 - sparsity))
    for name, density in erk_densities(RESNET, 1 - sparsity).items():
        assert abs(counts[name] - density * np.prod(RESNET[name])) <= 1, name


@given(st.lists(st.tuples(*[st.integers(1, 9)] * 2), min_size=1, max_size=5), st.data())
def test_erk_shares_out_exactly_and_takes_from_none_what_it_gives_to_another(shapes, data):
    shapes = dict(enumerate(shapes))
    size = sum(a * b for a, b in shapes.values())
    more = data.draw(st.integers(len(shapes), size))
    fewer = data.draw(st.integers(len(shapes), more))
    counts = [erk_counts(shapes, keep) for keep in (more, fewer)]
    assert [sum(own.values()) for own in counts] == [more, fewer]
    assert all(1 <= counts[1][name] <= counts[0][name] <= a * b for name, (a, b) in shapes.items())


def test_regrowing_moves_a_share_of_each_kernel():
    masks = {"a": np.array([1, 1, 1, 1, 0, 0, 0]), "b": np.array([1, 0])}
    scores = {"a": np.array([4.0, 1.0, 2.0, 3.0, 0, 0, 0]), "b": np.ones(2)}
    growth = {"a": np.array([9.0, 9.0, 9.0, 9.0, 1.0, 3.0, 2.0]), "b": np.ones(2)}
    moved = drop_and_grow(scores, growth, masks, 0.5)
    # The lowest two of a's four go and, what grows fastest, both come back at once; b's one is more than a half of one.
    np.testing.assert_array_equal(moved["a"], masks["a"])
    np.testing.assert_array_equal(moved["b"], [1, 0])
    growth["a"][:4] = 0
    np.testing.assert_array_equal(drop_and_grow(scores, growth, masks, 0.5)["a"], [1, 0, 0, 1, 0, 1, 1])
    np.testing.assert_array_equal(drop_and_grow(scores, growth, masks, 0.49)["a"], [1, 0, 1, 1, 0, 1, 0])


@given(scores, st.floats(0, 0.99), st.data())
def test_regrowing_keeps_every_count(values, share, data):
    mask = data.draw(hnp.arrays(np.uint8, values.shape, elements=st.integers(0, 1)))
    moved = drop_and_grow({"a": values}, {"a": values}, {"a": mask}, share)["a"]
    assert moved.sum() == mask.sum() and moved.max(initial=0) <= 1


def test_a_cut_across_kernels_takes_few_times_the_memory_of_the_scores():
    """The lower index survives in the kernel that comes first, also where ties are searched for in several pieces."""
    sizes = {"a": 30 * AT_ONCE + 5, "b": 10 * AT_ONCE - 5}
    scores = {name: np.ones(size, np.float32) for name, size in sizes.items()}
    masks = ones_like(scores)
    tracemalloc.start()
    event = prune_masks(scores, masks, PruningEvent(sparsity=0.25), "global")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * sum(score.nbytes for score in scores.values())
    last = 30 * AT_ONCE - 1  # one less: the other kernel keeps its best
    assert np.all(event["a"][:last]) and not np.any(event["a"][last:])
    assert event["b"][0] == 1 and event["b"].sum() == 1


def test_scores_of_different_precision_are_compared_exactly():
    single = np.array([np.float32(0.1), 5.0], np.float32)  # a little more than the 0.1 of float64
    scores = {"single": single, "double": np.array([0.1, 5.0])}
    kept = prune_masks(scores, ones_like(scores), PruningEvent(sparsity=0.25), "global")
    np.testing.assert_array_equal(kept["single"], [1, 1])
    np.testing.assert_array_equal(kept["double"], [0, 1])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("scope", SCOPES)
def test_many_scores_that_are_counted_before_they_are_sorted_come_to_the_same_masks(kind, scope, monkeypatch):
    random = np.random.default_rng(0)
    drawn = {str(n): random.normal(size=(50, 41)) * 10.0 ** random.integers(-30, 30) for n in range(3)}
    given = {name: score.astype(kind) for name, score in drawn.items()}
    given["ties"] = random.choice(np.array([-1.0, -0.0, 0.0, 1e-40, 1.0], kind), (60, 30))
    first = prune_masks(given, ones_like(given), PruningEvent(sparsity=0.3), scope)
    events = [PruningEvent(sparsity=sparsity) for sparsity in (0.31, 0.5, 0.8, 0.99)]
    sorted_at_once = [prune_masks(given, first, event, scope) for event in events]
    monkeypatch.setattr(masks, "SORTED_AT_ONCE", 0)
    monkeypatch.setattr(masks, "BINNED_AT_ONCE", 1000)
    for event, expected in zip(events, sorted_at_once, strict=True):
        for name, mask in prune_masks(given, first, event, scope).items():
            np.testing.assert_array_equal(mask, expected[name])
