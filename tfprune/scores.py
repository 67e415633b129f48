"""What weights are worth: criteria, a score a weight. Pure NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
Criterion = Callable[[Arrays, np.random.Generator], dict[str, np.ndarray]]


def magnitude(weights: Arrays, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns the absolute weights (Han et al. 2015, arXiv:1506.02626)."""
    return {name: np.abs(weight) for name, weight in weights.items()}


def random(weights: Arrays, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns scores drawn from [0, 1): what every criterion has to beat."""
    return {name: random.random(np.shape(weight)) for name, weight in weights.items()}


CRITERIA: dict[str, Criterion] = {"magnitude": magnitude, "random": random}
