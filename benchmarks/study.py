"""When does pruning in the middle of training pay? The study of docs/study.md, over tables of real data.

    python benchmarks/study.py --data-dir FOLDER               # all tables; finished ones are reused
    python benchmarks/study.py --data-dir FOLDER --tables wine # one of them, with the time that it took
    python benchmarks/study.py --quick                         # two small tables, a minute or two

FOLDER holds a CSV file per table, with the column `class` of labels; without it the tables come from OpenML. What is
fixed here was fixed before any run of the study, and stands in docs/study.md too.
"""

from __future__ import annotations

import argparse
import logging
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.sweeps import run_all
from tfprune.methods import BASELINE
from tfprune.reporting.across import across
from tfprune.reporting.across_tables import across_notes, across_tables
from tfprune.reporting.comparison import COLUMNS, row, summary_of, training_time
from tfprune.reporting.diverged import chance_row, find_diverged
from tfprune.reporting.report import as_json
from tfprune.reporting.tables import markdown_table
from tfprune.training.config import Config
from tfprune.utils.errors import TfpruneError
from tfprune.utils.files import write_json

TABLES = {  # name in a folder of CSV files -> number on OpenML
    **{"abalone": 183, "adult": 1590, "banknote": 1462, "breast_cancer_ljubljana": 13, "breast_cancer_wisconsin": 1510},
    **{"credit_g": 31, "diabetes": 37, "digits": 28, "ecoli": 39, "glass": 41},
    **{"haberman": 43, "horse_colic": 25, "hypothyroid": 57, "ionosphere": 59, "iris": 61},
    **{"mammography": 310, "new_thyroid": 40682, "phoneme": 1489, "segment": 36, "sonar": 40},
    **{"soybean": 42, "vote": 56, "wheat_seeds": 1499, "wine": 187, "wine_quality_red": 40691},
    **{"wine_quality_white": 40498},
}
SPARSITIES = (0.5, 0.8, 0.9, 0.95)
QUICK_SPARSITIES = (0.8,)
SEEDS, TUNING_SEEDS, FIRST_TUNING_SEED = 50, 10, 1000
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
HIDDEN, BATCH = (64,), 32
STEPS, FEWEST_EPOCHS, MOST_ROWS = 2400, 30, 2560
REWIND = 0.1  # of a training's epochs, for lottery tickets
LONGEST = 8  # times the epochs that a small dense network of equal time may have
BOTH_SCOPES = ("dynamic", "gradual", "rate_rewinding", "lottery")
OWN_SCOPE = ("rigl", "set", "synflow", "random", "small_dense")
TWICE = ("rate_rewinding", "lottery")  # also with both trainings in full, beside `longer`
EQUAL_TIME = "small_dense of equal time"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of CSV files; by default the tables come from OpenML")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=Path("saved_models/study"), help="where finished tables are kept")
    parser.add_argument("--quick", action="store_true", help="two small tables, three seeds, 30 epochs, 80 %% zeros")
    arguments = parser.parse_args()
    if arguments.quick:
        with tempfile.TemporaryDirectory() as folder:
            data = arguments.data_dir or bundled(Path(folder))
            return study(["iris", "wine"], 3, Path(folder) / "study", data, quick=True)
    return study(arguments.tables, arguments.seeds, arguments.out, arguments.data_dir)


def study(tables: Sequence[str], seeds: int, out: Path, data_dir: Path | None, *, quick: bool = False) -> int:
    """Runs what is not finished, and prints how the methods compare at each sparsity."""
    logging.getLogger("tfprune").setLevel(logging.ERROR)
    summaries = {}
    for name in tables:
        started = time.perf_counter()
        try:
            summaries[name] = of_table(name, seeds, out, data_dir, quick=quick)
        except TfpruneError as error:
            print(f"{name}: left out: {error}", file=sys.stderr)
            continue
        print(f"{name}: {time.perf_counter() - started:,.0f} s", file=sys.stderr, flush=True)
    for level in QUICK_SPARSITIES if quick else SPARSITIES:
        print(f"\n## {100 * level:g} % zeros\n")
        found = across({name: at_level(summary, level) for name, summary in summaries.items()})
        if found is None:
            print("One table: nothing to compare over data sets.")
            continue
        print("\n\n".join((*map(markdown_table, across_tables(found)), *across_notes(found))))
    return 0 if len(summaries) == len(tables) else 1


def at_level(summary: Mapping[str, Any], level: float) -> dict[str, Any]:
    """Returns the trials of a sparsity, and those that prune nothing."""
    ending = f" {100 * level:g} %"
    return {
        trial.removesuffix(ending): values
        for trial, values in summary.items()
        if trial.endswith(ending) or values["requested_sparsity"] == 0
    }


def of_table(name: str, seeds: int, out: Path, data_dir: Path | None, *, quick: bool = False) -> dict[str, Any]:
    """Returns a table's comparison: read if it is finished, else trained. An interrupted one goes on."""
    finished = out / f"{name}.json"
    if finished.is_file():
        from tfprune.experiments.results import read_comparisons

        return read_comparisons(finished)[0]["methods"]
    folder = out / name
    base = base_of(name, folder, data_dir, quick=quick)
    base = base.replace(learning_rate=RATES[1] if quick else tuned(base))
    levels = QUICK_SPARSITIES if quick else SPARSITIES
    trials = trials_of(base, levels)
    rows, results = run(trials, range(seeds))
    for level in levels:
        trials |= (longer := equal_time(base, level, results))
        more, _ = run(longer, range(seeds), targets=results[BASELINE])
        rows |= more
    summary = summary_of({trial: own | {"seeds": rows[trial]} for trial, own in described(trials).items()})
    write_json(finished, as_json(results[BASELINE], summary))
    shutil.rmtree(folder)  # of thousands of runs, each a few files
    return summary


def base_of(name: str, folder: Path, data_dir: Path | None, *, quick: bool = False) -> Config:
    """Returns the settings that all runs of a table share but for the learning rate."""
    config = Config(
        dataset=f"openml:{name if data_dir else TABLES[name]}",
        data_dir=data_dir and str(data_dir),
        data_settings={"missing": "impute"},
        method=BASELINE,
        model="mlp",
        model_settings={"hidden": HIDDEN},
        batch_size=BATCH,
        learning_rate_schedule="cosine",
        limit=MOST_ROWS,
        out=str(folder),
    )
    rows = len(config.spec.load(data_dir, 0).train.y)
    steps = math.ceil(min(rows, MOST_ROWS) / BATCH)
    return config.replace(epochs=FEWEST_EPOCHS if quick else max(FEWEST_EPOCHS, round(STEPS / steps)))


def tuned(base: Config) -> float:
    """Returns the learning rate with which unpruned networks have the highest mean validation accuracy."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + TUNING_SEEDS)
    scores = {}
    for rate in RATES:
        results, _ = run_all([base.replace(learning_rate=rate, seed=seed) for seed in seeds])
        if len(results) == len(seeds):  # none diverged
            means = [np.mean([run.metrics["validation"][name] for run in results]) for name in ("accuracy", "loss")]
            scores[rate] = (means[0], -means[1])
    return max(scores, key=scores.__getitem__)


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


def equal_time(base: Config, level: float, results: Mapping[str, Sequence[Result]]) -> dict[str, Config]:
    """Returns a small dense network that trains for as many epochs as fit into the time of the unpruned one."""
    small = f"small_dense {100 * level:g} %"
    times = [np.median([training_time(run.metrics) for run in results[trial]]) for trial in (BASELINE, small)]
    epochs = round(base.epochs * min(LONGEST, max(1.0, times[0] / times[1])))
    return {f"{EQUAL_TIME} {100 * level:g} %": pruning(base, "small_dense", level, None).replace(epochs=epochs)}


def run(
    trials: Mapping[str, Config], seeds: Iterable[int], targets: Sequence[Result] = ()
) -> tuple[dict[str, dict[str, Any]], dict[str, list[Result]]]:
    """Trains trials, all seeds of one as one model.

    Returns:
        trial -> seed -> a row of a comparison (at chance for a seed that diverged), and trial -> its finished runs.
    """
    configs = {trial: [config.replace(seed=seed) for seed in seeds] for trial, config in trials.items()}
    everything = [config for own in configs.values() for config in own]
    finished, failures = run_all(everything)
    by_id = {result.config.run_id: result for result in finished}
    lost = find_diverged([RunDir(Path(config.out) / config.run_id) for config in everything], [*finished, *targets])
    diverged = {own.config.run_id: own for own in lost}
    for failure in failures:
        if not any(failure.startswith(f"{name}:") for name in diverged):
            raise TfpruneError(failure)
    results = {trial: [by_id[c.run_id] for c in own if c.run_id in by_id] for trial, own in configs.items()}
    losses = {r.config.seed: r.history_columns("val_loss")["val_loss"][-1] for r in (targets or results[BASELINE])}
    rows = {
        trial: {
            str(c.seed): row(by_id[c.run_id], losses.get(c.seed))
            if c.run_id in by_id
            else chance_row(diverged[c.run_id], COLUMNS)
            for c in own
        }
        for trial, own in configs.items()
    }
    return rows, results


def described(trials: Mapping[str, Config]) -> dict[str, dict[str, Any]]:
    """Returns what a comparison says of each trial."""
    return {
        trial: {"method": c.method, "granularity": c.granularity, "requested_sparsity": c.requested_sparsity}
        for trial, c in trials.items()
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
