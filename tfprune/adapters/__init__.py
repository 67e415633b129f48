"""What the engine needs of a framework, a package for each; `loading` is the only way in for models of others.

`base` says what that is; `layer_traits` is the one table of what is known of layers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tfprune.utils.errors import ModelError
from tfprune.utils.registry import Registry

if TYPE_CHECKING:
    from tfprune.adapters.base import Adapter

ADAPTERS = Registry(
    "framework",
    {"tf_keras": "tfprune.adapters.tf_keras.adapter:ADAPTER", "keras": "tfprune.adapters.keras3.adapter:ADAPTER"},
)


def adapter_of(model: Any) -> Adapter:
    """Returns the adapter of a model's framework, which is seen from where its class comes from.

    Raises:
        ModelError: it is of none that there is an adapter for.
    """
    packages = [kind.__module__.partition(".")[0] for kind in type(model).__mro__]
    for name in ADAPTERS:
        if name in packages:
            return ADAPTERS[name]
    kind = f"{type(model).__module__}.{type(model).__name__}"
    hint = "; load the file first, as with keras.saving.load_model" if isinstance(model, (str, os.PathLike)) else ""
    raise ModelError(f"a model of {', '.join(ADAPTERS)} is needed, got {kind}{hint}")


def is_keras3(model: object) -> bool:
    """Returns whether a model is of Keras 3, without importing that."""
    return any(kind.__module__.startswith("keras.src.") for kind in type(model).__mro__)
