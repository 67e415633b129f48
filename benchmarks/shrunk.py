"""What fewer channels buy: parameters, MACs, the time of a training step and of an answer, beside the whole model.

    python benchmarks/shrunk.py

The models are untrained: this is about time and size, not about accuracy. All are measured in turns with the whole
model, so that what else the machine does slows all alike; medians of the ratios of the same round are printed.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import click
import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.prune_once import prune
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel
from tfprune.data._base import Data, Inputs, Split
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.latency import Latency, Model, latencies
from tfprune.exporting.shrinking import shrink
from tfprune.models import MODELS
from tfprune.pruning.counts import path_bytes
from tfprune.training.compiling import compile_model
from tfprune.training.config import Config
from tfprune.training.precision import precision_scope

CASES = {  # model -> data set whose settings it is compiled with, shape of an image
    "lenet": ("fashion_mnist", (28, 28, 1)),
    "resnet20": ("cifar10", (32, 32, 3)),
    "mobilenetv2": ("flowers", (96, 96, 3)),
}
FILES = (("savedmodel", "none"), ("tflite", "none"), ("tflite", "int8"))


@click.command()
@click.option("--model", "names", type=click.Choice(list(CASES)), multiple=True, default=list(CASES))
@click.option("--keep", "shares", type=float, multiple=True, default=(0.5, 0.25), show_default=True)
@click.option("--batch", default=128, show_default=True, help="Of the training step.")
@click.option("--precision", default="float32", show_default=True)
@click.option("--rounds", default=15, show_default=True, help="Measurements of each, in turns.")
def main(names: tuple[str, ...], shares: tuple[float, ...], batch: int, precision: str, rounds: int) -> None:
    """Compare models of fewer channels, and one with as many zeros, with the whole model."""
    for library in ("tensorflow", "tfprune"):
        logging.getLogger(library).setLevel(logging.ERROR)
    answers = [f"{name}{'' if quantize == 'none' else f' {quantize}'}" for name, quantize in FILES]
    headers = [
        "model",
        "form",
        "parameters",
        "MACs",
        "step",
        *(f"answer, {name}" for name in answers),
        "kB, gzipped int8",
    ]
    click.echo(f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}")
    for name in names:
        dataset, shape = CASES[name]
        with precision_scope(precision):
            whole = MODELS[name](shape, 10)
            forms = {"whole": whole, "half of the weights zero": prune(whole, 0.5)}
            forms |= {f"{share:g} of the channels": shrink(whole, share) for share in shares}
            steps = _steps(list(forms.values()), dataset, shape, batch, rounds)
        macs = [sum(count for count, _ in macs_per_kernel(model).values()) for model in forms.values()]
        times, sizes = _answers(list(forms.values()), shape, rounds)
        for place, (form, model) in enumerate(forms.items()):
            cells = [f"{model.count_params() / whole.count_params():.2f}", f"{macs[place] / macs[0]:.2f}"]
            cells += [f"{steps[place].ratio(steps[0]):.2f}", *(f"{own[place].ratio(own[0]):.2f}" for own in times)]
            click.echo(f"| `{name}` | {form} | {' | '.join(cells)} | {sizes[place] / 1000:,.0f} |")
        keras.backend.clear_session()


def _steps(models: list[keras.Model], dataset: str, shape: tuple[int, ...], batch: int, rounds: int) -> list[Latency]:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (batch, *shape), np.uint8), random.integers(0, 10, batch)
    trained = []
    for model in models:
        compile_model(model, Config(dataset=dataset, method="unpruned"), steps_per_epoch=1)
        step, batches = model.make_train_function(), iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
        trained.append(_model(lambda _, step=step, batches=batches: float(step(batches)["loss"])))
    return latencies(trained, images, batch, rounds)


def _answers(models: list[keras.Model], shape: tuple[int, ...], rounds: int) -> tuple[list[list[Latency]], list[int]]:
    """Returns the latencies of a batch of 1 for each of `FILES`, and the gzipped bytes of the last of them."""
    random = np.random.default_rng(0)
    split = Split(random.integers(0, 256, (64, *shape), np.uint8), random.integers(0, 10, 64))
    raw = Inputs({"images": ("uint8", shape)}, lambda given: given["images"])
    labels = tuple(map(str, range(10)))
    data = Data(
        train=split, validation=split, test=split, labels=labels, target="class", inputs={"serving_default": raw}
    )
    whole = [keras.models.clone_model(model) for model in models]  # in float32
    for model, trained in zip(whole, models, strict=True):
        model.set_weights(trained.get_weights())
    times, sizes = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, quantize in FILES:
            paths = [Path(folder) / f"{place}-{quantize}{FORMATS[name].suffix}" for place in range(len(models))]
            for model, path in zip(whole, paths, strict=True):
                FORMATS[name].write(model, data, path, quantize)
            times.append(latencies([_model(FORMATS[name].load(path)) for path in paths], split.x, 1, 20 * rounds))
            sizes = [path_bytes(path)["gzip"] for path in paths]
    return times, sizes


def _model(answer: object) -> Model:
    nothing = {"multiplications": 0, "nonzero_multiplications": 0, "raw": 0, "gzip": 0}
    return Model(run="", file="", path=Path(), answer=answer, **nothing)


if __name__ == "__main__":
    main()
