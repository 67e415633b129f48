"""What an executor is: it starts workers, each of which does one piece of work after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from tfprune.experiments.results import Result
from tfprune.training.config import Config
from tfprune.utils.checks import check_positive, check_whole

Train = Callable[[Sequence[Config], Result | None], list[Result]]  # configs, their baseline's run -> finished runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resources:
    """What people ask for; each executor refuses what it cannot give.

    Args:
        jobs: workers at a time, at least 1; None: as the executor says.
        address: of a cluster.
        cpus_per_trial: cores of each worker, above 0; None: as the executor says.
        gpus_per_trial: GPUs of each worker; fractions let several share one.
    """

    jobs: int | None = None
    address: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None:
            check_whole("--jobs", self.jobs, least=1)
        for name in ("cpus_per_trial", "gpus_per_trial"):
            if getattr(self, name) is not None:
                check_positive(f"--{name.replace('_', '-')}", getattr(self, name))


class Worker(Protocol):
    """Does one piece of work at a time, and pays for importing TensorFlow once.

    What is handed to it is pickled unless it works in this process. A future raises what the work raised, or one of
    its executor's `lost` if the worker is gone.
    """

    ready: Future  # done when the worker can take work

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Calls a function that touches no run folder."""

    def train(self, train: Train, configs: Sequence[Config], dense: Result | None) -> Future[list[Result]]:
        """Has runs trained into their folders, which are here when the future is done."""

    def stop(self) -> None:
        """Ends the worker, whatever it is doing."""


class Executor(Protocol):
    """Starts workers, for one sweep."""

    lost: tuple[type[Exception], ...]  # what futures raise when their worker is gone

    def wanted(self) -> int:
        """Returns how many workers there should be at present, at least 1; it may grow and shrink."""

    def start(self, folders: Collection[str]) -> Worker:
        """Starts a worker for runs in these folders (`Config.out`); it need not be ready when this returns."""

    def close(self) -> None:
        """Gives back what is not a worker's."""
