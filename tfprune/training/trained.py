"""What comes back from a training in memory."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfprune.pruning.masks import sparsity_of
from tfprune.structured.summaries import HEADERS, Summary, summary
from tfprune.utils.notebook import curves, html_image, html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model that was trained and pruned in memory.

    Where the granularity was `filter` or `branch` the model has become smaller: `removed` says what has gone. Masks are
    those of the kernels as they were, with zeros where weights have gone, so that `sparsity` (here and in the history)
    is the share of the kernel weights that has gone. It is another number than the share of the channels or branches,
    which is what was asked for and what runs report as achieved: a weight goes with the channel that it makes, and with
    the one that it reads.

    Attributes:
        model: of the class of the original and compiled like it, with its optimizer as the last training left it. It
            stays sparse when it is trained on; what is loaded from a file that it was saved to is an ordinary model.
        masks: kernel name -> uint8, 1 where a weight lives.
        history: one row per epoch with `phase`, `epoch`, `sparsity` (after it) and what Keras logged.
        method: its name.
        missed: what the method asked for and did not happen, since the training was stopped before; empty: nothing.
        removed: group of channels -> the numbers, in the model as it was given, of those that have gone; or
            `"residual branches"` -> their names. None: weights were zeroed.

    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,), name="a")])
    >>> model.compile("sgd", "mse")
    >>> trained = tfprune.train(model, (np.ones((4, 8)), np.ones((4, 10))), sparsity=0.5, epochs=3, verbose=0)
    >>> trained.sparsity, int(trained.masks["a/kernel"].sum())
    (0.5, 40)
    >>> [round(row["sparsity"], 2) for row in trained.history]
    [0.29, 0.5, 0.5]
    """

    model: Any
    masks: Mapping[str, np.ndarray]
    history: Sequence[Mapping[str, Any]]
    method: str
    missed: Sequence[str] = ()
    removed: Mapping[str, Sequence[int] | Sequence[str]] | None = None

    @property
    def sparsity(self) -> float:
        """Fraction of the kernel weights that is zero, or has gone."""
        return sparsity_of(self.masks)

    @property
    def total_sparsity(self) -> float:
        """Fraction of all numbers of the model that is zero, see `Summary.total_sparsity`."""
        return self.summary.total_sparsity

    @property
    def summary(self) -> Summary:
        """The model's layers, see `tfprune.summary`."""
        return summary(self.model)

    def plot(self) -> Figure:
        """Returns a matplotlib figure of loss and sparsity over the epochs."""
        from tfprune.utils.curves import curves_figure

        return curves_figure(self.history)

    def __repr__(self) -> str:
        what = "are zero" if self.removed is None else "are gone"
        share = f"{100 * self.sparsity:.1f} % of the kernel weights {what}"
        return f"Trained({self.method}, {len(self.history)} epochs, {share})"

    def _repr_html_(self) -> str:
        figure = html_image(curves(self.history), "loss and sparsity over epochs") if self.history else ""
        return f"<p>{html.escape(repr(self))}</p>{figure}{html_table(self.summary.rows(), HEADERS)}"
