"""What is pruned as one: single weights, whole blocks of them, or all but n in every m. Settings; no NumPy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tfprune.pruning.events import PruningEvent, keep_after
from tfprune.utils.checks import check_choice
from tfprune.utils.errors import ConfigError

PATTERNS = {"block": "4x1", "n:m": "2:4"}  # granularity -> its default
POOLINGS = ("avg", "max")
TOLERANCE = 1e-3  # of a sparsity that is written down by hand, such as 0.667 for 1:3


@dataclass(frozen=True)
class Blocks:
    """Blocks in the last two axes of a kernel that live or go as a whole: tfmot's `block_size`.

    They begin at the first weight; where a kernel's sides are no multiples of theirs, the last ones are smaller.

    Args:
        rows: weights along the last axis but one, the inputs of a dense kernel or a convolution's.
        columns: weights along the last axis, the outputs.
        pooling: a block is worth the mean (`avg`) or the highest (`max`) of its weights' scores.
    """

    rows: int
    columns: int
    pooling: str = "avg"

    @property
    def text(self) -> str:
        """As it is written in settings."""
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True)
class NOfM:
    """At most `n` weights that are not zero in every `m` along the last axis but one of a kernel, its inputs.

    What tfmot calls `sparsity_m_by_n` counts the zeros: (m - n, m). The last group of an axis that m does not
    divide is shorter, and keeps as many as the others (Mishra et al. 2021, arXiv:2104.08378).
    """

    n: int
    m: int

    @property
    def text(self) -> str:
        """As it is written in settings."""
        return f"{self.n}:{self.m}"

    @property
    def sparsity(self) -> float:
        """Fraction of a group's weights that is zero."""
        return 1 - self.n / self.m


Pattern = Blocks | NOfM


def check_every_m(
    units: NOfM, sparsity: float, events: Iterable[PruningEvent], scope: str, *, option: str = "sparsity"
) -> None:
    """Raises `ConfigError` if cuts of all to a sparsity do not leave n of every m, or are not ranked within those."""
    if scope != "layer":
        raise ConfigError(f"granularity n:m ranks within every {units.m} weights: scope layer, not {scope}")
    if abs(sparsity - units.sparsity) > TOLERANCE or keep_after(events, units.m) != units.n:
        raise ConfigError(
            f"pattern {units.text} is a sparsity of {units.sparsity:.4g}, and {sparsity:.4g} is asked for; leave "
            f"{option} out"
        )


def pattern_of(granularity: str, pattern: str | None, pooling: str | None) -> Pattern | None:
    """Returns what weights are pruned by; None where single weights or channels are.

    Args:
        granularity: `block` and `n:m` have a pattern.
        pattern: `ROWSxCOLUMNS` of a block, or `n:m`; None is the default.
        pooling: of blocks; None is `avg`, as in tfmot.

    >>> pattern_of("block", "16x2", None), pattern_of("n:m", None, None)
    (Blocks(rows=16, columns=2, pooling='avg'), NOfM(n=2, m=4))
    """
    if granularity not in PATTERNS and pattern is not None:
        raise ConfigError(f"pattern {pattern} is of granularity {' or '.join(PATTERNS)}, not {granularity}")
    if granularity != "block" and pooling is not None:
        raise ConfigError(f"pooling {pooling} is of granularity block, not {granularity}")
    if granularity not in PATTERNS:
        return None
    text, mark = str(PATTERNS[granularity] if pattern is None else pattern), "x" if granularity == "block" else ":"
    match = re.fullmatch(rf"([1-9]\d{{0,3}}){mark}([1-9]\d{{0,3}})", text)
    first, second = map(int, match.groups()) if match else (0, 0)
    if granularity == "block":
        if not match:
            raise ConfigError(f"pattern of granularity block must be ROWSxCOLUMNS, such as 4x1, got {text!r}")
        return Blocks(first, second, check_choice("pooling", "avg" if pooling is None else pooling, POOLINGS))
    if not first < second:
        raise ConfigError(f"pattern of granularity n:m must be N:M with whole N below M, such as 2:4, got {text!r}")
    return NOfM(first, second)
