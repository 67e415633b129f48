"""What a sweep's driver, a cut and a data set take, by how many trials, workers, parameters and examples there are.

The driver is the real one (`sweeps.run_all`); its workers are simulated: they train nothing, and a trial takes as long
as it is told to. Data sets are random images, written as TFDS writes them.

    python benchmarks/scaling.py --page docs/scaling.md --figure docs/figures/scaling.png
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import heapq
import json
import multiprocessing
import os
import pickle
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from tabulate import tabulate

from tfprune.adapters.backend import cores
from tfprune.experiments.executors._base import Train
from tfprune.experiments.plans import outcome
from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.sweeps import run_all
from tfprune.reporting.figures.panels import Panel, Theme
from tfprune.reporting.figures.rendering import write_png
from tfprune.reporting.tables import update_page
from tfprune.training.config import Config

METRICS = Path(__file__).parents[1] / "docs/results/cifar10/cifar10-dynamic-seed1-f84c30ab/metrics.json"
SIDE = 96  # of the images
TRIALS_EACH, LEAST_TRIALS = 3, 600  # of a simulated worker, and of all
LATENCY = 0.05  # seconds that a simulated trial takes where workers are many


class Simulated:
    """An executor whose workers train nothing.

    Args:
        workers: how many.
        seconds: that each trial takes; 0: it is done when it is handed out.
    """

    lost = ()

    def __init__(self, workers: int, seconds: float = 0.0) -> None:
        self._workers = workers
        self._seconds = seconds
        self._due: list[tuple[float, int, Future, Any]] = []
        self._changed = threading.Condition()
        self._metrics = METRICS.read_text()
        threading.Thread(target=self._pass_time, daemon=True).start()

    def wanted(self) -> int:
        return self._workers

    def start(self, folders: Collection[str]) -> SimulatedWorker:
        return SimulatedWorker(self)

    def close(self) -> None:
        pass

    def later(self, configs: Sequence[Config]) -> Future[list[Result]]:
        """Returns what is done when the trial's time has passed; through pickle, as between processes."""
        future: Future[list[Result]] = Future()
        own = pickle.loads(pickle.dumps(list(configs)))
        made = [Result(RunDir(Path(c.out) / c.run_id), c, json.loads(self._metrics)) for c in own]
        results = pickle.loads(pickle.dumps(made))
        if not self._seconds:
            future.set_result(results)
            return future
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + self._seconds, id(future), future, results))
            self._changed.notify()
        return future

    def _pass_time(self) -> None:
        while True:
            with self._changed:
                while not self._due:
                    self._changed.wait()
                ahead = self._due[0][0] - time.monotonic()
                if ahead > 0:
                    self._changed.wait(ahead)
                    continue
                _, _, future, results = heapq.heappop(self._due)
            future.set_result(results)


class SimulatedWorker:
    def __init__(self, executor: Simulated) -> None:
        self._executor = executor
        self.ready: Future[None] = Future()
        self.ready.set_result(None)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(1)
        return done

    def train(self, train: Train, configs: Sequence[Config], dense: Result | None) -> Future[list[Result]]:
        return self._executor.later(configs)

    def stop(self) -> None:
        pass


def sweep(trials: int, workers: int, seconds: float = 0.0) -> dict[str, float]:
    """Runs a sweep of an unpruned and a pruned network a seed; returns what the driver took."""
    with tempfile.TemporaryDirectory() as out:
        before, cpu = _resident(), time.process_time()
        common = Config(dataset="penguins", method="unpruned", epochs=9, loop="plain", out=out)
        pruned = common.replace(method="pruned")
        configs = [own.replace(seed=seed) for seed in range(trials // 2) for own in (common, pruned)]
        simulated = Simulated(workers, seconds)
        outcomes, failures = run_all(configs, simulated, networks=lambda config: 1, keep=outcome)  # as `tfprune sweep`
        assert len(outcomes) == len(configs) and not failures
        return {"cpu": time.process_time() - cpu, "bytes": _resident() - before}


def cut(parameters: int) -> float:
    """Cuts a network globally; returns the peak of memory beyond the weights."""
    sys.path.insert(0, str(Path(__file__).parent))
    from cut_memory import measure

    ratio, _ = measure(parameters, "global")
    return 4 * parameters * ratio


def write_images(folder: Path, count: int) -> None:
    """Writes a copy of `tf_flowers` of random images."""
    import tensorflow_datasets as tfds

    names = [str(number) for number in range(5)]
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(None, None, 3)), "label": tfds.features.ClassLabel(names=names)}
    )
    random = np.random.default_rng(0)
    rows = [
        (f"{n}", {"image": random.integers(0, 256, (SIDE, SIDE, 3), np.uint8), "label": n % 5}) for n in range(count)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tf_flowers", version="3.0.1", features=features, split_datasets={"train": rows}, data_dir=folder
    )


def read_images(folder: Path, stream: str) -> int:
    """Goes through all images once as a training does and once as an evaluation; returns the growth of the peak."""
    from tfprune.data import _tfds
    from tfprune.data._pipeline import evaluation_batches, training_batches

    def read() -> None:
        (split,), _ = _tfds.read_images("tf_flowers", ("train",), folder, side=SIDE, channels=3, stream=stream)
        for _ in training_batches(split, 64, shuffle=True, seed=0, augment=("crop",)).take(-(-len(split) // 64)):
            pass
        for _ in evaluation_batches(split, 64):
            pass

    before = _resident()
    read()
    return _peak() - before


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _answer(connection: Any, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    os.environ["TQDM_DISABLE"] = "1"
    connection.send(function(*arguments))


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a fresh process, whose memory is its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_answer, args=(there, function, arguments))
    process.start()
    there.close()
    answer = here.recv()
    process.join()
    return answer


@dataclasses.dataclass(frozen=True)
class Line:
    """Measured points, `label` -> y against x."""

    label: str
    x: Sequence[float]
    y: Sequence[float]

    @property
    def fit(self) -> np.ndarray:
        """Slope and intercept of the upper half of the points, on two logarithmic axes."""
        half = len(self.x) // 2
        return np.polyfit(np.log(self.x[half:]), np.log(np.maximum(self.y[half:], 1e-9)), 1)

    @property
    def slope(self) -> float:
        """1 grows in proportion, 0 does not grow."""
        return float(self.fit[0])


def _draw(axes: Axes, theme: Theme, *, lines: Sequence[Line], x: str, y: str) -> None:
    for number, line in enumerate(lines):
        color, half = theme.methods[number], len(line.x) // 2
        axes.plot(line.x, line.y, "o-", color=color)
        name = f"{line.label}: slope {line.slope:.2f}"
        axes.annotate(name, (0.04, 0.97 - 0.09 * number), xycoords="axes fraction", va="top", color=color)
        axes.plot(line.x[half:], np.exp(np.polyval(line.fit, np.log(line.x[half:]))), "--", color=theme.muted)
    axes.set(xscale="log", yscale="log", xlabel=x, ylabel=y)
    lowest, highest = (f(value for line in lines for value in line.y) for f in (min, max))
    axes.set_ylim(min(lowest, highest / 10) / 1.5, highest * 5)  # at least a decade: what does not grow looks flat
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_formatter(NullFormatter())


def measured(given: argparse.Namespace) -> list[tuple[str, str, str, list[Line]]]:
    """Returns a title, what the axes are, and lines of each panel."""
    driver = [apart(sweep, trials, 16) for trials in given.trials]
    fleets = [apart(sweep, max(TRIALS_EACH * workers, LEAST_TRIALS), workers, LATENCY) for workers in given.workers]
    each = [fleet["cpu"] / max(TRIALS_EACH * n, LEAST_TRIALS) for n, fleet in zip(given.workers, fleets, strict=True)]
    cuts = [apart(cut, parameters) for parameters in given.parameters]
    peaks: dict[str, list[float]] = {"memory": [], "shards": []}
    for examples in given.examples:
        with tempfile.TemporaryDirectory() as folder:
            apart(write_images, Path(folder), examples)
            for stream, own in peaks.items():
                own.append(apart(read_images, Path(folder), stream))
    panels = [
        ("Driver: time", "trials", "seconds of a core", [Line("all trials", given.trials, [d["cpu"] for d in driver])]),
        ("Driver: memory", "trials", "MB", [Line("growth", given.trials, [d["bytes"] / 1e6 for d in driver])]),
        (
            "Driver: workers",
            "workers",
            "ms of a core, each trial",
            [Line("a trial", given.workers, [1e3 * e for e in each])],
        ),
        (
            "Global cut",
            "parameters",
            "MB beyond the weights",
            [Line("peak", given.parameters, [c / 1e6 for c in cuts])],
        ),
    ]
    if given.examples:
        lines = [Line(f"--stream {name}", given.examples, [p / 1e6 for p in own]) for name, own in peaks.items()]
        panels.append(("Reading images", "examples", "MB, growth of the peak, TensorFlow included", lines))
    return panels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 300, 1000, 3000, 10_000, 30_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000, 3000])
    parser.add_argument("--parameters", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--examples", type=int, nargs="*", default=[250, 1000, 4000, 16_000])
    parser.add_argument("--page", type=Path, help="A Markdown page to renew.")
    parser.add_argument("--figure", type=Path, help="A PNG to write.")
    given = parser.parse_args()
    panels = measured(given)
    rows = [
        (
            title,
            f"{line.label}, {y}",
            ", ".join(f"{value:,.3g}" for value in line.y),
            f"{line.slope:.2f}",
            f"{x}: " + ", ".join(f"{n:,}" for n in line.x),
        )
        for title, x, y, lines in panels
        for line in lines
    ]
    table = tabulate(rows, ("what", "measured", "values", "slope", "against"), tablefmt="github", disable_numparse=True)
    print(table)
    if given.figure:
        drawn = [
            Panel(functools.partial(_draw, lines=lines, x=x, y=y), f"{y} against {x}", title)
            for title, x, y, lines in panels
        ]
        write_png(drawn, given.figure, title="What grows with what", columns=3)
    if given.page:
        load = f"Load {os.getloadavg()[0]:.1f} on {cores()} cores when it ended."
        update_page(given.page, "growth", f"{table}\n\n{load}")


if __name__ == "__main__":
    main()
