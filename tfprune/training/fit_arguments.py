"""What a person gives `tfprune.train` of `model.fit`'s arguments, checked before anything is trained."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfprune.training.examples import in_memory
from tfprune.utils.checks import check_whole
from tfprune.utils.errors import ConfigError, choose_from

OWN = ("x", "y", "epochs", "callbacks", "verbose")  # that `train` has in a way of its own
BATCH_SIZE = 32


def fit_arguments(model: Any, data: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a model's `fit` that say what it is trained on.

    Args:
        model: whose `fit` it is.
        data: batches of any kind that `fit` takes, or in memory: `(x, y)`, `(x, y, weights)`, `(x,)` or x alone.
        given: further arguments of `fit`; those that are None are left out.

    Raises:
        ConfigError: something is missing, unknown or there twice.
    """
    arguments = {name: value for name, value in given.items() if value is not None}
    parameters = [name for name in _parameters(type(model)) if name not in OWN]
    for name in arguments:
        if name not in parameters:
            raise ConfigError(f"model.fit has no argument {name!r}: {choose_from(name, parameters)}")
    if in_memory(data):
        parts = dict(zip(("x", "y", "sample_weight"), _parts(data), strict=False))
        if len(parts) > 1 and not in_memory(parts["x"]) and not isinstance(parts["x"], Iterator):
            raise ConfigError(
                f"data has {len(parts)} parts, of which the first one, {type(parts['x']).__name__}, comes in batches: "
                "give it alone, and data to validate on as validation_data="
            )
        if "sample_weight" in parts and "sample_weight" in arguments:
            raise ConfigError("sample_weight is given twice: in the data (x, y, weights) and by its name")
        arguments["batch_size"] = check_whole("batch_size", arguments.get("batch_size", BATCH_SIZE), least=1)
        return parts | arguments
    if not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise ConfigError(
            "data must be arrays, (x, y) or (x, y, weights), or batches: a tf.data.Dataset, a sequence of Keras, a "
            f"generator or a DataLoader; got {type(data).__name__}"
        )
    for name in ("batch_size", "sample_weight", "validation_split"):
        value = arguments.get(name)
        if value is not None and (np.ndim(value) or value):
            raise ConfigError(f"{name} is for arrays, and {type(data).__name__} comes in batches: leave it out")
    return {"x": data, **arguments}


def _parameters(kind: type) -> list[str]:
    """Returns the names of the arguments of a model's `fit`; where it hands on what it is given, those of the next."""
    names: dict[str, None] = {}
    for own in kind.__mro__:
        if (fit := vars(own).get("fit")) is None:
            continue
        _, *parameters = inspect.signature(fit).parameters.values()
        names |= {one.name: None for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return list(names)


def _parts(data: Any) -> tuple:
    """Returns x, y and weights, as far as there are any."""
    if not isinstance(data, (tuple, list)):
        return (data,)
    if not 1 <= len(data) <= 3:
        raise ConfigError(f"data must be (x, y) or (x, y, weights), got {len(data)} parts")
    return tuple(data)


class Supply:
    """A generator that says whether it has come to its end.

    Args:
        source: of batches.
    """

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source
        self._ahead: list[Any] = []  # a batch that has been looked for

    @property
    def empty(self) -> bool:
        """Whether there are no more batches."""
        self._ahead = self._ahead or list(itertools.islice(self._source, 1))
        return not self._ahead

    def batches(self) -> Iterator[Any]:
        """Yields those of the source."""
        while not self.empty:
            yield self._ahead.pop()
