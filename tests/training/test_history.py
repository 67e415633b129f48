import logging

import numpy as np

from tfprune.training.history import Progress


def test_a_pruning_is_said_with_its_epoch_and_what_came_of_it(caplog):
    share = iter([0.0, 0.0, 0.167, 0.167, [0.3, 0.312]])
    progress = Progress("dynamic, seed 3, dense", 0, 4000, lambda: next(share))
    with caplog.at_level(logging.INFO, logger="tfprune"):
        for epoch in (0, 1332, 2000, 2665):
            progress.on_epoch_end(epoch, {"loss": np.array([1.0, 2.0])})
    progress.close()
    assert caplog.messages == [
        "dynamic, seed 3, dense, epoch 1333/4000: pruned to 16.7 %",
        "dynamic, seed 3, dense, epoch 2666/4000: pruned to 30.6 %",
    ]
