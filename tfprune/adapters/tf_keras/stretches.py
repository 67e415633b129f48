"""One training for which `fit` is called several times, since Keras cannot change the model of a `fit`.

Data go on where the `fit` before stopped, and what listens sees one training.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfprune.adapters.backend import keras, tf

# Of `fit`, and not needed any more where its data are in batches.
_OF_DATA = ("x", "y", "sample_weight", "batch_size", "shuffle", "class_weight", "steps_per_epoch", "validation_split")


class Stretches:
    """The arguments of `fit` for each stretch of a training.

    Where Keras would go through all epochs with one iterator, the stretches share it: the order of shuffled arrays, a
    data set without end and a generator go on. Where it would begin anew in each epoch, each stretch does.

    Args:
        model: that the training begins with.
        fit: arguments of `fit` for the whole training; of a generator `x` is an iterator.
        initial_epoch, epochs: where it begins and ends.

    Attributes:
        steps: of an epoch; None: not known before the first one has ended.
        empty: whether the data have run out.
    """

    def __init__(self, model: keras.Model, fit: Mapping[str, Any], initial_epoch: int, epochs: int) -> None:
        self._fit = dict(fit)
        self.empty = False
        self.steps: int | None = self._fit.get("steps_per_epoch")
        self._batches: Iterator[Any] | None = None
        self._ahead: list[Any] = []  # a batch that has been looked for
        self._signature: Any = None
        x = self._fit["x"]
        if isinstance(x, Iterator):
            self._batches = x
        elif isinstance(x, tf.data.Dataset) or not isinstance(x, keras.utils.Sequence):
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
        given = {name: self._fit.get(name) for name in _OF_DATA if name != "validation_split"}
        if given["shuffle"] is None:
            given["shuffle"] = True  # as `fit` does by default
        handler = keras.src.engine.data_adapter.get_data_handler(
            **given, initial_epoch=initial_epoch, epochs=epochs, model=model
        )
        self.steps = handler.inferred_steps
        if handler._adapter.should_recreate_iterator():
            return
        self._batches, self._signature = iter(handler._dataset), handler._dataset.element_spec
        self._fit.setdefault("validation_batch_size", self._fit.get("batch_size"))
        self._fit = {name: value for name, value in self._fit.items() if name not in _OF_DATA}
        self._fit["steps_per_epoch"] = self.steps

    def arguments(self, epochs: int) -> dict[str, Any]:
        """Returns those for the next epochs, so many."""
        if self._batches is None:
            return self._fit
        if self.steps is None:
            return self._fit | {"x": self._next(None)}
        count = epochs * self.steps
        if self._signature is None:  # no more than it needs: what Keras has asked for in advance would be lost
            return self._fit | {"x": self._next(count)}
        batches = tf.data.Dataset.from_generator(lambda: self._next(count), output_signature=self._signature)
        return self._fit | {"x": batches}

    def run_out(self) -> bool:
        """Returns whether there is nothing left for another stretch."""
        if self._batches is not None and not (self.empty or self._ahead):
            self._ahead = list(itertools.islice(self._batches, 1))
            self.empty = not self._ahead
        return self.empty

    def _next(self, count: int | None) -> Iterator[Any]:
        found = 0
        while found != count:
            batch = self._ahead.pop() if self._ahead else next(self._batches, None)
            if batch is None:
                self.empty = True
                return
            found += 1
            yield batch


class OneTraining(keras.callbacks.CallbackList):
    """Callbacks that see one training where `fit` is called for several stretches of it.

    Args:
        callbacks: what listens, in this order.
        model: that the training begins with; `set_model` says what it goes on with.
        verbose: as for `fit`.
        epochs: up to which the whole training goes.
        steps: of an epoch, if they are known.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        *,
        verbose: int | str,
        epochs: int,
        steps: int | None,
    ) -> None:
        if verbose == "auto":
            verbose = 1 if keras.utils.is_interactive_logging_enabled() else 2
        super().__init__(
            list(callbacks),
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )
        self._begun = False
        self._logs: Mapping[str, Any] | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._logs = logs  # there may be another stretch

    def end(self) -> None:
        """To be called after the last stretch."""
        super().on_train_end(self._logs)
