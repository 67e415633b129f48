"""What a task is: its loss, its metrics, and what an exported model answers.

Both Keras libraries name losses and metrics alike, so that an objective is handed the library and imports none.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tfprune.utils.errors import ConfigError
from tfprune.utils.trees import as_numpy

if TYPE_CHECKING:
    import numpy as np

    from tfprune.data._targets import Cells

BALANCED = "balanced"
CLASS_WEIGHTS = (BALANCED,)
MARGIN = 0.005  # of a share, or of what a constant answer has: a loss below that counts as none


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number that says how good answers are.

    Args:
        name: in files and on the command line.
        label: in tables and figures.
        of: from the truth and the answers of a split, see `Objective`, to the number; NaN where it is not defined.
        higher: whether more is better.
        share: whether it is in [0, 1], and shown in percent; otherwise it is in the unit of the target.
    """

    name: str
    label: str
    of: Callable[[np.ndarray, np.ndarray], float]
    higher: bool = True
    share: bool = True

    @property
    def better(self) -> str:
        """Which direction is better, in words."""
        return f"{'higher' if self.higher else 'lower'} {self.label}"

    @property
    def scale(self) -> float:
        """What a number is multiplied by where it is shown."""
        return 100.0 if self.share else 1.0

    @property
    def form(self) -> str:
        """How a number is formatted where it is shown."""
        return ".1f" if self.share else ",.4g"

    @property
    def unit(self) -> str:
        """What follows a number that is shown."""
        return " %" if self.share else ""

    def text(self, value: float, digits: int | None = None) -> str:
        """Returns a value for people.

        >>> accuracy = Metric("accuracy", "accuracy", lambda truth, answers: 0.0)
        >>> accuracy.text(0.5), dataclasses.replace(accuracy, share=False).text(1234.567)
        ('50.0 %', '1,235')
        """
        form = self.form if digits is None or not self.share else f".{digits}f"
        return f"{self.scale * value:{form}}{self.unit}"

    def margin(self, constant: float | None) -> float:
        """Returns how much worse counts as no difference; `constant` is what one answer for all comes to."""
        return MARGIN if self.share or constant is None else MARGIN * abs(constant)


def table(*metrics: Metric) -> dict[str, Metric]:
    """Returns metrics by name."""
    return {metric.name: metric for metric in metrics}


@dataclasses.dataclass(frozen=True)
class Prediction:
    """An answer of an exported model.

    Attributes:
        label: the class, or the labels with `;` between them; None where answers are no labels.
        probabilities: of each label, in the model's order; of masks the share of pixels of each class.
        values: target -> number, where numbers are predicted.
        mask: class number of each pixel, uint8 [height, width], where masks are.
    """

    label: str | None
    probabilities: dict[str, float]
    values: dict[str, float] = dataclasses.field(default_factory=dict)
    mask: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Targets:
    """What was read of the labels of some examples.

    Args:
        labels: names of what a model has an output for: classes, targets, labels.
        y: one entry per example: class numbers, numbers in their unit, 0 and 1.
        strata: class by which splits are drawn with the same mix; None: at random.
        note: why the labels were read like this, in a line; "" where it goes without saying.
    """

    labels: tuple[str, ...]
    y: np.ndarray
    strata: np.ndarray | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective(abc.ABC):
    """A task. `truth` and `answers` are what metrics compare: of classes the numbers and the probabilities.

    Args:
        class_weights: what an example, or a pixel, of each class counts in the loss that is trained on; empty: 1.
        extra: metrics beside `scores` that were asked for, which are logged too.
    """

    name: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    scores: ClassVar[tuple[str, ...]]  # metrics of every run; the first is a mean over examples, and is logged
    primary: ClassVar[str]  # by which methods are compared
    answer: ClassVar[str] = "probabilities"  # the output of an exported model that has the answers
    activation: ClassVar[str] = "softmax"  # that makes answers of what a model is trained to return
    augments: ClassVar[bool] = True  # whether images may be moved and mirrored
    returned: ClassVar[frozenset[str]]  # the outputs of an exported model, see `served`

    class_weights: tuple[float, ...] = ()
    extra: tuple[str, ...] = ()

    @classmethod
    @abc.abstractmethod
    def read(cls, cells: Cells, path: str, decimal: str = ".") -> Targets:
        """Reads columns of labels.

        Raises:
            DataError: they are none of this task.
        """

    @classmethod
    def fitted(cls, y: np.ndarray) -> Objective:
        """Returns the task for the labels of the training split, as `Targets` have them."""
        return cls()

    def encoded(self, y: np.ndarray) -> np.ndarray:
        """Returns labels of `Targets` as a `Split` has them."""
        return y

    @property
    def of_logits(self) -> bool:
        """Whether a model's outputs are logits, which a temperature divides."""
        return self.answer == "probabilities"

    @property
    def logged(self) -> str:
        """The metric that is logged in each epoch beside the loss."""
        return self.scores[0]

    @property
    def measured(self) -> tuple[str, ...]:
        """All metrics of a finished run."""
        return tuple(dict.fromkeys((*self.scores, *self.extra)))

    @property
    def watched(self) -> tuple[str, ...]:
        """Metrics of the validation split that only all of it tells, for the history."""
        return tuple(name for name in self.extra if name != self.logged)

    @abc.abstractmethod
    def losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        """Returns the loss of each example, whatever its class weighs.

        Args:
            keras: tf_keras, or Keras 3.
            y: as a `Split` has it.
            outputs: of a model.
        """

    def trained_losses(self, keras: Any, y: Any, outputs: Any) -> Any:
        """Returns the loss of each example that is trained on."""
        return self.losses(keras, y, outputs)

    @abc.abstractmethod
    def logged_scores(self, keras: Any, y: Any, outputs: Any) -> Any:
        """Returns for each example what the logged metric is the mean of."""

    def loss(self, keras: Any) -> Any:
        """Returns the loss that a model is compiled with."""
        return _of_library(self.trained_losses, keras, from_logits=self.of_logits)

    def compiled_metrics(self, keras: Any) -> list[Any]:
        """Returns the metrics of a compiled model: `loss`, without penalties and weights, and the logged one."""
        parts = {"loss": self.losses, self.logged: self.logged_scores}
        wrapper = keras.metrics.MeanMetricWrapper
        return [wrapper(_of_library(function, keras), name=name) for name, function in parts.items()]

    def why_undefined(self, y: np.ndarray) -> str:
        """Returns why `primary`, by which runs are compared, is not defined for a split; "" where it is."""
        return ""

    def strata(self, y: np.ndarray) -> np.ndarray | None:
        """Returns the class of each example, None where examples have no one class."""
        return None

    def truth(self, y: np.ndarray) -> np.ndarray:
        """Returns labels as metrics take them."""
        return y

    @abc.abstractmethod
    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the answers that a model's outputs stand for."""

    def evaluate(self, keras: Any, y: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
        """Returns `loss` and the metrics of a whole split; none that are not defined for it."""
        import numpy as np

        losses = np.asarray(as_numpy(self.losses(keras, y, outputs)), np.float64)
        return {"loss": float(losses.mean())} | self.compared(y, self.answers(outputs))

    def compared(self, y: np.ndarray, answers: np.ndarray) -> dict[str, float]:
        """Returns the metrics of a split's answers; none that are not defined for it."""
        truth = self.truth(y)
        found = {name: float(self.metrics[name].of(truth, answers)) for name in self.measured}
        return {name: value for name, value in found.items() if not math.isnan(value) or name == self.primary}

    @abc.abstractmethod
    def constant(self, y: np.ndarray) -> np.ndarray:
        """Returns the best outputs that are the same for all examples, [1, ...]."""

    @abc.abstractmethod
    def served(self, outputs: Any, labels: Any) -> dict[str, Any]:
        """Returns what an exported model answers, TensorFlow tensors by name.

        Args:
            outputs: float32.
            labels: string [labels].
        """

    @classmethod
    @abc.abstractmethod
    def predictions(cls, answers: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[Prediction]:
        """Returns what `served` answered to some examples, as people have it."""

    def finished(self, keras: Any, model: Any) -> Any:
        """Returns a model of a Keras whose outputs are the answers."""
        layer = keras.layers.Activation(self.activation, dtype="float32", name=self.answer)
        return keras.Model(model.inputs, layer(model.outputs[0]), name=model.name)

    def balanced(self, y: np.ndarray, labels: Sequence[str]) -> tuple[float, ...]:
        """Returns class weights in inverse proportion to how frequent classes are."""
        raise ConfigError(f"class_weight is of classes; task {self.name} has none")

    def outputs(self, labels: int, example: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of what a model returns for an example of a shape."""
        return (labels,)

    @property
    def counted(self) -> str:
        """What `describe` says of a label."""
        return "with"

    @property
    def told(self) -> str:
        """What the labels are called in messages."""
        return "labels"

    @property
    def magnitude(self) -> float:
        """What a difference of answers is measured in."""
        return 1.0

    @abc.abstractmethod
    def describe(self, y: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
        """Returns what is in a split, label -> number: how many of it there are, or its mean."""


def _of_library(
    function: Callable[[Any, Any, Any], Any], keras: Any, *, from_logits: bool = False
) -> Callable[[Any, Any], Any]:
    def per_example(y: Any, outputs: Any) -> Any:
        return function(keras, y, outputs)

    per_example._fn_kwargs = {"from_logits": from_logits}  # as Keras' own losses say it
    return per_example


def by_label(labels: Sequence[str], numbers: Any) -> dict[str, float]:
    """Returns a row of numbers by the labels that they are of."""
    return dict(zip(labels, map(float, numbers), strict=True))


def look_up(keras: Any, table: Sequence[float], places: Any) -> Any:
    """Returns the entries of a table at whole numbers, float32 of the shape of `places`."""
    if hasattr(keras, "ops"):
        return keras.ops.take(keras.ops.convert_to_tensor(list(table), "float32"), keras.ops.cast(places, "int32"))
    from tfprune.adapters.backend import tf

    return tf.gather(tf.constant(list(table), tf.float32), tf.cast(places, tf.int64))


def ops(keras: Any) -> Any:
    """Returns what computes with tensors: `keras.ops`, or TensorFlow for tf_keras."""
    if hasattr(keras, "ops"):
        return keras.ops
    from tfprune.adapters.backend import tf

    return tf


def mean_over(keras: Any, values: Any, axis: Any) -> Any:
    """Returns the mean of a tensor over some axes."""
    return keras.ops.mean(values, axis=axis) if hasattr(keras, "ops") else ops(keras).reduce_mean(values, axis=axis)


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits along the last axis."""
    import numpy as np

    logits = np.asarray(outputs, np.float32)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def inverse_frequencies(classes: np.ndarray, count: int) -> tuple[float, ...]:
    """Returns the weights that give all classes the same share of a loss, with a mean of 1 over the examples.

    >>> import numpy as np
    >>> inverse_frequencies(np.array([0, 0, 0, 1]), 2)
    (0.6666666666666666, 2.0)
    """
    import numpy as np

    found = np.bincount(classes.reshape(-1), minlength=count)
    return tuple(float(classes.size / (np.sum(found > 0) * own)) if own else 0.0 for own in found)
