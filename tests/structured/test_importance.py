import numpy as np
import pytest

from tfprune.structured.importance import DERIVATIVES, IMPORTANCE, Rows


def rows(seed: int = 0, channels: int = 6, weights: int = 10) -> Rows:
    random = np.random.default_rng(seed)
    shape = channels, weights
    return Rows(random.normal(size=shape), random.normal(size=shape), np.square(random.normal(size=shape)))


@pytest.mark.parametrize("name", sorted(IMPORTANCE))
def test_a_number_a_channel_that_goes_with_the_channel(name):
    own = rows()
    scores = IMPORTANCE[name](own)
    order = np.array([3, 1, 0, 5, 4, 2])
    moved = Rows(own.weights[order], own.gradients[order], own.squared_gradients[order])
    assert scores.shape == (6,)
    assert IMPORTANCE[name](moved) == pytest.approx(scores[order])


@pytest.mark.parametrize("name", sorted({*IMPORTANCE} - {"fpgm"}))
def test_a_channel_without_weights_is_worth_nothing(name):
    own = rows()
    own.weights[2] = 0
    assert IMPORTANCE[name](own)[2] == 0
    assert np.all(np.delete(IMPORTANCE[name](own), 2) > 0)


def test_norms_are_those_of_numpy():
    own = rows()
    assert IMPORTANCE["l1"](own) == pytest.approx(np.abs(own.weights).sum(1))
    assert IMPORTANCE["l2"](own) == pytest.approx(np.sqrt(np.square(own.weights).sum(1)))


def test_fpgm_is_the_sum_of_distances_and_finds_the_one_in_the_middle():
    own = rows(1)
    expected = [sum(np.linalg.norm(a - b) for b in own.weights) for a in own.weights]
    assert IMPORTANCE["fpgm"](own) == pytest.approx(expected)
    middle = Rows(np.array([[-1.0], [0.0], [1.0], [5.0]]))
    assert np.argmin(IMPORTANCE["fpgm"](middle)) in (1, 2)
    assert np.argmax(IMPORTANCE["fpgm"](middle)) == 3


def test_taylor_foresees_the_loss_of_a_quadratic():
    """Of a loss that is quadratic in each weight, the second order is exact and the first is not."""
    random = np.random.default_rng(0)
    weights, slope, curve = random.normal(size=(4, 3)), random.normal(size=(4, 3)), random.random((4, 3)) + 1

    def loss(w):
        return float(np.sum(slope * w + 0.5 * curve * np.square(w)))

    own = Rows(weights, slope + curve * weights, curve)
    changes = []
    for channel in range(4):
        without = weights.copy()
        without[channel] = 0
        changes.append(loss(without) - loss(weights))
    assert IMPORTANCE["taylor2"](own) == pytest.approx(np.abs(changes))
    assert IMPORTANCE["taylor"](own) != pytest.approx(np.square(changes))


def test_what_asks_for_derivatives_says_so():
    without = Rows(rows().weights)
    for name, importance in IMPORTANCE.items():
        if name in DERIVATIVES:
            with pytest.raises(AssertionError):
                importance(without)
        else:
            importance(without)
