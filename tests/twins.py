"""Random combinations of model, optimizer, `compile`, `fit` and callbacks, each trained by Keras and by tfprune.

Two things must hold of each. Pruning to nothing is plain Keras: the same weights, the same logs, the same calls of a
callback, the same state of the optimizer. Pruning to a share leaves exactly that many zeros at the end of every batch
and in every file. Run as a script it tries many and writes the table of docs/compatibility.md.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import functools
import json
import logging
import random
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate
from twin_models import BATCH, EXAMPLES, GROUPS, MODELS, UNCOMPILABLE, Made, application

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.kernel_names import named_kernels
from tfprune.adapters.tf_keras.mask_values import get_masks
from tfprune.pruning.events import PruningEvent
from tfprune.reporting.tables import update_page
from tfprune.utils.errors import TfpruneError

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
EPOCHS = 3
STEPS = EXAMPLES // BATCH


# -- optimizers -------------------------------------------------------------------------------------------------------

NEW = ("SGD", "Adam", "AdamW", "RMSprop", "Nadam", "Adagrad", "Adadelta", "Adamax", "Ftrl", "Lion", "Adafactor")
OLD = ("SGD", "Adam", "RMSprop", "Nadam", "Adagrad", "Adadelta", "Adamax", "Ftrl")
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    **{name: functools.partial(getattr(keras.optimizers, name), 0.02) for name in NEW},
    **{f"legacy.{name}": functools.partial(getattr(keras.optimizers.legacy, name), 0.02) for name in OLD},
    "SGD nesterov": lambda: keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True, global_clipnorm=0.5),
    "SGD decayed": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.05, EPOCHS * STEPS), momentum=0.9, clipvalue=0.1
    ),
    "Adam amsgrad": lambda: keras.optimizers.Adam(0.02, amsgrad=True, clipnorm=0.5, weight_decay=1e-3),
    "Adam averaged": lambda: keras.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.5),
    "SGD averaged, overwriting": lambda: keras.optimizers.SGD(
        0.02, 0.9, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
    "RMSprop centered": lambda: keras.optimizers.RMSprop(0.02, momentum=0.5, centered=True),
    "Adam scaled": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam(0.02)),
    "legacy.SGD decayed": lambda: keras.optimizers.legacy.SGD(0.02, momentum=0.9, decay=0.01, clipnorm=0.5),
    "Adam, no XLA": lambda: keras.optimizers.Adam(0.02, jit_compile=False),
    "by name": lambda: "adam",
}


# -- compile and fit --------------------------------------------------------------------------------------------------

COMPILES = ("plain", "metrics", "weighted metrics", "loss weights", "eager", "steps per execution", "XLA")


def compiled(made: Made, optimizer: Any, how: str) -> None:
    arguments: dict[str, Any] = {}
    several = isinstance(made.loss, (dict, list))
    if how == "metrics":
        arguments["metrics"] = {"cls": ["accuracy"], "size": "mse"} if several else ["accuracy", keras.metrics.Mean]
        arguments["metrics"] = arguments["metrics"] if several else ["accuracy"]
    elif how == "weighted metrics":
        arguments["weighted_metrics"] = {"cls": ["accuracy"]} if several else ["mae"]
    elif how == "loss weights" and several:
        arguments["loss_weights"] = {"cls": 0.3, "size": 0.7} if isinstance(made.loss, dict) else [0.3, 0.7]
    elif how == "eager":
        arguments["run_eagerly"] = True
    elif how == "steps per execution":
        arguments["steps_per_execution"] = 2
    elif how == "XLA":
        arguments["jit_compile"] = True
    made.model.compile(optimizer=optimizer, loss=made.loss, **arguments)


class Batches(keras.utils.Sequence):
    """What a person wrote to read their batches."""

    def __init__(self, parts: tuple) -> None:
        super().__init__()
        self.parts = parts

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> Any:
        return tf.nest.map_structure(lambda a: a[index * BATCH : (index + 1) * BATCH], self.parts)


def forever(parts: tuple) -> Any:
    batches = Batches(parts)
    while True:
        for index in range(len(batches)):
            yield batches[index]


FITS = (
    *("arrays", "weights", "weights apart", "class weights", "validation data", "validation split", "validation set"),
    *("data set", "repeated data set", "sequence", "generator", "late start", "shuffled", "tensors"),
)


def fit_arguments(made: Made, how: str) -> tuple[Any, dict[str, Any]]:
    """Returns the data and the further arguments of `fit`."""
    x, y = made.x, made.y
    x = {key: value for key, value in x.items()} if isinstance(x, dict) else tuple(x) if isinstance(x, list) else x
    y_tuple = tuple(y) if isinstance(y, list) else y
    weights = np.linspace(0.5, 1.5, len(tf.nest.flatten(x)[0])).astype(np.float32)
    weights = tf.nest.map_structure(lambda own: weights, y_tuple)
    own: dict[str, Any] = {"shuffle": False, "batch_size": BATCH}
    batched = {"batch_size": None, "shuffle": None}
    if how == "weights":
        return (x, y, weights), own
    if how == "weights apart":
        return (x, y), own | {"sample_weight": weights}
    if how == "class weights" and not isinstance(y, (dict, list)) and np.ndim(y) == 1:
        return (x, y), own | {"class_weight": {0: 0.5, 1: 1.0, 2: 2.0}}
    if how == "validation data":
        return (x, y), own | {"validation_data": (x, y), "validation_batch_size": 5}
    if how == "validation split" and not isinstance(x, (dict, tuple)) and x.dtype.kind != "U":
        return (x, y), own | {"validation_split": 0.25}
    if how == "validation set":
        batches = tf.data.Dataset.from_tensor_slices((x, y_tuple)).batch(5).repeat()
        return (x, y), own | {"validation_data": batches, "validation_steps": 2, "validation_freq": 2}
    if how == "data set":
        return tf.data.Dataset.from_tensor_slices((x, y_tuple)).batch(BATCH), batched
    if how == "repeated data set":
        parts = (x, y_tuple, weights)
        return tf.data.Dataset.from_tensor_slices(parts).repeat().batch(BATCH), batched | {"steps_per_epoch": 2}
    if how == "sequence":
        return Batches((x, y_tuple)), batched | {"shuffle": False}
    if how == "generator":
        return forever((x, y_tuple, weights)), batched | {"steps_per_epoch": STEPS}
    if how == "late start":
        return (x, y), own | {"initial_epoch": 1}
    if how == "shuffled":
        return (x, y), {"batch_size": BATCH}
    if how == "tensors":
        return (tf.nest.map_structure(tf.constant, x), tf.nest.map_structure(tf.constant, y)), own
    return (x, y), own


# -- callbacks --------------------------------------------------------------------------------------------------------


class Counting(keras.callbacks.Callback):
    """Counts the calls of each hook, and keeps the logs of the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: collections.Counter[str] = collections.Counter()
        self.logs: list[dict[str, float]] = []
        for name in ("on_train_begin", "on_train_end", "on_epoch_begin", "on_test_begin", "on_test_end"):
            setattr(self, name, functools.partial(self._count, name))

    def _count(self, name: str, *_: Any) -> None:
        self.calls[name] += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls[f"batch {batch}"] += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls[f"epoch {epoch}"] += 1
        self.logs.append({name: float(value) for name, value in logs.items() if name != "sparsity"})


class SecondEpoch(keras.callbacks.ModelCheckpoint):
    """Saves at the end of every second epoch: a SavedModel traces all layers anew, which takes longer than a `fit`."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch % 2:
            super().on_epoch_end(epoch, logs)


CALLBACKS: dict[str, Callable[[Path], Any]] = {
    "EarlyStopping": lambda _: keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True),
    "EarlyStopping at once": lambda _: keras.callbacks.EarlyStopping("loss", patience=0, min_delta=99.0),
    "ReduceLROnPlateau": lambda _: keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1.0),
    "LearningRateScheduler": lambda _: keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.05 / (1 + epoch)),
    "ModelCheckpoint .keras": lambda d: keras.callbacks.ModelCheckpoint(str(d / "c.keras")),
    "ModelCheckpoint .h5": lambda d: keras.callbacks.ModelCheckpoint(str(d / "c.h5"), save_best_only=False),
    "ModelCheckpoint SavedModel": lambda d: SecondEpoch(str(d / "c.tf"), save_format="tf"),
    "ModelCheckpoint weights": lambda d: keras.callbacks.ModelCheckpoint(str(d / "w.h5"), save_weights_only=True),
    "ModelCheckpoint batches": lambda d: keras.callbacks.ModelCheckpoint(
        str(d / "b"), save_weights_only=True, save_freq=2
    ),
    "BackupAndRestore": lambda d: keras.callbacks.BackupAndRestore(str(d / "backup")),
    "CSVLogger": lambda d: keras.callbacks.CSVLogger(str(d / "log.csv")),
    "TensorBoard": lambda d: keras.callbacks.TensorBoard(str(d / "board"), histogram_freq=1),
    "LambdaCallback": lambda _: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "TerminateOnNaN": lambda _: keras.callbacks.TerminateOnNaN(),
}
STOPPING = {"EarlyStopping", "EarlyStopping at once"}


@dataclasses.dataclass(frozen=True)
class Combination:
    """What is trained, and how."""

    model: str
    optimizer: str
    compile: str
    fit: str
    callbacks: tuple[str, ...]
    host: str
    method: str


METHODS = ("dynamic", "gradual", "magnitude_at_init", "set", "pruned", "snip")


def drawn(count: int, seed: int, models: Sequence[str] | None = None) -> list[Combination]:
    """Returns random combinations; each name of each axis comes about equally often."""
    source = random.Random(seed)
    models, combinations = _deck(models or MODELS, source), []
    optimizers, compiles, fits = _deck(OPTIMIZERS, source), _deck(COMPILES, source), _deck(FITS, source)
    methods, hosts, listening = _deck(METHODS, source), _deck(("train", "callbacks"), source), _deck(CALLBACKS, source)
    while len(combinations) < count:
        callbacks = tuple({next(listening): None for _ in range(source.randint(0, 3))})
        own = Combination(*map(next, (models, optimizers, compiles, fits)), callbacks, next(hosts), next(methods))
        if own.compile == "XLA" and own.model in UNCOMPILABLE:  # where TensorFlow itself may take the process down
            own = dataclasses.replace(own, compile="plain")
        combinations.append(own)
    return combinations


def _deck(names: Any, source: random.Random) -> Any:
    """Yields names, each once before any comes again."""
    while True:
        yield from source.sample(list(names), len(list(names)))


# -- training ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    """What a training leaves."""

    weights: list[np.ndarray]
    slots: list[np.ndarray]
    logs: list[dict[str, float]]
    calls: Mapping[str, int]
    history: Mapping[str, Any]
    names: list[str]


def made_for(own: Combination) -> Made:
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    kind, _, name = own.model.rpartition(".")
    made = application(name) if kind else MODELS[name]()
    compiled(made, OPTIMIZERS[own.optimizer](), own.compile)
    keras.utils.set_random_seed(1)
    return made


def make_slots(model: Any) -> None:
    """Makes what the optimizer remembers now: TensorFlow traces a step twice whose first call makes variables."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if model.built:
        build = optimizer.build if hasattr(optimizer, "build") else optimizer._create_all_weights
        build(model.trainable_variables)


def trained(own: Combination, folder: Path, sparsity: float | None, watching: Sequence[Any] = ()) -> Outcome:
    """Trains a combination, by Keras alone if `sparsity` is None."""
    made = made_for(own)
    data, arguments = fit_arguments(made, own.fit)
    counting = Counting()
    callbacks = [*(CALLBACKS[name](folder) for name in own.callbacks), counting, *watching]
    arguments = {name: value for name, value in arguments.items() if value is not None}
    method = "unpruned" if sparsity == 0.0 else own.method
    asked = {"method": method, "epochs": EPOCHS} | ({"sparsity": sparsity} if sparsity else {})
    if sparsity is not None and own.host == "train":
        result = tfprune.train(
            made.model, data, callbacks=callbacks, in_place=not made.copied, verbose=0, **asked, **arguments
        )
        model, history = result.model, {}
    else:
        if sparsity is not None:
            callbacks = [*tfprune.callbacks(made.model, data=data, **asked), *callbacks]
        parts = {"x": data}
        if isinstance(data, tuple):
            parts = dict(zip(("x", "y", "sample_weight"), data, strict=False))
        history = made.model.fit(**parts, **arguments, epochs=EPOCHS, callbacks=callbacks, verbose=0).history
        model = made.model
    slots = model.optimizer.variables() if callable(model.optimizer.variables) else model.optimizer.variables
    values = [np.asarray(slot) for slot in slots]
    return Outcome(model.get_weights(), values, counting.logs, counting.calls, history, model.output_names)


class Watch(keras.callbacks.Callback):
    """Looks whether what is pruned is zero, exactly as many as asked for, at the end of every batch and epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.seen = 0

    def look(self, when: str) -> None:
        masks = get_masks(self.model)
        for kernel in named_kernels(self.model):
            if kernel.name not in masks:
                continue
            off = np.count_nonzero(kernel.variable.numpy()[masks[kernel.name] == 0])
            self.seen += int(np.count_nonzero(masks[kernel.name] == 0))
            if off:
                self.wrong.append(f"{off} pruned weights of {kernel.name} are not zero {when}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.look(f"after batch {batch}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.look(f"after epoch {epoch}")

    def on_train_end(self, logs: Any = None) -> None:
        self.last = self.model


def tried(own: Combination) -> tuple[str, str]:
    """Trains a combination plainly, pruned to nothing and pruned to a half.

    Returns:
        `equal` (to the bit), `rounded` (equal but for rounding: another graph), `unsteady` (Keras does not come to
        the same twice), `keras` (plain Keras cannot do it), `refused` (in one line) or `wrong`; and what is to be said
        of it.
    """
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / own for own in ("plain", "again", "nothing", "half")]
        for folder in folders:
            folder.mkdir()
        try:
            plain = trained(own, folders[0], None)
        except Exception as error:
            return "keras", f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100] if str(error) else ''}"
        try:
            nothing = trained(own, folders[2], 0.0)
            outcome, difference = "equal", differences(plain, nothing)
            if difference:
                outcome, difference = "rounded", differences(plain, nothing, exact=False)
            if difference and differences(plain, trained(own, folders[1], None), exact=False):
                outcome, difference = "unsteady", ""
            difference = difference or half(own, folders[3]) or _files_differ(folders[0], folders[2])
        except TfpruneError as error:
            return "refused", str(error)
        except Exception:
            return "wrong", traceback.format_exc()
        return ("wrong", difference) if difference else (outcome, "")


def differences(one: Outcome, other: Outcome, exact: bool = True) -> str:
    """Returns in what two trainings differ; nothing if in nothing."""
    if one.calls != other.calls:
        return f"calls of callbacks: {dict(one.calls)} and {dict(other.calls)}"
    if one.names != other.names:
        return f"names of outputs: {one.names} and {other.names}"
    if [list(row) for row in one.logs] != [list(row) for row in other.logs]:
        return f"names in the logs: {one.logs[0]} and {other.logs[0]}"
    equal = np.array_equal if exact else functools.partial(np.allclose, rtol=1e-4, atol=1e-5)
    pairs = [
        ("logs", *([value for row in own.logs for value in row.values()] for own in (one, other))),
        *(("a weight", a, b) for a, b in zip(one.weights, other.weights, strict=True)),
        *(("a slot", a, b) for a, b in zip(one.slots, other.slots, strict=True)),
    ]
    for what, a, b in pairs:
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype.kind not in "fiub":
            same = np.array_equal(a, b)
        else:
            same = a.shape == b.shape and equal(np.nan_to_num(a), np.nan_to_num(b))
        if not same:
            return f"{what}: by {np.max(np.abs(a - b)) if a.shape == b.shape else (a.shape, b.shape)}"
    return ""


def half(own: Combination, folder: Path) -> str:
    """Prunes a combination to a half; returns what is wrong."""
    if own.method == "snip" and own.fit == "generator":
        own = dataclasses.replace(own, method="dynamic")
    if own.fit == "late start":
        own = dataclasses.replace(own, method="pruned")
    watch = Watch()
    trained(own, folder, 0.5, [watch])
    watch.look("after the training")
    if watch.wrong:
        return watch.wrong[0]
    masks = get_masks(watch.last)
    stopped = STOPPING & set(own.callbacks) and own.method not in ("pruned", "magnitude_at_init", "snip")
    total, zeros = sum(m.size for m in masks.values()), sum(int(np.sum(m == 0)) for m in masks.values())
    event = PruningEvent(sparsity=0.5)
    if own.method in ("dynamic", "gradual", "pruned") and not stopped:
        for name, mask in masks.items():
            if int(mask.sum()) != event.keep(mask.size, mask.size):
                return f"{name} keeps {int(mask.sum())} of {mask.size}"
    if not stopped and abs(zeros / total - 0.5) > 0.5 * len(masks) / total:
        return f"{zeros} of {total} weights are pruned"
    return "" if own.method == "pruned" else _files_are_sparse(folder, watch.last, masks)


def _files_are_sparse(folder: Path, model: Any, masks: Mapping[str, np.ndarray]) -> str:
    """Returns which file, written at the end of the last epoch, is not as sparse as the model."""
    for name in ("c.keras", "c.h5", "c.tf"):
        path = folder / name
        if not path.exists():
            continue
        with contextlib.suppress(ValueError, TypeError, NotImplementedError):  # Keras cannot read what it wrote
            loaded = keras.models.load_model(path, compile=False, safe_mode=False)
            kernels = {own.name: own.variable.numpy() for own in named_kernels(loaded)}
            known = {key: mask for key, mask in masks.items() if key in kernels}
            written = sum(int(np.sum(kernels[key] == 0)) for key in known)
            if name != "c.tf" and written == 0 and sum(int(np.sum(m == 0)) for m in known.values()):
                return f"{name} is dense"
    return ""


def _files_differ(one: Path, other: Path) -> str:
    """Returns what a training wrote and another did not."""
    names = [sorted(own.name for own in folder.iterdir()) for folder in (one, other)]
    return "" if names[0] == names[1] else f"files: {names[0]} and {names[1]}"


OUTCOMES = {
    "equal": "to the bit",
    "rounded": "but for rounding",
    "unsteady": "Keras unsteady",
    "keras": "Keras cannot",
    "refused": "refused",
    "wrong": "wrong",
}


def table(path: Path) -> str:
    """Returns what a file of JSON lines says, one row per model, as Markdown."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    counts = collections.defaultdict(collections.Counter)
    for own in found:
        counts[own["model"]][own["outcome"]] += 1
        counts["all"][own["outcome"]] += 1
    shown = [key for key in OUTCOMES if counts["all"][key]]
    lines = [["model", "combinations", *(OUTCOMES[key] for key in shown)]]
    lines += [
        [name.replace("_", " "), counts[name].total(), *(counts[name][key] or "" for key in shown)]
        for name in [*(name for group in GROUPS.values() for name in group if name in counts), "all"]
    ]
    said = sorted({f"{own['model'].replace('_', ' ')}: {own['said']}" for own in found if own["outcome"] == "refused"})
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "tf-keras"))
    text = f"{len(found)} combinations, with {packages}:\n\n{markdown(lines)}\n"
    return text + "".join(f"\n* {line}" for line in said) + ("\n" if said else "")


def markdown(lines: Sequence[Sequence[object]]) -> str:
    head, *rest = lines
    return tabulate([list(map(str, row)) for row in rest], list(map(str, head)), tablefmt="github")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one to try")
    parser.add_argument("--group", choices=GROUPS, default="named", help="of models")
    parser.add_argument("--out", type=Path, help="a file of JSON lines to write")
    parser.add_argument("--table", type=Path, help="write the page from such a file, and try nothing")
    options = parser.parse_args()
    if options.table:
        update_page(PAGE, "twins", table(options.table))
        return
    counts: collections.Counter[str] = collections.Counter()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    for number, own in enumerate(drawn(options.count, options.seed, GROUPS[options.group])):
        if number < options.first:
            continue
        outcome, said = tried(own)
        counts[outcome] += 1
        if outcome in ("wrong", "refused") or options.out:
            print(number, outcome, own, said, sep=" | ", flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(
                    json.dumps({"number": number, **dataclasses.asdict(own), "outcome": outcome, "said": said}) + "\n"
                )
    print(dict(counts))


if __name__ == "__main__":
    sys.exit(main())
