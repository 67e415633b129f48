import csv

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_masks, kernels, set_masks
from tfprune.adapters.tf_keras.schedules import PruneAtSteps
from tfprune.adapters.tf_keras.wrapping import masked_layers, wrap
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import prune_masks, sparsity_of
from tfprune.training.callbacks import (
    ALIVE_COLOUR,
    History,
    PruneOnSchedule,
    Rewinding,
    StopOnNaN,
    _histogram,
    mask_image,
)
from tfprune.training.history import COLUMNS, write_history
from tfprune.utils.errors import TrainingError

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def model(conv_net):
    model = wrap(conv_net)
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    return model


def prune(model, event):
    scores = {name: np.abs(kernel) for name, kernel in kernels(model).items()}
    set_masks(model, prune_masks(scores, get_masks(model), event, "layer"))


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_cuts_fall_after_their_steps_and_training_carries_on(model, examples, steps_per_execution):
    model.compile(keras.optimizers.Adam(0.01), LOSS, steps_per_execution=steps_per_execution)
    schedule = PruneAtSteps({3: PruningEvent(sparsity=0.5), 6: PruningEvent(sparsity=0.75)})
    seen = []

    def event(event):
        seen.append((int(model.optimizer.iterations), event.sparsity))
        prune(model, event)

    model.fit(*examples, batch_size=32, epochs=3, verbose=0, callbacks=[PruneOnSchedule(schedule, event)])
    assert seen == [(3, 0.5), (6, 0.75)]
    assert sparsity_of(get_masks(model)) == pytest.approx(0.75, abs=0.01)
    assert all(layer.pruning_schedule is schedule for layer in masked_layers(model))
    assert int(model.optimizer.iterations) == 9  # the optimizer is the same one


class Remember(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.weights = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.weights.setdefault(epoch, [weight.numpy().copy() for weight in self.model.weights])


@pytest.mark.parametrize("epoch", [0, 2])
def test_rewinding_puts_every_weight_back_and_keeps_what_is_pruned_zero(model, examples, epoch):
    rewinding, first, second = Rewinding(epoch), Remember(), Remember()
    model.fit(*examples, batch_size=32, epochs=3, verbose=0, callbacks=[rewinding, first])
    prune(model, PruningEvent(sparsity=0.5))
    masks = get_masks(model)
    model.fit(*examples, batch_size=32, epochs=1, verbose=0, callbacks=[rewinding, second])

    names = [weight.name for weight in model.weights]
    dead = {layer.layer.name: masks[f"{layer.layer.name}/{layer.attributes[0]}"] for layer in masked_layers(model)}
    compared = 0
    for name, then, now in zip(names, first.weights[epoch], second.weights[0], strict=True):
        if "mask" in name or "threshold" in name or "pruning_step" in name:
            continue
        if "kernel" in name:
            assert np.all((now == then) | (now == 0))
            assert np.any(now == 0)
        else:  # biases, BatchNorm's scales and its moving statistics
            np.testing.assert_array_equal(now, then)
        compared += 1
    assert compared == 12 and dead
    for name, mask in get_masks(model).items():
        np.testing.assert_array_equal(mask, masks[name])


def test_rewinding_is_not_fooled_by_arrays_that_share_memory(model, examples):
    rewinding = Rewinding()
    model.fit(*examples, epochs=1, verbose=0, callbacks=[rewinding])
    stored = [weight.copy() for weight in rewinding.remembered]
    model.fit(*examples, epochs=2, verbose=0, callbacks=[rewinding])
    for before, after in zip(stored, rewinding.remembered, strict=True):
        np.testing.assert_array_equal(before, after)


def test_history_has_a_row_for_each_logged_epoch_and_is_written_with_all_digits(model, examples, tmp_path):
    rows = []
    history = History(rows, "dense", first_step=100, epochs=[1, 3], sparsity=lambda: 0.25)
    model.fit(*examples, batch_size=32, epochs=3, verbose=0, validation_data=examples, callbacks=[history])
    assert [(row["phase"], row["epoch"], row["step"], row["sparsity"]) for row in rows] == [
        ("dense", 1, 103, 0.25),
        ("dense", 3, 109, 0.25),
    ]
    write_history(tmp_path / "history.csv", rows)
    with open(tmp_path / "history.csv", newline="") as file:
        stored = list(csv.DictReader(file))
    assert tuple(stored[0]) == COLUMNS
    assert [float(row["val_loss"]) for row in stored] == [row["val_loss"] for row in rows]


def test_a_loss_that_is_no_number_stops_the_training(model, examples):
    x, y = examples
    with pytest.raises(
        TrainingError,
        match="the loss is nan after step 1; the first layer whose weights are no finite numbers is conv; try a lower",
    ):
        model.fit(np.full_like(x, np.nan), y, verbose=0, callbacks=[StopOnNaN()])


def test_a_mask_is_drawn_with_inputs_down_and_outputs_right():
    mask = np.zeros((2, 3, 4, 5), np.uint8)
    mask[0, 0, 1, 2] = 1
    image = mask_image(mask)
    zoom = 240 // 24
    assert image.shape == (1, 24 * zoom, 5 * zoom, 3)
    alive = np.all(image[0] == ALIVE_COLOUR, axis=-1)
    assert alive[zoom, 2 * zoom] and alive.sum() == zoom**2
    assert mask_image(np.ones((2000, 3), np.uint8)).shape == (1, 512, 3, 3)


@pytest.mark.parametrize("values", [np.random.default_rng(0).normal(size=(9, 7)), np.zeros((2, 3)), np.arange(6.0)])
def test_histograms_are_those_of_tensorflow_but_for_values_that_are_not_finite(values, tmp_path):
    kernel = values.astype(np.float32)
    broken = np.append(kernel, np.float32([np.nan, np.inf, -np.inf]))
    with tf.summary.create_file_writer(str(tmp_path)).as_default(step=1):
        tf.summary.histogram("theirs", kernel)
        for name, own in (("ours", kernel), ("broken", broken)):
            tf.summary.experimental.write_raw_pb(_histogram(name, own))
        tf.summary.flush()
    log = EventAccumulator(str(tmp_path)).Reload()
    theirs, *ours = (tf.make_ndarray(log.Tensors(name)[0].tensor_proto) for name in ("theirs", "ours", "broken"))
    for own in ours:
        np.testing.assert_allclose(own, theirs, rtol=1e-12, atol=1e-12)
