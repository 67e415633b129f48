"""How long models take, each beside the first one: as Keras runs them, as exported files, or to train a step."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.exporting.latency import shares_of_the_first
from tfprune.exporting.named import examples_like
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import ConfigError
from tfprune.utils.trees import leaves, map_tree

FILES = ("savedmodel", "tflite", "onnx")
RUNTIMES = ("keras", "training", *FILES)
ROUNDS = 9  # measurements of each model

Call = Callable[[], object]


def times_of(model: Any, data: Any, runtime: str, batch_size: int) -> Callable[[Sequence[Any]], list[float]]:
    """Returns a function of models that measures the time of each as a share of the first one's.

    Args:
        model: the first one.
        data: x or (x, y), as the models take them; None: some numbers are made up.
        runtime: one of `RUNTIMES`.
        batch_size: examples at a time.

    Raises:
        ConfigError: a step of training is to be measured, and data are missing.
    """
    check_choice("runtime", runtime, RUNTIMES)
    batch_size = check_whole("batch_size", batch_size, least=1)
    if data is None and runtime != "training":
        made = examples_like(model, batch_size)
        data = made if len(made) > 1 else next(iter(made.values()))
    x, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    if runtime == "training" and y is None:
        raise ConfigError("runtime='training' is measured on examples with what they are to give: data=(x, y)")
    count, given = len(getattr(model, "inputs", None) or ()), len(list(leaves(x)))
    if count and given != count:
        raise ConfigError(
            f"the model takes {count} inputs, and data have {given}: give data=x or data=(x, y), where x of several "
            "inputs is a list or a dict"
        )
    x, y = (None if own is None else map_tree(lambda array: _sized(array, batch_size), own) for own in (x, y))

    def times(models: Sequence[Any]) -> list[float]:
        return shares_of_the_first(models, lambda model: _call(model, x, y, runtime), batch_size, ROUNDS)

    return times


def _sized(array: Any, batch_size: int) -> np.ndarray:
    """Returns a batch of the first examples; they are repeated if they are fewer."""
    array = np.asarray(array)
    return array[np.arange(batch_size) % len(array)]


def _call(model: Any, x: Any, y: Any, runtime: str) -> Call:
    if runtime == "keras":
        return functools.partial(model.predict_on_batch, x)
    if runtime == "training":
        if getattr(model, "optimizer", None) is None:
            raise ConfigError("runtime='training' needs a compiled model")
        return functools.partial(model.train_on_batch, x, y)
    return _call_of_file(model, x, runtime)


def _call_of_file(model: Any, x: Any, runtime: str) -> Call:
    from tfprune.exporting.any_model import answer_of_file

    with tempfile.TemporaryDirectory(prefix="tfprune-") as folder:
        return answer_of_file(model, Path(folder) / "model", x, runtime)
