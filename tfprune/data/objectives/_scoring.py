"""Metrics of answers, in NumPy: each from the truth and the answers of a whole split to a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Returns the area under the ROC curve: how often a positive example has the higher score, ties counting half.

    NaN where all examples are of one kind.
    """
    import numpy as np
    from scipy.stats import rankdata

    positive = np.asarray(positive, bool)
    own, others = int(positive.sum()), int((~positive).sum())
    if not own or not others:
        return float("nan")
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - own * (own + 1) / 2) / (own * others))


def mean_auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Returns the mean `auc` of the columns that have examples of both kinds."""
    import numpy as np

    found = [auc(positive[:, place], scores[:, place]) for place in range(scores.shape[1])]
    return float(np.nanmean(found)) if not all(np.isnan(found)) else float("nan")


def counts(truth: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns of boolean columns how many entries are in both, in the truth, and chosen."""
    axes = tuple(range(truth.ndim - 1))
    return (truth & chosen).sum(axis=axes), truth.sum(axis=axes), chosen.sum(axis=axes)


def class_counts(truth: np.ndarray, chosen: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Does what `counts` does for class numbers."""
    import numpy as np

    truth, chosen = truth.reshape(-1), chosen.reshape(-1)
    both = np.bincount(truth[truth == chosen], minlength=classes)
    return both, np.bincount(truth, minlength=classes), np.bincount(chosen, minlength=classes)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns `part / whole`, 0 where there is nothing."""
    import numpy as np

    return np.divide(part, whole, out=np.zeros(np.shape(part), float), where=np.asarray(whole) > 0)


def macro(both: np.ndarray, truth: np.ndarray, chosen: np.ndarray, kind: str) -> float:
    """Returns the mean over classes of `precision`, `recall`, `f1` (Dice) or `iou`, over classes that occur at all.

    Args:
        both, truth, chosen: see `counts`.
        kind: of the four.
    """
    whole = {"precision": chosen, "recall": truth, "f1": truth + chosen, "iou": truth + chosen - both}[kind]
    occurs = (truth + chosen) > 0
    values = share(2 * both if kind == "f1" else both, whole)[occurs]
    return float(values.mean()) if len(values) else float("nan")


def accuracy(truth: np.ndarray, answers: np.ndarray) -> float:
    """Returns the share of examples, or pixels, whose most probable class is the true one."""
    return (answers.argmax(axis=-1) == truth).mean()


def macro_of(kind: str) -> Callable[[np.ndarray, np.ndarray], float]:
    """Returns the function of class numbers and answers that `macro` is of their counts."""

    def of(truth: np.ndarray, answers: np.ndarray) -> float:
        return macro(*class_counts(truth, answers.argmax(axis=-1), answers.shape[-1]), kind)

    return of
