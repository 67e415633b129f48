"""A training of tf_keras in several calls of `fit`, see `adapters.stretches`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfprune.adapters import stretches
from tfprune.adapters.backend import keras, tf


class Stretches(stretches.Stretches):
    """The arguments of `fit` for each stretch of a training; the order of shuffled arrays goes on, too.

    Args:
        model: that the training begins with.
        fit: see `stretches.Stretches`.
        initial_epoch, epochs: where it begins and ends.
    """

    def __init__(self, model: keras.Model, fit: Mapping[str, Any], initial_epoch: int, epochs: int) -> None:
        super().__init__(fit)
        self._signature: Any = None
        x = self._fit["x"]
        if isinstance(x, Iterator):
            return
        if isinstance(x, tf.data.Dataset) or not isinstance(x, keras.utils.Sequence):
            self._split()
            self._share(model, initial_epoch, epochs)
        else:
            self.steps = self.steps or len(x)

    def _split(self) -> None:
        """Sets the examples aside that `validation_split` asks for, as `fit` does."""
        share = self._fit.pop("validation_split", None)
        if share and self._fit.get("validation_data") is None:
            arrays = tuple(self._fit.get(name) for name in ("x", "y", "sample_weight"))
            split = keras.src.engine.data_adapter.train_validation_split
            rest, self._fit["validation_data"] = split(arrays, validation_split=share)
            self._fit |= zip(("x", "y", "sample_weight"), rest, strict=True)

    def _share(self, model: keras.Model, initial_epoch: int, epochs: int) -> None:
        """Makes the batches of all epochs, if Keras would go on with them from epoch to epoch."""
        given = {name: self._fit.get(name) for name in stretches.OF_DATA if name != "validation_split"}
        if given["shuffle"] is None:
            given["shuffle"] = True  # as `fit` does by default
        handler = keras.src.engine.data_adapter.get_data_handler(
            **given, initial_epoch=initial_epoch, epochs=epochs, model=model
        )
        self.steps = handler.inferred_steps
        if handler._adapter.should_recreate_iterator():
            return
        self._batches, self._signature = iter(handler._dataset), handler._dataset.element_spec
        self._fit = self._without_data() | {"steps_per_epoch": self.steps}

    def _counted(self, count: int) -> Any:
        if self._signature is None:
            return self._next(count)
        return tf.data.Dataset.from_generator(lambda: self._next(count), output_signature=self._signature)


class OneTraining(stretches.Continuous, keras.callbacks.CallbackList):
    """Callbacks that see one training where `fit` is called for several stretches of it."""

    interactive = staticmethod(keras.utils.is_interactive_logging_enabled)
