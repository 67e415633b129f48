"""Functions and callbacks that name a model, of which a copy is trained."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from tfprune.utils.trees import leaves

log = logging.getLogger(__name__)


def tell_of_names(model: Any, given: Mapping[str, Any]) -> None:
    """Says in a warning which of the things that a training calls look at a model that is not the one it trains.

    Args:
        model: of which a copy is trained.
        given: what they are -> functions, callbacks or losses, in any structure.
    """
    found = [what for what, several in given.items() if any(_names(own, model) for own in leaves(several))]
    if found:
        log.warning(
            "%s name model %s, which stays as it is, for a copy of it is trained: use in_place=True, or in callbacks "
            "self.model",
            *(" and ".join(found), model.name),
        )


def _names(own: Any, model: Any) -> bool:
    functions = [own, *(value for name, value in _attributes(own) if callable(value))]
    held = any(value is model for name, value in _attributes(own) if name not in ("model", "_model"))
    return held or any(value is model for function in functions for value in _seen_by(function))


def _attributes(own: Any) -> list[tuple[str, Any]]:
    return list(vars(own).items()) if hasattr(own, "__dict__") else []


def _seen_by(function: Any) -> Iterator[Any]:
    """Yields what a Python function names of what stands around it."""
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not yet bound
            continue
    yield from (function.__globals__[name] for name in code.co_names if name in getattr(function, "__globals__", {}))
