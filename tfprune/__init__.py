"""Prune Keras models in the middle of training, and know what it did to them.

>>> import tfprune
>>> config = tfprune.Config(dataset="penguins", method="dynamic", seed=1)
>>> config.run_id
'penguins-dynamic-seed1'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfprune.config import Config
    from tfprune.errors import TfpruneError
    from tfprune.live import Trained, train
    from tfprune.own_fit import callbacks
    from tfprune.pruning import prune
    from tfprune.results import Result
    from tfprune.shrinking import shrink
    from tfprune.summaries import Summary, summary

__all__ = [
    "Config",
    "Result",
    "Summary",
    "TfpruneError",
    "Trained",
    "callbacks",
    "prune",
    "shrink",
    "summary",
    "train",
]

_HOMES = {
    "Config": "tfprune.config",
    "Result": "tfprune.results",
    "Summary": "tfprune.summaries",
    "TfpruneError": "tfprune.errors",
    "Trained": "tfprune.live",
    "callbacks": "tfprune.own_fit",
    "summary": "tfprune.summaries",
    "train": "tfprune.live",
    "prune": "tfprune.pruning",
    "shrink": "tfprune.shrinking",
}


def __getattr__(name: str) -> Any:
    """Imports TensorFlow only when something that needs it is used."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tfprune' has no attribute {name!r}")
