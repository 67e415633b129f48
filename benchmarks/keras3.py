"""What masks cost in Keras 3: the time of a `fit`, the memory of an event, getting started; masked beside plain.

    python benchmarks/keras3.py --backend jax --backend tensorflow --out docs/results/keras3-cost.jsonl
    python benchmarks/keras3.py --table --out docs/results/keras3-cost.jsonl

Plain and masked trainings take turns, and the medians of the ratios of neighbours are given: of the processor's time of
all threads, which what else the machine does changes little, and of the time on the clock. Each number comes from a
process of its own, on the backend that it names.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from tabulate import tabulate

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
LAYERS = 10
IMPORTS = {"plain": "import keras", "masked": "import keras, tfprune"}


@click.command()
@click.option("--backend", "backends", multiple=True, default=("tensorflow", "jax"), show_default=True)
@click.option("--model", "models", multiple=True, default=("mlp", "resnet", "transformer"), show_default=True)
@click.option("--rounds", default=7, show_default=True, help="Interleaved measurements per model.")
@click.option("--parameters", multiple=True, type=int, default=(10_000_000, 100_000_000), show_default=True)
@click.option("--starts", default=5, show_default=True, help="Interleaved measurements of starting up.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A file of JSON lines, one per number.")
@click.option("--table", is_flag=True, help="Write the page from the file, and measure nothing.")
@click.option("--measure", nargs=2, hidden=True, help="What a process of its own measures: `fit MODEL`, `event SIZE`.")
def main(
    backends: tuple[str, ...],
    models: tuple[str, ...],
    rounds: int,
    parameters: tuple[int, ...],
    starts: int,
    out: Path,
    table: bool,
    measure: tuple[str, str] | None,
) -> None:
    """Compare masked models of Keras 3 with plain ones."""
    if table:
        from tfprune.reporting.tables import update_page

        update_page(PAGE, "keras3-cost", as_table(out))
        return
    if measure:
        kind, argument = measure
        found = fit(argument, rounds) if kind == "fit" else event(int(argument))
        print(json.dumps(found))
        return
    for backend in backends:
        for kind, argument in [*(("fit", name) for name in models), *(("event", str(size)) for size in parameters)]:
            command = [__file__, "--measure", kind, argument, "--rounds", str(rounds), "--out", str(out)]
            _write(out, backend, kind, argument, json.loads(_apart(backend, command).splitlines()[-1]))
        times: dict[str, list[float]] = {form: [] for form in IMPORTS}
        for _ in range(starts if starts else 0):
            for form, text in IMPORTS.items():
                started = time.perf_counter()
                _apart(backend, ["-c", text])
                times[form].append(time.perf_counter() - started)
        if starts:
            _write(out, backend, "start", "import", _compared(times))


def _apart(backend: str, arguments: list[str]) -> str:
    """Runs Python on a backend; returns what it prints."""
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _write(out: Path, backend: str, kind: str, argument: str, found: dict[str, Any]) -> None:
    versions = {name: version(name).partition("+")[0] for name in ("keras", backend)}
    line = json.dumps({"backend": backend, "versions": versions, "kind": kind, "what": argument, **found})
    click.echo(line)
    with out.open("a") as file:
        file.write(line + "\n")


# -- models -----------------------------------------------------------------------------------------------------------


def mlp() -> tuple[Any, np.ndarray]:
    import keras

    layers = [keras.layers.Dense(512, "relu"), keras.layers.Dense(512, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.layers.Input((784,)), *layers]), _normal(128 * 60, 784)


def resnet() -> tuple[Any, np.ndarray]:
    """Nine convolutions with BatchNorm, of 16 to 64 channels, on images of 16 by 16."""
    import keras

    layers = keras.layers
    inputs = layers.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
    for stage, width in enumerate((16, 32, 64)):
        strides = 1 if stage == 0 else 2
        short = x if stage == 0 else layers.Conv2D(width, 1, strides, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(width, 3, strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Add()([short, layers.Conv2D(width, 3, padding="same", use_bias=False)(x)])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x))), _normal(64 * 20, 16, 16, 3)


def transformer() -> tuple[Any, np.ndarray]:
    """Two layers of width 128 over 32 words of a vocabulary of 2,000."""
    import keras

    layers = keras.layers
    tokens = layers.Input((32,), dtype="int32")
    x = layers.Embedding(2000, 128)(tokens)
    for _ in range(2):
        x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(4, 32)(x, x)]))
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(128)(layers.Dense(512, "gelu")(x))]))
    model = keras.Model(tokens, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))
    return model, np.random.default_rng(0).integers(0, 2000, (32 * 20, 32)).astype(np.int32)


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


MODELS: dict[str, Callable[[], tuple[Any, np.ndarray]]] = {"mlp": mlp, "resnet": resnet, "transformer": transformer}
BATCHES = {"mlp": 128, "resnet": 64, "transformer": 32}


# -- measurements -----------------------------------------------------------------------------------------------------


def fit(name: str, rounds: int) -> dict[str, Any]:
    """Returns how long an epoch of a `fit` takes with Adam, plain and pruned to 80 % by `tfprune.callbacks`."""
    import keras

    import tfprune

    class Epochs(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.times: list[tuple[float, float]] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = _now()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.times.append(tuple(end - start for end, start in zip(_now(), self.started, strict=True)))

    models = {}
    for form in IMPORTS:
        keras.utils.set_random_seed(0)
        models[form], x = MODELS[name]()
        models[form].compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    y = np.arange(len(x)) % 10
    asked = {"method": "magnitude_at_init", "sparsity": 0.8, "epochs": 3}
    cpu: dict[str, list[float]] = {form: [] for form in IMPORTS}
    clock: dict[str, list[float]] = {form: [] for form in IMPORTS}
    for turn in range(rounds + 1):
        for form, model in models.items():
            epochs = Epochs()
            pruning = tfprune.callbacks(model, **asked) if form == "masked" and turn == 0 else []
            model.fit(x, y, BATCHES[name], 3, verbose=0, callbacks=[*pruning, epochs])
            if turn:  # the first turn compiles, and prunes; the masks stay on
                cpu[form].append(min(own for own, _ in epochs.times))
                clock[form].append(min(own for _, own in epochs.times))
    kernels = [own for own in models["masked"].get_weights() if own.ndim > 1]
    assert sum(map(np.count_nonzero, kernels)) < 0.3 * sum(map(np.size, kernels)), "the masks are not on"
    return _compared(cpu) | {"clock": _compared(clock)["ratio"], "weights": models["plain"].count_params()}


def _now() -> tuple[float, float]:
    """Returns seconds of the processor, all threads together, and on the clock."""
    return time.process_time(), time.perf_counter()


def _compared(times: dict[str, list[float]]) -> dict[str, Any]:
    ratios = [masked / plain for masked, plain in zip(times["masked"], times["plain"], strict=True)]
    rounded = {form: [round(own, 5) for own in found] for form, found in times.items()}
    return {"ratio": round(statistics.median(ratios), 4), **rounded}


def event(parameters: int) -> dict[str, Any]:
    """Returns the peak of memory beyond the model of dense layers, as a multiple of its weights', and seconds."""
    import keras

    from tfprune.adapters import adapter_of
    from tfprune.pruning.events import PruningEvent
    from tfprune.training.pruner import Pruner

    side = round((parameters / LAYERS) ** 0.5)
    layers = [keras.layers.Dense(side, use_bias=False, name=f"dense_{n}") for n in range(LAYERS)]
    model = keras.Sequential([keras.layers.Input((side,)), *layers])
    for kernel in model.weights:  # which JAX may not have come to yet
        keras.ops.convert_to_numpy(kernel.value)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts anew
    started = time.perf_counter()
    pruner = Pruner(adapter_of(model).attach(model), "global", seeds=[0])
    pruner.prune(PruningEvent(sparsity=0.8))
    seconds = time.perf_counter() - started
    return {"ratio": round((_memory("VmHWM") - before) / (4 * LAYERS * side**2), 3), "seconds": round(seconds, 2)}


def _memory(name: str) -> int:
    return 1024 * int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


# -- the page ---------------------------------------------------------------------------------------------------------

SHOWN = {"fit": "epoch of a `fit`, {}", "event": "event on {:,} weights", "start": "`import keras, tfprune`"}
AGAINST = {"fit": "the plain model's, CPU time", "event": "the weights' memory", "start": "`import keras`"}


def as_table(path: Path) -> str:
    """Returns the last number of each kind of a file as Markdown."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    used = {name: number for own in found for name, number in own["versions"].items()}
    backends = list(dict.fromkeys(own["backend"] for own in found))
    last = {(own["kind"], own["what"], own["backend"]): own for own in found}
    rows = []
    for kind, what in dict.fromkeys((kind, what) for kind, what, _ in last):
        label = SHOWN[kind].format(int(what) if what.isdigit() else what)
        values = [last[kind, what, own]["ratio"] if (kind, what, own) in last else None for own in backends]
        rows.append([label, AGAINST[kind], *("" if value is None else f"{value:.2f}" for value in values)])
    text = "With " + ", ".join(f"{name} {number}" for name, number in sorted(used.items())) + ":\n\n"
    return text + tabulate(rows, ["what", "as a multiple of", *backends], tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main()
