"""Looks for the settings under which dynamic pruning beats plain training on penguins.

Every setting of a grid is trained over one set of seeds. For each length of training, once with the learning rate as
it is and once with a higher one after each event, the setting with the lowest mean validation loss is chosen, and only
that one is confirmed, on test data, over seeds that had no part in the choice. `scripts/recompute --write` then renews
the page. Finished runs are read again.

    python benchmarks/when_dynamic_wins.py
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from _csv_files import write_csv  # noqa: E402
from _published import HEADERS as RUN_HEADERS  # noqa: E402
from _published import rows_of  # noqa: E402
from _search import EVENTS, FIRST_SEEDS, HEADERS, LENGTHS, RATE_FACTORS, SPARSITIES, Setting, name, tried  # noqa: E402

from tfprune.experiments.results import Result  # noqa: E402
from tfprune.experiments.sweeps import run_all  # noqa: E402
from tfprune.methods import BASELINE  # noqa: E402
from tfprune.reporting.comparison import summarise  # noqa: E402
from tfprune.training.config import Config  # noqa: E402

PLAIN = Setting((), 0.0, 1.0)


@click.command(help=__doc__.split("\n")[0])
@click.option("--epochs", type=int, multiple=True, default=LENGTHS, show_default=True, help="May be repeated.")
@click.option("--search-seeds", type=int, default=30, show_default=True, help=f"From {FIRST_SEEDS['search']} on.")
@click.option(
    "--seeds", type=int, default=220, show_default=True, help=f"To confirm with, from {FIRST_SEEDS['confirm']} on."
)
@click.option("--runs", default="saved_models/search", show_default=True, help="Where the runs are kept.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "docs/results/search", help="For their rows.")
def main(*, epochs: Sequence[int], search_seeds: int, seeds: int, runs: str, out: Path) -> None:
    searched = range(FIRST_SEEDS["search"], FIRST_SEEDS["search"] + search_seeds)
    fresh = range(FIRST_SEEDS["confirm"], FIRST_SEEDS["confirm"] + seeds)
    found: list[dict[str, Any]] = []
    confirmed: list[dict[str, Any]] = []
    for length in epochs:
        found += search(length, searched, runs)
        for factor in RATE_FACTORS:
            setting, difference = tried(found, length, factor)[0]
            click.echo(f"{name(length, factor)}: {setting}, validation loss {difference:+.4f} to {BASELINE}")
            results = _trained(_opponents(length, setting, runs), fresh)
            confirmed += rows_of(name(length, factor), summarise(results))
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "tried.csv.gz", HEADERS, found)
    write_csv(out / "confirmed.csv.gz", RUN_HEADERS, confirmed)


def search(epochs: int, seeds: range, runs: str) -> list[dict[str, Any]]:
    """Trains all settings of the grid, and returns a row per training."""
    settings = [PLAIN, *itertools.starmap(Setting, itertools.product(EVENTS, SPARSITIES, RATE_FACTORS))]
    results = _trained([_config(epochs, runs, setting) for setting in settings], seeds)
    return [
        {
            "epochs": epochs,
            **setting.row,
            "seed": result.config.seed,
            "validation_loss": result.metrics["validation"]["loss"],
        }
        for setting, result in zip(itertools.cycle(settings), results, strict=False)
    ]


def _opponents(epochs: int, setting: Setting, runs: str) -> Iterator[Config]:
    """Yields a setting, the unpruned network and what else it has to beat: among that the same without the pruning."""
    yield _config(epochs, runs, PLAIN)
    yield _config(epochs, runs, setting)
    if setting.rate_factor != 1.0:
        yield _config(epochs, runs, setting._replace(sparsity=0.0))
    yield _config(epochs, runs, setting, "random")
    yield Config(
        dataset="penguins", method="small_dense", epochs=epochs, out=runs, settings={"sparsity": setting.sparsity}
    )
    yield Config(dataset="penguins", method="longer", epochs=epochs, out=runs)


def _config(epochs: int, runs: str, setting: Setting, method: str = "dynamic") -> Config:
    own = {"events": setting.events, "final_sparsity": setting.sparsity, "rate_factor": setting.rate_factor}
    method, own = (method, own) if setting.events else (BASELINE, {})
    return Config(dataset="penguins", method=method, epochs=epochs, out=runs, settings=own)


def _trained(trials: Iterable[Config], seeds: range) -> list[Result]:
    """Returns the runs of all trials, seed by seed."""
    trials = list(trials)
    results, failures = run_all([trial.replace(seed=seed) for seed in seeds for trial in trials])
    if failures:
        raise SystemExit("\n".join(failures))
    return results


if __name__ == "__main__":
    main()
