"""Images a second that the input pipeline gives, beside those that the default model's training takes.

    python benchmarks/input_pipeline.py --data-dir FOLDER

Both run in turns, so that what else the machine does slows both alike; the medians are printed. The last column is the
wall time of `fit` on the same pipeline as TensorFlow tunes it, over that on ours, whose numbers of threads and buffers
are fixed: the end of an iterator that is tuned may wait for the thread that tunes it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.wrapping import wrap
from tfprune.data import DATASETS
from tfprune.data._pipeline import training_batches
from tfprune.models import MODELS

IMAGES = ("fashion_mnist", "flowers", "cifar10")
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of prepared TFDS data sets.")
@click.option("--dataset", "datasets", type=click.Choice(IMAGES), multiple=True, default=IMAGES, show_default=True)
@click.option("--precision", type=click.Choice(POLICIES), default="float32", show_default=True)
@click.option("--rounds", default=5, show_default=True, help="Measurements of each, in turns.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of one measurement.")
@click.option("--fit-seconds", default=15.0, show_default=True, help="About as long is a fit.")
def main(
    data_dir: Path | None, datasets: tuple[str, ...], precision: str, rounds: int, seconds: float, fit_seconds: float
) -> None:
    """Compare the input pipeline with the training that it feeds."""
    keras.mixed_precision.set_global_policy(precision)
    headers = f"{'pipeline/s':>12}{'training/s':>12}{'ratio':>8}{'fit, tuned / ours':>20}"
    click.echo(f"{'data set':14}{'model':16}{'batch':>6}{headers}")
    for name in datasets:
        spec = DATASETS[name]
        data = spec.load(data_dir, 0)
        batches = training_batches(data.train, spec.batch_size, shuffle=True, seed=0, augment=spec.augment)
        model = wrap(MODELS[spec.model](data.input_shape, len(data.labels), **spec.model_settings))
        model.compile(spec.optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        pipeline, training = _pipeline(batches), _training(model, batches)
        speeds: dict[Callable, list[float]] = {pipeline: [], training: []}
        for _ in range(rounds):
            for act, found in speeds.items():
                found.append(spec.batch_size * _times_a_second(act, seconds))
        given, taken = (statistics.median(found) for found in speeds.values())
        steps = max(1, round(fit_seconds * taken / spec.batch_size))
        tuned = _tuned(model, batches, steps, rounds)
        speeds_of = f"{given:12,.0f}{taken:12,.0f}{given / taken:7.1f}x{tuned:19.2f}x"
        click.echo(f"{name:14}{spec.model:16}{spec.batch_size:6}{speeds_of}")


def _pipeline(batches: tf.data.Dataset) -> Callable[[], object]:
    iterator = iter(batches)
    return lambda: next(iterator)


def _training(model: keras.Model, batches: tf.data.Dataset) -> Callable[[], object]:
    """Steps on one and the same batch, which costs nothing to get."""
    same = iter(tf.data.Dataset.from_tensors(next(iter(batches))).repeat())
    step = model.make_train_function()
    return lambda: float(step(same)["loss"])


def _tuned(model: keras.Model, batches: tf.data.Dataset, steps: int, rounds: int) -> float:
    """Returns the median ratio of the times of a `fit` with TensorFlow's tuning and without."""
    options = tf.data.Options()
    options.autotune.enabled = True
    ratios = []
    for _ in range(rounds):
        took = []
        for own in (batches.with_options(options), batches):
            started = time.perf_counter()
            model.fit(own, steps_per_epoch=steps, verbose=0)
            took.append(time.perf_counter() - started)
        ratios.append(took[0] / took[1])
    return statistics.median(ratios)


def _times_a_second(act: Callable[[], object], seconds: float) -> float:
    act()  # fills what the other one's turn has emptied
    started, times = time.perf_counter(), 0
    while time.perf_counter() - started < seconds or not times:
        act()
        times += 1
    return times / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
