"""Whether a function works element by element, found by trying it: any callable may be an activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.backend import tf
from tfprune.adapters.layer_traits import activation_traits

_TRIED = np.concatenate([np.linspace(-7.0, 7.0, 26), [0.0, 1e-3, -1e-3, 40.0]]).astype(np.float32)


def elementwise(function: Callable[..., Any] | None) -> bool:
    """Returns whether each element of a function's result depends on the same element of its input alone.

    Functions that are not in `layer_traits.ACTIVATIONS` are called on single numbers, rows and images.
    """
    return activation_traits(function) is not None or _tried(function)


def _tried(function: Callable[..., Any] | None) -> bool:
    random = np.random.default_rng(0)
    values = random.permutation(_TRIED)
    together = _result(function, values.reshape(5, 6))
    if together is None:
        return False
    expected = together.ravel()
    others = (values.reshape(-1, 1), values.reshape(1, -1), values.reshape(1, 2, 5, 3), values.reshape(3, 10, 1))
    if any(not _same(_result(function, own), expected) for own in others):
        return False
    return all(_same(_result(function, value.reshape(1, 1)), own) for value, own in zip(values, expected, strict=True))


def _result(function: Callable[..., Any] | None, values: np.ndarray) -> np.ndarray | None:
    """Returns what a function makes of an array; None if it fails, or makes something of another shape of it."""
    try:
        result = np.asarray(function(tf.constant(values)))
    except Exception:  # it is somebody else's, and tried on what it may not have been made for
        return None
    return result if result.shape == values.shape and result.dtype.kind in "fiub" else None


def _same(result: np.ndarray | None, expected: np.ndarray | np.floating) -> bool:
    return result is not None and np.allclose(result.ravel(), expected, rtol=1e-5, atol=1e-6, equal_nan=True)
