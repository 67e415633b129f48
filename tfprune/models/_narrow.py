"""Narrower versions of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfprune.adapters.backend import keras
from tfprune.utils.errors import ModelError

WIDTHS = ("width", "widths", "filters", "hidden", "alpha")  # settings that say how wide a model is
ROUNDS = 20  # of halving the interval in which the factor lies


def narrowed(
    build: Callable[..., keras.Model], settings: Mapping[str, Any], parameters: int, multiple: int = 1
) -> dict[str, Any]:
    """Returns settings with all widths scaled down by one factor, the largest that leaves few enough parameters.

    Args:
        build: from settings to a model.
        settings: those of the full model; of them `WIDTHS` are scaled.
        parameters: the most that the model may have.
        multiple: what whole numbers are rounded to a multiple of. None goes below it, nor above what it was.

    Raises:
        ModelError: the model has no widths, or too many parameters at the smallest.
    """
    widths = {name: settings[name] for name in WIDTHS if name in settings}
    if not widths:
        raise ModelError(f"a narrower model needs a setting of the name {', '.join(WIDTHS)}, and this one has none")

    def scaled(factor: float) -> dict[str, Any]:
        return {**settings, **{name: _scaled(width, factor, multiple) for name, width in widths.items()}}

    low, high = 0.0, 1.0
    tried: dict[str, int] = {}
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        candidate = scaled(middle)
        count = tried.get(repr(candidate)) or build(**candidate).count_params()
        tried[repr(candidate)] = count
        low, high = (middle, high) if count <= parameters else (low, middle)
    if not low:
        remedy = "a lower sparsity, or a lower multiple" if multiple > 1 else "a lower sparsity"
        raise ModelError(f"no width of the model has as few as {parameters:,} parameters; ask for {remedy}")
    return scaled(low)


def _scaled(width: Any, factor: float, multiple: int) -> Any:
    if isinstance(width, (list, tuple)):
        return [_scaled(item, factor, multiple) for item in width]
    if not isinstance(width, int):
        return width * factor
    return min(width, max(1, round(width * factor / multiple)) * multiple)
