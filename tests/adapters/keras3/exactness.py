"""Whether what is pruned is exactly zero, and forgotten, after every batch, over all that Keras 3 can be trained with.

`KERAS_BACKEND=jax python tests/adapters/keras3/exactness.py` goes through all of it, `... 0/4` through every fourth
case from the first on, `... sample` through what the tests look at: each optimizer, each other setting at least twice.
A line for each case that fails; exit code 1 if one does.
"""

import importlib.util
import itertools
import sys
import traceback
import warnings
from unittest import mock

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.keras3 import backends

STEPS = 12
CHANGES = (3, 6, 9)  # batches after which masks change, in the same `fit`
OPTIMIZERS = {
    "sgd": lambda **own: keras.optimizers.SGD(0.05, **own),
    "momentum": lambda **own: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.1, **own),
    "adam": lambda **own: keras.optimizers.Adam(0.05, **own),
    "amsgrad": lambda **own: keras.optimizers.Adam(0.05, amsgrad=True, clipnorm=0.1, **own),
    "adamw": lambda **own: keras.optimizers.AdamW(0.05, weight_decay=0.1, global_clipnorm=0.1, **own),
    "rmsprop": lambda **own: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True, **own),
    "nadam": lambda **own: keras.optimizers.Nadam(0.05, **own),
    "lion": lambda **own: keras.optimizers.Lion(0.01, **own),
    "adagrad": lambda **own: keras.optimizers.Adagrad(0.05, clipvalue=0.1, **own),
    "adadelta": lambda **own: keras.optimizers.Adadelta(1.0, **own),
    "adamax": lambda **own: keras.optimizers.Adamax(0.05, **own),
    "ftrl": lambda **own: keras.optimizers.Ftrl(0.05, l1_regularization_strength=0.01, **own),
    "adafactor": lambda **own: keras.optimizers.Adafactor(0.05, **own),
    "lamb": lambda **own: keras.optimizers.Lamb(0.05, **own),
    "muon": lambda **own: keras.optimizers.Muon(0.05, **own),
    "schedule_free": lambda **own: keras.optimizers.ScheduleFreeAdamW(0.05, **own),
    "scaled": lambda **own: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.05, **own), initial_scale=64.0),
    "ema": lambda **own: keras.optimizers.Adam(0.05, use_ema=True, **own),
    "ema_often": lambda **own: keras.optimizers.Adam(0.05, use_ema=True, ema_overwrite_frequency=2, **own),
    "scheduled": lambda **own: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 12), **own),
    "several": lambda **own: _several(**own),
}
STARTS = {"adagrad": (0.1,), "ftrl": (0.1, 0.0)}  # where slots start, if not at zero; those of accumulation come first
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "bfloat16", "float64")


def _several(**own):
    adam, sgd = keras.optimizers.Adam(0.05, **own), keras.optimizers.SGD(0.05, momentum=0.9, **own)
    return keras.optimizers.MultiOptimizer(lambda variable: sgd if "conv" in variable.path else adam)


def cases(which):
    """Yields what is tried: optimizer, policy of dtypes, whether XLA compiles, accumulated steps, steps in one call."""
    backend = keras.backend.backend()
    policies = [own for own in POLICIES if not (backend == "jax" and own == "float64")]
    together = (1,) if backend == "torch" else (1, 3)
    jits = (False,) if backend == "torch" else (False, True)
    every = list(itertools.product(OPTIMIZERS, policies, jits, (None, 2), together))
    compiled = list(_compiled_on_torch()) if backend == "torch" else []
    if which != "sample":
        first, step = map(int, which.split("/"))
        yield from [*every, *compiled][first::step]
        return
    yield from compiled
    for number, optimizer in enumerate(OPTIMIZERS):
        yield (
            *(optimizer, policies[number % 3], jits[number % len(jits)]),
            *((None, 2)[number // 2 % 2], together[number // 3 % len(together)]),
        )


def _compiled_on_torch():
    """Yields one case: `torch.compile` takes a minute for it."""
    if importlib.util.find_spec("networkx") is None:
        print("jit_compile: networkx, which torch.compile needs, is not installed")
    else:
        yield "momentum", "float32", True, None, 1


def network(policy):
    """Returns a small model with a lookup, a convolution, BatchNorm, and what counts how often it is traced."""

    class Traced(keras.layers.Layer):
        count = 0

        def call(self, inputs):
            Traced.count += 1
            return inputs

    keras.utils.set_random_seed(0)
    layers = keras.layers
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential(
        [
            *(layers.Input((6,), dtype="int32"), layers.Embedding(10, 8, name="lookup")),
            *(layers.Conv1D(8, 3, padding="same", activation="relu", name="conv"), layers.BatchNormalization()),
            *(Traced(), layers.Flatten(), layers.Dense(4, kernel_constraint="max_norm", name="dense")),
        ]
    )
    keras.config.set_dtype_policy(before)
    return model, Traced


class EveryBatch(keras.callbacks.Callback):
    """Looks at all weights and slots after every call of the compiled step, and changes the masks now and then."""

    def __init__(self, masked, starts):
        super().__init__()
        self.masked, self.starts = masked, starts
        self.random = np.random.default_rng(0)
        self.seen, self.slots, self.wrong = 0, 0, []
        self.due = list(CHANGES)

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        adapter, model = adapter_of(self.model), self.model
        masks = self.masked.masks()
        for name, variable in vars(model)["_tfprune_masks"].kernels().items():
            gone = masks[name] == 0
            if np.asarray(keras.ops.convert_to_numpy(variable.value))[gone].any():
                self.wrong.append(f"batch {batch}: {name}")
            slots = adapter.slots(model.optimizer, variable)
            self.slots += len(slots)
            starts = [0.0] * (len(slots) - len(self.starts)) + list(self.starts)
            for number, (slot, start) in enumerate(zip(slots, starts, strict=True)):
                if not np.allclose(slot[gone], start, rtol=1e-2, atol=0):
                    self.wrong.append(f"batch {batch}: slot {number} of {name}")
        if self.due and batch + 1 >= self.due[0]:
            self.due.pop(0)
            self.masked.set_masks({k: self.random.random(m.shape) < 0.5 for k, m in masks.items()})


def problems(optimizer, policy, jit, accumulated, together):
    """Trains, and returns what is wrong; where gradients are masked after a step, it is as if they were before it."""
    found, weights = trained(optimizer, policy, jit, accumulated, together)
    if backends.slowed_by_zeros() and not jit:
        with mock.patch.object(backends, "slowed_by_zeros", lambda: False):
            others, same = trained(optimizer, policy, jit, accumulated, together)
        equal = [np.array_equal(a, b, equal_nan=True) for a, b in zip(weights, same, strict=True)]
        found += others if all(equal) else [*others, "not as with masked gradients"]
    return found


def trained(optimizer, policy, jit, accumulated, together):
    """Trains twice, and returns what is wrong, and the weights."""
    model, traced = network(policy)
    adapter = adapter_of(model)
    masked = adapter.attach(model)
    own = {} if accumulated is None else {"gradient_accumulation_steps": accumulated}
    model.compile(
        OPTIMIZERS[optimizer](**own),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
        steps_per_execution=together,
    )
    adapter.hold(model)
    random = np.random.default_rng(0)
    x, y = random.integers(0, 10, (STEPS * 8, 6)), random.integers(0, 4, STEPS * 8)
    watching = EveryBatch(masked, STARTS.get(optimizer, ()))
    before = masked.weights()
    model.fit(x, y, 8, 1, verbose=0, callbacks=[watching])
    traces = traced.count
    watching.due = list(CHANGES)
    model.fit(x, y, 8, 1, verbose=0, callbacks=[watching])  # plain Keras on JAX fails here with averages of weights
    found = watching.wrong
    once = keras.backend.backend() == "tensorflow" or (keras.backend.backend() == "jax" and jit)  # else never compiled
    if once and traced.count != traces:
        found.append(f"traced again {traced.count - traces} times")
    if watching.seen != 2 * STEPS // together:
        found.append(f"{watching.seen} calls")
    after = masked.weights()
    if any(np.array_equal(a, b) for a, b in zip(before[:2], after[:2], strict=True)):
        found.append("nothing was trained")
    if policy != "bfloat16" and not all(np.isfinite(own).all() for own in after):  # there plain Keras' are not either
        found.append("not finite")
    return found, after


def main(which):
    failed = count = 0
    for count, case in enumerate(cases(which), 1):
        if not hasattr(keras.optimizers, "Lamb") and case[0] == "lamb":
            continue
        try:
            found = problems(*case)
        except Exception:
            found = [traceback.format_exc().strip().splitlines()[-1]]
            if "-v" in sys.argv:
                traceback.print_exc()
        if found:
            failed += 1
            print(*case, "|", *found[:3], flush=True)
        if count % 20 == 0:
            keras.backend.clear_session()
    print(f"{keras.backend.backend()}: {count} cases, {failed} failed")
    return failed


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(bool(main(sys.argv[1] if len(sys.argv) > 1 else "0/1")))
