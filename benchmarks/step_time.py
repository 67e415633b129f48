"""What the wrappers cost: the time of a training step and of getting started, wrapped beside plain.

    python benchmarks/step_time.py
    python benchmarks/step_time.py --deterministic  # the cost of that: wrapped models with it beside without it

All are measured in turns, so that what else the machine does slows all alike; the medians of the ratios of neighbours
are printed. The data are random numbers of the data set's shape.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable

import click
import numpy as np

from tfprune.adapters.backend import keras, tf, tfmot, tfmot_wrapper
from tfprune.adapters.tf_keras.wrapping import wrap
from tfprune.models import MODELS
from tfprune.training.compiling import compile_model
from tfprune.training.config import Config
from tfprune.training.precision import deterministic_ops, precision_scope

CASES = {  # model -> data set whose settings it is compiled with, shape of an image
    "lenet": ("fashion_mnist", (28, 28, 1)),
    "resnet20": ("cifar10", (32, 32, 3)),
    "mobilenetv2": ("flowers", (96, 96, 3)),
}
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
Step = Callable[[], object]


@click.command()
@click.option("--model", "models", type=click.Choice(list(CASES)), multiple=True, default=list(CASES))
@click.option("--batch", "batches", type=int, multiple=True, default=(8, 128), show_default=True)
@click.option("--precision", type=click.Choice(POLICIES), default="float32", show_default=True)
@click.option("--rounds", default=15, show_default=True, help="Measurements of each, in turns.")
@click.option("--seconds", default=0.5, show_default=True, help="Length of one measurement, a step at least.")
@click.option("--starts", default=3, show_default=True, help="Measurements of getting started, in turns.")
@click.option("--deterministic", is_flag=True, help="Compare steps with deterministic operations and without.")
def main(
    models: tuple[str, ...],
    batches: tuple[int, ...],
    precision: str,
    rounds: int,
    seconds: float,
    starts: int,
    deterministic: bool,
) -> None:
    """Compare wrapped models with plain ones."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of so many models
    steps = [f"step, batch of {size}" for size in batches]
    if deterministic:
        click.echo(f"| model | {' | '.join(steps)} |\n|{'---|' * (len(steps) + 1)}")
        for name in models:
            with precision_scope(precision):
                cells = [_ratio(_deterministic_times(name, size, rounds, seconds), "with") for size in batches]
            click.echo(f"| `{name}` | {' | '.join(cells)} |")
        return
    columns = [*steps, "start", "start, all layers wrapped by stock tfmot"]
    click.echo(f"| model | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name in models:
        with precision_scope(precision):
            cells = [_ratio(_step_times(name, size, rounds, seconds), "wrapped") for size in batches]
            took = _start_times(name, batches[0], starts)
        cells += [_ratio(took, "wrapped"), _ratio(took, "stock")]
        click.echo(f"| `{name}` | {' | '.join(cells)} |")


def plain(model: keras.Model) -> keras.Model:
    return model


def stock(model: keras.Model) -> keras.Model:
    """Wraps every layer that tfmot accepts, as `prune_low_magnitude` does with a model that it accepts."""

    def wrap_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Rescaling):  # refused
            return layer
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=wrap_layer)
        return tfmot.sparsity.keras.prune_low_magnitude(layer)

    return keras.models.clone_model(model, clone_function=wrap_layer)


FORMS = {"plain": plain, "wrapped": wrap, "stock": stock}


def _step(name: str, form: str, size: int) -> Step:
    """Builds and compiles a model; returns what takes one step of its training."""
    dataset, shape = CASES[name]
    config = Config(dataset=dataset, method="unpruned", model=name)
    model = FORMS[form](MODELS[name](shape, 10, **config.model_settings))
    for layer in model.submodules if form == "stock" else ():
        if isinstance(layer, tfmot_wrapper.PruneLowMagnitude):
            layer.pruning_step.assign(0)  # tfmot's callback does this
    compile_model(model, config, steps_per_epoch=1)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (size, *shape), np.uint8)
    batches = iter(tf.data.Dataset.from_tensors((images, random.integers(0, 10, size))).repeat())
    step = model.make_train_function()
    return lambda: float(step(batches)["loss"])


def _step_times(name: str, size: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    steps = {form: _step(name, form, size) for form in ("plain", "wrapped")}
    times: dict[str, list[float]] = {form: [] for form in steps}
    for number in range(rounds + 1):
        for form, step in steps.items():
            took = _seconds_a_call(step, seconds)
            if number:  # the first round warms up
                times[form].append(took)
    keras.backend.clear_session()
    return times


def _deterministic_times(name: str, size: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    keras.utils.set_random_seed(0)
    steps = {form: _step(name, "wrapped", size) for form in ("plain", "with")}
    times: dict[str, list[float]] = {form: [] for form in steps}
    for number in range(rounds + 1):
        for form, step in steps.items():
            with deterministic_ops(form == "with"):
                took = _seconds_a_call(step, seconds)
            if number:  # the first round warms up
                times[form].append(took)
    keras.backend.clear_session()
    return times


def _seconds_a_call(call: Step, seconds: float) -> float:
    call()  # what the other one's turn has emptied fills again
    started, times = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or not times:
        call()
        times += 1
    return (time.perf_counter() - started) / times


def _start_times(name: str, size: int, starts: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(starts):
        for form, found in times.items():
            started = time.perf_counter()
            _step(name, form, size)()
            found.append(time.perf_counter() - started)
            keras.backend.clear_session()
    return times


def _ratio(times: dict[str, list[float]], form: str) -> str:
    """Returns the median of the ratios of neighbouring measurements."""
    return f"{statistics.median(a / b for a, b in zip(times[form], times['plain'], strict=False)):.2f}"


if __name__ == "__main__":
    main()
