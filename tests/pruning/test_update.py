import numpy as np
import pytest

from tfprune.pruning.events import Criterion, Cut
from tfprune.pruning.scores import Evidence
from tfprune.pruning.update import REMEMBERED, Settling, distance, masks_after, ranked

WEIGHTS = {"a": np.array([4.0, -3.0, 2.0, -1.0, 0.0, 0.0])}
MASKS = {"a": np.array([1, 1, 1, 1, 0, 0], np.uint8)}


def evidence(seen=None):
    def slopes(kind, criterion):
        if seen is not None:
            seen.append((kind, criterion))
        return {"a": np.array([1.0, 1.0, 5.0, 9.0, 2.0, 3.0])}

    return Evidence(WEIGHTS, MASKS, np.random.default_rng(0), slopes)


def test_a_cut_keeps_what_its_criterion_ranks_first_or_last():
    for criterion, kept in ((Criterion(), [1, 1, 0, 0, 0, 0]), (Criterion(inverted=True), [0, 0, 1, 1, 0, 0])):
        masks = masks_after(Cut(sparsity=2 / 3, criterion=criterion), evidence(), "layer")
        np.testing.assert_array_equal(masks["a"], kept)


def test_derivatives_are_asked_for_as_the_criterion_says_and_only_if_it_needs_them():
    seen, snip = [], Criterion("snip", per_class=3, temperature=2.0)
    np.testing.assert_array_equal(ranked(snip, evidence(seen))["a"], [4, 3, 10, 9, 0, 0])
    assert seen == [("gradients", snip)]
    ranked(Criterion("magnitude"), evidence(seen))
    assert len(seen) == 1


def test_what_comes_back_is_chosen_by_the_growth_criterion():
    """RigL by hand: of four weights two go by magnitude, of the other four those two of the largest gradients come."""
    cut = Cut(rate=0.0, regrown=0.5, growth=Criterion("gradient"))
    np.testing.assert_array_equal(masks_after(cut, evidence(), "erk")["a"], [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(
        masks_after(Cut(rate=0.0, regrown=0.25, growth=Criterion("gradient")), evidence(), "erk")["a"],
        [1, 1, 1, 1, 0, 0],  # the smallest weight has the largest gradient and is back at once
    )
    dropped = {"a": np.array([4.0, -3.0, 2.0, -1.0, 0.0, 0.0])}
    slow = Evidence(dropped, MASKS, np.random.default_rng(0), lambda kind, criterion: {"a": np.arange(6.0)})
    np.testing.assert_array_equal(masks_after(cut, slow, "erk")["a"], [1, 1, 0, 0, 1, 1])


def test_masks_have_settled_when_the_last_is_close_to_the_four_before():
    calm, other = {"a": np.array([1, 1, 0, 0, 0])}, {"a": np.array([0, 1, 1, 0, 0])}
    settling = Settling()
    said = [settling.settled(masks, 0.1) for masks in (other, calm, calm, calm, calm, calm, other)]
    assert said == [False] * 5 + [True, False] and REMEMBERED == 5
    assert distance(calm, other) == pytest.approx(0.4)
    assert Settling().settled(calm, 1.0) is False
    loose = Settling()
    assert [loose.settled(masks, 0.4) for masks in (other, calm, other, calm, other)][-1]
