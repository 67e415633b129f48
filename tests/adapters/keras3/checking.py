"""What the scripts of checks share: a small model, what is counted of it, and how checks are gone through."""

import io
import logging
import tempfile
import traceback
from pathlib import Path

import numpy as np
from architectures import BACKEND
from architectures import logits as loss

from tfprune.adapters.backend import keras3_module as keras

layers = keras.layers
X = np.random.default_rng(0).normal(size=(48, 8)).astype(np.float32)
Y = np.arange(48) % 3


def net(optimizer="adam", units=16, **compiling):
    """Returns a compiled model of two kernels, (8, 16) and (16, 3)."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([layers.Input((8,)), layers.Dense(units, "relu", name="a"), layers.Dense(3, name="b")])
    model.compile(optimizer, loss(), metrics=["accuracy"], **compiling)
    return model


def kernels(model):
    return [weight for weight in model.get_weights() if weight.ndim > 1]


def zeros(model):
    return sum(int((np.asarray(own, np.float32) == 0).sum()) for own in kernels(model))


def said(function):
    """Returns what a function returns, and what was said to people meanwhile."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger("tfprune").addHandler(handler)
    try:
        return function(), text.getvalue()
    finally:
        logging.getLogger("tfprune").removeHandler(handler)


class Watch(keras.callbacks.Callback):
    """Counts the zeros of the kernels after every batch, by the model that is trained."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(zeros(self.model))


def main(checks, names):
    """Does all of some functions, or those that are named; returns how many fail."""
    failed = 0
    for name, check in checks.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(Path(folder))
            except Exception as error:
                failed += 1
                last = traceback.extract_tb(error.__traceback__)[-1]
                print(name, "|", type(error).__name__, str(error)[:1500], f"({last.name}:{last.lineno})", flush=True)
                if names:
                    traceback.print_exc()
    print(f"{BACKEND}: {len(names or checks)} checks, {failed} failed")
    return failed
