"""From scores to masks: pure NumPy, exact to one weight.

Weights and masks travel as dictionaries from a kernel's name (`"dense_1/kernel"`) to an array. A
mask is uint8, 1 where the weight lives. Masks only ever lose ones: what is pruned stays pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

import numpy as np

from tfprune.cuts import Cut, keep_after
from tfprune.errors import SparsityError

Arrays = Mapping[str, np.ndarray]
Scope = Literal["layer", "global"]
SCOPES: tuple[str, ...] = get_args(Scope)


def keep_top(scores: np.ndarray, keep: int) -> np.ndarray:
    """Keeps the `keep` highest scores (Han et al. 2015, arXiv:1506.02626, for magnitudes).

    Args:
        scores: any shape; larger means more worth keeping, -inf never is.
        keep: number of ones in the mask, at most the number of scores above -inf.

    Returns:
        uint8 mask shaped like `scores`; of equal scores the lower flat index survives.
    """
    flat = np.asarray(scores).reshape(-1)
    mask = np.zeros(flat.size, np.uint8)
    if keep > 0:
        threshold = np.partition(flat, flat.size - keep)[flat.size - keep]
        mask[flat > threshold] = 1
        ties = np.flatnonzero(flat == threshold)
        mask[ties[: keep - int(mask.sum())]] = 1
    return mask.reshape(np.shape(scores))


def ones_like(weights: Arrays) -> dict[str, np.ndarray]:
    """Returns the masks of an unpruned model."""
    return {name: np.ones(np.shape(weight), np.uint8) for name, weight in weights.items()}


def cut_masks(scores: Arrays, masks: Arrays, cut: Cut, scope: Scope) -> dict[str, np.ndarray]:
    """Applies one cut: the lowest scores among the weights that still live go.

    Args:
        scores: a score a weight, finite, larger means more worth keeping.
        masks: what lives now, shaped like the scores.
        cut: how much goes.
        scope: `"layer"` ranks within each kernel, `"global"` across all of them. Either way every
            kernel keeps at least its best weight (no layer collapse).

    Returns:
        New masks, each a subset of the old one.

    Raises:
        ValueError: a score is not finite.
    """
    for name, score in scores.items():
        if not np.all(np.isfinite(score)):
            raise ValueError(f"cannot rank {name}: its scores hold NaN or infinite values")
    ranked = {name: np.where(masks[name] > 0, np.asarray(scores[name], np.float64), -np.inf) for name in scores}
    if scope == "layer":
        return {name: keep_top(score, cut.keep(score.size, int(masks[name].sum()))) for name, score in ranked.items()}
    # The best weight of each kernel outranks everything, so that a global threshold cannot empty a kernel.
    for score in ranked.values():
        score.flat[np.argmax(score)] = np.inf
    alive = sum(int(mask.sum()) for mask in masks.values())
    together = np.concatenate([score.reshape(-1) for score in ranked.values()])
    keep = max(cut.keep(together.size, alive), len(ranked))
    parts = np.split(keep_top(together, keep), np.cumsum([score.size for score in ranked.values()])[:-1])
    return {name: part.reshape(ranked[name].shape) for name, part in zip(ranked, parts, strict=True)}


def expected_kept(sizes: Mapping[str, int], cuts: Iterable[Cut], scope: Scope) -> dict[str, int]:
    """Returns how many weights must remain: per kernel, or under `"all kernels"` for a global scope."""
    cuts = tuple(cuts)
    if scope == "layer":
        return {name: keep_after(cuts, size) for name, size in sizes.items()}
    kept = keep_after(cuts, sum(sizes.values()))
    return {"all kernels": max(kept, len(sizes)) if cuts else kept}


def check_sparsity(weights: Arrays, masks: Arrays, cuts: Iterable[Cut], scope: Scope, where: str) -> None:
    """Compares what was asked for with what is there.

    Args:
        weights: the kernels of a model.
        masks: the masks that the model is said to have.
        cuts: what was asked for.
        scope: how it was ranked.
        where: what is looked at, for the message.

    Raises:
        SparsityError: a mask has another count than asked for, or a pruned weight is not zero.
    """
    for name, mask in masks.items():
        alive = int(np.count_nonzero(np.asarray(weights[name])[mask == 0]))
        if alive:
            raise SparsityError(f"{where}: {alive} pruned weights of {name} are not zero")
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    if scope == "global":
        kept = {"all kernels": sum(kept.values())}
    for name, expected in expected_kept({n: m.size for n, m in masks.items()}, cuts, scope).items():
        if kept[name] != expected:
            raise SparsityError(f"{where}: {name} keeps {kept[name]} weights where {expected} were asked for")


def sparsity_of(masks: Arrays) -> float:
    """Returns the fraction of zeros over all masks, in [0, 1]; 0 where there are none."""
    size = sum(mask.size for mask in masks.values())
    return 1 - sum(int(np.count_nonzero(mask)) for mask in masks.values()) / size if size else 0.0
