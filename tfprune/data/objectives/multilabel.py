"""Any number of labels per example: a sigmoid each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfprune.data._targets import MAX_CLASSES, OFF, ON, SEPARATOR, Cells, is_binary, labels_in
from tfprune.data.objectives import _scoring as scoring
from tfprune.data.objectives._base import Metric, Objective, Prediction, Targets, by_label, mean_over, ops, table
from tfprune.utils.errors import DataError
from tfprune.utils.text import shortened

if TYPE_CHECKING:
    import numpy as np

SMALLEST = 1e-6  # share of examples with a label, for the logit of a label that none or all have


def _accuracy(truth: np.ndarray, answers: np.ndarray) -> float:
    return ((answers > 0.5) == (truth > 0.5)).mean()


def _exact(truth: np.ndarray, answers: np.ndarray) -> float:
    return ((answers > 0.5) == (truth > 0.5)).all(axis=-1).mean()


def _f1(truth: np.ndarray, answers: np.ndarray) -> float:
    return scoring.macro(*scoring.counts(truth > 0.5, answers > 0.5), "f1")


def _auc(truth: np.ndarray, answers: np.ndarray) -> float:
    return scoring.mean_auc(truth > 0.5, answers)


def _of_columns(cells: Cells, path: str) -> Targets:
    import numpy as np

    for name, own in cells.items():
        if not is_binary(own):
            example = next(cell for cell in own.tolist() if str(cell).lower() not in OFF | ON)
            raise DataError(
                f"{path}: column {name} has {shortened(example)!r}, and each column of labels of task multilabel holds "
                "0 and 1"
            )
    y = np.stack([[str(cell).lower() in ON for cell in own.tolist()] for own in cells.values()], axis=-1)
    return _checked(tuple(cells), y, path, f"{len(cells)} columns of 0 and 1: multilabel")


def _of_lists(cells: Cells, path: str) -> Targets:
    import numpy as np

    ((name, own),) = cells.items()
    lists = [set(labels_in(str(cell))) for cell in own.tolist()]
    labels = tuple(sorted(set().union(*lists)))
    if len(labels) < 2:
        raise DataError(
            f"{path}: task multilabel needs two labels or more, and between its {SEPARATOR!r} column {name} has "
            f"{', '.join(labels) or 'none'}"
        )
    if len(labels) > min(MAX_CLASSES, len(lists)):
        raise DataError(
            f"{path}: column {name} has {len(labels):,} different labels between its {SEPARATOR!r} in {len(lists):,} "
            "examples, which are too many"
        )
    y = np.array([[label in own for label in labels] for own in lists])
    if max(map(len, lists)) < 2 and np.mean(y.sum(axis=0) > 1) < 0.5:
        raise DataError(
            f"{path}: no cell of column {name} has several labels, as in a{SEPARATOR}b, and most of {len(labels):,} "
            "values are of one example alone; leave --task out, or name columns of 0 and 1"
        )
    note = f"column {name!r}: lists of {len(labels)} labels: multilabel (--task classification for classes)"
    return _checked(labels, y, path, note)


def _checked(labels: tuple[str, ...], y: np.ndarray, path: str, note: str) -> Targets:
    for label, own in zip(labels, y.T, strict=True):
        if own.all() or not own.any():
            raise DataError(f"{path}: {'every' if own.all() else 'no'} example has the label {label!r}: leave it out")
    return Targets(labels, y.astype("float32"), note=note)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiLabel(Objective):
    """Labels that an example has or has not, each for itself. `y` is 0 and 1, float32 [examples, labels].

    `class_weights` are what an example with the label counts, one per label; one without counts 1.
    """

    name = "multilabel"
    metrics = table(
        Metric("accuracy", "binary accuracy", _accuracy),
        Metric("f1", "macro F1", _f1),
        Metric("auc", "AUC", _auc),
        Metric("exact", "exact matches", _exact),
    )
    scores = ("accuracy", "f1", "auc")
    primary = "f1"
    activation = "sigmoid"
    returned = frozenset({"chosen", "probabilities"})

    @classmethod
    def read(cls, cells: Cells, path: str, decimal: str = ".") -> Targets:
        return _of_lists(cells, path) if len(cells) == 1 else _of_columns(cells, path)

    def losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        return keras.losses.binary_crossentropy(y, outputs, from_logits=True)

    def trained_losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        if not self.class_weights:
            return self.losses(keras, y, outputs)
        y = ops(keras).cast(y, outputs.dtype)
        own = keras.losses.binary_crossentropy(y[..., None], outputs[..., None], from_logits=True)
        more = ops(keras).cast(ops(keras).convert_to_tensor(list(self.class_weights)), outputs.dtype) - 1.0
        return mean_over(keras, own * (1.0 + y * more), -1)

    def logged_scores(self, keras: Any, y: Any, outputs: Any) -> Any:
        right = ops(keras).equal(outputs > 0.0, y > 0.5)
        return mean_over(keras, ops(keras).cast(right, outputs.dtype), -1)

    def why_undefined(self, y: np.ndarray) -> str:
        return "" if y.any() else "no example has a label, so that there is no macro F1"

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        import numpy as np

        return 0.5 * (1 + np.tanh(0.5 * np.asarray(outputs, np.float64)))

    def constant(self, y: np.ndarray) -> np.ndarray:
        import numpy as np

        rate = np.clip(y.mean(axis=0, keepdims=True), SMALLEST, 1 - SMALLEST)
        return np.log(rate / (1 - rate))

    def served(self, outputs: Any, labels: Any) -> dict[str, Any]:
        from tfprune.adapters.backend import tf

        probabilities = tf.nn.sigmoid(outputs)
        return {"chosen": probabilities > 0.5, "probabilities": probabilities}

    @classmethod
    def predictions(cls, answers: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[Prediction]:
        found = []
        for chosen, row in zip(answers["chosen"], answers["probabilities"], strict=True):
            label = SEPARATOR.join(label for label, own in zip(labels, chosen, strict=True) if own)
            found.append(Prediction(label, by_label(labels, row)))
        return found

    def balanced(self, y: np.ndarray, labels: Sequence[str]) -> tuple[float, ...]:
        having = y.sum(axis=0)
        return tuple(float((len(y) - own) / own) if 0 < own < len(y) else 1.0 for own in having)

    def describe(self, y: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        return dict(zip(labels, map(int, y.sum(axis=0)), strict=True))
