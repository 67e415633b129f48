"""Changes of a layer's settings, see `graphs.Changes`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tfprune.adapters.graphs import Change, Changes


def narrow_settings(
    keras: Any, config: dict[str, Any], old: Any, changes: Changes, remade: Callable[[Any], Any]
) -> None:
    """Takes away from the settings of a layer, in place, what channels have there that go.

    Args:
        keras: either one.
        config: the settings.
        old: the layer.
        changes: of its model.
        remade: returns what has become of a layer that is the activation of this one.
    """
    for key in config:
        own = getattr(old, key, None)
        if key == "activation" and isinstance(own, keras.layers.Layer):
            config[key] = remade(own)
        elif key.endswith("_initializer") and np.ndim(getattr(own, "value", 0)):  # an array that does not fit
            weight = getattr(old, key.removesuffix("_initializer"), None)
            values = None if weight is None else np.broadcast_to(own.value, weight.shape)
            narrow = values if values is None else changes.narrowed(weight, values)
            if narrow is not None and narrow.shape != values.shape:
                config[key] = keras.initializers.Constant(narrow)
    apply_to_settings(config, changes.settings.get(id(old), ()))


def apply_to_settings(config: dict[str, Any], changes: Iterable[Change]) -> None:
    """Changes the settings of a layer in place, those of layers in it too; what is not among them is left out."""
    for own in changes:
        *way, last = own.key if isinstance(own.key, tuple) else (own.key,)
        inner: Any = config
        for name in way:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and last in inner:
            inner[last] = own.change(inner[last])


def apply_to_arguments(
    args: list[Any], kwargs: dict[str, Any], changes: Iterable[Change], tensor: Callable[[np.ndarray, Any], Any]
) -> None:
    """Changes the arguments of a call in place.

    Args:
        args, kwargs: of the call.
        changes: of some.
        tensor: makes an array what the value was that it comes from, a tensor of a framework.
    """
    for own in changes:
        where: Any = kwargs if isinstance(own.key, str) else args
        value = where[own.key]
        if value is None or isinstance(value, (int, float, list, tuple, np.ndarray, slice, str, dict)):
            where[own.key] = own.change(value)
        else:
            before = np.asarray(value)
            after = own.change(before)
            where[own.key] = value if after is before else tensor(after, value)


def without_shapes(config: Any) -> Any:
    """Returns settings without the shapes that layers in them were built for: they would be built for those again."""
    if isinstance(config, dict):
        return {key: without_shapes(value) for key, value in config.items() if key != "build_config"}
    return [without_shapes(value) for value in config] if isinstance(config, list) else config
