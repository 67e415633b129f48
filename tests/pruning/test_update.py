import numpy as np
import pytest

from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.pruning.scores import ScoringContext
from tfprune.pruning.update import MASK_HISTORY, MaskStability, compute_scores, distance, update_masks

WEIGHTS = {"a": np.array([4.0, -3.0, 2.0, -1.0, 0.0, 0.0])}
MASKS = {"a": np.array([1, 1, 1, 1, 0, 0], np.uint8)}


def evidence(seen=None):
    def gradients(kind, criterion):
        if seen is not None:
            seen.append((kind, criterion))
        return {"a": np.array([1.0, 1.0, 5.0, 9.0, 2.0, 3.0])}

    return ScoringContext(WEIGHTS, MASKS, np.random.default_rng(0), gradients)


def test_a_cut_keeps_what_its_criterion_ranks_first_or_last():
    for criterion, kept in ((Criterion(), [1, 1, 0, 0, 0, 0]), (Criterion(inverted=True), [0, 0, 1, 1, 0, 0])):
        masks = update_masks(PruningEvent(sparsity=2 / 3, criterion=criterion), evidence(), "layer")
        np.testing.assert_array_equal(masks["a"], kept)


def test_derivatives_are_asked_for_as_the_criterion_says_and_only_if_it_needs_them():
    seen, snip = [], Criterion("snip", per_class=3, temperature=2.0)
    np.testing.assert_array_equal(compute_scores(snip, evidence(seen))["a"], [4, 3, 10, 9, 0, 0])
    assert seen == [("gradients", snip)]
    compute_scores(Criterion("magnitude"), evidence(seen))
    assert len(seen) == 1


def test_what_comes_back_is_chosen_by_the_growth_criterion():
    """RigL by hand: of four weights two go by magnitude, of the other four those two of the largest gradients come."""
    event = PruningEvent(rate=0.0, regrow_fraction=0.5, growth=Criterion("gradient"))
    np.testing.assert_array_equal(update_masks(event, evidence(), "erk")["a"], [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(
        update_masks(PruningEvent(rate=0.0, regrow_fraction=0.25, growth=Criterion("gradient")), evidence(), "erk")[
            "a"
        ],
        [1, 1, 1, 1, 0, 0],  # the smallest weight has the largest gradient and is back at once
    )
    dropped = {"a": np.array([4.0, -3.0, 2.0, -1.0, 0.0, 0.0])}
    slow = ScoringContext(dropped, MASKS, np.random.default_rng(0), lambda kind, criterion: {"a": np.arange(6.0)})
    np.testing.assert_array_equal(update_masks(event, slow, "erk")["a"], [1, 1, 0, 0, 1, 1])


def test_masks_have_settled_when_the_last_is_close_to_the_four_before():
    calm, other = {"a": np.array([1, 1, 0, 0, 0])}, {"a": np.array([0, 1, 1, 0, 0])}
    stability = MaskStability()
    said = [stability.is_stable(masks, 0.1) for masks in (other, calm, calm, calm, calm, calm, other)]
    assert said == [False] * 5 + [True, False] and MASK_HISTORY == 5
    assert distance(calm, other) == pytest.approx(0.4)
    assert MaskStability().is_stable(calm, 1.0) is False
    loose = MaskStability()
    assert [loose.is_stable(masks, 0.4) for masks in (other, calm, other, calm, other)][-1]
