"""Trainings of Keras 3 models that become smaller on the way, on the backend of this process; prints what was shown."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "structured"))

import both_keras
import kinds_of_groups
import test_both_keras

import tfprune
from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3
from tfprune.structured.channels import channels

keras = keras3()
L = keras.layers
GIVEN = {"granularity": "filter", "channels": {"multiple": 1}, "epochs": 4, "verbose": 0}
HALVES = {"events": (0.25, 0.5), "final_sparsity": 0.5}  # of 4 epochs: after the first and the second


def data(count=64):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, count)
    return random.normal(y[:, None], 1, (count, 8)).astype(np.float32), y


def compiled():
    keras.utils.set_random_seed(0)
    layers = [L.Dense(16, "relu", name="a"), L.BatchNormalization(name="n"), L.Dense(12, "relu", name="b")]
    model = keras.Sequential([L.Input((8,)), *layers, L.Dropout(0.1), L.Dense(3, name="c")])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def images():
    keras.utils.set_random_seed(0)
    i = L.Input((8, 8, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, padding="same", name="stem")(i)))
    y = L.Conv2D(16, 1, name="back")(L.DepthwiseConv2D(3, padding="same", name="deep")(L.Conv2D(24, 1, name="wide")(x)))
    x = L.GlobalAveragePooling2D()(keras.ops.relu(L.Add()([x, y])))
    model = keras.Model(i, L.Dense(3, "softmax", name="head")(x))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def check_sources():
    x, y = data()

    def batches():
        while True:
            for start in range(0, 64, 16):
                yield x[start : start + 16], y[start : start + 16]

    sources = {
        "arrays": ((x, y), {"validation_split": 0.25}),
        "arrays in few steps": ((x, y), {"steps_per_epoch": 2, "batch_size": 8, "validation_data": data(16)}),
        "a generator": (batches(), {"steps_per_epoch": 4}),
    }
    for name, (source, given) in sources.items():
        seen = []

        class Watch(keras.callbacks.Callback):
            def on_train_begin(self, logs=None, seen=seen):
                seen.append("begin")

            def on_epoch_end(self, epoch, logs=None, seen=seen):
                seen.append(epoch)

            def on_train_end(self, logs=None, seen=seen):
                seen.append("end")

        model = compiled()
        before = [np.array(own) for own in model.get_weights()]
        result = tfprune.train(model, source, settings=HALVES, callbacks=[Watch()], **GIVEN, **given)
        assert [layer.units for layer in result.model.layers if isinstance(layer, L.Dense)] == [8, 6, 3], name
        assert all(map(np.array_equal, before, model.get_weights())), name  # a person's own model is not touched
        steps = given.get("steps_per_epoch", 2)
        assert int(result.model.optimizer.iterations) == 4 * steps, (name, int(result.model.optimizer.iterations))
        assert seen == ["begin", 0, 1, 2, 3, "end"], seen
        assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
        assert [row["sparsity"] for row in result.history][1:] == [result.sparsity] * 3
        slots = adapter_of(model).slots(result.model.optimizer, result.model.get_layer("b").kernel)
        assert len(slots) == 2 and all(own.shape == (8, 6) and np.any(own) for own in slots)


def check_answers():
    """The smaller model answers as the one with zeros did."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(32, 8, 8, 3)).astype(np.float32), random.integers(0, 3, 32)
    pairs = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.last = self.model.predict(x, verbose=0), self.model.count_params()

        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                pairs.append((self.last, (self.model.predict(x, verbose=0), self.model.count_params())))

    given = GIVEN | {"channels": {"multiple": 1, "criterion": "taylor", "recalibrate": 16}}
    result = tfprune.train(images(), (x, y), settings=HALVES, callbacks=[Watch()], **given)
    assert [before[1] > after[1] for before, after in pairs] == [True, True, False]
    for before, after in pairs:
        np.testing.assert_allclose(after[0], before[0], rtol=0, atol=1e-5)
    assert {name: len(group) for name, group in channels(result.model).free.items()} == {"stem": 8, "wide": 12}


def check_methods():
    for method in ("pruned", "lottery", "gradual", "reinitialised", "fine_tuned"):
        result = tfprune.train(compiled(), data(), method=method, sparsity=0.5, **GIVEN | {"epochs": 6})
        assert [layer.units for layer in result.model.layers if isinstance(layer, L.Dense)] == [8, 6, 3], method


def check_kinds():
    for build in kinds_of_groups.WIDTHS:
        kinds_of_groups.check(keras, build)


def check_branches():
    i = L.Input((8,))
    x = L.Dense(8, name="stem")(i)
    for name in ("one", "two", "three"):
        x = L.Add()([x, L.BatchNormalization()(L.Dense(8, name=name)(x))])
    model = keras.Model(i, L.Dense(3)(x))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    given = {"granularity": "branch", "channels": {"order": ("two",)}, "epochs": 2, "verbose": 0}
    result = tfprune.train(model, data(), sparsity=0.34, settings={"events": (0.5,)}, **given)
    assert result.removed == {"residual branches": ["two"]} and len(result.model.layers) == len(model.layers) - 2


def check_shrinking():
    for build in both_keras.MODELS:
        model, x = build(keras, keras.ops)
        test_both_keras.shaken(model)
        test_both_keras.check(model, x, test_both_keras.lowest(model), 1e-5)


if __name__ == "__main__":
    every = (check_shrinking, check_sources, check_answers, check_kinds, check_methods, check_branches)
    for check in every if len(sys.argv) < 2 else [own for own in every if own.__name__ in sys.argv[1:]]:
        check()
        print(check.__name__, "ok")
    print(keras.backend.backend(), "all ok")
