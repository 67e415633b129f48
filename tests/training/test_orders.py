import numpy as np
import pytest

from tfprune.adapters.backend import tf
from tfprune.data._base import Split
from tfprune.data._pipeline import epoch_order
from tfprune.training.fused import epoch_chunks
from tfprune.training.orders import EpochOrders


@pytest.fixture
def drawn():
    return EpochOrders(7, [5, 6])


def test_orders_are_those_of_each_seed_and_epoch(drawn):
    assert drawn.draw(2) and drawn.draw(3) and drawn.draw(1) and drawn.epochs == 3
    found = drawn.between(1, 5)
    assert found.shape == (4, 7, 2) and found.dtype == np.int64
    for number, seed in enumerate((5, 6)):
        for epoch in (1, 2):
            own = epoch_order(7, seed, tf.constant(epoch, tf.int64)).numpy()
            assert found[epoch - 1, :, number].tolist() == own.tolist()
    assert not found[2:].any()


def test_chunks_have_the_orders_that_are_drawn_already(drawn):
    drawn.draw(3)
    split = Split(np.zeros((7, 1, 2), np.float32), np.zeros((7, 2), np.int64))
    settings = {"first_epoch": 0, "ends": [2, 3], "order_seeds": [5, 6], "stacked": True}
    for own, other in zip(
        epoch_chunks(split, split, **settings), epoch_chunks(split, split, **settings, drawn=drawn), strict=True
    ):
        epochs = int(own["epochs"])
        assert int(other["epochs"]) == epochs
        np.testing.assert_array_equal(own["order"][:epochs], other["order"][:epochs])


def test_orders_of_a_long_training_are_not_kept(drawn, monkeypatch):
    monkeypatch.setattr("tfprune.training.orders.MAX_BYTES", 27)
    assert not drawn.draw(2) and drawn.epochs == 0
    assert drawn.draw(1)
