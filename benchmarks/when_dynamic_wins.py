"""Looks for the settings under which dynamic pruning beats plain training on penguins.

Every setting of a grid is trained over one set of seeds. For each length of training, once with the learning rate as
it is and once with a higher one after each event, the setting with the lowest mean validation loss is chosen, and only
that one is confirmed, on test data, over seeds that had no part in the choice.

    python benchmarks/when_dynamic_wins.py --page docs/penguins.md --json docs/results/penguins-search.json
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from tabulate import tabulate

from tfprune.experiments.sweeps import run_all
from tfprune.methods import BASELINE
from tfprune.reporting.comparison import paired_difference, summarise
from tfprune.reporting.tables import comparison_table, update_page
from tfprune.training.config import Config
from tfprune.utils.files import write_json

EVENTS = ((0.1,), (1 / 3,), (2 / 3,), (0.9,), (0.1, 0.2), (1 / 3, 2 / 3))
SPARSITIES = (0.1, 0.31, 0.6)
RATE_FACTORS = (1.0, 3.0)
SCORES = ("test_loss", "test_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, nargs="+", default=[4000, 12000])
    parser.add_argument("--search-seeds", type=int, default=30, help="from seed 1000 on")
    parser.add_argument("--seeds", type=int, default=100, help="to confirm with, from seed 2000 on")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for epochs in arguments.epochs:
            tried = search(epochs, range(1000, 1000 + arguments.search_seeds), folder)
            for factor in RATE_FACTORS:
                chosen = next(trial for trial in tried if trial["settings"]["rate_factor"] == factor)
                confirmed = confirm(epochs, chosen["settings"], range(2000, 2000 + arguments.seeds), folder)
                found.append({"epochs": epochs, "search_seeds": arguments.search_seeds, **chosen, **confirmed})
                found[-1]["tried"] = [trial for trial in tried if trial["settings"]["rate_factor"] == factor]
                print(report(found[-1]), flush=True)
    if arguments.json:
        write_json(arguments.json, {"searches": list(map(with_scores, found))})
    if arguments.page:
        update_page(arguments.page, "search penguins", "\n\n".join(map(report, found)))


def config(method: str, epochs: int, folder: str, **settings: object) -> Config:
    return Config(dataset="penguins", method=method, epochs=epochs, out=folder, settings=settings)


def search(epochs: int, seeds: range, folder: str) -> list[dict]:
    """Returns all settings with their mean validation losses, less that of the baseline, the best one first."""
    grid = [
        {"events": events, "final_sparsity": sparsity, "rate_factor": factor}
        for events, sparsity, factor in itertools.product(EVENTS, SPARSITIES, RATE_FACTORS)
    ]
    trials = [config(BASELINE, epochs, folder), *(config("dynamic", epochs, folder, **settings) for settings in grid)]
    results, _ = run_all([trial.replace(seed=seed) for seed in seeds for trial in trials])
    losses: dict[str, dict[int, float]] = {}
    for run in results:
        losses.setdefault(run.config.replace(seed=0).run_id, {})[run.config.seed] = run.metrics["validation"]["loss"]
    baseline = losses[trials[0].run_id]
    tried = []
    for trial, settings in zip(trials[1:], grid, strict=True):
        own = losses[trial.run_id]
        difference = sum(own[seed] - baseline[seed] for seed in seeds) / len(seeds)
        tried.append({"settings": settings, "validation_loss_difference": difference})
    return sorted(tried, key=lambda trial: trial["validation_loss_difference"])


def confirm(epochs: int, settings: dict, seeds: range, folder: str) -> dict:
    """Compares a setting with the baseline and with what it has to beat: among that the same without the pruning."""
    sparsity = settings["final_sparsity"]
    trials = [config(BASELINE, epochs, folder), config("dynamic", epochs, folder, **settings)]
    if settings["rate_factor"] != 1.0:
        trials.append(config("dynamic", epochs, folder, **settings | {"final_sparsity": 0.0}))
    trials.append(config("random", epochs, folder, **settings))
    trials.append(config("small_dense", epochs, folder, sparsity=sparsity))
    trials.append(config("longer", epochs, folder))
    results, failures = run_all([trial.replace(seed=seed) for seed in seeds for trial in trials])
    methods = summarise(results)
    pruned, unpruned = (methods.get(f"dynamic {100 * share:.0f} %") for share in (sparsity, 0.0))
    effect = unpruned and paired_difference(pruned["seeds"], unpruned["seeds"], "test_loss")
    return {"seeds": len(seeds), "methods": methods, "pruning_alone": effect, "failures": failures}


def report(found: dict) -> str:
    settings, methods = found["settings"], found["methods"]
    events = " and ".join(f"{event:.2f}" for event in settings["events"])
    sparsity, factor = 100 * settings["final_sparsity"], settings["rate_factor"]
    rate = f", learning rate x {factor:g} at each event" if factor != 1.0 else ""
    headers, rows = comparison_table(methods)
    alone = found["pruning_alone"]
    return (
        f"**{found['epochs']:,} epochs{rate}.** Of {len(found['tried'])} settings the lowest mean validation loss over "
        f"{found['search_seeds']} seeds ({found['validation_loss_difference']:+.4f} to unpruned): events at {events} "
        f"of the run, {sparsity:.0f} % zeros. Confirmed over {found['seeds']} fresh seeds, on test data:\n\n"
        f"{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}"
        + (
            f"\n\nThe pruning alone, dynamic {sparsity:.0f} % less dynamic 0 %: {alone['mean']:+.4f} "
            f"({alone['low']:+.4f} to {alone['high']:+.4f}), lower in {100 * alone['better']:.0f} % of the seeds."
            if alone
            else ""
        )
    )


def with_scores(found: dict) -> dict:
    """Returns what was found, with no more of each run than its scores."""
    methods = {
        name: values | {"seeds": {seed: [row[score] for score in SCORES] for seed, row in values["seeds"].items()}}
        for name, values in found["methods"].items()
    }
    return found | {"methods": methods}


if __name__ == "__main__":
    main()
