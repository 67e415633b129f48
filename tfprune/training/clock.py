"""What the parts of a training took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

COMPILE, RANKING = "compile", "ranking"  # parts beside the phases


class Clock:
    """Wall time and CPU time of each part of a training.

    Attributes:
        seconds: part -> wall time.
        cpu_seconds: the same in seconds of all processor cores together, which hold still when others use the machine.
        took: returns both of the part that began last, so far.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.took: Callable[[], list[float]] = lambda: [0.0, 0.0]
        self._compile_time_credit = (0.0, 0.0)

    @contextlib.contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Records the time of a part, less what its own parts have recorded."""
        clocks = ((self.seconds, time.perf_counter), (self.cpu_seconds, time.process_time))
        before = [(sum(seconds.values()), clock()) for seconds, clock in clocks]

        def took() -> list[float]:
            return [
                clock() - started - (sum(seconds.values()) - counted) + seconds.get(part, 0.0)
                for (seconds, clock), (counted, started) in zip(clocks, before, strict=True)
            ]

        self.took = took
        yield
        self.seconds[part], self.cpu_seconds[part] = took()

    def owe(self, seconds: float, cpu_seconds: float) -> None:
        """Notes what an earlier run took for this one; it counts once the part that runs is over."""
        self._compile_time_credit = (seconds, cpu_seconds)

    def settle(self, part: str) -> None:
        """Adds what is owed to a part."""
        for clock, credit in zip((self.seconds, self.cpu_seconds), self._compile_time_credit, strict=True):
            if credit:
                clock[part] = clock.get(part, 0.0) + credit
        self._compile_time_credit = (0.0, 0.0)
