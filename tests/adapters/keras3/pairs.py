"""Random combinations of model, optimizer, `compile`, `fit` and callbacks of Keras 3, trained by Keras and by tfprune.

Two things must hold of each. Pruning to nothing is plain Keras: the same weights, state of the optimizer and logs, to
the bit where Keras repeats itself (on JAX, and under XLA, but for rounding: another program is compiled). Pruning to a
half leaves exactly that many zeros, after every batch and in files. `KERAS_BACKEND=jax python
tests/adapters/keras3/pairs.py COUNT [SEED]`; a line for each that is not so, and exit code 1.
"""

import collections
import functools
import itertools
import logging
import random
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np

import tfprune
from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3_module as keras
from tfprune.utils.errors import TfpruneError

L = keras.layers
BACKEND = keras.backend.backend()
EXAMPLES, EPOCHS = 24, 3
SOURCE = np.random.default_rng(0)
ROWS = SOURCE.normal(size=(EXAMPLES, 8)).astype(np.float32)
IMAGES = SOURCE.normal(size=(EXAMPLES, 8, 8, 3)).astype(np.float32)
SERIES = SOURCE.normal(size=(EXAMPLES, 5, 4)).astype(np.float32)
TOKENS = SOURCE.integers(0, 9, (EXAMPLES, 6))
LABELS = np.arange(EXAMPLES) % 3


def logits():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def of_layers(x, *layers):
    inputs = out = L.Input(x.shape[1:], dtype=str(x.dtype))
    for layer in (*layers, L.Dense(3, name="out")):
        out = layer(out)
    return keras.Model(inputs, out), x, LABELS, logits()


def mlp():
    return keras.Sequential([L.Input((8,)), L.Dense(16, "relu"), L.Dense(3)]), ROWS, LABELS, logits()


def regularized():
    penalties = {"kernel_regularizer": "l2", "kernel_constraint": keras.constraints.MaxNorm(1.0)}
    return of_layers(ROWS, L.Dense(16, "relu", **penalties), L.Dense(8, activity_regularizer="l1"))


def dropout():
    return of_layers(ROWS, L.Dense(16, "relu"), L.Dropout(0.3, seed=5), L.GaussianNoise(0.1, seed=3))


def convnet():
    layers = [L.Conv2D(8, 3, use_bias=False), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D()]
    return of_layers(IMAGES, *layers, L.GlobalAveragePooling2D())


def separable():
    return of_layers(IMAGES, L.SeparableConv2D(8, 3), L.DepthwiseConv2D(3), L.GroupNormalization(4), L.Flatten())


def recurrent():
    return of_layers(SERIES, L.Bidirectional(L.LSTM(4, return_sequences=True)), L.GRU(6))


def lookup():
    return of_layers(TOKENS, L.Embedding(9, 6), L.Conv1D(8, 3, activation="gelu"), L.GlobalMaxPooling1D())


def attention():
    inputs = L.Input((5, 4))
    x = L.LayerNormalization()(L.Add()([inputs, L.MultiHeadAttention(2, 4)(inputs, inputs)]))
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x))), SERIES, LABELS, logits()


def shared():
    body = keras.Sequential([L.Input((8,)), L.Dense(8, "relu"), L.Dense(8)], name="body")
    inputs = L.Input((8,))
    return keras.Model(inputs, L.Dense(3)(body(body(inputs)))), ROWS, LABELS, logits()


def several():
    inputs = L.Input((8,), name="row")
    x = L.Dense(16, "relu", name="first")(inputs)
    model = keras.Model({"row": inputs}, {"cls": L.Dense(3, name="cls")(x), "size": L.Dense(1, name="size")(x)})
    return model, {"row": ROWS}, {"cls": LABELS, "size": ROWS[:, :1]}, {"cls": logits(), "size": "mse"}


def frozen():
    return of_layers(ROWS, L.Dense(16, "relu", trainable=False), L.Dense(8, "relu"))


def mixed():
    return of_layers(ROWS, L.Dense(16, "relu", dtype="mixed_bfloat16"), L.Dense(8, dtype="mixed_float16"))


MODELS = {
    made.__name__: made
    for made in (
        *(mlp, regularized, dropout, convnet, separable, recurrent, lookup, attention, shared, several, frozen, mixed),
    )
}
OPTIMIZERS = {
    **{
        name: functools.partial(getattr(keras.optimizers, name), 0.02)
        for name in ("SGD", "Adam", "RMSprop", "Nadam", "Adagrad", "Adamax", "Ftrl", "Lion", "Adafactor", "Muon")
        if hasattr(keras.optimizers, name)
    },
    "momentum": lambda: keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True, global_clipnorm=0.5),
    "decayed": lambda: keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.05, 9), clipnorm=0.5),
    "amsgrad": lambda: keras.optimizers.Adam(0.02, amsgrad=True, weight_decay=1e-3),
    "accumulated": lambda: keras.optimizers.Adam(0.02, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.02, momentum=0.9), initial_scale=16.0),
}
COMPILE = {
    "plain": {},
    "metrics": {"metrics": ["accuracy"]},
    "weighted": {"weighted_metrics": ["accuracy"]},
    "eager": {"run_eagerly": True},
    **({"XLA": {"jit_compile": True}, "several steps": {"steps_per_execution": 3}} if BACKEND != "torch" else {}),
}
FIT = {
    "plain": {},
    "in order": {"shuffle": False},
    "split": {"validation_split": 0.25},
    "validated": {"validation": True},
    "weights": {"weights": True},
    "class weights": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
    "large batches": {"batch_size": 24},
}
CALLBACKS = {
    "early": lambda _: keras.callbacks.EarlyStopping("loss", patience=9),
    "plateau": lambda _: keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1.0),
    "rates": lambda _: keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 / (1 + epoch)),
    "keras": lambda d: keras.callbacks.ModelCheckpoint(str(d / "c.keras")),
    "weights": lambda d: keras.callbacks.ModelCheckpoint(str(d / "c.weights.h5"), save_weights_only=True),
    "backup": lambda d: keras.callbacks.BackupAndRestore(str(d / "backup")),
    "log": lambda d: keras.callbacks.CSVLogger(str(d / "log.csv")),
    "nan": lambda _: keras.callbacks.TerminateOnNaN(),
}
METHODS = ("dynamic", "gradual", "magnitude_at_init", "snip", "pruned")
RATES = {"plateau", "rates"}


def drawn(seed):
    """Yields random combinations; each name of each axis comes about equally often."""
    source = random.Random(seed)

    def deck(names):
        while True:
            yield from source.sample(list(names), len(list(names)))

    axes = [deck(own) for own in (MODELS, OPTIMIZERS, COMPILE, FIT, METHODS, ("train", "callbacks"))]
    listening = deck(CALLBACKS)
    while True:
        model, optimizer, compiling, fit, method, host = map(next, axes)
        callbacks = {next(listening) for _ in range(source.randint(0, 3))}
        if optimizer == "decayed":
            callbacks -= RATES
        if model == "several" and (
            fit == "class weights" or COMPILE[compiling].keys() & {"metrics", "weighted_metrics"}
        ):
            fit, compiling = "plain", "plain"  # Keras asks for those by output
        if compiling == "XLA" and model in ("recurrent",):
            compiling = "plain"  # takes minutes to compile
        yield model, optimizer, compiling, fit, method, host, tuple(sorted(callbacks))


class Watch(keras.callbacks.Callback):
    """Notes the logs of epochs, and whether what is pruned is zero after every batch."""

    def __init__(self):
        super().__init__()
        self.logs, self.wrong = [], []

    def on_train_batch_end(self, batch, logs=None):
        masks = vars(self.model).get("_tfprune_masks")
        for name, variable in masks.kernels().items() if masks is not None else ():
            if np.asarray(keras.ops.convert_to_numpy(variable.value))[masks.values()[name] == 0].any():
                self.wrong.append(f"{name} after batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append({name: float(value) for name, value in logs.items() if name != "sparsity"})


def trained(own, folder, sparsity):
    """Trains a combination, by Keras alone if `sparsity` is None; returns the model and what was seen."""
    name, optimizer, compiling, fit, method, host, listening = own
    keras.utils.set_random_seed(0)
    model, x, y, loss = MODELS[name]()
    model.compile(OPTIMIZERS[optimizer](), loss, **COMPILE[compiling])
    keras.utils.set_random_seed(1)
    arguments = {"batch_size": 8, "verbose": 0, **FIT[fit]}
    if arguments.pop("validation", False):
        arguments["validation_data"] = (x, y)
    if arguments.pop("weights", False):
        weights = np.linspace(0.5, 1.5, EXAMPLES).astype(np.float32)
        arguments["sample_weight"] = dict.fromkeys(y, weights) if isinstance(y, dict) else weights
    watch = Watch()
    callbacks = [*(CALLBACKS[one](folder) for one in listening), watch]
    asked = {"method": "unpruned" if sparsity == 0.0 else method, "epochs": EPOCHS}
    asked |= {"sparsity": sparsity} if sparsity else {}
    if sparsity is None or host == "callbacks":
        pruning = [] if sparsity is None else tfprune.callbacks(model, data=(x, y), **asked)
        model.fit(x, y, epochs=EPOCHS, callbacks=[*pruning, *callbacks], **arguments)
    else:
        model = tfprune.train(model, (x, y), callbacks=callbacks, **asked, **arguments).model
    return model, watch


def state(model):
    """Returns the weights of a model and what its optimizer remembers, without masks."""
    values = [keras.ops.convert_to_numpy(own.value) for own in [*model.weights, *model.optimizer.variables]]
    return [np.asarray(own, np.float64) for own in values if own.dtype != bool]


def different(plain, nothing, exact):
    """Returns in what two trainings differ; nothing if in nothing."""
    one, other = (own[1].logs for own in (plain, nothing))
    if [list(row) for row in one] != [list(row) for row in other]:
        return f"names in the logs: {one[0]} and {other[0]}"
    logs = [np.array([v for row in rows for v in row.values()]) for rows in (one, other)]
    equal = np.array_equal if exact else functools.partial(np.allclose, rtol=1e-2, atol=1e-3)
    pairs = [logs, *zip(state(plain[0]), state(nothing[0]), strict=True)]
    wrong = [np.abs(a - b).max() for a, b in pairs if not equal(np.nan_to_num(a), np.nan_to_num(b))]
    return f"{len(wrong)} of {len(pairs)} arrays, by {max(wrong)}" if wrong else ""


def half(own, folder):
    """Prunes a combination to a half; returns what is wrong."""
    model, watch = trained(own, folder, 0.5)
    if watch.wrong:
        return f"not zero: {watch.wrong[0]}"
    kernels = adapter_of(model).attach(model).kernels()  # nothing is masked by new masks
    counts = {name: int(np.count_nonzero(np.asarray(kernel) == 0)) for name, kernel in kernels.items()}
    total, zeros = sum(np.size(kernel) for kernel in kernels.values()), sum(counts.values())
    if abs(zeros - total / 2) > len(counts):
        return f"{zeros} of {total} weights are zero"
    if own[4] != "pruned" and (folder / "c.keras").exists():  # that cuts after the last file
        loaded = keras.models.load_model(folder / "c.keras", compile=False)
        written = adapter_of(loaded).attach(loaded).kernels()
        found = sum(int(np.count_nonzero(np.asarray(kernel) == 0)) for kernel in written.values())
        if found != zeros:
            return f"{found} zeros in the file, and {zeros} in the model"
    return ""


def tried(own):
    """Returns `equal`, `unsteady` (Keras does not come to the same twice), `keras` (it cannot do it), `refused` or
    `wrong`, and what is to be said."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / one for one in ("plain", "again", "nothing", "half")]
        for folder in folders:
            folder.mkdir()
        try:
            plain = trained(own, folders[0], None)
        except Exception as error:
            return "keras", f"{type(error).__name__} {str(error)[:200]}"
        try:
            exact = BACKEND != "jax" and own[2] != "XLA"
            outcome, difference = "equal", different(plain, trained(own, folders[2], 0.0), exact)
            if difference and different(plain, trained(own, folders[1], None), exact):
                outcome, difference = "unsteady", ""
            if difference and exact and not different(plain, trained(own, folders[2], 0.0), exact=False):
                outcome, difference = "rounded", ""
            difference = difference or half(own, folders[3])
        except TfpruneError as error:
            return "refused", str(error)
        except Exception:
            return "wrong", traceback.format_exc()[-1500:]
        return ("wrong", difference) if difference else (outcome, "")


def main(count=10, seed=0):
    counts = collections.Counter()
    for number, own in enumerate(itertools.islice(drawn(int(seed)), int(count))):
        outcome, said = tried(own)
        counts[outcome] += 1
        if outcome != "equal":
            print(number, outcome, own, said, sep=" | ", flush=True)
        keras.backend.clear_session()
    print(f"{BACKEND}: {dict(counts)}, {counts['wrong'] + counts['refused']} failed")
    return counts["wrong"] + counts["refused"]


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sys.exit(bool(main(*sys.argv[1:])))
