"""Weights that are put back on a masked model: they get its masks at once, and a warning says what that changes."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

METHODS = ("set_weights", "load_weights", "load_state_dict")  # of models and layers of either Keras, or of PyTorch
FIT = "fit"  # the one before which it is seen whether weights have been set in another way
COUNT = "_tfprune_put_back"  # the attribute of a model that says how many pruned weights were given other values


def watch(
    model: Any,
    revived: Callable[[], int],
    mask: Callable[[], None],
    freed: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
) -> None:
    """Makes the methods of a model, and of what is in it, that put weights back mask them, past Keras' tracking.

    Args:
        model: that is masked in place.
        revived: counts the pruned weights that are not zero.
        mask: puts the masks on the model's weights.
        freed: a context in which weights take any values, so that they can be counted.
    """

    def masking(own: Any, method: Callable) -> Callable:
        @functools.wraps(method)
        def put(*args: Any, **kwargs: Any) -> Any:
            count = 0
            try:
                with freed():
                    try:
                        return method(own, *args, **kwargs)
                    finally:
                        count = revived()
            finally:  # also where it failed after some weights
                mask()
                _count(model, count)
                tell(count)

        return put

    def fitting(fit: Callable) -> Callable:
        @functools.wraps(fit)
        def begun(*args: Any, **kwargs: Any) -> Any:
            if count := revived():
                mask()
                _count(model, count)
                log.warning("%d pruned weights of model %s were no longer zero, and are again", count, model.name)
            return fit(model, *args, **kwargs)

        return begun

    for own in model._flatten_layers():
        for name in METHODS:
            if hasattr(type(own), name) and (own is model or own.weights):
                vars(own)[name] = masking(own, getattr(type(own), name))
    vars(model)[FIT] = fitting(type(model).fit)


def unwatch(model: Any) -> None:
    """Undoes `watch`."""
    for own in model._flatten_layers():
        for name in (*METHODS, FIT, COUNT):
            vars(own).pop(name, None)


def _count(model: Any, count: int) -> None:
    vars(model)[COUNT] = put_back(model) + count


def put_back(model: Any) -> int:
    """Returns how many pruned weights were given other values since the last training under masks."""
    return vars(model).get(COUNT, 0)


def forget(model: Any) -> None:
    """Begins to count anew, as a training under masks has ended."""
    vars(model).pop(COUNT, None)


def tell(count: int) -> None:
    """Says in a warning, if there are any, that pruned weights which were given other values are zero again."""
    if count:
        log.warning(
            "weights of before the pruning were put back, as EarlyStopping(restore_best_weights=True) does: %d of "
            "them are pruned and were set to zero again; evaluate the model anew",
            count,
        )
