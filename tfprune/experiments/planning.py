"""What removing channels would come to before anything is trained: sizes, and times that are measured here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.experiments.libraries import Library
from tfprune.exporting.latency import Latency, interleaved_latency, shares_of_the_first
from tfprune.structured.budgets import Budget, Request, choose_within
from tfprune.structured.scoring import CRITERIA
from tfprune.structured.surgery import Removed, build_smaller
from tfprune.structured.widths import DATA_CRITERIA, FLOOR, width
from tfprune.training.channel_tracker import ChannelTracker
from tfprune.training.removal import last_ones, multiple_of
from tfprune.utils.errors import ConfigError

KEEPS = 128  # shares of the channels, evenly spread, whose widths are candidates
SIZES = ("macs", "parameters", "bytes")
SPEEDS = ("training", "inference")  # of a step, and of an answer to one example
BYTES = 4  # a number of a float32 model


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A narrower version of a model.

    Attributes:
        keep: the share of the channels of each group, or of the branches, that stays, before rounding; of `best`
            the share of all channels.
        widths: group -> how many stay.
        parameters, macs: of the model, multiply-adds of an example's forward pass.
        kernels: kernel -> its parameters and multiply-adds.
        removed: what goes, as `surgery.remove_groups` takes it.
    """

    keep: float
    widths: Mapping[str, int]
    parameters: int
    macs: int
    kernels: Mapping[str, tuple[int, int]]
    removed: Removed

    @property
    def bytes(self) -> int:
        """Of the weights in float32."""
        return BYTES * self.parameters


@dataclasses.dataclass(frozen=True)
class Times:
    """Measured times of the whole model and of a narrower one, in turns.

    Attributes:
        training: of a step of training.
        inference: of an answer to one example.
    """

    training: tuple[Latency, Latency]
    inference: tuple[Latency, Latency]

    def ratio(self, what: str) -> float:
        """Returns the narrower model's time to the whole one's in `training` or `inference`, median over the rounds."""
        whole, narrower = getattr(self, what)
        return narrower.ratio(whole)


class Planner:
    """Narrower versions of a model and what they would take.

    Args:
        library: makes and trains the whole model; its settings are of granularity `filter` or `branch`. Of branches
            those of `channels.order` go first, then the last ones.
        rounds: measurements of each time.

    Attributes:
        channel_tracker: the groups of channels, and what is left alone why.
        candidates: the versions that there are, from the whole model to the narrowest one.

    Raises:
        ModelError: no channel of the model can go.
    """

    def __init__(self, library: Library, rounds: int = 15) -> None:
        precision, _ = library.choose_precision()
        self._library, self._config = library, library.config
        self._model = model = library.plain_model(precision)
        self.channel_tracker = ChannelTracker(model, self._config)
        self._rounds = rounds
        self._examples = min(self._config.batch_size, len(library.data.train))  # of a training step
        self._calls = library.calls(model)
        self._measured: dict[tuple[int, ...], Times] = {}
        distinct: dict[tuple[int, ...], Candidate] = {}
        for number in range(KEEPS, 0, -1):
            found = self.at(number / KEEPS)
            distinct.setdefault(tuple(found.widths.values()), found)
        self.candidates = list(distinct.values())

    def at(self, keep: float) -> Candidate:
        """Returns the version in which a share of each group's channels stays, in (0, 1]."""
        if not 0 < keep <= 1:
            raise ConfigError(f"keep must be in (0, 1], got {keep:g}")
        multiples = self.channel_tracker.multiples
        sizes = self.channel_tracker.sizes
        return self._of(keep, {name: width(size, keep, multiples[name]) for name, size in sizes.items()})

    def _of(self, keep: float, widths: Mapping[str, int]) -> Candidate:
        self._remove(widths)
        uses = self.channel_tracker.macs
        kernels = {}
        for name, shape in self.channel_tracker.kernel_shapes().items():
            size = int(np.prod(shape))
            kernels[name] = (size, round(uses.get(name, 0) * size / self.channel_tracker.kernel_sizes[name]))
        products = sum(count for name, count in uses.items() if name not in self.channel_tracker.kernel_sizes)
        macs = products + sum(own for _, own in kernels.values())
        removed = dict(self.channel_tracker.removed)
        return Candidate(keep, widths, self.channel_tracker.parameters_left(), macs, kernels, removed)

    def within(self, what: str, most: float) -> Candidate:
        """Returns the widest version of no more than `most` of `SIZES`.

        Args:
            what: one of `SIZES`.
            most: a number above 1, or a share of the whole model's, in (0, 1).

        Raises:
            ConfigError: none is so small.
        """
        whole = getattr(self.candidates[0], what)
        limit = most if most > 1 else most * whole
        for candidate in self.candidates:
            if getattr(candidate, what) <= limit:
                return candidate
        least, asked = getattr(self.candidates[-1], what), f"{most:,.0f}" if most > 1 else f"{most:g} of the"
        raise ConfigError(
            f"no width comes down to {asked} {what}: the narrowest has {least:,} of {whole:,}; "
            "try a smaller channels.multiple"
        )

    def faster(self, factor: float, what: str) -> Candidate:
        """Returns the widest version that is measured to be `factor` times as fast as the whole, by bisection.

        Args:
            factor: above 1.
            what: `training` or `inference`.

        Raises:
            ConfigError: the narrowest is not so fast.
        """
        if not factor > 1:
            raise ConfigError(f"--target-speedup must be above 1, got {factor:g}")
        low, high = 0, len(self.candidates) - 1
        if not high:
            raise ConfigError("there is no narrower version: try a smaller channels.multiple")
        reached = self.times(self.candidates[high]).ratio(what)
        if reached > 1 / factor:
            raise ConfigError(
                f"no width makes {what} {factor:g} x as fast here: the narrowest, {self.candidates[high].keep:.2f} of "
                f"the channels, is {1 / reached:.2f} x as fast"
            )
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (low, middle) if self.times(self.candidates[middle]).ratio(what) <= 1 / factor else (middle, high)
            )
        return self.candidates[high]

    def best(self, what: str, most: float, scope: str = "global", floor: float = FLOOR) -> Candidate:
        """Returns the version that is worth most within a budget; its groups keep different shares.

        What a channel is worth is what the run's criterion makes of the weights that the model begins with.

        Args:
            what: one of `SIZES`, of `SPEEDS`, or `keep`.
            most: of sizes a number above 1 or a share of the whole model's in (0, 1); of times such a share; of `keep`
                the share of the channels that stays.
            scope: `global` or `isomorphic`, see `ranking`.
            floor: least share of a group that stays.

        Raises:
            ConfigError: no version is so small or so fast, or the criterion looks at examples.
        """
        criterion = self._config.channel_settings["criterion"]
        if self._config.granularity == "branch":
            raise ConfigError(f"branches make one group: leave out scope {scope}, or take granularity filter")
        if criterion in DATA_CRITERIA:
            raise ConfigError(f"criterion {criterion} looks at examples, and a plan at weights alone: take l1")
        budget = None if what == "keep" else Budget("latency" if what in SPEEDS else what, most)
        multiple = multiple_of(self._config)
        asked = Request(most if budget is None else None, budget, scope, multiple=multiple, floor=floor)
        found = self.channel_tracker.left
        scores = CRITERIA[criterion](self._model, found, self._config.seed, None)
        times = functools.partial(self._shares, SPEEDS.index(what)) if what in SPEEDS else None
        widths = choose_within(self._model, found, scores, asked, times)
        return self._of(sum(widths.values()) / sum(self.channel_tracker.sizes.values()), widths)

    def _shares(self, speed: int, models: Sequence[Any]) -> list[float]:
        """Returns the time of each model, in one of `SPEEDS`, as a share of the first one's."""
        batch = (self._examples, 1)[speed]
        return shares_of_the_first(models, lambda own: self._library.calls(own)[speed], batch, self._rounds)

    def times(self, candidate: Candidate) -> Times:
        """Measures a version beside the whole model."""
        key = tuple(candidate.widths.values())
        if key not in self._measured:
            narrower = self._library.calls(build_smaller(self._model, candidate.removed))
            pairs = zip(self._calls, narrower, (self._examples, 1), strict=True)
            measured = [tuple(interleaved_latency(pair[:2], pair[2], self._rounds)) for pair in pairs]
            self._measured[key] = Times(*measured)
        return self._measured[key]

    def _remove(self, widths: Mapping[str, int]) -> None:
        self.channel_tracker.alive = {name: np.arange(size) for name, size in self.channel_tracker.sizes.items()}
        self.channel_tracker.remove(last_ones(self._model, self.channel_tracker.left, widths, self._config))
