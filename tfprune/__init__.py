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
    from tfprune.adapters.prune_once import prune
    from tfprune.api import shrink, train
    from tfprune.experiments.results import Result
    from tfprune.exporting.any_model import Export, export
    from tfprune.structured.summaries import Summary, summary
    from tfprune.training.config import Config
    from tfprune.training.pruning_callbacks import callbacks
    from tfprune.training.trained import Trained
    from tfprune.utils.errors import TfpruneError

__all__ = [
    "Config",
    "Export",
    "Result",
    "Summary",
    "TfpruneError",
    "Trained",
    "callbacks",
    "export",
    "prune",
    "shrink",
    "summary",
    "train",
]

_HOMES = {
    "Config": "tfprune.training.config",
    "Export": "tfprune.exporting.any_model",
    "Result": "tfprune.experiments.results",
    "Summary": "tfprune.structured.summaries",
    "TfpruneError": "tfprune.utils.errors",
    "Trained": "tfprune.training.trained",
    "callbacks": "tfprune.training.pruning_callbacks",
    "export": "tfprune.exporting.any_model",
    "summary": "tfprune.structured.summaries",
    "train": "tfprune.api",
    "prune": "tfprune.adapters.prune_once",
    "shrink": "tfprune.api",
}


def __getattr__(name: str) -> Any:
    """Imports TensorFlow only when something that needs it is used."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tfprune' has no attribute {name!r}")
