"""A training in several calls of `fit`, where Keras cannot change the model of one, for both Keras.

Data go on where the `fit` before stopped, and what listens sees one training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

# Of `fit`, and not needed any more where its data are in batches.
OF_DATA = ("x", "y", "sample_weight", "batch_size", "shuffle", "class_weight", "steps_per_epoch", "validation_split")


class Stretches:
    """The arguments of `fit` for each stretch of a training.

    Where Keras would go through all epochs with one iterator, the stretches share it: a data set without end and a
    generator go on. Where it would begin anew in each epoch, each stretch does.

    Args:
        fit: arguments of `fit` for the whole training; of a generator `x` is an iterator.

    Attributes:
        steps: of an epoch; None: not known before the first one has ended.
        empty: whether the data have run out.
    """

    def __init__(self, fit: Mapping[str, Any]) -> None:
        self._fit = dict(fit)
        self.empty = False
        self.steps: int | None = self._fit.get("steps_per_epoch")
        self._batches: Iterator[Any] | None = self._fit["x"] if isinstance(self._fit["x"], Iterator) else None
        self._ahead: list[Any] = []  # a batch that has been looked for

    def arguments(self, epochs: int) -> dict[str, Any]:
        """Returns those for the next epochs, so many."""
        if self._batches is None:
            return self._fit
        if self.steps is None:
            return self._fit | {"x": self._next(None)}
        return self._fit | {"x": self._counted(epochs * self.steps)}

    def _counted(self, count: int) -> Any:
        """Returns the next batches, no more than needed: what Keras has asked for in advance would be lost."""
        return self._next(count)

    def _without_data(self) -> dict[str, Any]:
        """Returns the arguments that are not about the data, where these come as shared batches."""
        self._fit.setdefault("validation_batch_size", self._fit.get("batch_size"))
        return {name: value for name, value in self._fit.items() if name not in OF_DATA}

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


class Continuous:
    """What a list of callbacks does so that they see one training; for a subclass of Keras' own list.

    Args:
        callbacks: what listens, in this order.
        model: that the training begins with; `set_model` says what it goes on with.
        verbose: as for `fit`.
        epochs: up to which the whole training goes.
        steps: of an epoch, if they are known.

    Attributes:
        interactive: whether Keras draws progress bars here, for `verbose="auto"`.
    """

    interactive: Callable[[], bool]
    _begun = False
    _logs: Mapping[str, Any] | None = None

    def __init__(
        self, callbacks: Sequence[Any], model: Any, *, verbose: int | str, epochs: int, steps: int | None
    ) -> None:
        if verbose == "auto":
            verbose = 1 if self.interactive() else 2
        about = {"model": model, "verbose": verbose, "epochs": epochs, "steps": steps}
        super().__init__(list(callbacks), add_history=True, add_progbar=verbose != 0, **about)  # type: ignore[call-arg]

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self._begun:
            self._begun = True
            super().on_train_begin(logs)  # type: ignore[misc]

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._logs = logs  # there may be another stretch

    def end(self) -> None:
        """To be called after the last stretch."""
        super().on_train_end(self._logs)  # type: ignore[misc]
