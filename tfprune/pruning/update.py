"""From a cut and what is known of a network to its new masks. Pure NumPy."""

from __future__ import annotations

import dataclasses
import functools
from collections import deque

import numpy as np

from tfprune.pruning.criteria import CRITERIA
from tfprune.pruning.events import MASK_HISTORY, Criterion, PruningEvent
from tfprune.pruning.masks import Arrays, Scope, drop_and_grow
from tfprune.pruning.pattern_masks import prune_pattern
from tfprune.pruning.patterns import Pattern
from tfprune.pruning.scores import ScoringContext


def compute_scores(criterion: Criterion, context: ScoringContext) -> dict[str, np.ndarray]:
    """Returns one score per weight, larger means more worth keeping."""
    asked = dataclasses.replace(context, gradients=functools.partial(context.gradients, criterion=criterion))
    scores = CRITERIA[criterion.name](asked)
    return {name: -score for name, score in scores.items()} if criterion.inverted else scores


def update_masks(
    event: PruningEvent, context: ScoringContext, scope: Scope, pattern: Pattern | None = None
) -> dict[str, np.ndarray]:
    """Returns the masks of one network after a cut.

    Args:
        event: how much goes and comes back, by what criteria; whether it waits is not looked at.
        context: the network.
        scope: see `masks.prune_masks`.
        pattern: what goes as one, see `pattern_masks.prune_pattern`.
    """
    scores = compute_scores(event.criterion, context)
    masks = prune_pattern(scores, context.masks, event, scope, pattern)
    return (
        drop_and_grow(scores, compute_scores(event.growth, context), masks, event.regrow_fraction)
        if event.regrow_fraction
        else masks
    )


class MaskStability:
    """Remembers the masks that events would have led to, and says when they no longer change.

    You et al. 2020, Drawing Early-Bird Tickets, arXiv:1909.11957: the last mask is compared with the four before.
    """

    def __init__(self) -> None:
        self.recent: deque[Arrays] = deque(maxlen=MASK_HISTORY)

    def is_stable(self, masks: Arrays, tolerance: float) -> bool:
        """Returns whether `masks` differ from each of those before in no more than a fraction of their entries."""
        far = [distance(masks, earlier) > tolerance for earlier in self.recent][-(MASK_HISTORY - 1) :]
        self.recent.append(masks)
        return len(self.recent) == MASK_HISTORY and not any(far)


def distance(masks: Arrays, others: Arrays) -> float:
    """Returns the fraction of entries in which masks differ, in [0, 1].

    >>> distance({"a": np.array([1, 0, 1, 0])}, {"a": np.array([1, 1, 0, 0])})
    0.5
    """
    return sum(int(np.sum(mask != others[name])) for name, mask in masks.items()) / sum(m.size for m in masks.values())
