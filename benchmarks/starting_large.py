"""Does it pay to start large? Channels that go in the middle of a training, beside networks that start small.

    python benchmarks/starting_large.py calibrate  # how long steps, compiling and taking channels out take here
    python benchmarks/starting_large.py select     # which way of taking them out: validation data, seeds of its own
    python benchmarks/starting_large.py references # networks that start small, with the seeds of the selection
    python benchmarks/starting_large.py compare    # three budgets a factor of 3 apart
    python benchmarks/starting_large.py curve      # several widths, for accuracy against latency
    python benchmarks/starting_large.py latency    # how long calls of their files take here, and how large these are

Every training but the whole network's has the same time: a share of what the whole network takes for its budget of
epochs, with compiling and taking channels out. How many steps that is follows from the step times of `calibrate`; the
CPU time that a training then took is kept beside it. What is fixed here was fixed before any run, and stands in
docs/starting-large.md too. Finished trainings are those of --out, by default the published ones.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from _csv_files import read_csv, write_csv  # noqa: E402
from _starting_large import CURVE, HEADERS  # noqa: E402

import tfprune  # noqa: E402
from tfprune.adapters.backend import keras, machine, seed_everything, tf, versions  # noqa: E402
from tfprune.adapters.tf_keras.optimizers import build_optimizer, unwrapped  # noqa: E402
from tfprune.data._base import Data, Split  # noqa: E402
from tfprune.data._pipeline import training_batches  # noqa: E402
from tfprune.experiments.building import make_model  # noqa: E402
from tfprune.experiments.run_data import load_data  # noqa: E402
from tfprune.exporting.measured import times_of  # noqa: E402
from tfprune.structured.budgets import Budget, Request  # noqa: E402
from tfprune.structured.channels import channels  # noqa: E402
from tfprune.structured.scoring import CRITERIA  # noqa: E402
from tfprune.structured.selecting import least_important  # noqa: E402
from tfprune.structured.shrinking import shrink_model  # noqa: E402
from tfprune.structured.surgery import remove_groups  # noqa: E402
from tfprune.structured.widths import MULTIPLE, width  # noqa: E402
from tfprune.training.adjusting import Dropouts  # noqa: E402
from tfprune.training.config import Config  # noqa: E402
from tfprune.training.learning_rates import build_learning_rate  # noqa: E402
from tfprune.training.precision import precision_scope  # noqa: E402
from tfprune.utils.files import write_json  # noqa: E402
from tfprune.utils.seeds import derive  # noqa: E402

KEEP, SHARE = 0.5, 0.5  # of the channels; of the whole network's time
SEEDS, FIRST_SELECTION_SEED, SELECTION_SEEDS, CURVE_SEEDS = 5, 100, 3, 3
WARMUP, BATCH = 0.5, 128  # epochs of the whole network's, examples
AFTER = 0.5  # share of the time after which channels go, where they go after training
ROUNDS, STEPS_OF_A_ROUND = 7, 40
AVERAGED = 0.5  # share of the whole network's steps whose weights are averaged into a teacher
RUNTIMES = ("tflite", "savedmodel")
SOFT = 0.5  # share of the labels that is what the teacher says
Trained = tuple[keras.Model, int, int]  # a model, its steps, those that it made as the whole network


class Compared(NamedTuple):
    """What is compared on a data set.

    Attributes:
        model: the whole network.
        precision: of the arithmetic.
        budgets: epochs of the whole network, each three times the one before; ways are chosen at the middle one.
    """

    model: str
    precision: str
    budgets: tuple[int, int, int]


PROTOCOLS = {
    "fashion_mnist": Compared("lenet", "float32", (2, 6, 18)),
    "cifar10": Compared("resnet8", "float32", (1, 3, 9)),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How channels go in a training.

    Args:
        whole: share of the training's time that the whole network has.
        scope: `layer`, the same share of each group; `time`, what is worth least for the time that it takes.
        criterion: what channels are ranked by.
        events: equal steps in which they go; the last one when `whole` has passed.
        penalty: makes channels small before they go, or None.
        restart: whether the learning rate rises again when they have gone.
        distilled: whether the smaller network learns what the mean of the whole one's last weights says, too.
    """

    whole: float = 1 / 3
    scope: str = "layer"
    criterion: str = "l1"
    events: int = 1
    penalty: str | None = None
    restart: bool = False
    distilled: bool = False


FIRST = Recipe()
CHANGES: dict[str, dict[str, Any]] = {  # in the order in which they are tried; the better of each and the best so far
    "ranked by value per measured time": {"scope": "time"},
    "channels go twice as early": {"whole": 1 / 6},
    "four times as early": {"whole": 1 / 12},
    "group norm before": {"penalty": "group_norm", "criterion": "l2"},
    "in two events": {"events": 2},
    "in three events": {"events": 3},
    "the rate restarts": {"restart": True},
    "distilled": {"distilled": True},
}


class Work:
    """A data set, its network, what takes how long here, and the finished trainings."""

    def __init__(self, dataset: str, data_dir: str | None, out: Path) -> None:
        model, precision, self.budgets = PROTOCOLS[dataset]
        self.config = Config(dataset=dataset, data_dir=data_dir, model=model, batch_size=BATCH, precision=precision)
        self.data: Data = load_data(self.config)
        self.out = out
        self.times_path = out.with_suffix("").with_suffix(".json")
        self.rows = read_csv(out) if out.is_file() else []
        self.uncharged = [0.0, 0.0]  # seconds of processors and of the clock, of what is measured within a training
        self.calibration: dict[str, Any] = json.loads(self.times_path.read_text()) if self.times_path.is_file() else {}

    @property
    def middle(self) -> int:
        """The budget at which ways are chosen and curves are drawn."""
        return self.budgets[1]

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.data.train) // BATCH)

    def whole(self, seed: int) -> keras.Model:
        """Returns the whole network with the initial weights of a seed."""
        seed_everything(derive(seed, "init"), anew=False)
        with precision_scope(self.config.precision):
            return make_model(self.config, self.data, dict(self.config.model_settings))

    def smaller(self, model: keras.Model, recipe: Recipe, keep: float, left: float = 1.0) -> keras.Model:
        """Returns a model without the channels that go; its rates of dropout go down with them.

        Args:
            model: of which a share is `left`.
            recipe: how they are chosen.
            keep: share of the whole network's channels that stays.
            left: share of them that the model has.
        """
        whole = self.whole(0)
        dropouts = Dropouts(whole)
        if recipe.scope == "time":
            asked = Request(None, Budget("latency", self.share(keep) / self.share(left)), scope="global")
            how = {"criterion": recipe.criterion, "times": self.remembered_times(model)}
            small = shrink_model(model, asked, granularity="filter", **how)
        else:
            sizes = {name: len(group) for name, group in channels(whole).free.items()}
            # Shares of the whole network's channels are rounded, so that no error adds up over several events.
            widths = {name: width(size, keep, MULTIPLE) for name, size in sizes.items()}
            small = narrowed(model, widths, recipe.criterion)
        dropouts.scale(small)
        return small

    def scratch(self, model: keras.Model, seed: int) -> keras.Model:
        """Returns a network like this one with initial weights of its own."""
        seed_everything(derive(seed, "init of a small one"), anew=False)
        with precision_scope(self.config.precision):
            return keras.models.clone_model(model)

    def compile(self, model: keras.Model, schedule: Any) -> None:
        optimizer = build_optimizer(self.config.optimizer, schedule, self.config.optimizer_settings)
        model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
        unwrapped(model.optimizer).build(model.trainable_variables)

    def rate(self, total: int, first: int = 0) -> Any:
        """Returns the learning rate of a training, or of what is left of it after its step `first`."""
        warmup = round(min(WARMUP * self.steps_per_epoch, total / 4))
        how = {"warmup_steps": warmup, "total_steps": total, "first_step": -first}
        return build_learning_rate(self.config.learning_rate_schedule, self.config.learning_rate, **how)

    def batches(self, seed: int, labels: np.ndarray, first: int = 0) -> tf.data.Dataset:
        split = Split(self.data.train.x, labels)
        how = {"shuffle": True, "augment": self.config.augment, "first_step": first}
        return training_batches(split, BATCH, seed=derive(seed, "batches"), **how)

    def labels(self) -> np.ndarray:
        return np.eye(len(self.data.labels), dtype=np.float32)[self.data.train.y]

    def scores(self, model: keras.Model) -> dict[str, float]:
        found = {}
        for name in ("validation", "test"):
            split = getattr(self.data, name)
            chosen = np.argmax(model.predict(np.asarray(split.x), batch_size=512, verbose=0), axis=-1)
            found[f"{name}_accuracy"] = float(np.mean(chosen == split.y))
        return found

    # What takes how long

    def calibrate(self) -> None:
        """Measures interleaved steps of the whole network and of narrow ones, and what compiling takes."""
        calls, compiling, names = [], [], ["whole", *(f"keep {keep:g}" for keep in CURVE)]
        surgery = []
        for name in names:
            model = self.whole(0)
            self.compile(model, self.rate(1000))
            if name != "whole":
                started = time.process_time()
                model = self.smaller(model, FIRST, float(name.split()[1]))
                surgery.append(time.process_time() - started)
            calls.append(self.steps(model))
            started = time.process_time()
            calls[-1](1)
            compiling.append(time.process_time() - started)
        taken: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(ROUNDS + 1):
            for name, call in zip(names, calls, strict=True):
                started = time.process_time()
                call(STEPS_OF_A_ROUND)
                if turn:
                    taken[name].append((time.process_time() - started) / STEPS_OF_A_ROUND)
        shares = {
            name: statistics.median(a / b for a, b in zip(own, taken["whole"], strict=True))
            for name, own in taken.items()
        }
        self.calibration |= {
            "step": statistics.median(taken["whole"]),
            "shares": shares,
            "compiling": statistics.median(compiling[1:]),
            "surgery": statistics.median(surgery),
            "versions": versions(),
            "machine": machine(),
            "settings": {name: self.config.to_dict()[name] for name in ("dataset", "model", "precision", "batch_size")},
        }
        self.write_times()

    def steps(self, model: keras.Model) -> Callable[[int], None]:
        """Returns a function that trains a model for some steps."""
        source = self.batches(0, self.labels())

        def call(count: int) -> None:
            model.fit(source, steps_per_epoch=count, epochs=1, verbose=0)

        return call

    def write_times(self) -> None:
        write_json(self.times_path, self.calibration)

    def share(self, keep: float) -> float:
        """Returns the time of a step of a uniformly narrow network as a share of the whole one's."""
        known = sorted((float(name.split()[1]), own) for name, own in self.calibration["shares"].items() if " " in name)
        return float(np.interp(keep, *zip(*known, (1.0, 1.0), strict=True)))

    def share_of(self, model: keras.Model) -> float:
        """Returns the time of a step of a network as a share of the whole one's, as both train in turns; measured once.

        Single steps that are measured to rank channels may say something else. What this takes no training is charged.
        """
        known, name = self.calibration.setdefault("trained", {}), widths_of(model)
        if name not in known:
            started = time.process_time(), time.perf_counter()
            calls = []
            for own in (self.whole(0), self.scratch(model, 0)):
                self.compile(own, self.rate(1000))
                calls.append(self.steps(own))
            ratios = []
            for _ in range(ROUNDS + 1):  # the first one compiles
                clocks = [time.process_time()]
                for call in calls:
                    call(STEPS_OF_A_ROUND)
                    clocks.append(time.process_time())
                ratios.append((clocks[2] - clocks[1]) / (clocks[1] - clocks[0]))
            known[name] = statistics.median(ratios[1:])
            self.write_times()
            ended = time.process_time(), time.perf_counter()
            self.uncharged = [own + end - start for own, end, start in zip(self.uncharged, ended, started, strict=True)]
        return known[name]

    def remembered_times(self, model: keras.Model) -> Callable[[Sequence[Any]], list[float]]:
        """Returns a function that measures steps of training, each architecture once in a machine's life."""
        x, y = np.asarray(self.data.train.x[:BATCH]), self.labels()[:BATCH]
        measured = times_of(model, (x, y), "training", BATCH)
        known = self.calibration.setdefault("measured", {})

        def times(models: Sequence[Any]) -> list[float]:
            first = known.get(widths_of(models[0]), 1.0)  # of the whole network
            missing = {widths_of(own): own for own in models[1:] if widths_of(own) not in known}
            if missing:
                started = time.process_time()
                shares = measured([models[0], *missing.values()])[1:]
                known.update({name: first * share for name, share in zip(missing, shares, strict=True)})
                took = time.process_time() - started
                self.calibration["measuring"] = self.calibration.get("measuring", 0.0) + took
                self.write_times()
            return [1.0, *(known[widths_of(own)] / first for own in models[1:])]

        return times

    def time_of(self, epochs: int) -> float:
        """Returns the CPU seconds of a training of the whole network."""
        return self.calibration["compiling"] + epochs * self.steps_per_epoch * self.calibration["step"]

    # Trainings

    def whole_alone(self, seed: int, epochs: int) -> Trained:
        model = self.whole(seed)
        total = epochs * self.steps_per_epoch
        self.compile(model, self.rate(total))
        self._fit(model, seed, self.labels(), 0, total)
        return model, total, total

    def from_scratch(self, like: keras.Model, seed: int, seconds: float, share: float) -> Trained:
        """Trains a network of another one's widths for some time."""
        model = self.scratch(like, seed)
        total = int((seconds - self.calibration["compiling"]) / (share * self.calibration["step"]))
        self.compile(model, self.rate(total))
        self._fit(model, seed, self.labels(), 0, total)
        return model, total, 0

    def removing(self, recipe: Recipe, seed: int, seconds: float, keep: float) -> Trained:
        """Trains a network that loses channels on its way."""
        model, known = self.whole(seed), self.calibration
        keeps = [keep ** (number / recipe.events) for number in range(1, recipe.events + 1)]
        fixed = known["compiling"] + recipe.events * (known["compiling"] + known["surgery"])
        extra = recipe.distilled * len(self.data.train) / BATCH / 3  # a forward pass is a third of a step
        left = (seconds - fixed) / known["step"] - extra  # in steps of the whole network
        first = [round(recipe.whole * left / recipe.events)] * recipe.events
        shares = [1.0, *(self.share(own) for own in keeps)]
        spent = sum(count * share for count, share in zip(first, shares[:-1], strict=True))
        last = int((left - spent) / shares[-1])
        total, before = sum(first) + last, sum(first)
        self.compile(model, self.rate(before) if recipe.restart else self.rate(total))
        labels, done = self.labels(), 0
        for number, (count, own) in enumerate(zip(first, keeps, strict=True)):
            callbacks = [tfprune.regularize(model, recipe.penalty)] if recipe.penalty else []
            teacher = Averaged(count) if recipe.distilled else None
            self._fit(model, seed, labels, done, count, [*callbacks, *([teacher] if teacher else [])])
            if teacher and number == recipe.events - 1:
                labels = SOFT * teacher.answers(model, self.data.train) + (1 - SOFT) * labels
            done += count
            model = self.smaller(model, recipe, own, keeps[number - 1] if number else 1.0)
        if recipe.scope == "time":  # only now are the widths known
            last = int((left - spent) / self.share_of(model))
            total = before + last
        if recipe.restart or recipe.scope == "time":
            # The property of this name takes numbers alone.
            unwrapped(model.optimizer)._learning_rate = (
                self.rate(last, first=before) if recipe.restart else self.rate(total)
            )
        self._fit(model, seed, labels, done, last)
        return model, total, before

    def _fit(
        self, model: keras.Model, seed: int, labels: np.ndarray, first: int, count: int, callbacks: Any = ()
    ) -> None:
        if count:
            model.fit(
                self.batches(seed, labels, first), steps_per_epoch=count, epochs=1, verbose=0, callbacks=[*callbacks]
            )

    # Rows

    def finished(self, **key: Any) -> dict[str, Any] | None:
        for row in self.rows:
            if all(str(row[name]) == str(value) for name, value in key.items()):
                return row
        return None

    def train(self, make: Callable[[], Trained], **key: Any) -> dict[str, Any]:
        """Returns the row of a training: read if it is finished, else trained."""
        found = self.finished(**key)
        if found is not None:
            return found
        keras.backend.clear_session()
        seed_everything(derive(key["seed"], "training"), anew=False)
        self.uncharged = [0.0, 0.0]
        clocks = time.process_time(), time.perf_counter()
        model, steps, before = make()
        ended = time.process_time(), time.perf_counter()
        took = [end - start - own for end, start, own in zip(ended, clocks, self.uncharged, strict=True)]
        row = key | self.scores(model) | {"cpu_seconds": round(took[0], 2), "wall_seconds": round(took[1], 2)}
        row |= {"steps": steps, "steps_whole": before, "parameters": model.count_params()}
        row |= {"widths": widths_of(model)}
        self.rows.append({name: row[name] for name in HEADERS})
        write_csv(self.out, HEADERS, self.rows)
        click.echo(json.dumps(row))
        return self.rows[-1]

    def like(self, widths: str, seed: int) -> keras.Model:
        """Returns a network of the widths that another one ended with."""
        wanted = {name: int(size) for name, size in (own.split(":") for own in widths.split(" "))}
        model = self.whole(seed)
        dropouts = Dropouts(model)
        small = narrowed(model, wanted)
        dropouts.scale(small)
        return small


class Averaged(keras.callbacks.Callback):
    """Keeps the mean of a model's last weights."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.first, self.count, self.mean = round((1 - AVERAGED) * steps), 0, None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch >= self.first and (batch - self.first) % 10 == 0:
            own = self.model.get_weights()
            self.count += 1
            self.mean = (
                own if self.mean is None else [a + (b - a) / self.count for a, b in zip(self.mean, own, strict=True)]
            )

    def answers(self, model: keras.Model, split: Split) -> np.ndarray:
        """Returns what the mean says of examples: probabilities."""
        own = model.get_weights()
        model.set_weights(self.mean)
        logits = model.predict(np.asarray(split.x), batch_size=512, verbose=0)
        model.set_weights(own)
        return np.asarray(tf.nn.softmax(logits))


def widths_of(model: keras.Model) -> str:
    """Returns the widths of a model's layers as text."""
    sizes = ((layer.name, getattr(layer, "filters", getattr(layer, "units", None))) for layer in model.layers)
    return " ".join(f"{name}:{size}" for name, size in sizes if size)


def narrowed(model: keras.Model, widths: Mapping[str, int], criterion: str = "l1") -> keras.Model:
    """Returns a copy of a model with its most important channels alone, so many of each group.

    Args:
        model: to copy.
        widths: layer -> channels that it keeps; groups are named by a layer that makes them.
        criterion: what they are ranked by.
    """
    found = channels(model)
    scores = CRITERIA[criterion](model, found, 0, None)
    return remove_groups(model, least_important(scores, {name: widths[name] for name in found.free}, found))


@click.group()
@click.option("--dataset", type=click.Choice([*PROTOCOLS]), default="fashion_mnist", show_default=True)
@click.option("--data-dir", default=None)
@click.option("--out", type=click.Path(path_type=Path), default=None)
@click.pass_context
def main(context: click.Context, dataset: str, data_dir: str | None, out: Path | None) -> None:
    """Networks that lose channels in training, beside networks that start small, for the same time."""
    for library in ("tensorflow", "tfprune"):
        logging.getLogger(library).setLevel(logging.ERROR)
    context.obj = Work(dataset, data_dir, out or ROOT / f"docs/results/starting-large/{dataset}.csv.gz")
    context.obj.out.parent.mkdir(parents=True, exist_ok=True)


@main.command()
@click.pass_obj
def calibrate(work: Work) -> None:
    """Measure how long what takes here."""
    work.calibrate()
    click.echo(json.dumps(work.calibration, indent=1))


@main.command()
@click.pass_obj
def select(work: Work) -> None:
    """Choose how channels go, step by step, on validation data."""
    chosen(work)


def chosen(work: Work) -> Recipe:
    """Returns the recipe with the highest mean validation accuracy, each change tried on the best so far."""
    best, known = FIRST, mean_validation(work, "as it was", FIRST)
    for name, change in CHANGES.items():
        tried = dataclasses.replace(best, **change)
        accuracy = mean_validation(work, name, tried)
        if accuracy > known:
            best, known = tried, accuracy
        click.echo(f"{name}: {100 * accuracy:.2f} %, best so far {100 * known:.2f} %")
    return best


def mean_validation(work: Work, name: str, recipe: Recipe) -> float:
    seconds = SHARE * work.time_of(work.middle)
    found = []
    for seed in range(FIRST_SELECTION_SEED, FIRST_SELECTION_SEED + SELECTION_SEEDS):
        key = {"part": "selection", "trial": name, "budget": work.middle, "keep": KEEP, "seed": seed}
        row = work.train(lambda: work.removing(recipe, seed, seconds, KEEP), **key)  # noqa: B023 - called at once
        found.append(float(row["validation_accuracy"]))
    return statistics.mean(found)


@main.command()
@click.pass_obj
def references(work: Work) -> None:
    """Train what starts small with the seeds of the selection: the uniform widths, and those found by measured time."""
    seconds = SHARE * work.time_of(work.middle)
    for seed in range(FIRST_SELECTION_SEED, FIRST_SELECTION_SEED + SELECTION_SEEDS):
        key = {"part": "reference", "budget": work.middle, "keep": KEEP, "seed": seed}
        ranked = work.finished(part="selection", trial=next(iter(CHANGES)), seed=seed)
        narrow, share = work.smaller(work.whole(seed), FIRST, KEEP), work.share(KEEP)
        work.train(lambda: work.from_scratch(narrow, seed, seconds, share), trial="uniform", **key)  # noqa: B023
        if ranked is not None:
            like = work.like(ranked["widths"], seed)
            share = work.share_of(like)
            work.train(lambda: work.from_scratch(like, seed, seconds, share), trial="found", **key)  # noqa: B023


@main.command()
@click.option("--seeds", type=int, default=SEEDS, show_default=True)
@click.pass_obj
def compare(work: Work, seeds: int) -> None:
    """Train all kinds at each budget with several seeds."""
    best = chosen(work)
    work.calibration["recipe"] = dataclasses.asdict(best)
    work.write_times()
    for seed, epochs in itertools.product(range(seeds), work.budgets):
        seconds = SHARE * work.time_of(epochs)
        key = {"part": "main", "budget": epochs, "keep": KEEP, "seed": seed}
        work.train(lambda: work.whole_alone(seed, epochs), trial="whole", **key)  # noqa: B023
        removed = work.train(lambda: work.removing(best, seed, seconds, KEEP), trial="removed", **key)  # noqa: B023
        narrow = work.smaller(work.whole(seed), FIRST, KEEP)
        share = work.share(KEEP)
        work.train(lambda: work.from_scratch(narrow, seed, seconds, share), trial="uniform", **key)  # noqa: B023
        if removed["widths"] != widths_of(narrow):
            like = work.like(removed["widths"], seed)
            own = work.share_of(like)
            work.train(lambda: work.from_scratch(like, seed, seconds, own), trial="found", **key)  # noqa: B023


@main.command()
@click.pass_obj
def curve(work: Work) -> None:
    """Train networks of several widths in each way, for the time of the whole network."""
    best = Recipe(**work.calibration["recipe"])
    seconds = work.time_of(work.middle)
    after = dataclasses.replace(FIRST, whole=AFTER, restart=True)
    for seed in range(CURVE_SEEDS):
        for keep in CURVE:
            key = {"part": "curve", "budget": work.middle, "keep": keep, "seed": seed}
            narrow, share = work.smaller(work.whole(seed), FIRST, keep), work.share(keep)
            work.train(lambda: work.removing(best, seed, seconds, keep), trial="removed", **key)  # noqa: B023
            work.train(lambda: work.removing(after, seed, seconds, keep), trial="after", **key)  # noqa: B023
            work.train(lambda: work.from_scratch(narrow, seed, seconds, share), trial="uniform", **key)  # noqa: B023


@main.command()
@click.pass_obj
def latency(work: Work) -> None:
    """Measure how long networks of these widths take to answer, and how large their files are."""
    whole = work.whole(0)
    models = [whole, *(work.smaller(whole, FIRST, keep) for keep in CURVE)]
    names = ["whole", *(f"keep {keep:g}" for keep in CURVE)]
    example = np.asarray(work.data.test.x[:1])
    work.calibration["latency"] = {
        runtime: dict(zip(names, times_of(whole, example, runtime, 1)(models), strict=True)) for runtime in RUNTIMES
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, model in zip(names, models, strict=True):
            path = Path(folder) / f"{name.replace(' ', '-')}.tflite"
            tfprune.export(model, path, np.asarray(work.data.test.x[:BATCH]))
            work.calibration.setdefault("bytes", {})[name] = path.stat().st_size
    work.write_times()
    click.echo(json.dumps({name: work.calibration[name] for name in ("latency", "bytes")}, indent=1))


if __name__ == "__main__":
    main()
