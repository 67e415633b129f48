import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_weights
from tfprune.adapters.tf_keras.wrapping import wrap
from tfprune.data._base import Split
from tfprune.experiments.building import build, load_data
from tfprune.training.callbacks import StopOnNaN
from tfprune.training.config import Config
from tfprune.training.fused import LAYERS, CompiledModelCache, Fused, can_fuse, epoch_chunks
from tfprune.training.stacking import stack_splits
from tfprune.training.trainer import Trainer
from tfprune.utils.errors import ConfigError, TrainingError

SCORES = ("loss", "accuracy", "val_loss", "val_accuracy")
SETTINGS = {
    "as the penguins have it": {},
    "another order in each epoch, and a smaller last batch": {"shuffle": True, "batch_size": 64},
    "one batch larger than the split": {"batch_size": 512},
    "a schedule with warm-up": {"learning_rate_schedule": "cosine", "warmup_epochs": 2.0, "optimizer": "sgd"},
    "weight decay and another scope": {"optimizer": "adamw", "scope": "global"},
}


def trained(config):
    data = load_data(config)
    trainer = Trainer(build(config, data), data, config)
    config.pruning.run(trainer)
    trainer.finish()
    return trainer


def weights_and_history(trainer):
    """What a training came to."""
    return get_weights(trainer.model), trainer.history


@pytest.mark.some(every=2)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("method", ["dynamic", "lottery"])
def test_the_fused_loop_comes_to_the_numbers_of_the_plain_one(tiny, method, settings, monkeypatch):
    monkeypatch.setattr("tfprune.training.history.LOGGED_EPOCHS", 10)  # chunks of four epochs, as those of long runs
    extra = {"settings": {"rewind_epoch": 7} if method == "lottery" else {"rate_factor": 1.5}}
    plain, fused = (trained(tiny(method, epochs=45, loop=loop, **settings, **extra)) for loop in ("plain", "fused"))
    assert isinstance(fused.model, Fused) and not isinstance(plain.model, Fused)
    (weights, history), (other_weights, other_history) = map(weights_and_history, (plain, fused))
    for own, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, own, atol=1e-5)
        np.testing.assert_array_equal(other == 0, own == 0)
    assert len(history) == len(other_history)
    for own, other in zip(history, other_history, strict=True):
        assert {k: v for k, v in own.items() if k not in SCORES} == {k: v for k, v in other.items() if k not in SCORES}
        assert [other[name] for name in SCORES] == pytest.approx([own[name] for name in SCORES], abs=1e-5)


def test_auto_fuses_what_is_small_and_draws_nothing(tiny, conv_net, examples):
    data = load_data(tiny())
    assert isinstance(Trainer(build(tiny(), data), data, tiny()).model, Fused)
    assert not can_fuse(wrap(conv_net), Split(*examples), 32)  # convolutions
    dense = keras.Sequential([keras.layers.Dense(3, input_shape=(4,))])
    split = Split(np.zeros((100, 4), np.float32), np.zeros(100, np.int64))
    assert can_fuse(dense, split, 2) and not can_fuse(dense, split, 1)  # 50 and 100 steps
    random = keras.Sequential([keras.layers.Dropout(0.1, input_shape=(4,)), keras.layers.Dense(3)])
    half = keras.Sequential([keras.layers.Dense(3, input_shape=(4,), dtype="mixed_bfloat16")])
    assert not can_fuse(random, split, 50) and not can_fuse(half, split, 50)


def test_what_cannot_be_fused_says_so(tiny):
    config = tiny(loop="fused", batch_size=1)
    data = load_data(config)
    with pytest.raises(
        ConfigError, match="loop=fused needs float32, data in memory, no augmentation, at most 64 steps per epoch"
    ):
        Trainer(build(config, data), data, config)
    assert all(hasattr(keras.layers, name) for name in LAYERS if name != "StackedDense")


def test_it_is_compiled_once_for_all_phases(tiny):
    trainer = trained(tiny("lottery", settings={"rounds": 3}))
    assert trainer.model.train_tf_function.experimental_get_tracing_count() == 1
    assert set(trainer.seconds) == {"compile", "ranking", "dense", "ticket 1", "ticket 2", "ticket 3"}


def test_orders_of_a_chunk_are_those_of_the_plain_pipeline():
    from tfprune.data._pipeline import training_batches

    split = Split(np.arange(10, dtype=np.float32)[:, None], np.arange(10))
    plain = training_batches(split, 4, shuffle=True, seed=5)
    expected = np.concatenate([y.numpy() for _, y in plain.take(9)]).reshape(3, 10)
    elements = list(epoch_chunks(split, split, first_epoch=0, ends=[2, 3], order_seeds=[5]))
    assert [int(element["epochs"]) for element in elements] == [2, 1]
    np.testing.assert_array_equal(elements[0]["order"], expected[:2])
    np.testing.assert_array_equal(elements[1]["order"][0], expected[2])

    both = stack_splits([split, split])
    stacked = next(iter(epoch_chunks(both, both, first_epoch=1, ends=[2], order_seeds=[6, 5], stacked=True)))["order"]
    assert stacked.shape == (1, 10, 2)
    np.testing.assert_array_equal(stacked[0, :, 1], expected[1])


def test_a_loss_that_explodes_stops_it_where_all_networks_do():
    stop = StopOnNaN(first_step=100)
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    model.compile("sgd")
    stop.set_model(model)
    stop.on_train_batch_end(0, {"loss": np.array([np.nan, 1.0])})
    with pytest.raises(TrainingError, match="the loss is nan after step 100; try a lower"):
        stop.on_train_batch_end(0, {"loss": np.array([np.nan, np.nan])})


def test_scores_are_those_of_keras(tiny):
    config = Config(dataset="penguins", loop="fused")
    data = load_data(config)
    trainer = Trainer(build(config, data), data, config)
    logits = trainer.model(data.test.x)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(data.test.y, logits)
    assert trainer.evaluate(data.test)["loss"] == pytest.approx(float(expected), abs=1e-6)
    hits = tf.argmax(logits, -1).numpy() == data.test.y
    assert trainer.evaluate(data.test)["accuracy"] == pytest.approx(np.mean(hits))


def test_a_workshop_keeps_what_was_used_last_and_gives_it_to_one():
    dense = keras.Sequential([keras.layers.Dense(3, input_shape=(4,))])
    model_cache, models = CompiledModelCache(most=2), [Fused(dense.inputs, dense.outputs, 32) for _ in range(3)]
    for kind, model in zip("abc", models, strict=True):
        model_cache.put(kind, model)
    model_cache.put("plain", dense)
    assert [model_cache.get(kind) for kind in ("a", "b", "plain")] == [None, models[1], None]
    assert model_cache.get("b") is None
