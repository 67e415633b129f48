import numpy as np
import pytest

from tfprune.data._base import Split
from tfprune.data._batches import Batches


def batches(count=11, size=4, **settings):
    return Batches(Split(np.arange(count) * 10, np.arange(count)), size, **{"shuffle": True, "seed": 3} | settings)


def test_an_epoch_has_every_example_once_and_inputs_stay_with_their_classes():
    own = batches()
    assert len(own) == 3
    for epoch in (0, 1, 7):
        parts = [own.batch(epoch, number) for number in range(3)]
        assert [len(y) for _, y in parts] == [4, 4, 3]
        assert sorted(np.concatenate([y for _, y in parts])) == list(range(11))
        assert all(np.array_equal(x, 10 * y) for x, y in parts)


def test_a_batch_is_a_function_of_the_seed_and_its_number_alone():
    own, other = batches(), batches()
    later = other.batch(5, 2)
    other.batch(0, 0)
    for a, b in zip(own.batch(5, 2), later, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(own.order(0), own.order(1))
    assert not np.array_equal(own.order(0), batches(seed=4).order(0))


@pytest.mark.parametrize("epoch", [0, 3])
def test_without_shuffling_the_order_is_that_of_the_split(epoch):
    np.testing.assert_array_equal(batches(shuffle=False).order(epoch), np.arange(11))
