"""All that works on Keras 3 in Python, where only what docs/which-keras.md lists is installed.

`KERAS_BACKEND=jax python tests/adapters/keras3/without_tensorflow.py FOLDER`: in an environment that has more, the rest
of tfprune's requirements cannot be imported meanwhile.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
IMPORTED = {"tf-keras": "tf_keras", "tensorflow-model-optimization": "tensorflow_model_optimization"} | {
    "tensorflow-datasets": "tensorflow_datasets",
    "pillow": "PIL",
}  # names of packages -> of modules

COME_ALONG = {"numpy", "h5py", "scipy"}  # with Keras and JAX


def required():
    """Returns the packages that tfprune requires, by the names of their modules."""
    text = (ROOT / "setup.py").read_text(encoding="utf-8").partition("install_requires=[")[2].partition("]")[0]
    names = re.findall(r'^ *"([\w-]+)', text, re.M)
    return {IMPORTED.get(name, name) for name in names}


def listed():
    """Returns the packages that the page says are enough."""
    page = (ROOT / "docs" / "which-keras.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^pip install (\S+ .*jax.*?) *#.*$", page.partition("## Without TensorFlow")[2], re.M)
    return {re.match(r'"?([\w-]+)', name)[1] for name in command.split()}


class Missing:
    """Finds that some packages are not installed. (SciPy takes what `sys.modules` says None of for imported.)"""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(folder):
    others = {"tensorflow", "jax", "torch"} - {os.environ["KERAS_BACKEND"]}  # which Keras imports if it can
    sys.meta_path.insert(0, Missing((required() - listed() - COME_ALONG) | others))
    import keras
    import numpy as np

    import tfprune

    x, y = np.random.default_rng(0).normal(size=(96, 8)).astype(np.float32), np.arange(96) % 3

    def net():
        layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(3)]
        model = keras.Sequential([keras.layers.Input((8,)), *layers])
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    assert tfprune.prune(net(), 0.5).count_params() == 195
    for method in ("dynamic", "snip"):
        trained = tfprune.train(net(), (x, y), method=method, sparsity=0.5, epochs=3, verbose=0)
        assert trained.sparsity == 0.5, method
    assert "50.0 %" in str(trained.summary) and trained.summary.sparsity == 0.5, str(trained.summary)
    given = {"method": "pruned", "granularity": "n:m", "pattern": "2:4"}
    assert tfprune.train(net(), (x, y), epochs=2, verbose=0, **given).sparsity == 0.5
    model = net()
    model.fit(x, y, epochs=3, verbose=0, callbacks=tfprune.callbacks(model, sparsity=0.5, epochs=3))
    model.save(f"{folder}/sparse.keras")
    print(tfprune.summary(keras.saving.load_model(f"{folder}/sparse.keras")))
    assert not [name for name in (*others, "tf_keras") if sys.modules.get(name)]
    print("nothing else was needed")


if __name__ == "__main__":
    main(*sys.argv[1:])
