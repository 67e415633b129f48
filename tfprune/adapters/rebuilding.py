"""New objects of classes that are in memory. What a file holds is made by `loading` alone."""

from __future__ import annotations

from typing import Any

from tfprune.utils.errors import ModelError


def rebuilt(old: Any, *, kind: type | None = None, config: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Returns a new layer, model or optimizer of an old one's settings.

    Args:
        old: what is in memory, so that its classes have been imported.
        kind: another class than the old one's.
        config: all settings, instead of the old one's.
        changes: of single settings.
    """
    return (kind or type(old)).from_config((old.get_config() if config is None else config) | changes)


def of_its_own_class(model: Any) -> ModelError:
    """Returns the error for a model of a class that inputs and outputs do not make."""
    return ModelError(
        f"model {model.name} is of a class of its own, {type(model).__name__}, which cannot be made again from "
        "inputs and outputs; take keras.Model(model.inputs, model.outputs)"
    )
