import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf, tf_config
from tfprune.adapters.tf_keras.mask_values import kernels
from tfprune.experiments.building import build, load_data
from tfprune.experiments.experiment import train
from tfprune.experiments.together import train_together
from tfprune.training import precision


def test_layers_made_inside_compute_in_it_and_others_do_not():
    with precision.precision_scope("mixed_bfloat16"):
        inside = keras.layers.Dense(1)
    assert inside.compute_dtype == "bfloat16" and keras.layers.Dense(1).compute_dtype == "float32"


def test_the_fastest_is_found_by_its_median_and_measured_in_turn(monkeypatch):
    calls = []
    clock = iter(range(1000))
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(clock))

    def slow():
        calls.append("slow")
        next(clock)

    name, seconds = precision.fastest({"slow": slow, "fast": lambda: calls.append("fast")})
    assert name == "fast" and seconds == {"slow": 2, "fast": 1}
    assert calls == ["slow", "fast"] * (precision.WARM_UP_STEPS + precision.MEASURED_STEPS)


def test_a_float32_copy_has_the_same_weights(tiny):
    config = tiny()
    data = load_data(config)
    mixed = build(config, data, "mixed_bfloat16")
    plain = build(config, data)
    assert precision.in_float32(plain) is plain
    for name, kernel in kernels(mixed).items():
        np.testing.assert_array_equal(kernel, kernels(plain)[name])


def test_a_float32_copy_knows_all_that_the_model_does_and_computes_in_float32_throughout():
    layers, words, scale = keras.layers, ["a b", "b c d"], 10 + 3 * np.random.default_rng(0).normal(size=(40, 6))
    with precision.precision_scope("mixed_bfloat16"):
        tokens, normal = layers.TextVectorization(output_sequence_length=6), layers.Normalization()
        tokens.adapt(words), normal.adapt(scale)
        text, size = layers.Input((), dtype="string"), layers.Input((6,))
        x = layers.Embedding(6, 4)(tokens(text)) + normal(size)[..., None]
        x = layers.TimeDistributed(layers.Dense(4))(layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x))
        model = keras.Model([text, size], layers.RNN([layers.GRUCell(3)])(x))
    copy = precision.in_float32(model)
    computed = {own.compute_dtype for own in copy._flatten_layers() if not isinstance(own, keras.Model)}
    assert computed == {"float32", "string", "int64"}
    given = [tf.constant(words), tf.constant(scale[:2], "float32")]
    np.testing.assert_allclose(copy(given), tf.cast(model(given), "float32"), atol=0.02)


@pytest.mark.parametrize("chosen", ["mixed_bfloat16", "mixed_float16", "auto"])
def test_every_precision_trains_prunes_and_exports_in_float32(tiny, chosen):
    result = train(tiny(precision=chosen))
    stored = result.metrics["precision"]
    assert stored["policy"] in (precision.candidates() if chosen == "auto" else (chosen,))
    assert set(stored["step_seconds"]) == (set(precision.candidates()) if chosen == "auto" else set())
    assert result.metrics["sparsity"]["layers"]["dense_1/kernel"] == {"zeros": 44, "size": 144}
    exact = train(tiny()).metrics["test"]["loss"]
    assert result.metrics["test"]["loss"] == pytest.approx(exact, rel=0.02)


def test_xla_trains_and_prunes(tiny):
    result = train(tiny(xla=True))
    assert result.metrics["test"]["loss"] == pytest.approx(train(tiny()).metrics["test"]["loss"], rel=1e-4)
    assert result.metrics["sparsity"]["layers"]["dense_1/kernel"] == {"zeros": 44, "size": 144}


@pytest.mark.slow
def test_operations_are_deterministic_in_a_run_that_asks_for_it_and_not_after(tiny, monkeypatch):
    seen, fit = [], keras.Model.fit

    def watched(*arguments, **named):
        seen.append(tf_config.is_op_determinism_enabled())
        return fit(*arguments, **named)

    monkeypatch.setattr(keras.Model, "fit", watched)
    own, other = (train(tiny(epochs=3, deterministic=wanted)) for wanted in (True, False))
    assert seen == [True, False] and not tf_config.is_op_determinism_enabled()
    assert own.history() == other.history()  # on a CPU
    train_together([tiny("unpruned", deterministic=True, seed=seed) for seed in (0, 1)])
    assert seen == [True, False, True]
