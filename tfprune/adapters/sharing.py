"""Models in memory that share kernels: what one's masks are, another one's compiled step may not know."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any


def sharing(library: Any, model: Any) -> list[Any]:
    """Returns the other models in memory that hold a kernel of a model.

    Args:
        library: `tf_keras` or `keras`.
        model: whose kernels they are.
    """
    known = {id(own) for own in model.weights}
    others = [own for own in gc.get_objects() if issubclass(type(own), library.Model) and own is not model]
    return [own for own in others if known & {id(weight) for weight in _weights(own)}]


def compile_steps_anew(models: Iterable[Any]) -> None:
    """Lets models make their function of a training step again: it was traced when kernels had other constraints."""
    for own in models:
        own.train_function = None


def _weights(model: Any) -> list[Any]:
    try:
        return list(model.weights)
    except (AttributeError, RuntimeError, ValueError):  # it has none yet, or is half made
        return []
