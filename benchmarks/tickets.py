"""Lottery tickets as in Frankle & Carbin 2019: when a training should have stopped, and how accurate it was then.

    python benchmarks/tickets.py            # all trials; finished ones are read
    python benchmarks/tickets.py --trials 1 # one of them, 20 minutes on one core

LeNet-300-100 on Fashion-MNIST, twelve rounds of pruning. What is fixed here was fixed before any run, and stands in
docs/tickets.md too.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from _csv_files import read_csv, write_csv  # noqa: E402
from _tickets import CONTROL_ROUNDS, EVERY, HEADERS, ITERATIONS, REWIND, ROUNDS  # noqa: E402

from tfprune.adapters.backend import keras, machine, seed_everything, tf, versions  # noqa: E402
from tfprune.adapters.tf_keras.mask_values import get_weights, kernels, set_masks, set_weights  # noqa: E402
from tfprune.data._base import Split  # noqa: E402
from tfprune.data._pipeline import training_batches  # noqa: E402
from tfprune.experiments.building import initial_weights, make_model, masked_model  # noqa: E402
from tfprune.experiments.run_data import load_data  # noqa: E402
from tfprune.pruning.events import PruningEvent  # noqa: E402
from tfprune.pruning.masks import Arrays, ones_like, prune_masks, sparsity_of  # noqa: E402
from tfprune.training.config import Config  # noqa: E402
from tfprune.utils.files import write_json  # noqa: E402
from tfprune.utils.seeds import derive  # noqa: E402

TRIALS = 5
HIDDEN, BATCH, LEARNING_RATE = (300, 100), 60, 1.2e-3
RATE, OUTPUT_RATE = 0.2, 0.1  # of the weights still alive that go in a round: of hidden layers, of the output layer
MEASURED_AT_ONCE = 2000  # examples


class Trained(NamedTuple):
    """What a training left.

    Attributes:
        masks: of its network, by kernel.
        weights: after the last iteration, in the order of the layers.
        early: the same after iteration `REWIND`.
    """

    masks: Arrays
    weights: list[np.ndarray]
    early: list[np.ndarray]


class Work:
    """The data, the network, and the rows of finished trials."""

    def __init__(self, data_dir: str | None, out: Path, limit: int | None = None) -> None:
        self.config = Config(
            dataset="fashion_mnist",
            data_dir=data_dir,
            model="mlp",
            model_settings={"hidden": HIDDEN},
            batch_size=BATCH,
            augment=(),
            limit=limit,
        )
        self.data = load_data(self.config)
        self.model = masked_model(make_model(self.config, self.data, dict(self.config.model_settings)), self.config)
        self.out = out
        self.rows = read_csv(out) if out.is_file() else []
        self.measure = {name: self._measure(getattr(self.data, name)) for name in ("train", "validation", "test")}

    def finished(self, trial: int) -> bool:
        return any(row["trial"] == str(trial) for row in self.rows)

    def initial(self, trial: int, purpose: str) -> list[np.ndarray]:
        return initial_weights(self.config.replace(seed=trial), self.data, purpose)

    def run(self, trial: int) -> None:
        """Trains all networks of a trial; an interrupted one starts again."""
        rows = []
        for row in self.trained(trial):
            rows.append(row)
            shown = {name: value for name, value in row.items() if not name.endswith("curve")}
            click.echo(json.dumps(shown))
        self.rows += rows
        write_csv(self.out, HEADERS, self.rows)
        known = {"versions": versions(), "machine": machine(), "settings": self.config.to_dict()}
        write_json(self.out.with_suffix("").with_suffix(".json"), known)

    def trained(self, trial: int) -> Iterator[dict[str, Any]]:
        """Yields the rows of a trial's trainings."""
        start, other = self.initial(trial, "init"), self.initial(trial, "reinit")
        set_weights(self.model, start)
        whole = ones_like(kernels(self.model))
        row, dense = self.train(trial, "dense", 0, whole, start)
        yield row
        for arm in ("ticket", "rewinding", "rate rewinding"):
            last = dense
            for number in range(1, ROUNDS + 1):
                masks = fewer(last.masks, self.kernels_of(last), RATE, OUTPUT_RATE)
                first = {"ticket": start, "rewinding": dense.early, "rate rewinding": last.weights}[arm]
                done = REWIND if arm == "rewinding" else 0
                row, last = self.train(trial, arm, number, masks, first, done)
                yield row
                if arm == "ticket" and number in CONTROL_ROUNDS:
                    yield self.train(trial, "reinitialised", number, masks, other)[0]
        for number in CONTROL_ROUNDS:
            rates = (1 - (1 - own) ** number for own in (RATE, OUTPUT_RATE))
            masks = fewer(whole, self.kernels_of(dense), *rates)
            yield self.train(trial, "one shot", number, masks, start)[0]

    def kernels_of(self, trained: Trained) -> Arrays:
        """Returns the kernels that a training ended with."""
        set_masks(self.model, trained.masks)
        set_weights(self.model, trained.weights)
        return kernels(self.model)

    def train(
        self, trial: int, arm: str, number: int, masks: Arrays, start: Sequence[np.ndarray], done: int = 0
    ) -> tuple[dict[str, Any], Trained]:
        """Trains the network once with a fresh optimizer.

        Args:
            trial: its number, from which the order of the examples follows.
            arm: what is trained.
            number: rounds of pruning before it.
            masks: of the network.
            start: its weights.
            done: iterations that they have behind them.
        """
        set_masks(self.model, masks)
        set_weights(self.model, start)
        seed_everything(derive(trial, "training"), anew=False)
        self.model.compile(
            keras.optimizers.Adam(LEARNING_RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        batches = training_batches(
            self.data.train, BATCH, seed=derive(trial, "order"), shuffle=True, augment=(), first_step=done
        )
        curve = Curve(self.measure, done)
        clock = time.process_time()
        self.model.fit(
            batches,
            initial_epoch=done // EVERY,
            epochs=ITERATIONS // EVERY,
            steps_per_epoch=EVERY,
            verbose=0,
            callbacks=[curve],
        )
        took = time.process_time() - clock
        ended = kernels(self.model)
        assert all(not np.any(kernel[masks[name] == 0]) for name, kernel in ended.items())
        best = int(np.argmin(curve.losses))  # of equal ones the first
        row = {
            "trial": trial,
            "arm": arm,
            "round": number,
            "remaining": 1 - sparsity_of(masks),
            "stop_iteration": done + EVERY * (best + 1),
            "stop_accuracy": curve.correct[best] / len(self.data.test),
            "end_accuracy": curve.correct[-1] / len(self.data.test),
            "end_train_accuracy": self.measure["train"]()[1] / len(self.data.train),
            "cpu_seconds": round(took, 2),
            "test_curve": " ".join(map(str, curve.correct)),
        }
        return row, Trained(masks, get_weights(self.model), curve.early)

    def _measure(self, split: Split) -> Any:
        """Returns a function that measures the network: its mean loss, and how many examples it gets right."""
        x, y = tf.constant(np.asarray(split.x)), tf.constant(np.asarray(split.y), tf.int32)

        @tf.function
        def part(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits = self.model(images, training=False)
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            right = tf.argmax(logits, axis=-1, output_type=tf.int32) == labels
            return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.int32))

        def whole() -> tuple[float, int]:
            each = [
                part(x[first : first + MEASURED_AT_ONCE], y[first : first + MEASURED_AT_ONCE])
                for first in range(0, len(y), MEASURED_AT_ONCE)
            ]
            return sum(float(loss) for loss, _ in each) / len(y), sum(int(right) for _, right in each)

        return whole


class Curve(keras.callbacks.Callback):
    """Measures a network each `EVERY` iterations.

    Attributes:
        losses: on the validation split.
        correct: examples of the test split that it gets right.
        early: its weights after iteration `REWIND`.
    """

    def __init__(self, measure: Mapping[str, Any], done: int) -> None:
        super().__init__()
        self.measure, self.done = measure, done
        self.losses: list[float] = []
        self.correct: list[int] = []
        self.early: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.losses.append(self.measure["validation"]()[0])
        self.correct.append(self.measure["test"]()[1])
        if (epoch + 1) * EVERY == REWIND:
            self.early = get_weights(self.model)


def fewer(masks: Arrays, weights: Arrays, rate: float, output_rate: float) -> dict[str, np.ndarray]:
    """Returns masks without the smallest weights.

    Args:
        masks: what is alive, by kernel; the last kernel is that of the output layer.
        weights: shaped like them.
        rate: fraction of the living weights of each hidden layer that goes.
        output_rate: the same of the output layer.
    """
    output, found = list(masks)[-1], {}
    for name, mask in masks.items():
        event = PruningEvent(rate=output_rate if name == output else rate)
        found |= prune_masks({name: np.abs(weights[name])}, {name: mask}, event, "layer")
    return found


@click.command()
@click.option("--trials", type=int, default=TRIALS, show_default=True)
@click.option("--first", type=int, default=0, show_default=True, help="number of the first trial")
@click.option("--data-dir", default=None)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "docs/results/tickets/fashion_mnist.csv.gz")
def main(trials: int, first: int, data_dir: str | None, out: Path) -> None:
    """Lottery tickets of LeNet-300-100 on Fashion-MNIST, with their controls."""
    for library in ("tensorflow", "tfprune"):
        logging.getLogger(library).setLevel(logging.ERROR)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Work(data_dir, out)
    for trial in range(first, first + trials):
        if not work.finished(trial):
            work.run(trial)


if __name__ == "__main__":
    main()
