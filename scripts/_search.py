"""The published data of the search on docs/penguins.md, a row per training, and what they come to."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _csv_files import read_csv
from _published import read_page
from tabulate import tabulate

from tfprune.reporting.comparison import differences_of, paired_difference
from tfprune.reporting.tables import comparison_table

LENGTHS = (4000, 12000)  # epochs
EVENTS = ((0.1,), (1 / 3,), (2 / 3,), (0.9,), (0.1, 0.2), (1 / 3, 2 / 3))
SPARSITIES = (0.1, 0.31, 0.6)
RATE_FACTORS = (1.0, 3.0)
FIRST_SEEDS = {"search": 1000, "confirm": 2000}
ONCE = 100  # seeds that a setting was confirmed with at first; the others were trained when it was repeated
FAR = 0.05  # of loss
HEADERS = ("epochs", "events", "sparsity", "rate_factor", "seed", "validation_loss")  # of a training of the search
Rows = Sequence[Mapping[str, str]]


class Setting(NamedTuple):
    """At which shares of its epochs a training is pruned, to which share of zeros, and what becomes of the rate."""

    events: tuple[float, ...]
    sparsity: float
    rate_factor: float

    @property
    def row(self) -> dict[str, Any]:
        """Its cells in a row of the search."""
        return self._asdict() | {"events": " ".join(map(str, self.events))}


class Tried(NamedTuple):
    """A setting and its mean validation loss less that of the unpruned network."""

    setting: Setting
    difference: float


def tried(rows: Rows, epochs: int, rate_factor: float) -> list[Tried]:
    """Returns the settings of a search, the best one first.

    Args:
        rows: of all trainings; an unpruned one has no events.
        epochs: the length of the trainings.
        rate_factor: that of the learning rate.
    """
    losses: dict[Setting, dict[str, float]] = {}
    for row in rows:
        if int(row["epochs"]) == epochs:
            events = tuple(map(float, row["events"].split()))
            setting = Setting(events, float(row["sparsity"]), float(row["rate_factor"]))
            losses.setdefault(setting, {})[row["seed"]] = float(row["validation_loss"])
    [plain] = (own for setting, own in losses.items() if not setting.events)
    found = [
        Tried(setting, float(np.mean([own[seed] - loss for seed, loss in plain.items()])))
        for setting, own in losses.items()
        if setting.events and setting.rate_factor == rate_factor
    ]
    return sorted(found, key=lambda trial: trial.difference)


class Search:
    """What the searches found, and what came of it with fresh seeds.

    Args:
        folder: of the published data, which has `tried.csv.gz` and `confirmed.csv.gz`.
    """

    def __init__(self, folder: Path) -> None:
        self.rows: Rows = read_csv(folder / "tried.csv.gz")
        self.confirmed = read_page(folder / "confirmed.csv.gz")

    def tried(self, epochs: int, rate_factor: float) -> list[Tried]:
        return tried(self.rows, epochs, rate_factor)

    def trials(self, epochs: int, rate_factor: float) -> Mapping[str, Any]:
        return self.confirmed[name(epochs, rate_factor)]

    def alone(self, epochs: int, rate_factor: float, seeds: slice = slice(None)) -> dict[str, float] | None:
        """Returns how the loss differs from that of the same learning rates without pruning, over some of the seeds in
        order; None where the learning rates are the unpruned network's."""
        if rate_factor == 1.0:
            return None
        pruned, unpruned = self._pair(epochs, rate_factor)
        chosen = sorted(pruned, key=int)[seeds]
        return paired_difference({seed: pruned[seed] for seed in chosen}, unpruned, "test_loss")

    def differences(self, epochs: int, rate_factor: float) -> np.ndarray:
        """Returns what `alone` is the mean of, seed by seed."""
        return differences_of(*self._pair(epochs, rate_factor), "test_loss")

    def _pair(self, epochs: int, rate_factor: float) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Returns the rows with the pruning and without it, by seed."""
        sparsity, own = self.tried(epochs, rate_factor)[0].setting.sparsity, self.trials(epochs, rate_factor)
        return own[f"dynamic {100 * sparsity:.0f} %"]["seeds"], own["dynamic 0 %"]["seeds"]

    def block(self) -> str:
        """Returns the tables of the page."""
        return "\n\n".join(self._report(epochs, factor) for epochs in LENGTHS for factor in RATE_FACTORS)

    def _report(self, epochs: int, factor: float) -> str:
        found = self.tried(epochs, factor)
        setting, difference = found[0]
        sparsity = f"{100 * setting.sparsity:.0f} %"
        events = " and ".join(f"{event:.2f}" for event in setting.events)
        rate = f", learning rate x {factor:g} at each event" if factor != 1.0 else ""
        searched = {row["seed"] for row in self.rows if int(row["epochs"]) == epochs}
        summary = self.trials(epochs, factor)
        headers, rows = comparison_table(summary)
        alone = self.alone(epochs, factor)
        return (
            f"**{epochs:,} epochs{rate}.** Of {len(found)} settings the lowest mean validation loss over "
            f"{len(searched)} seeds ({difference:+.4f} to unpruned): events at {events} of the run, {sparsity} zeros. "
            f"Confirmed over {len(summary['unpruned']['seeds'])} fresh seeds, on test data:\n\n"
            f"{tabulate(rows, headers, tablefmt='github', disable_numparse=True)}"
            + (
                f"\n\nThe pruning alone, dynamic {sparsity} less dynamic 0 %: {_said(alone)}, lower in "
                f"{_share(alone)} of the seeds."
                if alone
                else ""
            )
        )


def sentences(search: Search) -> Iterator[str]:
    """Yields the sentences of the page that hold figures of the search."""
    lower = sum(own.difference < 0 for epochs in LENGTHS for own in search.tried(epochs, 1.0))
    count = len(search.tried(LENGTHS[0], 1.0))
    yield f"Without a change of the learning rate, {lower or 'none'} of {count} settings had a lower mean"
    short, long = LENGTHS
    yield f"the pruning alone changed the loss by {_said(search.alone(short, 3.0))}"
    once, again, whole = (search.alone(long, 3.0, seeds) for seeds in (slice(ONCE), slice(ONCE, None), slice(None)))
    count = len(search.trials(long, 3.0)["unpruned"]["seeds"])
    yield (
        f"{-once['mean']:.4f} ({-once['high']:.4f} to {-once['low']:.4f}) below the same rates without pruning, and "
        f"lower in {_share(once)} of {ONCE} seeds"
    )
    yield (
        f"on {count - ONCE} further seeds it was {_said(again)}, lower in {_share(again)} of them, and "
        f"{_said(whole)} over all {count}"
    )
    each = search.differences(long, 3.0)
    yield (
        f"the median difference is {np.median(each):+.4f}, {np.sum(each < -FAR)} seeds are lower by over {FAR:g} and "
        f"{np.sum(each > FAR)} higher"
    )


def name(epochs: int, rate_factor: float) -> str:
    """Returns what a search is called in the data."""
    return f"{epochs} epochs, rate x {rate_factor:g}"


def _said(difference: Mapping[str, float]) -> str:
    return "{mean:+.4f} ({low:+.4f} to {high:+.4f})".format_map(difference)


def _share(difference: Mapping[str, float]) -> str:
    return f"{100 * difference['better']:.0f} %"
