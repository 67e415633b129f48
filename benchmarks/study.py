"""When does pruning in the middle of training pay? The study of docs/study.md, over tables of real data.

    python benchmarks/study.py --data-dir FOLDER               # all tables, the cheapest first; finished ones are read
    python benchmarks/study.py --data-dir FOLDER --tables wine # one of them
    python benchmarks/study.py --quick                         # two small tables, a minute or two

FOLDER holds a CSV file per table, with the column `class` of labels; without it the tables come from OpenML. What is
fixed here was fixed before any run of the study, and stands in docs/study.md too. Finished tables are those of --out,
by default the published ones. An interrupted table goes on with the trial that was interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from _csv_files import read_csv, write_csv  # noqa: E402
from _study import (  # noqa: E402
    EQUAL_TIME,
    GRADUAL_TIME,
    HEADERS,
    INDEX,
    MAIN,
    SPARSITIES,
    answer_table,
    in_its_own_time,
    main_comparison,
    read_index,
    read_rows,
    summary_of_rows,
    to_unpruned,
)

from tfprune.methods import BASELINE  # noqa: E402
from tfprune.reporting.across_tables import across_notes, across_tables  # noqa: E402
from tfprune.reporting.tables import markdown_table  # noqa: E402
from tfprune.training.config import Config  # noqa: E402
from tfprune.utils.errors import TfpruneError  # noqa: E402
from tfprune.utils.files import write_json  # noqa: E402

TABLES = {  # name in a folder of CSV files -> number on OpenML; in the order of rows times columns, and of the runs
    **{"iris": 61, "haberman": 43, "new_thyroid": 40682, "wheat_seeds": 1499, "glass": 41, "ecoli": 39, "wine": 187},
    **{"breast_cancer_ljubljana": 13, "banknote": 1462, "diabetes": 37, "horse_colic": 25, "vote": 56},
    **{"ionosphere": 59, "sonar": 40, "breast_cancer_wisconsin": 1510, "wine_quality_red": 40691, "credit_g": 31},
    **{"soybean": 42, "phoneme": 1489, "abalone": 183, "segment": 36, "wine_quality_white": 40498},
    **{"mammography": 310, "hypothyroid": 57, "digits": 28, "adult": 1590},
}
QUICK_SPARSITIES = (0.8,)
SEEDS, TUNING_SEEDS, FIRST_TUNING_SEED = 50, 10, 1000
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
HIDDEN, BATCH = (64,), 32
STEPS, FEWEST_EPOCHS, MOST_ROWS = 2400, 30, 2048
EMPTY = {"hypothyroid": ("tbg",)}  # columns without a number, which would be refused
REWIND = 0.1  # of a training's epochs, for lottery tickets
LONGEST = 8  # times the epochs that a small dense network of equal time may have
TIMED, TIMED_EPOCHS = (
    2,
    3,
)  # trainings whose shorter time counts (of a quick run, 1); times the epochs of a second point
COST_OF, COMPILED = ("unpruned", "dynamic global 80 %", "rigl 80 %"), 17  # of a table: rates, budgets and widths
LOOKS = 10  # of a training at the validation split, in which nothing happens
BOTH_SCOPES = ("dynamic", "gradual", "rate_rewinding", "lottery")
OWN_SCOPE = ("rigl", "set", "synflow", "random", "small_dense")
TWICE = ("rate_rewinding", "lottery")  # also with both trainings in full, beside `longer`


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of CSV files; by default the tables come from OpenML")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results/study", help="where finished tables are kept")
    parser.add_argument("--cost", action="store_true", help="measure what the tables would cost, and train little")
    parser.add_argument("--quick", action="store_true", help="two small tables, three seeds, 30 epochs, 80 %% zeros")
    arguments = parser.parse_args()
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            data = arguments.data_dir or bundled(Path(folder))
            return study(["iris", "wine"], 3, Path(folder) / "study", data, quick=True)
    if arguments.cost:
        for name in arguments.tables:
            print(json.dumps(cost(name, arguments.seeds, arguments.data_dir)), flush=True)
        return 0
    return study(arguments.tables, arguments.seeds, arguments.out, arguments.data_dir)


def study(tables: Sequence[str], seeds: int, out: Path, data_dir: Path | None, *, quick: bool = False) -> int:
    """Runs what is not finished, and prints how the methods compare at each sparsity."""
    logging.getLogger("tfprune").setLevel(logging.ERROR)
    summaries = {}
    for name in tables:
        started = time.perf_counter(), time.process_time()
        try:
            summaries[name] = summary_of_rows(of_table(name, seeds, out, data_dir, quick=quick))
        except TfpruneError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        took = time.perf_counter() - started[0], time.process_time() - started[1]
        print(f"{name}: {took[0]:,.0f} s, {took[1]:,.0f} s of CPU time", file=sys.stderr, flush=True)
    if not quick and len(summaries) > 1:
        found = main_comparison(summaries) | in_its_own_time(summaries)
        print(f"\n## Main comparison\n\n{markdown_table(answer_table(found))}")
    for level in QUICK_SPARSITIES if quick else SPARSITIES:
        print(f"\n## {100 * level:g} % zeros\n")
        found = to_unpruned(summaries, level, described=True)
        if found is None:
            print("One table: nothing to compare over data sets.")
            continue
        print("\n\n".join((*map(markdown_table, across_tables(found)), *across_notes(found))))
    return 0 if len(summaries) == len(tables) else 1


def of_table(name: str, seeds: int, out: Path, data_dir: Path | None, *, quick: bool = False) -> list[dict[str, Any]]:
    """Returns the runs of a table: read as far as they are finished, else trained."""
    path, index = out / f"{name}.csv.gz", read_index(out)
    published = read_csv(path) if name in index else []
    levels = QUICK_SPARSITIES if quick else SPARSITIES
    in_time = {trial for level in levels for trial in in_time_at(level)}
    if in_time <= {row["trial"] for row in published}:
        return read_rows(path)
    from tfprune.adapters.backend import machine, versions
    from tfprune.experiments.run_data import load_data
    from tfprune.experiments.together import orders_of

    out.mkdir(parents=True, exist_ok=True)
    base = base_of(name, data_dir, quick=quick)
    data = load_data(base)
    known = trials_of(base, levels)
    published = [row for row in published if row["trial"] in {*known, *in_time}]  # others are of an older protocol
    kept = Progress(out / f"{name}.part", published, index.get(name, {}).get("learning_rate"))
    if kept.rate is None:
        kept.add(learning_rate=RATES[1] if quick else tuned(base))
    base = base.replace(learning_rate=kept.rate)
    drawn = orders_of([base.replace(seed=seed) for seed in range(seeds)], data)
    chance = {"test_accuracy": 1 / len(data.labels), "test_loss": math.log(len(data.labels))}
    run(trials_of(base, levels), range(seeds), kept, drawn, chance)
    timing = Timing(base, range(seeds), drawn, 1 if quick else TIMED)
    for level in levels:
        run(timing.in_time(level), range(seeds), kept, drawn, chance)
    write_csv(path, HEADERS, kept.rows)
    settings = {name: base.to_dict()[name] for name in ("dataset", "epochs", "learning_rate", "data_settings")}
    shared = settings | {"shape": [*data.train.x.shape], "classes": len(data.labels), "seeds": seeds}
    made = {"versions": versions(), "machine": machine()}
    shared = index.get(name, shared | made | {"cpu_seconds": 0.0})
    shared |= {"cpu_seconds": round(shared["cpu_seconds"] + kept.cpu_seconds, 1)}
    shared |= {"timing": made | {"seconds": timing.seconds}}
    write_json(out / INDEX, read_index(out) | {name: shared})
    kept.path.unlink()
    return read_rows(path)


class Progress:
    """What is finished of a table, in a file: a line with the learning rate, then a line per trial.

    Args:
        path: of the file.
        rows: runs that are published already.
        rate: the learning rate of those, or None.

    Attributes:
        rows: the runs so far.
        rate: the learning rate, once it is known.
        cpu_seconds: what all of it took.
    """

    def __init__(self, path: Path, rows: Iterable[dict[str, Any]], rate: float | None) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        values = [json.loads(line) for line in lines]
        self.rate: float | None = next((own["learning_rate"] for own in values if "learning_rate" in own), rate)
        self.rows: list[dict[str, Any]] = [*rows, *(row for own in values for row in own.get("rows", ()))]
        self.cpu_seconds = sum(own["cpu_seconds"] for own in values)
        self._clock = time.process_time()

    def add(self, **values: Any) -> None:
        """Adds the `learning_rate`, or the `rows` of a trial."""
        took, self._clock = time.process_time() - self._clock, time.process_time()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values | {"cpu_seconds": took}) + "\n")
        self.rate = values.get("learning_rate", self.rate)
        self.rows += values.get("rows", ())
        self.cpu_seconds += took


def base_of(name: str, data_dir: Path | None, *, quick: bool = False) -> Config:
    """Returns the settings that all runs of a table share but for the learning rate."""
    config = Config(
        dataset=f"openml:{name if data_dir else TABLES[name]}",
        data_dir=data_dir and str(data_dir),
        data_settings={"missing": "impute", "ignore": EMPTY.get(name, ())},
        method=BASELINE,
        model="mlp",
        model_settings={"hidden": HIDDEN},
        batch_size=BATCH,
        learning_rate_schedule="cosine",
        limit=MOST_ROWS,
    )
    rows = len(config.spec.load(data_dir, 0).train.y)
    steps = math.ceil(min(rows, MOST_ROWS) / BATCH)
    return config.replace(epochs=FEWEST_EPOCHS if quick else max(FEWEST_EPOCHS, round(STEPS / steps)))


def tuned(base: Config) -> float:
    """Returns the learning rate with which unpruned networks have the highest mean validation accuracy."""
    from tfprune.experiments.run_data import load_data
    from tfprune.experiments.together import orders_of, score_together

    seeds = [base.replace(seed=seed) for seed in range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + TUNING_SEEDS)]
    drawn = orders_of(seeds, load_data(base))
    means = {}
    for rate in RATES:
        [found] = score_together(
            [own.replace(learning_rate=rate) for own in seeds], drawn, max(1, base.epochs // LOOKS)
        )
        if not any(score.diverged for score in found):
            each = [score.scores["validation"] for score in found]
            means[rate] = tuple(np.mean([own[name] for own in each]) for name in ("accuracy", "loss"))
    return max(means, key=lambda rate: (means[rate][0], -means[rate][1]))


def trials_of(base: Config, levels: Sequence[float] = SPARSITIES) -> dict[str, Config]:
    """Returns all trials of a table but for the small dense networks of equal time, the baseline first."""
    found = {BASELINE: base, "longer": base.replace(method="longer")}
    for level in levels:
        for method, scope in (
            *((m, s) for m in BOTH_SCOPES for s in ("layer", "global")),
            *((m, None) for m in OWN_SCOPE),
        ):
            trial = f"{method}{f' {scope}' if scope else ''} {100 * level:g} %"
            found[trial] = pruning(base, method, level, scope).within(base.epochs)
        for method in TWICE:
            found[f"{method} global, in full {100 * level:g} %"] = pruning(base, method, level, "global", trainings=1)
    return found


def pruning(base: Config, method: str, level: float, scope: str | None, trainings: int = 2) -> Config:
    """Returns the settings of a method that prunes; the scope is that of its paper unless one is named.

    Tickets are rewound to a share of a training's epochs; `trainings` of them share the base's epochs.
    """
    name = "final_sparsity" if method in ("dynamic", "random") else "sparsity"
    config = base.replace(method=method, settings={name: level})
    if method == "lottery":
        config = config.replace(settings={name: level, "rewind_epoch": max(1, round(REWIND * base.epochs / trainings))})
    return config if scope is None else config.replace(scope=scope)


def in_time_at(level: float) -> dict[str, str]:
    """Returns the small dense networks that are trained for some time: trial -> the method whose time it is."""
    found = {f"{EQUAL_TIME} {100 * level:g} %": BASELINE}
    return found | ({f"{GRADUAL_TIME} {100 * level:g} %": "gradual"} if ("gradual global", level) in MAIN else {})


class Timing:
    """Small dense networks that train as long as others do: all are timed here, one after the other.

    A training costs something whatever its epochs are: the time of a network at other epochs follows from two points.

    Args:
        base: the unpruned network.
        seeds: that are trained together.
        drawn: the orders of their examples.
        trainings: of which the shortest time counts.

    Attributes:
        seconds: trial -> CPU time of a network that was timed here, and `EPOCHS epochs` of small dense ones.
    """

    def __init__(self, base: Config, seeds: Iterable[int], drawn: Any, trainings: int = TIMED) -> None:
        self.base, self.seeds, self.drawn, self.trainings = base, [*seeds], drawn, trainings
        self.seconds: dict[str, float] = {}

    def in_time(self, level: float) -> dict[str, Config]:
        """Returns the settings of `in_time_at` of a sparsity."""
        small = pruning(self.base, "small_dense", level, None)
        few, many = small.epochs, TIMED_EPOCHS * small.epochs
        short, long = (
            self.time(f"small_dense {level:g}, {epochs} epochs", small.replace(epochs=epochs)) for epochs in (few, many)
        )
        found = {}
        for trial, method in in_time_at(level).items():
            other = self.base if method == BASELINE else pruning(self.base, method, level, "global")
            limit = self.time(BASELINE if method == BASELINE else f"{method} global {level:g}", other)
            fit = few + (limit - short) * (many - few) / (long - short)
            found[trial] = small.replace(epochs=round(min(LONGEST * few, max(few, fit))))
        return found

    def time(self, name: str, config: Config) -> float:
        """Returns the CPU seconds of a network's training, without compiling."""
        from tfprune.experiments.together import score_together

        if name not in self.seconds:
            configs = [config.replace(seed=seed) for seed in self.seeds]
            found = (score_together(configs, self.drawn, max(1, config.epochs // LOOKS)) for _ in range(self.trainings))
            self.seconds[name] = min(scores[0].cpu_seconds for own in found for scores in own)
        return self.seconds[name]


def run(
    trials: Mapping[str, Config], seeds: Iterable[int], kept: Progress, drawn: Any, chance: Mapping[str, float]
) -> None:
    """Trains what is missing of trials, all seeds of one as one model, and adds the runs to `kept`.

    Args:
        trials: trial -> its settings.
        seeds: of all of them.
        kept: what is finished.
        drawn: the orders of the examples, for all calls with the same seeds.
        chance: accuracy and loss of a network that diverged.
    """
    from tfprune.experiments.together import score_together

    finished = {row["trial"] for row in kept.rows}
    missing = {trial: own for trial, own in trials.items() if trial not in finished}
    # Trials with the same learning rates follow each other: they share what is compiled.
    missing = dict(sorted(missing.items(), key=lambda trial: trial[1].pruning.phase_epochs(trial[1].epochs)))
    alike: dict[str, list[str]] = {}  # two may have come to the same epochs, and are trained once
    for trial, config in missing.items():
        alike.setdefault(config.trial_id, []).append(trial)
    configs = [missing[trials[0]].replace(seed=seed) for trials in alike.values() for seed in seeds]
    every = max(1, min(config.epochs for config in configs) // LOOKS) if configs else 1
    trained = score_together(configs, drawn, every) if configs else ()
    for trial, found in ((own, scores) for names, scores in zip(alike.values(), trained, strict=True) for own in names):
        rows = []
        for score in found:
            own = chance if score.diverged else {f"test_{key}": v for key, v in score.scores["test"].items()}
            row = {"trial": trial, "seed": score.config.seed, "diverged": "yes" if score.diverged else ""}
            row |= {"sparsity": score.sparsity, "epochs": score.epochs, "cpu_seconds": round(score.cpu_seconds, 6)}
            rows.append({name: (row | own)[name] for name in HEADERS})
        kept.add(rows=rows)


def cost(name: str, seeds: int, data_dir: Path | None) -> dict[str, Any]:
    """Measures the CPU time of a few trials of a table, and says what all of them would take.

    The first trial is compiled; the others of `COST_OF` use what it left. A table takes as many trainings as all its
    trials have epochs in units of the unpruned network's, each as long as that of a method that prunes with no
    gradients; what `rigl` takes beyond, at each sparsity; and what a first trial takes beyond, for each of `COMPILED`.
    Small dense networks are counted as the unpruned one, and those of equal time as one training each.
    """
    from tfprune.experiments.run_data import load_data
    from tfprune.experiments.together import orders_of, score_together

    base = base_of(name, data_dir).replace(learning_rate=RATES[1])
    trials = trials_of(base)
    configs = [trials[trial].replace(seed=seed) for trial in COST_OF for seed in range(seeds)]
    clock = time.process_time
    started = clock()
    drawn = orders_of(configs, load_data(base))
    drawn.draw(base.epochs)
    orders, took, training = clock() - started, {}, {}
    started = clock()
    for trial, scores in zip(COST_OF, score_together(configs, drawn, max(1, base.epochs // LOOKS)), strict=True):
        took[trial], started = clock() - started, clock()
        training[trial] = scores[0].cpu_seconds * seeds
    first, plain, gradients = took.values()
    trainings = len(SPARSITIES) + sum(own.pruning.total_epochs(own.epochs) for own in trials.values()) / base.epochs
    table = 2 * orders + trainings * plain + len(SPARSITIES) * (gradients - plain) + COMPILED * (first - plain)
    return {
        **{"table": name, "seeds": seeds, "epochs": base.epochs, "orders": round(orders, 1)},
        **{"trials": {trial: round(seconds, 1) for trial, seconds in took.items()}},
        **{"training": {trial: round(seconds, 1) for trial, seconds in training.items()}},
        **{"trainings": round(trainings, 1), "estimated": round(table)},
    }


def bundled(folder: Path) -> Path:
    """Writes two tables that come with scikit-learn as CSV files, and returns the folder."""
    from sklearn.datasets import load_iris, load_wine

    for name, load in (("iris", load_iris), ("wine", load_wine)):
        data = load()
        names = [str(label) for label in data.target_names]
        lines = [",".join([*(f"x{place}" for place in range(data.data.shape[1])), "class"])]
        lines += [",".join([*map(str, x), names[y]]) for x, y in zip(data.data, data.target, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    sys.exit(main())
