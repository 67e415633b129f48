"""Numbers: the squared error of targets that are standardised for training, and are in their unit everywhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfprune.data._standardising import deviation_of
from tfprune.data._targets import Cells, finite_numbers
from tfprune.data.objectives._base import Metric, Objective, Prediction, Targets, by_label, ops, table

if TYPE_CHECKING:
    import numpy as np


def _mae(truth: np.ndarray, answers: np.ndarray) -> float:
    return abs(answers - truth).mean()


def _rmse(truth: np.ndarray, answers: np.ndarray) -> float:
    return (((answers - truth) ** 2).mean(axis=0) ** 0.5).mean()


def _r2(truth: np.ndarray, answers: np.ndarray) -> float:
    left, all_of_it = ((answers - truth) ** 2).sum(axis=0), ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    varies = all_of_it > 0
    return float((1 - left[varies] / all_of_it[varies]).mean()) if varies.any() else float("nan")


def _note(name: str, numbers: np.ndarray) -> str:
    import numpy as np

    count = len(np.unique(numbers))
    return f"column {name!r}: {count:,} different numbers: regression (--task classification for classes)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regression(Objective):
    """One or several numbers per example. `y` is float32 [examples, targets], standardised.

    Args:
        mean, deviation: of each target in the training split, in its unit.
    """

    name = "regression"
    metrics = table(
        Metric("mae", "MAE", _mae, higher=False, share=False),
        Metric("rmse", "RMSE", _rmse, higher=False, share=False),
        Metric("r2", "R²", _r2, share=False),
    )
    scores = ("mae", "rmse", "r2")
    primary = "mae"
    answer = "values"
    returned = frozenset({"values"})
    activation = "linear"

    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)

    @classmethod
    def read(cls, cells: Cells, path: str, decimal: str = ".") -> Targets:
        import numpy as np

        y = np.stack([finite_numbers(own, name, path, decimal) for name, own in cells.items()], axis=-1)
        return Targets(tuple(cells), y, note="; ".join(_note(name, own) for name, own in zip(cells, y.T, strict=True)))

    @classmethod
    def fitted(cls, y: np.ndarray) -> Regression:
        return cls(mean=tuple(map(float, y.mean(axis=0))), deviation=tuple(map(float, deviation_of(y))))

    def encoded(self, y: np.ndarray) -> np.ndarray:
        return ((y - self.mean) / self.deviation).astype("float32")

    def losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        return keras.losses.mean_squared_error(y, outputs)

    def logged_scores(self, keras: Any, y: Any, outputs: Any) -> Any:
        if len(set(self.deviation)) == 1:
            return self.deviation[0] * keras.metrics.mean_absolute_error(y, outputs)
        own = ops(keras)
        unit = own.cast(own.convert_to_tensor(list(self.deviation)), outputs.dtype)  # JAX and PyTorch take no tuple
        return keras.metrics.mean_absolute_error(own.cast(y, outputs.dtype) * unit, outputs * unit)

    def truth(self, y: np.ndarray) -> np.ndarray:
        return self.answers(y)

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        import numpy as np

        return np.asarray(outputs, np.float64) * self.deviation + self.mean

    def constant(self, y: np.ndarray) -> np.ndarray:
        return y.mean(axis=0, keepdims=True)

    @property
    def counted(self) -> str:
        return "mean of"

    @property
    def told(self) -> str:
        return "targets"

    def served(self, outputs: Any, labels: Any) -> dict[str, Any]:
        from tfprune.adapters.backend import tf

        return {"values": outputs * tf.constant(self.deviation) + tf.constant(self.mean)}

    @classmethod
    def predictions(cls, answers: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[Prediction]:
        return [Prediction(None, {}, by_label(labels, row)) for row in answers["values"]]

    def finished(self, keras: Any, model: Any) -> Any:
        layer = keras.layers.Rescaling(list(self.deviation), list(self.mean), dtype="float32", name=self.answer)
        return keras.Model(model.inputs, layer(model.outputs[0]), name=model.name)

    @property
    def magnitude(self) -> float:
        return max(max(map(abs, self.deviation)), max(map(abs, self.mean)))

    def describe(self, y: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        return dict(zip(labels, map(float, self.truth(y).mean(axis=0)), strict=True))
