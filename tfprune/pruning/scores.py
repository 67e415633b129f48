"""Pruning criteria: one score per weight; the highest are kept. Pure NumPy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ScoringContext:
    """What a criterion may look at: one network, its arrays by kernel name.

    Args:
        weights: the kernels as they stand; pruned weights are zero.
        masks: 1 where a weight lives.
        random: for criteria that draw random numbers.
        gradients: returns derivatives with respect to all weights, pruned ones too, by the names in
            `gradients.GradientProvider`. They are computed when they are first asked for.
    """

    weights: Arrays
    masks: Arrays
    random: np.random.Generator
    gradients: Callable[[str], Arrays]


class LazyArrays(Mapping[str, np.ndarray]):
    """Arrays by name that are made whenever one is asked for, so that never all of them are in memory.

    Args:
        names: of the arrays, in their order.
        make: returns one of them.
    """

    def __init__(self, names: Collection[str], make: Callable[[str], np.ndarray]) -> None:
        self._names = dict.fromkeys(names)
        self._make = make

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


Scores = Arrays


def magnitude(context: ScoringContext) -> Scores:
    """Returns the absolute weights (Han et al. 2015, arXiv:1506.02626)."""
    return LazyArrays(context.weights, lambda name: np.abs(context.weights[name]))


def random(context: ScoringContext) -> Scores:
    """Returns scores drawn from [0, 1): what every criterion has to beat."""
    return {name: context.random.random(np.shape(weight)) for name, weight in context.weights.items()}


def lamp(context: ScoringContext) -> Scores:
    """Returns each squared weight over the sum of those in its kernel that are no smaller (Lee et al. 2021, LAMP).

    Within a kernel that is the order of the magnitudes. Across kernels (`scope=global`) it gives each the
    sparsity that does least harm to the network's output. arXiv:2010.07611.
    """
    scores = {}
    for name, weight in context.weights.items():
        squares = np.square(weight.reshape(-1).astype(np.float64)) * (context.masks[name].reshape(-1) > 0)
        order = np.argsort(-squares, kind="stable")  # of equal weights the lower index is the larger, as in `topk_mask`
        largest_first = squares[order]
        score = np.empty_like(squares)
        score[order] = largest_first / np.maximum(np.cumsum(largest_first), np.finfo(np.float64).tiny)
        scores[name] = score.reshape(weight.shape)
    return scores


def signed(context: ScoringContext) -> Scores:
    """Returns each weight's rank among the living ones of its kernel and sign, in (0, 1].

    The lowest fraction are the smallest positive and the largest negative weights, a like share of each
    (Mocanu et al. 2018, arXiv:1707.04780).
    """
    scores = {}
    for name, weight in context.weights.items():
        score = np.zeros(weight.shape)
        for side in (weight >= 0, weight < 0):
            chosen = side & (context.masks[name] > 0)
            count = int(chosen.sum())
            ranks = np.empty(count)
            ranks[np.argsort(np.abs(weight[chosen]), kind="stable")] = np.arange(1, count + 1)
            score[chosen] = ranks / max(count, 1)
        scores[name] = score
    return scores


def taylor(context: ScoringContext) -> Scores:
    """Returns the squared change of the loss that the loss of each weight would make, to first order.

    That is (g w)^2, its mean over small batches (Molchanov et al. 2019, arXiv:1906.10771).
    """
    squares = context.gradients("squared_gradients")
    return {name: squares[name] * np.square(weight) for name, weight in context.weights.items()}


def snip(context: ScoringContext) -> Scores:
    """Returns the connection sensitivities |g w| (Lee et al. 2019, SNIP, arXiv:1810.02340)."""
    gradients = context.gradients("gradients")
    return {name: np.abs(gradients[name] * weight) for name, weight in context.weights.items()}


def grasp(context: ScoringContext) -> Scores:
    """Returns w Hg, what each weight adds to the gradient's norm (Wang et al. 2020, GraSP, arXiv:2002.07376).

    The paper's score is -w Hg, and the weights with the highest go.
    """
    products = context.gradients("hessian_gradients")
    return {name: products[name] * weight for name, weight in context.weights.items()}


def synflow(context: ScoringContext) -> Scores:
    """Returns |w| dR/d|w|, the flow through each weight (Tanaka et al. 2020, SynFlow, arXiv:2006.05467).

    R is what comes out for an input of ones when all weights are positive. It needs no data.
    """
    gradients = context.gradients("flow_gradients")
    return {name: gradients[name] * np.abs(weight) for name, weight in context.weights.items()}


def gradient(context: ScoringContext) -> Scores:
    """Returns |g|, how fast a pruned weight would grow (Evci et al. 2020, RigL, arXiv:1911.11134)."""
    return {name: np.abs(slope) for name, slope in context.gradients("gradients").items()}
