"""A training of Keras 3 in several calls of `fit`, see `adapters.stretches`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfprune.adapters import stretches
from tfprune.adapters.backend import keras3_adapters
from tfprune.adapters.backend import keras3_module as keras
from tfprune.utils.trees import leaves


class Stretches(stretches.Stretches):
    """The arguments of `fit` for each stretch of a training.

    Args:
        model: that the training begins with.
        fit: see `stretches.Stretches`.
        initial_epoch, epochs: where it begins and ends.
    """

    def __init__(self, model: keras.Model, fit: Mapping[str, Any], initial_epoch: int, epochs: int) -> None:
        super().__init__(fit)
        if self._batches is None and self.steps is not None:
            self._split()
            given = {name: self._fit.get(name) for name in stretches.OF_DATA if name != "validation_split"}
            given["shuffle"] = True if given["shuffle"] is None else given["shuffle"]  # as `fit` does by default
            self._batches = _again_and_again(keras3_adapters.get_data_adapter(**given))
            self._fit = self._without_data() | {"steps_per_epoch": self.steps}

    def _split(self) -> None:
        """Sets the examples aside that `validation_split` asks for, as `fit` does: the last ones."""
        share = self._fit.pop("validation_split", None)
        if share and self._fit.get("validation_data") is None:
            arrays = [self._fit.get(name) for name in ("x", "y", "sample_weight")]
            count = int(next(leaves(arrays[0])).shape[0] * (1.0 - share))
            first, last = (
                [own if own is None else keras.tree.map_structure(lambda a: a[part], own) for own in arrays]  # noqa: B023
                for part in (slice(None, count), slice(count, None))
            )
            self._fit["validation_data"] = tuple(last) if last[2] is not None else tuple(last[:2])
            self._fit |= zip(("x", "y", "sample_weight"), first, strict=True)


def _again_and_again(adapter: Any) -> Iterator[Any]:
    """Yields the batches of a data adapter of Keras, from the beginning when they are all through, as `fit` does."""
    while True:
        count = 0
        for count, batch in enumerate(adapter.get_numpy_iterator(), 1):  # noqa: B007 - used after the loop
            yield batch
        adapter.on_epoch_end()
        if not count or adapter.num_batches is None:  # it has come to an end, and can be gone through once
            return


class OneTraining(stretches.Continuous, keras.callbacks.CallbackList):
    """Callbacks that see one training where `fit` is called for several stretches of it."""

    interactive = staticmethod(keras.config.is_interactive_logging_enabled)
