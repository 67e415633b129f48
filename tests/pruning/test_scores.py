import functools

import numpy as np
import pytest

from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.scores import ScoringContext

WEIGHTS = {"a/kernel": np.array([[-3.0, 1.0], [0.0, 2.0]]), "b/kernel": np.array([0.5])}
MASKS = {"a/kernel": np.array([[1, 1], [0, 1]], np.uint8), "b/kernel": np.array([1], np.uint8)}
SLOPES = {"a/kernel": np.array([[0.5, -4.0], [7.0, 0.1]]), "b/kernel": np.array([-2.0])}
evidence = functools.partial(ScoringContext, WEIGHTS, MASKS, gradients=lambda kind: SLOPES)


def score(name, seed=0, **changes):
    return CRITERIA[name](evidence(random=np.random.default_rng(seed), **changes))


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_scores_every_weight(name):
    scores = score(name)
    assert {n: s.shape for n, s in scores.items()} == {n: w.shape for n, w in WEIGHTS.items()}
    assert all(np.isfinite(score).all() for score in scores.values())


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [  # by hand, from the weights and slopes above
        ("magnitude", [[3, 1], [0, 2]], [0.5]),
        ("lamp", [[9 / 9, 1 / 14], [0, 4 / 13]], [1]),
        ("signed", [[1, 0.5], [0, 1]], [1]),
        ("taylor", [[0.5 * 9, -4], [0, 0.1 * 4]], [-2 * 0.25]),  # the slopes stand for squared ones here
        ("snip", [[1.5, 4], [0, 0.2]], [1]),
        ("grasp", [[-1.5, -4], [0, 0.2]], [-1]),
        ("synflow", [[1.5, -4], [0, 0.2]], [-1]),
        ("gradient", [[0.5, 4], [7, 0.1]], [2]),
    ],
)
def test_scores_are_those_worked_out_by_hand(name, first, second):
    scores = score(name)
    np.testing.assert_allclose(scores["a/kernel"], first)
    np.testing.assert_allclose(scores["b/kernel"], second)


def test_random_scores_are_the_generators():
    first, again, other = (score("random", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["a/kernel"], again["a/kernel"])
    assert np.all(first["a/kernel"] != other["a/kernel"])


def test_lamp_orders_equal_weights_by_their_index_and_survives_a_kernel_of_zeros():
    weights = {"a": np.array([2.0, -2.0, 2.0]), "b": np.zeros(3)}
    scores = CRITERIA["lamp"](ScoringContext(weights, {n: np.ones(3) for n in weights}, None, None))
    np.testing.assert_allclose(scores["a"], [1, 1 / 2, 1 / 3])
    np.testing.assert_array_equal(scores["b"], 0)


def test_the_lowest_signed_scores_are_a_like_share_of_both_signs():
    weights = np.concatenate([np.arange(1.0, 11.0), -np.arange(0.1, 1.1, 0.1)])
    scores = CRITERIA["signed"](ScoringContext({"a": weights}, {"a": np.ones(20)}, None, None))["a"]
    assert sorted(np.argsort(scores, kind="stable")[:6]) == [0, 1, 2, 10, 11, 12]
