"""From scores to masks: pure NumPy, exact to one weight.

Weights and masks travel as dictionaries from a kernel's name (`"dense_1/kernel"`) to an array. A
mask is uint8, 1 where the weight lives. Cuts only ever take ones away; what is pruned comes back only
through `drop_and_grow`, and then as many others go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, get_args

import numpy as np

from tfprune.pruning.events import PruningEvent
from tfprune.utils.errors import SparsityError

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]
Scope = Literal["layer", "global", "erk"]
SCOPES: tuple[str, ...] = get_args(Scope)
AT_ONCE = 1 << 16  # scores that are searched for ties
SORTED_AT_ONCE = 1 << 22  # scores
BINS, BINNED_AT_ONCE = 1 << 16, 1 << 20


def topk_mask(scores: np.ndarray, keep: int) -> np.ndarray:
    """Keeps the `keep` highest scores (Han et al. 2015, arXiv:1506.02626, for magnitudes).

    Args:
        scores: any shape; larger means more worth keeping, -inf never is.
        keep: number of ones in the mask, at most the number of scores above -inf.

    Returns:
        uint8 mask shaped like `scores`; of equal scores the lower flat index survives.
    """
    flat = np.asarray(scores).reshape(-1)
    if keep <= 0:
        return np.zeros(np.shape(scores), np.uint8)
    mask, _ = _above(flat, *_threshold(flat.copy(), keep))
    return mask.reshape(np.shape(scores))


def _threshold(scores: np.ndarray, keep: int) -> tuple[np.generic, int]:
    """Returns the lowest of the `keep` highest scores, and how many equal ones are among them; reorders `scores`."""
    scores.partition(scores.size - keep)
    kept = scores[scores.size - keep :]
    return kept[0], keep - int(np.count_nonzero(kept > kept[0]))


def _above(scores: np.ndarray, threshold: np.generic, ties: int) -> tuple[np.ndarray, int]:
    """Returns the mask of flat scores above a threshold and of the first `ties` equal to it, and how many of those."""
    mask = (scores > threshold).view(np.uint8)
    taken = 0
    for first in range(0, scores.size, AT_ONCE):  # in pieces: where most are equal, their places outweigh the scores
        if taken == ties:
            break
        places = first + np.flatnonzero(scores[first : first + AT_ONCE] == threshold)[: ties - taken]
        mask[places] = 1
        taken += places.size
    return mask, taken


def ones_like(weights: Arrays) -> dict[str, np.ndarray]:
    """Returns the masks of an unpruned model."""
    return {name: np.ones(np.shape(weight), np.uint8) for name, weight in weights.items()}


def prune_masks(scores: Arrays, masks: Arrays, event: PruningEvent, scope: Scope) -> dict[str, np.ndarray]:
    """Applies one cut: the lowest scores among the weights that still live go.

    Args:
        scores: one score per weight, finite, larger means more worth keeping.
        masks: what lives now, shaped like the scores.
        event: how much goes.
        scope: `"layer"` ranks within each kernel and takes the same share of each; `"erk"` ranks within each
            kernel and leaves them the shares of `erk_counts`; `"global"` ranks across all of them. Always
            every kernel keeps at least its best weight (no layer collapse).

    Returns:
        New masks, each a subset of the old one.

    Raises:
        ValueError: a score is not finite.
    """
    check_finite(scores)
    alive = {name: int(masks[name].sum()) for name in scores}
    shapes = {name: np.shape(masks[name]) for name in scores}
    if scope == "global":
        size = sum(math.prod(shape) for shape in shapes.values())
        return _best(scores, masks, _kept_in_all(size, len(shapes), sum(alive.values()), event))
    keep = _kept_per_kernel(shapes, alive, event, scope)
    return {name: _best({name: score}, masks, keep[name])[name] for name, score in scores.items()}


def _best(scores: Arrays, masks: Arrays, keep: int) -> dict[str, np.ndarray]:
    """Returns the masks of the `keep` highest scores of all kernels together, of those that `masks` leave.

    Beyond the masks it needs the memory of `SORTED_AT_ONCE` scores, or a few times that of the largest kernel's.
    """
    kinds = {score.dtype for score in scores.values()}
    kind = np.result_type(np.float32, *kinds)  # compared exactly, whatever they are made of

    def ranked() -> Iterator[np.ndarray]:
        return (_rank(score, masks[name], np.empty(np.size(score), kind)) for name, score in scores.items())

    threshold, ties = _threshold_in_all(ranked, sum(masks[name].size for name in scores), keep, kind)
    kept = {}
    for name, ranks in zip(scores, ranked(), strict=True):
        mask, taken = _above(ranks, threshold, ties)
        kept[name], ties = mask.reshape(np.shape(masks[name])), ties - taken
    return kept


def _threshold_in_all(
    parts: Callable[[], Iterable[np.ndarray]], size: int, keep: int, kind: np.dtype
) -> tuple[np.generic, int]:
    """Does what `_threshold` does, to arrays that are made one after the other and never held together.

    Of many scores it counts first how many there are in each of `_bins`, and then sorts one bin alone.

    Args:
        parts: makes the arrays, flat; called twice.
        size: of all of them.
        keep: how many of the scores are the highest.
        kind: of float that they are.
    """
    if size <= SORTED_AT_ONCE:
        return _threshold(_filled(parts(), size, kind), keep)
    counts = np.zeros(BINS, np.int64)
    for piece in _pieces(parts()):
        counts += np.bincount(_bins(piece), minlength=BINS)
    at_least = np.cumsum(counts[::-1])[::-1]
    chosen = int(np.flatnonzero(at_least >= keep)[-1])
    found = (piece[_bins(piece) == chosen] for piece in _pieces(parts()))
    return _threshold(_filled(found, counts[chosen], kind), keep - int(at_least[chosen] - counts[chosen]))


def _pieces(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for part in parts:
        for first in range(0, part.size, BINNED_AT_ONCE):
            yield part[first : first + BINNED_AT_ONCE]


def _filled(parts: Iterable[np.ndarray], size: int, kind: np.dtype) -> np.ndarray:
    """Returns arrays one after the other, without ever having all of them twice."""
    together = np.empty(size, kind)
    first = 0
    for part in parts:
        together[first : first + part.size] = part
        first += part.size
        del part  # before the next one is made
    return together


def _bins(scores: np.ndarray) -> np.ndarray:
    """Returns a number in [0, `BINS`) a score, by sign, exponent and highest digits: no lower for a higher score."""
    signed = (scores + 0).view(f"i{scores.itemsize}") >> (8 * scores.itemsize - 16)  # + 0: there is a zero below zero
    return np.where(signed < 0, -1 - signed, signed + BINS // 2)


def _rank(scores: np.ndarray, mask: np.ndarray, into: np.ndarray) -> np.ndarray:
    """Writes scores by which no weight comes back, and the best of the kernel outranks all others: none is emptied."""
    into[:] = np.reshape(scores, -1)
    into[mask.reshape(-1) == 0] = -np.inf
    into[np.argmax(into)] = np.inf
    return into


def check_finite(scores: Arrays) -> None:
    """Raises a `ValueError` if a score is not finite."""
    for name, score in scores.items():
        if not np.all(np.isfinite(score)):
            raise ValueError(f"cannot rank {name}: its scores hold NaN or infinite values")


def _kept_per_kernel(shapes: Shapes, alive: Mapping[str, int], event: PruningEvent, scope: Scope) -> dict[str, int]:
    """Returns how many weights a cut leaves each kernel, where that does not depend on the scores."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    if scope == "layer":
        return {name: event.keep(size, alive[name]) for name, size in sizes.items()}
    return erk_counts(shapes, _kept_in_all(sum(sizes.values()), len(sizes), sum(alive.values()), event))


def _kept_in_all(size: int, kernels: int, alive: int, event: PruningEvent) -> int:
    return max(event.keep(size, alive), kernels)


def erk_counts(shapes: Shapes, keep: int) -> dict[str, int]:
    """Shares out weights as Erdos-Renyi-Kernel does (Evci et al. 2020, arXiv:1911.11134).

    A kernel's share is in proportion to the sum of its sides (height + width + inputs + outputs), so that
    large kernels are the sparser ones; it has at least one weight and at most all. Whole numbers come about by
    rounding with a common divisor (Webster's method), by which no kernel gains when there is less to share out.

    Args:
        shapes: of the kernels.
        keep: weights to share out, from one per kernel to all of them.

    Returns:
        Counts that add up to `keep`.

    >>> erk_counts({"a": (100, 100), "b": (100, 20)}, 3200)
    {'a': 2000, 'b': 1200}
    """
    sides = np.array([sum(shape) for shape in shapes.values()], float)
    sizes = np.array([math.prod(shape) for shape in shapes.values()])

    def counts(scale: float) -> np.ndarray:
        return np.clip(np.floor(scale * sides + 0.5), 1, sizes).astype(np.int64)

    low, high = 0.0, float(np.max(sizes / sides)) + 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if counts(middle).sum() <= keep else (low, middle)
    shared = counts(low)
    waiting = np.lexsort((np.arange(len(sides)), (shared + 0.5) / sides))  # those that are all but rounded up
    waiting = waiting[shared[waiting] < sizes[waiting]][: keep - int(shared.sum())]
    shared[waiting] += 1
    return dict(zip(shapes, shared.tolist(), strict=True))


def drop_and_grow(scores: Arrays, growth: Arrays, masks: Arrays, share: float) -> dict[str, np.ndarray]:
    """Moves a share of each kernel's weights: those of the lowest scores go, and as many others come to live.

    What has just gone may come back at once, as in Evci et al. 2020 (arXiv:1911.11134); it then keeps its value.

    Args:
        scores: one score per weight; of those that live the `floor(share * count)` lowest of each kernel go.
        growth: another one; of all others the highest come to live.
        masks: what lives now.
        share: in [0, 1).

    Returns:
        New masks with as many ones in each kernel.

    Raises:
        ValueError: a score is not finite.
    """
    check_finite(scores)
    check_finite(growth)
    moved = {}
    for name, mask in masks.items():
        alive = int(mask.sum())
        kept = topk_mask(np.where(mask > 0, scores[name], -np.inf), alive - int(share * alive))
        moved[name] = kept + topk_mask(np.where(kept > 0, -np.inf, growth[name]), alive - int(kept.sum()))
    return moved


def expected_kept(shapes: Shapes, events: Iterable[PruningEvent], scope: Scope) -> dict[str, int]:
    """Returns how many weights must remain: per kernel, or under `"all kernels"` for a global scope."""
    alive = {name: math.prod(shape) for name, shape in shapes.items()}
    size = left = sum(alive.values())
    for event in events:
        if scope == "global":
            left = _kept_in_all(size, len(shapes), left, event)
        else:
            alive = _kept_per_kernel(shapes, alive, event, scope)
    return {"all kernels": left} if scope == "global" else alive


def check_sparsity(weights: Arrays, masks: Arrays, events: Iterable[PruningEvent], scope: Scope, where: str) -> None:
    """Compares what was asked for with what is there.

    Args:
        weights: the kernels of a model.
        masks: the masks that the model is said to have.
        events: what was asked for.
        scope: how it was ranked.
        where: what is looked at, for the message.

    Raises:
        SparsityError: a mask has another count than asked for, or a pruned weight is not zero.
    """
    check_zeros(weights, masks, where)
    check_counts(masks, events, scope, where)


def check_zeros(weights: Arrays, masks: Arrays, where: str) -> None:
    """Raises a `SparsityError` if a pruned weight is not zero."""
    for name, mask in masks.items():
        alive = int(np.count_nonzero(np.asarray(weights[name])[mask == 0]))
        if alive:
            raise SparsityError(f"{where}: {alive} pruned weights of {name} are not zero")


def check_counts(
    masks: Arrays, events: Iterable[PruningEvent], scope: Scope, where: str, what: str = "weights"
) -> None:
    """Raises a `SparsityError` if a mask, whose entries stand for `what`, has another count than was asked for."""
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    if scope == "global":
        kept = {"all kernels": sum(kept.values())}
    for name, expected in expected_kept({n: m.shape for n, m in masks.items()}, events, scope).items():
        if kept[name] != expected:
            raise SparsityError(f"{where}: {name} keeps {kept[name]} {what} where {expected} were asked for")


def revived(kernels: Arrays, masks: Arrays) -> int:
    """Returns how many pruned weights are not zero, as somebody has set them.

    Args:
        kernels: the weights by kernel name.
        masks: theirs, zero where a weight is pruned.
    """
    return sum(int(np.count_nonzero(kernels[name][mask == 0])) for name, mask in masks.items() if not mask.all())


def sparsity_of(masks: Arrays) -> float:
    """Returns the fraction of zeros over all masks, in [0, 1]; 0 where there are none."""
    size = sum(mask.size for mask in masks.values())
    return 1 - sum(int(np.count_nonzero(mask)) for mask in masks.values()) / size if size else 0.0
