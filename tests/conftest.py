"""What all tests share."""

import collections
import functools
import gc
import logging
import os
import signal
import sys
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
from prepared import STORED, write_copy

from tfprune.adapters.backend import keras, keras3, tf
from tfprune.adapters.loading.trust import FUNCTIONS
from tfprune.training.config import Config

os.environ.pop("COLUMNS", None)  # Python's readline sets it, for the processes of tests too
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # small models compile for longer than they train
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Whose tests or fixtures take half a minute and more.
LONG = (
    "test_fuzz.py",
    "test_strategies.py",
    "test_golden.py",
    "test_trials.py",
    "test_backends.py",
    "test_adapters.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leaves all but some of the cases of a test to the slow ones where it says so: `@pytest.mark.some(every=3)`.

    What takes longest comes first, so that no process is left with it when the others are done.
    """
    places = collections.Counter()
    for item in items:
        if some := item.get_closest_marker("some"):
            own = item.nodeid.partition("[")[0]
            if places[own] % some.kwargs["every"]:
                item.add_marker(pytest.mark.slow)
            places[own] += 1
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish():
    """Has Python look for garbage among what tests make, and not among TensorFlow's modules over and over."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


drawn = matplotlib.figure.Figure.savefig


@functools.wraps(drawn)
def sketched(figure, path, **arguments):
    """Leaves an empty file: to print a run's two figures takes as long as to train it, and they were made up by now."""
    return Path(path).touch() if isinstance(path, Path) else drawn(figure, path, **arguments)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    looked_at = item.path.parent.name == "reporting" or item.get_closest_marker("figures")
    matplotlib.figure.Figure.savefig = drawn if looked_at else sketched


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """What JAX compiles in one process is there for the next."""
    common = tmp_path_factory.getbasetemp()
    folder = (common.parent if "PYTEST_XDIST_WORKER" in os.environ else common) / "compiled-by-jax"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state and leaves no Keras state behind."""
    own = keras3() if os.environ.get("KERAS_BACKEND") in ("jax", "torch") else keras  # those are without TensorFlow
    own.utils.set_random_seed(0)
    logging.getLogger("tfprune").propagate = True  # a command of an earlier test may have kept it to itself
    yield
    own.backend.reset_uids() if own is keras else own.backend.clear_session()  # kernels serve others


@pytest.fixture(autouse=True)
def typed(monkeypatch):
    """The functions of these tests count as typed by a person; those that ask for trust say so themselves."""
    monkeypatch.setenv(
        FUNCTIONS, "residual:tower,recurrent:net,normalized:net,record:small_resnet,test_layer_traits:own_model"
    )


@pytest.fixture
def soon():
    """Fails a test that hangs."""

    def too_long(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def eagerly():
    """Runs what is compiled as it is written: to compile takes longest where a model changes in a short training."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def examples():
    """A small classification task: 96 images of 8x8x3 in 3 classes that differ in brightness."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 96)
    x = random.normal(y[:, None, None, None] - 1.0, 1.0, (96, 8, 8, 3)).astype(np.float32)
    return x, y


@pytest.fixture
def conv_net():
    """A net with everything that methods must get right: BatchNorm, a residual add, depthwise and separable kernels."""
    layers = keras.layers
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = shortcut = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Add(name="add")([x, shortcut])
    x = layers.SeparableConv2D(6, 3, name="separable")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


@pytest.fixture
def tiny(tmp_path):
    """Makes the config of a penguin run of a few epochs."""

    def make(method="dynamic", **changes):
        return Config(**{"dataset": "penguins", "method": method, "epochs": 6, "out": str(tmp_path / "runs")} | changes)

    return make


@pytest.fixture(scope="session")
def copies(tmp_path_factory):
    """A folder with small copies of all image data sets, written as TFDS would."""
    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    for name in STORED:
        write_copy(folder, name)
    return folder


@pytest.fixture
def call(capsys, monkeypatch):
    """Runs a command line in this process; returns exit code, output and errors."""
    from tfprune import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tfprune", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return run
