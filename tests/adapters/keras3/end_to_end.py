"""Trains, saves and prunes a Keras 3 model: `KERAS_BACKEND=jax python tests/adapters/keras3/end_to_end.py FOLDER`."""

import subprocess
import sys

import numpy as np

import tfprune
from tfprune.adapters.backend import keras3_module as keras

ELSEWHERE = """
import sys, keras
weights = keras.models.load_model(sys.argv[1]).get_weights()
print(sum(int((own == 0).sum()) for own in weights if own.ndim > 1), "tfprune" in sys.modules)
"""


def net():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = layers.Input((8, 8, 3))
    z = layers.BatchNormalization()(layers.Conv2D(8, 3, use_bias=False, name="conv")(inputs))
    z = layers.SeparableConv2D(6, 3, activation="relu", name="separable")(z)
    model = keras.Model(inputs, layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(z)))
    model.compile(keras.optimizers.Adagrad(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def kernels(model):
    return [weight for weight in model.get_weights() if weight.ndim > 1]


def main():
    folder = sys.argv[1]
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 96)
    x = random.normal(y[:, None, None, None] - 1.0, 1.0, (96, 8, 8, 3)).astype(np.float32)
    for method in ("dynamic", "lottery", "rigl", "grasp", "synflow"):
        model = net()
        before = model.get_weights()
        trained = tfprune.train(model, (x, y), method=method, sparsity=0.5, epochs=3, verbose=0, validation_data=(x, y))
        for kernel, mask in zip(kernels(trained.model), trained.masks.values(), strict=True):
            assert not kernel[mask == 0].any()
        assert abs(trained.sparsity - 0.5) < 0.01 and abs(trained.summary.sparsity - 0.5) < 0.01
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))

    pruning = tfprune.callbacks(model, method="dynamic", sparsity=0.5, epochs=3)
    saving = keras.callbacks.ModelCheckpoint(f"{folder}/model.keras")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[*pruning, saving])
    loaded = keras.models.load_model(f"{folder}/model.keras")
    masks = 4 if keras.backend.backend() == "jax" else 0  # among the optimizer's variables, and never in files
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables) - masks
    for variable, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=False):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(own.value) for own in (variable, other)))
    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, f"{folder}/model.keras"], capture_output=True, text=True
    ).stdout
    assert found.split() == [str(sum(int((kernel == 0).sum()) for kernel in kernels(model))), "False"], found

    pruned = tfprune.prune(model, 0.75)
    assert type(pruned) is type(model) and all(abs(np.mean(own == 0) - 0.75) < 0.03 for own in kernels(pruned))
    assert pruned.optimizer is not None and all(abs(np.mean(own == 0) - 0.5) < 0.03 for own in kernels(model))
    assert "tf_keras" not in sys.modules
    print("tf_keras is not imported")


if __name__ == "__main__":
    main()
