"""Prune Keras models in the middle of training, and know what it did to them.

>>> import tfprune
>>> config = tfprune.Config(dataset="penguins", method="dynamic", seed=1)
>>> config.run_id
'penguins-dynamic-seed1'
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfprune.adapters.prune_once import prune
    from tfprune.api import compare, load_run, report, train
    from tfprune.experiments.results import Result
    from tfprune.exporting.any_model import Export, export
    from tfprune.exporting.file_latency import Benchmark, bench
    from tfprune.exporting.shrinking import shrink
    from tfprune.reporting.compared import Comparison
    from tfprune.structured.regularization import regularize
    from tfprune.structured.summaries import Summary, summary
    from tfprune.training.config import Config
    from tfprune.training.pruning_callbacks import callbacks
    from tfprune.training.trained import Trained
    from tfprune.utils.errors import TfpruneError

__all__ = [
    "Benchmark",
    "Comparison",
    "Config",
    "Export",
    "Result",
    "Summary",
    "TfpruneError",
    "Trained",
    "bench",
    "callbacks",
    "compare",
    "export",
    "load_run",
    "prune",
    "regularize",
    "report",
    "shrink",
    "summary",
    "train",
]

_HOMES = {
    "Benchmark": "tfprune.exporting.file_latency",
    "Comparison": "tfprune.reporting.compared",
    "bench": "tfprune.exporting.file_latency",
    "compare": "tfprune.api",
    "load_run": "tfprune.api",
    "report": "tfprune.api",
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
    "regularize": "tfprune.structured.regularization",
    "shrink": "tfprune.exporting.shrinking",
}


def __getattr__(name: str) -> Any:
    """Imports TensorFlow only when something that needs it is used."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "__version__":
        return version("tfprune")
    raise AttributeError(f"module 'tfprune' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns what there is, also what is not imported yet."""
    return sorted({*__all__, "__version__", *(name for name in globals() if name.startswith("__"))})
