"""Masks of whole blocks, and of n in every m: pure NumPy, exact. What goes singly is left to `masks`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfprune.pruning.events import PruningEvent, keep_after
from tfprune.pruning.masks import (
    Arrays,
    Scope,
    Shapes,
    check_counts,
    check_finite,
    check_zeros,
    expected_kept,
    prune_masks,
)
from tfprune.pruning.patterns import Blocks, NOfM, Pattern
from tfprune.utils.errors import SparsityError


def prune_pattern(
    scores: Arrays, masks: Arrays, event: PruningEvent, scope: Scope, pattern: Pattern | None
) -> dict[str, np.ndarray]:
    """Applies one cut: the lowest scores among what still lives go, in whole blocks or within every m weights.

    Of blocks it is their number that `masks.prune_masks` counts, in any scope; blocks at an edge count like others. Of
    every m weights as many stay as the cut would leave of m, of a shorter group at its end as many if there are
    as many.

    Args:
        scores, masks, event, scope: see `masks.prune_masks`.
        pattern: what goes as one; None: single weights.

    Returns:
        New masks, each a subset of the old one.

    Raises:
        ValueError: a score is not finite.
    """
    if pattern is None:
        return prune_masks(scores, masks, event, scope)
    check_finite(scores)
    if isinstance(pattern, NOfM):
        keep = event.keep(pattern.m, pattern.m)
        return {name: _best_of_each(score, masks[name], keep, pattern.m) for name, score in scores.items()}
    grids = {name: pooled(score, pattern) for name, score in scores.items()}
    left = prune_masks(grids, {name: _grid(mask, pattern) for name, mask in masks.items()}, event, scope)
    return {name: _spread(grid, masks[name].shape, pattern) for name, grid in left.items()}


def pooled(scores: np.ndarray, blocks: Blocks) -> np.ndarray:
    """Returns one score per block: the mean or the highest of its weights', `[..., rows, columns]`."""
    if blocks.pooling == "max":
        return _reduced(np.maximum, scores, blocks)
    sums = _reduced(np.add, np.asarray(scores, np.float64), blocks)
    return sums / _reduced(np.add, np.ones(np.shape(scores)), blocks)


def _grid(mask: np.ndarray, blocks: Blocks) -> np.ndarray:
    return _reduced(np.maximum, mask, blocks)


def _reduced(how: np.ufunc, values: np.ndarray, blocks: Blocks) -> np.ndarray:
    values = _matrices(values)
    for axis, side in ((-2, blocks.rows), (-1, blocks.columns)):
        values = how.reduceat(values, np.arange(0, values.shape[axis], side), axis=axis)
    return values


def _spread(grid: np.ndarray, shape: tuple[int, ...], blocks: Blocks) -> np.ndarray:
    """Returns the mask of a kernel of which each block has the entry that it has in `grid`."""
    rows, columns = _matrices(np.empty(shape, np.uint8)).shape[-2:]
    each = grid.repeat(blocks.rows, axis=-2)[..., :rows, :].repeat(blocks.columns, axis=-1)[..., :columns]
    return each.reshape(shape)


def _matrices(values: np.ndarray) -> np.ndarray:
    """Returns an array with a last axis but one."""
    return values[:, np.newaxis] if np.ndim(values) == 1 else np.asarray(values)


def _groups(values: np.ndarray, m: int, padding: float) -> np.ndarray:
    """Returns what lies along the last axis but one in groups of m, `[..., columns, groups, m]`, the last padded."""
    rows = np.moveaxis(_matrices(values), -2, -1)
    short = -rows.shape[-1] % m
    padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, short)], constant_values=padding)
    return padded.reshape(*rows.shape[:-1], -1, m)


def _best_of_each(scores: np.ndarray, mask: np.ndarray, keep: int, m: int) -> np.ndarray:
    """Returns the mask of the `keep` highest scores in every m, of those that `mask` leaves; of equals the first."""
    ranked = _groups(np.where(mask > 0, scores, -np.inf), m, -np.inf)
    chosen = np.zeros(ranked.shape, np.uint8)
    np.put_along_axis(chosen, np.argsort(-ranked, axis=-1, kind="stable")[..., :keep], 1, axis=-1)
    columns = chosen.reshape(*ranked.shape[:-2], -1)[..., : _matrices(mask).shape[-2]]
    return np.moveaxis(columns, -1, -2).reshape(mask.shape) * (mask > 0)


def kept_after(shapes: Shapes, events: Iterable[PruningEvent], scope: Scope, pattern: Pattern | None) -> int:
    """Returns what cuts leave of all kernels together: weights or, where whole blocks go, blocks.

    Args:
        shapes: of the kernels.
        events, scope, pattern: see `check_pattern`.
    """
    events = tuple(events)
    if isinstance(pattern, NOfM):
        keep, left = keep_after(events, pattern.m), 0
        for shape in shapes.values():
            side = shape[max(len(shape) - 2, 0)]
            each = side // pattern.m * keep + min(side % pattern.m, keep)
            left += math.prod(shape) // side * each
        return left
    if pattern is not None:
        shapes = {name: _grid(np.ones(shape, np.uint8), pattern).shape for name, shape in shapes.items()}
    return sum(expected_kept(shapes, events, scope).values())


def check_pattern(
    weights: Arrays, masks: Arrays, events: Iterable[PruningEvent], scope: Scope, pattern: Pattern | None, where: str
) -> None:
    """Compares what was asked for with what is there: zeros, whole blocks, and the count of blocks or in every group.

    Args:
        weights, masks, events, scope, where: see `masks.check_sparsity`.
        pattern: what goes as one; None: single weights.

    Raises:
        SparsityError: it is not so.
    """
    check_zeros(weights, masks, where)
    if pattern is None:
        check_counts(masks, events, scope, where)
    elif isinstance(pattern, NOfM):
        keep = keep_after(events, pattern.m)
        for name, mask in masks.items():
            there = _groups(np.ones_like(mask), pattern.m, 0).sum(axis=-1, dtype=int)
            wrong = int(np.sum(_groups(mask, pattern.m, 0).sum(axis=-1, dtype=int) != np.minimum(there, keep)))
            if wrong:
                raise SparsityError(
                    f"{where}: {wrong} groups of {name} do not keep {keep} of every {pattern.m} weights"
                )
    else:
        for name, mask in masks.items():
            if np.any(_spread(_grid(mask, pattern), mask.shape, pattern) != mask):
                raise SparsityError(f"{where}: a block of {name} is pruned in part")
        check_counts({name: _grid(mask, pattern) for name, mask in masks.items()}, events, scope, where, "blocks")


def describe_pattern(masks: Arrays, pattern: Pattern) -> dict[str, dict[str, Any]]:
    """Returns, by kernel, `units` (blocks, groups of m), how many of them are `smaller` and, of blocks, are `kept`."""
    return {name: _describe_kernel(mask, pattern) for name, mask in masks.items()}


def _describe_kernel(mask: np.ndarray, pattern: Pattern) -> Mapping[str, int]:
    ones = np.ones_like(mask)
    if isinstance(pattern, NOfM):
        sizes = _groups(ones, pattern.m, 0).sum(axis=-1, dtype=int)
        return {"units": sizes.size, "smaller": int(np.sum(sizes < pattern.m))}
    sizes = _reduced(np.add, ones.astype(int), pattern)
    smaller = int(np.sum(sizes < pattern.rows * pattern.columns))
    return {"units": sizes.size, "smaller": smaller, "kept": int(np.count_nonzero(_grid(mask, pattern)))}
