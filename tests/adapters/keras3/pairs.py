"""Random combinations of model, optimizer, `compile`, `fit` and callbacks of Keras 3, trained by Keras and by tfprune.

Two things must hold of each. Pruning to nothing is plain Keras: the same weights, state of the optimizer and logs, to
the bit or, where masks make another program of the step, but for rounding. Pruning to a half leaves exactly that many
zeros, after every batch and in files. `KERAS_BACKEND=jax python tests/adapters/keras3/pairs.py COUNT [SEED [FILE]]`
prints a line for each that is not so, with exit code 1, and appends all to a file, from which `pages` writes a table.
"""

import collections
import functools
import importlib.util
import itertools
import json
import logging
import random
import sys
import tempfile
import traceback
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from architectures import ARCHITECTURES, BACKEND, EXAMPLES, IN_PLACE, SLOW_TO_COMPILE, STRUCTURED

import tfprune
from tfprune.adapters import adapter_of
from tfprune.adapters.backend import keras3_module as keras
from tfprune.utils.errors import TfpruneError

BATCH, EPOCHS = 8, 3
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
    **({"several": lambda: _several()} if hasattr(keras.optimizers, "MultiOptimizer") else {}),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.02, momentum=0.9), initial_scale=16.0),
}


def _several():
    adam, sgd = keras.optimizers.Adam(0.02), keras.optimizers.SGD(0.02, momentum=0.9)
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(adam, {".*bias": sgd}))


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
    "large batches": {"batch_size": EXAMPLES},
    "PyDataset": {},
    **({"data set": {}} if importlib.util.find_spec("tensorflow") else {}),
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
METRICS = {"metrics", "weighted_metrics"}
IMAGES_OUT = {"unet", "autoencoder"}  # not one label for each example


def drawn(seed):
    """Yields random combinations; each name of each axis comes about equally often."""
    source = random.Random(seed)

    def deck(names):
        while True:
            yield from source.sample(list(names), len(list(names)))

    axes = [deck(own) for own in (ARCHITECTURES, OPTIMIZERS, COMPILE, FIT, METHODS, ("train", "callbacks"))]
    listening = deck(CALLBACKS)
    while True:
        model, optimizer, compiling, fit, method, host = map(next, axes)
        callbacks = {next(listening) for _ in range(source.randint(0, 3))}
        if optimizer == "decayed":
            callbacks -= RATES
        if optimizer == "several":
            callbacks -= RATES  # Keras' have one rate to set
        if model in STRUCTURED and (fit == "class weights" or COMPILE[compiling].keys() & METRICS):
            fit, compiling = "plain", "plain"  # Keras asks for those by output
        if model in IMAGES_OUT and fit in ("class weights", "weights"):
            fit = "plain"
        if compiling == "XLA" and model in SLOW_TO_COMPILE:
            compiling = "plain"
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


class Batches(keras.utils.PyDataset):
    """What a person wrote to read their batches."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return EXAMPLES // BATCH

    def __getitem__(self, index):
        return keras.tree.map_structure(lambda own: own[index * BATCH :][:BATCH], self.parts)


def data_set(x, y):
    import tensorflow as tf

    x, y = (tuple(own) if isinstance(own, list) else own for own in (x, y))
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)


def trained(own, folder, sparsity):
    """Trains a combination, by Keras alone if `sparsity` is None; returns the model and what was seen."""
    name, optimizer, compiling, fit, method, host, listening = own
    keras.utils.set_random_seed(0)
    model, x, y, loss = ARCHITECTURES[name]()
    model.compile(OPTIMIZERS[optimizer](), loss, **COMPILE[compiling])
    keras.utils.set_random_seed(1)
    arguments = {"batch_size": BATCH, "verbose": 0, **FIT[fit]}
    if arguments.pop("validation", False):
        arguments["validation_data"] = (x, y)
    if arguments.pop("weights", False):
        weights = np.linspace(0.5, 1.5, EXAMPLES).astype(np.float32)
        arguments["sample_weight"] = keras.tree.map_structure(lambda _: weights, y)
    data = (x, y)
    if fit in ("PyDataset", "data set"):
        data = Batches(x, y) if fit == "PyDataset" else data_set(x, y)
        arguments |= {"batch_size": None, "shuffle": None}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    watch = Watch()
    callbacks = [*(CALLBACKS[one](folder) for one in listening), watch]
    asked = {"method": "unpruned" if sparsity == 0.0 else method, "epochs": EPOCHS}
    asked |= {"sparsity": sparsity} if sparsity else {}
    if sparsity is None or host == "callbacks":
        pruning = [] if sparsity is None else tfprune.callbacks(model, data=data, **asked)
        given = dict(zip(("x", "y"), data, strict=True)) if isinstance(data, tuple) else {"x": data}
        model.fit(**given, epochs=EPOCHS, callbacks=[*pruning, *callbacks], **arguments)
    else:
        arguments |= {"in_place": name in IN_PLACE}
        model = tfprune.train(model, data, callbacks=callbacks, **asked, **arguments).model
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
    equal = np.array_equal if exact else functools.partial(np.allclose, rtol=1e-3, atol=1e-4)
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


def stands_zeros(optimizer):
    """Returns whether an optimizer of plain Keras leaves numbers where a row and a column have no gradient."""
    kernel = keras.Variable(np.ones((2, 2), np.float32))
    optimizer.build([kernel])
    optimizer.apply([keras.ops.convert_to_tensor([[1.0, 0.0], [0.0, 0.0]])], [kernel])
    return bool(np.isfinite(keras.ops.convert_to_numpy(kernel.value)).all())


def tried(own):
    """Returns a key of `pages.OUTCOMES` or `wrong`, and what is to be said."""
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / one for one in ("plain", "again", "nothing", "half")]
        for folder in folders:
            folder.mkdir()
        try:
            plain = trained(own, folders[0], None)
        except Exception as error:
            return "keras", f"{type(error).__name__} {str(error)[:200]}"
        try:
            nothing = trained(own, folders[2], 0.0)
            outcome, difference = "equal", different(plain, nothing, exact=True)
            if difference:
                outcome, difference = "rounded", different(plain, nothing, exact=False)
            if difference and different(plain, trained(own, folders[1], None), exact=False):
                outcome, difference = "unsteady", ""
            difference = difference or half(own, folders[3])
        except TfpruneError as error:
            if "nan" in str(error) and not stands_zeros(OPTIMIZERS[own[1]]()):
                return "keras", f"{own[1]} makes NaN where a row and a column have no gradient: {error}"
            return "refused", str(error)
        except Exception:
            return "wrong", traceback.format_exc()[-1500:]
        return ("wrong", difference) if difference else (outcome, "")


def main(count="10", seed="0", path=None):
    counts = collections.Counter()
    versions = {name: version(name).partition("+")[0] for name in ("keras", BACKEND)}
    for number, own in enumerate(itertools.islice(drawn(int(seed)), int(count))):
        outcome, said = tried(own)
        counts[outcome] += 1
        if outcome not in ("equal", "rounded"):
            print(number, outcome, own, said, sep=" | ", flush=True)
        if path:
            line = {"backend": BACKEND, "versions": versions, "combination": own, "outcome": outcome, "said": said}
            with Path(path).open("a") as file:
                file.write(json.dumps(line) + "\n")
        keras.backend.clear_session()
    print(f"{BACKEND}: {dict(counts)}, {counts['wrong'] + counts['refused']} failed")
    return counts["wrong"] + counts["refused"]


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    sys.exit(bool(main(*sys.argv[1:])))
