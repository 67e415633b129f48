"""One class per example: the cross-entropy of logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfprune.data._targets import MAX_CLASSES, Cells, as_numbers, only_column
from tfprune.data.objectives import _scoring as scoring
from tfprune.data.objectives._base import (
    Metric,
    Objective,
    Prediction,
    Targets,
    by_label,
    inverse_frequencies,
    look_up,
    ops,
    softmax,
    table,
)
from tfprune.utils.errors import DataError
from tfprune.utils.trees import as_numpy

if TYPE_CHECKING:
    import numpy as np

TOP = 5


def _balanced_accuracy(truth: np.ndarray, answers: np.ndarray) -> float:
    both, own, _ = scoring.class_counts(truth, answers.argmax(axis=-1), answers.shape[-1])
    return float(scoring.share(both, own)[own > 0].mean())


def _auc(truth: np.ndarray, answers: np.ndarray) -> float:
    import numpy as np

    if answers.shape[-1] == 2:
        return scoring.auc(truth == 1, answers[:, 1])
    return scoring.mean_auc(truth[:, None] == np.arange(answers.shape[-1]), answers)


def _top(truth: np.ndarray, answers: np.ndarray) -> float:
    better = (answers > answers[range(len(truth)), truth][:, None]).sum(axis=-1)
    return (better < TOP).mean()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification(Objective):
    """A class per example, of two or more. `y` is class numbers, int64 [examples], also of several networks."""

    name = "classification"
    metrics = table(
        Metric("accuracy", "accuracy", scoring.accuracy),
        Metric("balanced_accuracy", "balanced accuracy", _balanced_accuracy),
        Metric("f1", "macro F1", scoring.macro_of("f1")),
        Metric("precision", "macro precision", scoring.macro_of("precision")),
        Metric("recall", "macro recall", scoring.macro_of("recall")),
        Metric("auc", "AUC", _auc),
        Metric("top5", "top-5 accuracy", _top),
    )
    scores = ("accuracy",)
    primary = "accuracy"
    returned = frozenset({"class", "label", "probabilities"})

    @classmethod
    def read(cls, cells: Cells, path: str, decimal: str = ".") -> Targets:
        name, own = only_column(cells, cls.name, path)
        labels, y = classes_of(_by_size(own), name, path)
        return Targets(labels, y, y, _note(name, labels))

    def losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True)

    def trained_losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        losses = self.losses(keras, y, outputs)
        if not self.class_weights:
            return losses
        weights = look_up(keras, self.class_weights, y)
        weights = weights if len(weights.shape) == len(losses.shape) else weights[..., 0]  # Keras adds an axis to y
        return losses * ops(keras).cast(weights, losses.dtype)

    def logged_scores(self, keras: Any, y: Any, outputs: Any) -> Any:
        return keras.metrics.sparse_categorical_accuracy(y, outputs)

    def loss(self, keras: Any) -> Any:
        return (
            super().loss(keras) if self.class_weights else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )

    def compiled_metrics(self, keras: Any) -> list[Any]:
        return [
            keras.metrics.SparseCategoricalCrossentropy(name="loss", from_logits=True),  # without penalties
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ]

    def strata(self, y: np.ndarray) -> np.ndarray | None:
        return y

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        return softmax(outputs)

    def evaluate(self, keras: Any, y: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Returns `loss` and the metrics of a whole split, `loss` and `accuracy` one number per network."""
        import numpy as np

        losses = as_numpy(self.losses(keras, y, outputs))
        scores = {"loss": np.mean(losses, axis=0), "accuracy": np.mean(np.argmax(outputs, axis=-1) == y, axis=0)}
        return (self.compared(y, softmax(outputs)) if self.extra else {}) | scores

    def constant(self, y: np.ndarray) -> np.ndarray:
        import numpy as np

        with np.errstate(divide="ignore"):
            return np.log(np.bincount(y) / len(y))[None]

    @property
    def told(self) -> str:
        return "classes"

    def served(self, outputs: Any, labels: Any) -> dict[str, Any]:
        from tfprune.adapters.backend import tf

        probabilities = tf.nn.softmax(outputs)
        number = tf.argmax(probabilities, axis=-1)
        return {"class": number, "label": tf.gather(labels, number), "probabilities": probabilities}

    @classmethod
    def predictions(cls, answers: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[Prediction]:
        rows = zip(answers["label"], answers["probabilities"], strict=True)
        return [Prediction(label.decode(), by_label(labels, row)) for label, row in rows]

    def balanced(self, y: np.ndarray, labels: Sequence[str]) -> tuple[float, ...]:
        return inverse_frequencies(y, len(labels))

    def describe(self, y: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        import numpy as np

        return dict(zip(labels, map(int, np.bincount(y, minlength=len(labels))), strict=True))


CLASSIFICATION = Classification()


def classes_of(cells: np.ndarray, label: str, path: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the names of the classes, sorted (numbers by their size), and each example's class number.

    Raises:
        DataError: there are too few classes, or so many that they are none.
    """
    import numpy as np

    labels, y = np.unique(cells, return_inverse=True)
    if len(labels) < 2:
        raise DataError(f"{path}: all labels in {label} are {str(labels[0])!r}; two classes or more are needed")
    if len(labels) > min(MAX_CLASSES, len(cells) / 2):
        hint = " (--task regression predicts numbers)" if as_numbers(cells.astype(str)) is not None else ""
        raise DataError(
            f"{path}: {label} has {len(labels):,} different values in {len(cells):,} examples; labels must be "
            f"classes{hint}"
        )
    return tuple(map(str, labels)), y.reshape(-1).astype(np.int64)


def _by_size(cells: np.ndarray) -> np.ndarray:
    """Returns whole numbers for text that spells them, so that class 10 comes after class 2."""
    import numpy as np

    try:
        whole = np.array([int(cell) for cell in cells])
    except (ValueError, OverflowError):
        return cells.astype(str)
    return whole if all(str(number) == cell for number, cell in zip(whole, cells, strict=True)) else cells.astype(str)


def _note(name: str, labels: Sequence[str]) -> str:
    """Says that numbers are taken for classes; of two it goes without saying."""
    import numpy as np

    if len(labels) < 3 or as_numbers(np.array(labels, object)) is None:
        return ""
    return f"column {name!r}: {len(labels):,} different numbers: classification (--task regression predicts numbers)"
