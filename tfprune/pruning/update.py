"""From a cut and what is known of a network to its new masks. Pure NumPy."""

from __future__ import annotations

import dataclasses
import functools
from collections import deque

import numpy as np

from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import Criterion, Cut
from tfprune.pruning.masks import Arrays, Scope, regrown
from tfprune.pruning.pattern_masks import cut_pattern
from tfprune.pruning.patterns import Pattern
from tfprune.pruning.scores import Evidence

REMEMBERED = 5  # masks; those of You et al. 2020


def ranked(criterion: Criterion, evidence: Evidence) -> dict[str, np.ndarray]:
    """Returns a score a weight, larger means more worth keeping."""
    asked = dataclasses.replace(evidence, slopes=functools.partial(evidence.slopes, criterion=criterion))
    scores = CRITERIA[criterion.name](asked)
    return {name: -score for name, score in scores.items()} if criterion.inverted else scores


def masks_after(cut: Cut, evidence: Evidence, scope: Scope, pattern: Pattern | None = None) -> dict[str, np.ndarray]:
    """Returns the masks of one network after a cut.

    Args:
        cut: how much goes and comes back, by what criteria; whether it waits is not looked at.
        evidence: the network.
        scope: see `masks.cut_masks`.
        pattern: what goes as one, see `pattern_masks.cut_pattern`.
    """
    scores = ranked(cut.criterion, evidence)
    masks = cut_pattern(scores, evidence.masks, cut, scope, pattern)
    return regrown(scores, ranked(cut.growth, evidence), masks, cut.regrown) if cut.regrown else masks


class Settling:
    """Remembers the masks that events would have led to, and says when they no longer change.

    You et al. 2020, Drawing Early-Bird Tickets, arXiv:1909.11957: the last mask is held against the four before.
    """

    def __init__(self) -> None:
        self.recent: deque[Arrays] = deque(maxlen=REMEMBERED)

    def settled(self, masks: Arrays, tolerance: float) -> bool:
        """Says whether `masks` differ from each of those before in no more than a fraction of their entries."""
        far = [distance(masks, earlier) > tolerance for earlier in self.recent][-(REMEMBERED - 1) :]
        self.recent.append(masks)
        return len(self.recent) == REMEMBERED and not any(far)


def distance(masks: Arrays, others: Arrays) -> float:
    """Returns the fraction of entries in which masks differ, in [0, 1].

    >>> distance({"a": np.array([1, 0, 1, 0])}, {"a": np.array([1, 1, 0, 0])})
    0.5
    """
    return sum(int(np.sum(mask != others[name])) for name, mask in masks.items()) / sum(m.size for m in masks.values())
