"""How much a channel is worth, by the weights that make it. NumPy only.

A criterion is a function of the rows that make a kernel's channels, one row a channel, and of their derivatives. What a
group's channels are worth is the sum over all kernels that make them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rows:
    """The weights that make the channels of a kernel.

    Attributes:
        weights: (channels, weights of each).
        gradients: of the loss with respect to them, or None.
        squared_gradients: the mean over examples of their squares, an estimate of the loss's second derivatives with
            respect to each weight (the diagonal of Fisher's matrix), or None.
    """

    weights: np.ndarray
    gradients: np.ndarray | None = None
    squared_gradients: np.ndarray | None = None


Importance = Callable[[Rows], np.ndarray]  # one number a channel, larger is worth more


def norm(order: int, rows: Rows) -> np.ndarray:
    """Returns the norm of each channel's weights (Li et al. 2017, arXiv:1608.08710)."""
    return np.asarray(np.linalg.norm(rows.weights, ord=order, axis=1))


def fpgm(rows: Rows) -> np.ndarray:
    """Returns how far each channel's weights are from all others', added up (He et al. 2019, FPGM, arXiv:1811.00250).

    Those close to the geometric median can be made up for by the others.
    """
    weights = rows.weights.astype(np.float64)
    squares = np.sum(np.square(weights), axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * weights @ weights.T
    np.fill_diagonal(distances, 0.0)
    return np.asarray(np.sqrt(np.maximum(distances, 0.0)).sum(axis=1))


def taylor(rows: Rows) -> np.ndarray:
    """Returns (g w)^2: what the loss changes by without a channel, to first order (Molchanov et al. 2019)."""
    return np.square(_first_order(rows))


def taylor_second_order(rows: Rows) -> np.ndarray:
    """Returns |-g w + h w^2 / 2|, what the loss changes by without a channel, to second order (LeCun et al. 1989, OBD).

    Second derivatives of different weights are left out, and h is estimated by the mean of squared gradients.
    """
    assert rows.squared_gradients is not None
    curved = 0.5 * np.sum(rows.squared_gradients * np.square(rows.weights), axis=1)
    return np.abs(curved - _first_order(rows))


def _first_order(rows: Rows) -> np.ndarray:
    assert rows.gradients is not None
    return np.asarray(np.sum(rows.weights * rows.gradients, axis=1))


IMPORTANCE: dict[str, Importance] = {
    "l1": functools.partial(norm, 1),
    "l2": functools.partial(norm, 2),
    "fpgm": fpgm,
    "taylor": taylor,
    "taylor2": taylor_second_order,
}
DERIVATIVES = {"taylor": ("gradients",), "taylor2": ("gradients", "squared_gradients")}  # what they ask for
