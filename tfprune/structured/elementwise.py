"""Whether a function works element by element, found by trying it: any callable may be an activation."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.layer_traits import activation_traits
from tfprune.adapters.rebuilding import rebuilt

_TRIED = np.concatenate([np.linspace(-7.0, 7.0, 26), [0.0, 1e-3, -1e-3, 40.0]]).astype(np.float32)
Function = Callable[..., Any]
Try = Callable[..., Any]  # (function, array) -> the array that it makes of it, see `graphs.Graphs.call`


def elementwise(function: Function | None, call: Try, *, cached: bool = True) -> bool:
    """Returns whether each element of a function's result depends on the same element of its input alone.

    Functions that are not in `layer_traits.ACTIVATIONS` are called on single numbers, rows and images.
    """
    if activation_traits(function) is not None:
        return True
    return (_tried if cached and _hashable(function) else _tried.__wrapped__)(function, call)


def keeps_zero(function: Function | None, call: Try) -> bool:
    """Returns whether a function is known to give zeros for zeros."""
    known = activation_traits(function)
    if known is not None:
        return known.zero
    found = _result(function, np.zeros((2, 3), np.float32), call)
    return found is not None and not found.any()


@functools.lru_cache(maxsize=64)
def _tried(function: Function | None, call: Try) -> bool:
    random = np.random.default_rng(0)
    values = random.permutation(_TRIED)
    together = _result(function, values.reshape(5, 6), call)
    if together is None:
        return False
    expected = together.ravel()
    others = (values.reshape(-1, 1), values.reshape(1, -1), values.reshape(1, 2, 5, 3), values.reshape(3, 10, 1))
    if any(not _same(_result(function, own, call), expected) for own in others):
        return False
    singles = (_result(function, value.reshape(1, 1), call) for value in values)
    return all(_same(found, own) for found, own in zip(singles, expected, strict=True))


def _hashable(function: Any) -> bool:
    return getattr(function, "__hash__", None) is not None


def _result(function: Function | None, values: np.ndarray, call: Try) -> np.ndarray | None:
    """Returns what a function makes of an array; None if it fails, makes something of another shape, or has weights."""
    layer = hasattr(function, "weights") and hasattr(function, "get_config")
    try:
        # A layer makes its weights when it is called first, for what it is called with then.
        tried = rebuilt(function) if layer else function
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that a softmax of one number makes no sense
            result = np.asarray(call(tried, values))
        if layer and tried.weights:
            return None
    except Exception:  # it is somebody else's, and tried on what it may not have been made for
        return None
    return result if result.shape == values.shape and result.dtype.kind in "fiub" else None


def _same(result: np.ndarray | None, expected: np.ndarray | np.floating) -> bool:
    return result is not None and np.allclose(result.ravel(), expected, rtol=1e-5, atol=1e-6, equal_nan=True)
