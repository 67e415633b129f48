"""A class per pixel: the mean cross-entropy over an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfprune.data._targets import Cells
from tfprune.data.objectives import _scoring as scoring
from tfprune.data.objectives._base import (
    Metric,
    Objective,
    Prediction,
    Targets,
    by_label,
    inverse_frequencies,
    look_up,
    mean_over,
    ops,
    softmax,
    table,
)
from tfprune.utils.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

PIXELS = (-2, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation(Objective):
    """A class per pixel of an image. `y` is class numbers, uint8 [images, height, width]."""

    name = "segmentation"
    metrics = table(
        Metric("accuracy", "pixel accuracy", scoring.accuracy),
        Metric("iou", "mean IoU", scoring.macro_of("iou")),
        Metric("dice", "mean Dice", scoring.macro_of("f1")),
    )
    scores = ("accuracy", "iou", "dice")
    primary = "iou"
    augments = False
    returned = frozenset({"mask", "probabilities"})

    @classmethod
    def read(cls, cells: Cells, path: str, decimal: str = ".") -> Targets:
        raise ConfigError(f"{path}: task {cls.name} needs a folder of images and masks")

    def losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        return mean_over(keras, keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True), PIXELS)

    def trained_losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        if not self.class_weights:
            return self.losses(keras, y, outputs)
        own = keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True)
        weights = ops(keras).cast(look_up(keras, self.class_weights, y), own.dtype)
        return mean_over(keras, own * weights, PIXELS)

    def logged_scores(self, keras: Any, y: Any, outputs: Any) -> Any:
        return mean_over(keras, keras.metrics.sparse_categorical_accuracy(y, outputs), PIXELS)

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        return softmax(outputs)

    def constant(self, y: np.ndarray) -> np.ndarray:
        import numpy as np

        shares = np.maximum(np.bincount(y.reshape(-1)) / y.size, 1e-6)
        return np.log(np.broadcast_to(shares, (1, *y.shape[1:], len(shares))))

    def served(self, outputs: Any, labels: Any) -> dict[str, Any]:
        from tfprune.adapters.backend import tf

        probabilities = tf.nn.softmax(outputs)
        return {"mask": tf.argmax(probabilities, axis=-1), "probabilities": probabilities}

    @classmethod
    def predictions(cls, answers: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[Prediction]:
        import numpy as np

        found = []
        for mask in answers["mask"]:
            shares = np.bincount(mask.reshape(-1), minlength=len(labels)) / mask.size
            found.append(Prediction(None, by_label(labels, shares), mask=mask.astype(np.uint8)))
        return found

    def balanced(self, y: np.ndarray, labels: Sequence[str]) -> tuple[float, ...]:
        return inverse_frequencies(y, len(labels))

    def outputs(self, labels: int, example: tuple[int, ...]) -> tuple[int, ...]:
        return (*example[:2], labels)

    @property
    def counted(self) -> str:
        return "pixels of"

    @property
    def told(self) -> str:
        return "classes of pixels"

    def describe(self, y: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        import numpy as np

        return dict(zip(labels, map(int, np.bincount(y.reshape(-1), minlength=len(labels))), strict=True))
