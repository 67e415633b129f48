import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfprune.cuts import Cut
from tfprune.errors import SparsityError
from tfprune.masks import check_sparsity, cut_masks, expected_kept, keep_top, ones_like, sparsity_of

scores = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=8), elements=st.sampled_from([0, 1, 2, 3]))


def test_keeps_the_largest():
    np.testing.assert_array_equal(keep_top(np.array([[3.0, 1.0], [2.0, 4.0]]), 2), [[1, 0], [0, 1]])


def test_of_equal_scores_the_lower_index_survives():
    np.testing.assert_array_equal(keep_top(np.array([1.0, 2.0, 1.0, 1.0]), 3), [1, 1, 1, 0])


@given(scores, st.floats(0, 1))
def test_keeps_exactly_as_many_as_asked_and_none_below_a_dropped_one(scores, share):
    keep = round(share * scores.size)
    mask = keep_top(scores, keep)
    assert mask.shape == scores.shape
    assert mask.sum() == keep
    if 0 < keep < scores.size:
        assert scores[mask == 1].min() >= scores[mask == 0].max()


@given(st.lists(scores, min_size=1, max_size=4), st.sampled_from(["layer", "global"]), st.floats(0, 0.99), st.data())
def test_two_cuts_meet_their_counts_in_either_scope_and_revive_nothing(arrays, scope, sparsity, data):
    first = {str(n): array for n, array in enumerate(arrays)}
    cuts = [Cut(rate=0.3), Cut(sparsity=sparsity)]
    masks = cut_masks(first, ones_like(first), cuts[0], scope)
    second = {
        name: data.draw(hnp.arrays(np.float32, array.shape, elements=st.integers(0, 5)))
        for name, array in first.items()
    }
    later = cut_masks(second, masks, cuts[1], scope)
    assert all(np.all(later[name] <= masks[name]) for name in masks)
    assert all(mask.any() for mask in later.values())
    zeroed = {name: np.where(later[name], second[name] + 1, 0) for name in later}
    check_sparsity(zeroed, later, cuts, scope, "model")


def test_global_scope_ranks_across_kernels_but_empties_none():
    weights = {"large": np.arange(10.0, 20.0), "small": np.array([0.1, 0.2])}
    masks = cut_masks(weights, ones_like(weights), Cut(sparsity=0.5), "global")
    np.testing.assert_array_equal(masks["small"], [0, 1])
    np.testing.assert_array_equal(masks["large"], [0] * 5 + [1] * 5)


def test_layer_scope_ranks_within_each_kernel():
    weights = {"large": np.arange(10.0, 20.0), "small": np.array([0.1, 0.2])}
    masks = cut_masks(weights, ones_like(weights), Cut(sparsity=0.5), "layer")
    assert masks["large"].sum() == 5 and masks["small"].sum() == 1


def test_scores_that_are_no_numbers_are_refused():
    bad = {"a": np.array([1.0, np.nan])}
    with pytest.raises(ValueError, match="cannot rank a"):
        cut_masks(bad, ones_like(bad), Cut(rate=0.5), "layer")


def test_a_pruned_weight_off_zero_is_an_error():
    with pytest.raises(SparsityError, match="model: 1 pruned weights of a are not zero"):
        check_sparsity({"a": np.array([1.0, 1e-9])}, {"a": np.array([1, 0])}, [Cut(sparsity=0.5)], "layer", "model")


def test_a_mask_one_weight_off_is_an_error():
    weights, masks = {"a": np.array([1.0, 1.0, 0.0, 0.0])}, {"a": np.array([1, 1, 0, 0])}
    check_sparsity(weights, masks, [Cut(sparsity=0.5)], "layer", "model")
    with pytest.raises(SparsityError, match="a keeps 2 weights where 3 were asked for"):
        check_sparsity(weights, masks, [Cut(sparsity=0.25)], "layer", "model")
    with pytest.raises(SparsityError, match="all kernels keeps 2 weights where 3 were asked for"):
        check_sparsity(weights, masks, [Cut(sparsity=0.25)], "global", "model")


def test_no_cuts_ask_for_every_weight():
    assert expected_kept({"a": 7, "b": 3}, [], "layer") == {"a": 7, "b": 3}
    assert expected_kept({"a": 7, "b": 3}, [], "global") == {"all kernels": 10}


def test_sparsity_counts_over_all_masks():
    assert sparsity_of({"a": np.array([0, 1]), "b": np.array([0, 0])}) == 0.75
    assert sparsity_of({}) == 0.0
