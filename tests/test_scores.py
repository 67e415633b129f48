import numpy as np
import pytest

from tfprune.scores import CRITERIA

WEIGHTS = {"a/kernel": np.array([[-3.0, 1.0], [0.0, 2.0]]), "b/kernel": np.array([0.5])}


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_scores_every_weight(name):
    scores = CRITERIA[name](WEIGHTS, np.random.default_rng(0))
    assert {n: s.shape for n, s in scores.items()} == {n: w.shape for n, w in WEIGHTS.items()}
    assert all(np.isfinite(score).all() for score in scores.values())


def test_magnitude_is_the_absolute_weight():
    scores = CRITERIA["magnitude"](WEIGHTS, np.random.default_rng(0))
    np.testing.assert_array_equal(scores["a/kernel"], [[3, 1], [0, 2]])


def test_random_scores_are_the_generators():
    first, again, other = (CRITERIA["random"](WEIGHTS, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["a/kernel"], again["a/kernel"])
    assert np.all(first["a/kernel"] != other["a/kernel"])
