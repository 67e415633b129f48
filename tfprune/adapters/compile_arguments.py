"""What a model of either Keras was compiled with, for compiling it or a copy again. The library is handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfprune.adapters.rebuilding import rebuilt
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line
from tfprune.utils.trees import map_tree


def compiled_arguments(model: Any) -> dict[str, Any]:
    """Returns the arguments that a model was compiled with; its optimizer and whether it runs eagerly as they are now.

    Raises:
        ModelError: it is not compiled, or with no optimizer.
    """
    if not hasattr(model, "_compile_config"):
        raise ModelError(f"model {model.name} is not compiled: call model.compile(optimizer, loss) first")
    if getattr(model, "optimizer", None) is None:
        raise ModelError(
            f"model {model.name} is compiled with no optimizer, and each training begins with one that has made no "
            "step: compile it with one, or prune it in your own fit, with tfprune.callbacks"
        )
    return {**model._compile_config.config, "optimizer": model.optimizer, "run_eagerly": model.run_eagerly}


def compile_copy(library: Any, copy: Any, arguments: Mapping[str, Any]) -> None:
    """Compiles a copy as its original is, with metrics that count for themselves.

    Args:
        library: `tf_keras` or `keras`.
        copy: not compiled.
        arguments: of `compile`.

    Raises:
        ModelError: its class compiles itself in a way of its own.
    """
    if type(copy).compile is not library.Model.compile:
        raise ModelError(
            f"model {copy.name} compiles itself in a way of its own, which a copy cannot repeat; take it as it is with "
            "in_place=True, or before it is compiled"
        )

    optimizer = arguments["optimizer"]
    for own in (optimizer, getattr(optimizer, "inner_optimizer", None)):
        if getattr(own, "_exclude_from_weight_decay", None):
            raise ModelError(
                f"the optimizer of model {copy.name} leaves single weights out of its decay, exclude_from_weight_decay("
                "var_list=...), and those of a copy are others: name them by var_names, or use in_place=True"
            )

    def own_metric(metric: Any) -> Any:
        """Returns a metric that counts anew; a user's own that cannot be made from its configuration is shared."""
        if not isinstance(metric, library.metrics.Metric):
            return metric
        try:
            return rebuilt(metric)
        except (NotImplementedError, TypeError, ValueError):
            return metric

    metrics = {key: map_tree(own_metric, arguments.get(key)) for key in ("metrics", "weighted_metrics")}
    copy.compile(**{**arguments, **metrics})


def made_anew(model: Any, optimizer: Any, fresh: Callable[[Any], Any]) -> Any:
    """Returns what `fresh` makes of a model's optimizer; a `ModelError` if its `get_config` says too little."""
    try:
        return fresh(optimizer)
    except (NotImplementedError, TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"the optimizer of model {model.name}, {type(optimizer).__name__}, cannot be made anew from its get_config "
            f"({one_line(error)}); each training needs one that has made no step"
        ) from None
