"""The four penguin trials of the class project, in PyTorch (`data/penguins_pytorch.npz`) and here."""

from pathlib import Path

import alone
import numpy as np
import pytest

from tfprune.adapters.tf_keras.mask_values import kernels, set_weights
from tfprune.data.penguins import load
from tfprune.training.config import Config
from tfprune.training.trainer import Trainer

REFERENCE = Path(__file__).parents[1] / "data" / "penguins_pytorch.npz"
LAYERS = ("dense_1", "dense_2")


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as stored:
        return dict(stored)


@pytest.mark.parametrize("method", ["unpruned", "pruned", "lottery", "dynamic"])
@pytest.mark.parametrize("seed", ["seed100", "seed101", "seed102"])
def test_same_masks_and_losses_as_in_pytorch(reference, seed, method):
    config = Config(dataset="penguins", method=method)
    data = load(row_order=reference[f"{seed}/row_order"])
    kind, model = alone.compiled(config, data)
    set_weights(model, [reference[f"{seed}/init/{name}/{part}"] for name in LAYERS for part in ("kernel", "bias")])
    trainer = Trainer(model, data, config)
    alone.COMPILED[kind] = trainer.model
    config.pruning.run(trainer)

    for name in LAYERS:
        theirs = reference[f"{seed}/{method}/{name}/kernel"]
        ours = kernels(trainer.model)[f"{name}/kernel"]
        np.testing.assert_array_equal(ours == 0, theirs == 0)
    theirs = reference[f"{seed}/{method}/loss_train_validation_test"]
    splits = (data.train, data.validation, data.test)
    np.testing.assert_allclose([trainer.evaluate(split)["loss"] for split in splits], theirs, atol=1e-4)
    theirs = reference[f"{seed}/{method}/accuracy_train_validation_test"]
    np.testing.assert_allclose([trainer.evaluate(split)["accuracy"] for split in splits], theirs, atol=1e-6)
