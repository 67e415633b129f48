"""What a method is, and what it is handed.

A method is a frozen dataclass: its fields are its settings, its `run` reads like the algorithm in
its paper. It never imports TensorFlow; training, pruning and rewinding come to it through a `Task`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import Criterion, PruningEvent, nominal_sparsity
from tfprune.utils.checks import check_choice, check_fraction
from tfprune.utils.errors import ConfigError, choose_from

ZEROED = ("weight", "block", "n:m")  # granularities that set weights to zero
EVERY = (*ZEROED, "filter", "branch")


class Task(Protocol):
    """A model in training, as a method sees it."""

    epochs: int

    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, PruningEvent] | None = None,
        lr_factor: float = 1.0,
        freeze_lr_epoch: int | None = None,
        callbacks: Sequence = (),
    ) -> None:
        """Trains up to `epochs` with a fresh optimizer.

        Args:
            phase: name of this stretch of training, for histories and timings.
            initial_epoch: epochs that count as done already.
            events: cuts to make in training, each at the end of that epoch (counted from 1); the
                optimizer and the surviving weights carry on.
            lr_factor: what each of them multiplies the learning rate by.
            freeze_lr_epoch: epoch at whose end the learning rate stands still; None lets it follow its schedule.
            callbacks: Keras callbacks beside the usual ones.
        """

    def prune(self, event: PruningEvent) -> None:
        """Cuts the model as it stands."""

    def shuffle_masks(self) -> None:
        """Moves the ones of each mask to places drawn at random, within their kernel."""

    def reinitialise(self) -> None:
        """Re-initialises all weights with a new seed; masks are kept."""

    def rewinding(self, epoch: int) -> Any:
        """Returns a Keras callback that remembers the weights at the end of `epoch` (0: the start) of the
        first training that it sees, and puts them back at the start of every later one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method(abc.ABC):
    """Base of all methods. Fields of a subclass are its settings."""

    paper: ClassVar[str]
    sparsity_setting: ClassVar[str | None] = None  # the setting that `--sparsity` stands for
    granularities: ClassVar[tuple[str, ...]] = ("weight",)  # what it can prune, see `Config.granularity`
    scope: ClassVar[str] = "layer"  # of the run, unless it names one, see `Config.scope`
    fields_excluded_from_hash: ClassVar[
        tuple[str, ...]
    ] = ()  # settings younger than runs on users' disks, whose names must not change

    @property
    @abc.abstractmethod
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        """All pruning of a run, in order; what the finished model is checked against."""

    @property
    def requested_sparsity(self) -> float:
        """Target sparsity in [0, 1), before rounding to whole weights."""
        return nominal_sparsity(self.pruning_events)

    @property
    def width_reduction(self) -> float:
        """Fraction of the kernel weights that the model is built without, its widths scaled down; 0: as it is."""
        return 0.0

    @property
    def width_multiple(self) -> int:
        """What the scaled widths are rounded to a multiple of."""
        return 1

    def check(self, epochs: int) -> None:  # noqa: B027 - most methods can always do it
        """Raises `ConfigError` if a run of `epochs` cannot do what the settings ask for."""

    def phase_epochs(self, epochs: int) -> int:
        """Returns the epochs up to which one training of a run of `epochs` goes."""
        return epochs

    def total_epochs(self, epochs: int) -> int:
        """Returns the passes over the training split that a run of `epochs` takes over all its trainings."""
        return self.phase_epochs(epochs)

    @abc.abstractmethod
    def run(self, task: Task) -> None:
        """Trains and prunes the task's model."""

    @classmethod
    def summary(cls) -> str:
        """Returns the first line of the class's docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns the settings and their defaults."""
        return {field.name: field.default for field in dataclasses.fields(cls)}

    @classmethod
    def from_settings(cls, name: str, settings: Mapping[str, Any]) -> Method:
        """Builds the method called `name`; an unknown setting is a `ConfigError` that lists the known ones."""
        for key in settings:
            if key not in cls.defaults():
                raise ConfigError(f"method {name} has no setting {key!r}: {choose_from(key, cls.defaults())}")
        return cls(**settings)

    def settings(self) -> dict[str, Any]:
        """Returns the settings as they are after checking."""
        return dataclasses.asdict(self)

    def naming_settings(self) -> dict[str, Any]:
        """Returns the settings that a run's name depends on."""
        later = {name for name in self.fields_excluded_from_hash if getattr(self, name) == self.defaults()[name]}
        return {name: value for name, value in self.settings().items() if name not in later}

    def _normalise(self, **values: Any) -> None:
        """Stores checked settings back into the frozen fields."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


def spread(first: float, last: float, most: int) -> tuple[int, ...]:
    """Returns the epochs in (first, last] that lie in even steps: `most` of them, or all that there are.

    >>> spread(0, 300.5, 3), spread(0, 3.5, 100), spread(0, 0.9, 5)
    ((100, 200, 300), (1, 2, 3), ())
    """
    start, end = int(first + 1e-9), int(last + 1e-9)
    count = min(most, end - start)
    return tuple(start + (end - start) * n // count for n in range(1, count + 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneShot(Method):
    """Base of the methods that prune once, to `sparsity`, by `criterion`."""

    sparsity_setting = "sparsity"
    fields_excluded_from_hash = ("criterion",)
    sparsity: float = 0.3
    criterion: str = "magnitude"

    def __post_init__(self) -> None:
        self._normalise(
            sparsity=check_fraction("sparsity", self.sparsity),
            criterion=check_choice("criterion", self.criterion, CRITERIA),
        )

    @property
    def pruning_events(self) -> tuple[PruningEvent, ...]:
        return (PruningEvent(sparsity=self.sparsity, criterion=Criterion(self.criterion)),)
