import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf, tfmot
from tfprune.adapters.tf_keras.schedules import PruneAtSteps, no_pruning
from tfprune.pruning.events import PruningEvent
from tfprune.utils.errors import ConfigError

SCHEDULE = PruneAtSteps({8: PruningEvent(rate=0.5), 4: PruningEvent(sparsity=0.25)})


def test_it_is_due_right_after_its_steps_and_says_how_sparse():
    answers = [SCHEDULE(tf.constant(step, tf.int64)) for step in range(1, 11)]
    assert [step for step, (due, _) in enumerate(answers, start=1) if due] == [5, 9]
    np.testing.assert_allclose([sparsity for _, sparsity in answers], [0] * 4 + [0.25] * 4 + [0.625] * 2)


def test_due_cuts_come_in_order_and_once():
    assert SCHEDULE.due(after=0, until=3) == []
    assert SCHEDULE.due(after=3, until=4) == [PruningEvent(sparsity=0.25)]
    assert SCHEDULE.due(after=4, until=8) == [PruningEvent(rate=0.5)]
    assert SCHEDULE.due(after=0, until=99) == [PruningEvent(sparsity=0.25), PruningEvent(rate=0.5)]


def test_no_pruning_is_never_due():
    due, sparsity = no_pruning()(tf.constant(1, tf.int64))
    assert not due and sparsity == 0


@pytest.mark.parametrize("schedule", [SCHEDULE, no_pruning()])
def test_it_round_trips_through_its_config_alone_and_inside_keras_form(schedule):
    config = schedule.get_config()
    for copy in (
        PruneAtSteps.from_config(config),
        PruneAtSteps.from_config(config["config"]),
        keras.utils.deserialize_keras_object(config),
    ):
        assert copy.events == schedule.events


@pytest.mark.parametrize("step", [0, -1, 1.5])
def test_impossible_steps_are_refused(step):
    with pytest.raises(ConfigError, match="whole numbers of at least 1"):
        PruneAtSteps({step: PruningEvent(rate=0.1)})


def test_tfmots_own_wrapper_and_callback_follow_it_too(examples):
    x, y = examples
    inputs = keras.layers.Input((8, 8, 3))
    dense = keras.layers.Dense(3, name="dense")(keras.layers.Flatten()(inputs))
    model = tfmot.sparsity.keras.prune_low_magnitude(keras.Model(inputs, dense), pruning_schedule=SCHEDULE)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    zeros = []
    log = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: zeros.append(float(np.mean(model.layers[-1].layer.kernel.numpy() == 0)))
    )
    model.fit(
        x, y, batch_size=48, epochs=5, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep(), log]
    )  # 2 steps an epoch
    np.testing.assert_allclose(zeros, [0, 0, 0.25, 0.25, 0.625], atol=0.002)
