"""Makes channels small before they are taken out: penalties in a person's own training, as their papers have them."""

from __future__ import annotations

import abc
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.graphs import Graphs, Penalties, Penalty
from tfprune.adapters.kernel_names import few
from tfprune.structured.channels import Channels, channels
from tfprune.structured.labels import rows_of
from tfprune.structured.scoring import CRITERIA
from tfprune.structured.unfolding import layers_to_take_apart
from tfprune.structured.widths import MULTIPLE, width
from tfprune.utils.checks import check_choice, check_fraction, check_positive
from tfprune.utils.errors import ConfigError, ModelError

log = logging.getLogger(__name__)

Logs = Mapping[str, Any] | None
ADDED = ("bias", "beta")  # weights that are added to what flows: the papers leave them alone


class Regularization(abc.ABC):
    """Follows a training and sets, at the beginning of each epoch, how strongly each channel is made smaller.

    Args:
        model: functional or sequential, compiled.
        strength: of the penalty.
        keep: share of each group's channels that is to stay, for those that choose channels.

    Attributes:
        default: the paper's strength.
    """

    default: ClassVar[float]
    absolute: ClassVar[bool] = False

    def __init__(self, model: Any, strength: float | None = None, keep: float = 0.5) -> None:
        self.strength = self.default if strength is None else strength
        self.keep = keep
        self.model = self._given = model
        self.params: Mapping[str, Any] = {}
        self.graphs: Graphs = adapter_of(model).graphs
        self.found: Channels = channels(model)
        if not self.found.free:
            raise ModelError(f"model {model.name} has no channels that can go")
        self._weights = [(weight, axes) for weight, axes in self._penalised() if axes]
        if not self._weights:
            raise ModelError(f"model {model.name} has no weights that {type(self).__name__} is about")
        self._penalties = self._penalize()

    def _penalize(self) -> Penalties:
        shapes = [
            tuple(size if axis in axes else 1 for axis, size in enumerate(own.shape)) for own, axes in self._weights
        ]
        penalties = [Penalty(own, shape, self.absolute) for (own, _), shape in zip(self._weights, shapes, strict=True)]
        return self.graphs.penalize(self._given, penalties)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Looks whether the model that is trained is the one that was given, under whatever optimizer it has by now."""
        if self.model is not self._given:
            raise ConfigError(
                f"the penalty is on model {self._given.name}, and another is trained: give regularize the model of "
                "this fit (tfprune.train trains a copy unless in_place=True)"
            )
        if not self._penalties.held():
            self._penalties = self._penalize()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Sets the strengths."""
        adapter_of(self.model).sync(self.model)
        by_label = self.strengths(epoch)
        self._penalties.set([_spread(tuple(weight.shape), axes, by_label) for weight, axes in self._weights])

    def on_train_end(self, logs: Logs = None) -> None:
        """Ends the penalties with the training."""
        self._penalties.release()

    @abc.abstractmethod
    def strengths(self, epoch: int) -> Mapping[int, float]:
        """Returns how strong the penalty of each channel is: label -> strength; others have none."""

    def _penalised(self) -> list[tuple[Any, dict[int, np.ndarray]]]:
        """Returns the trainable weights that make or read channels that can go, with the labels of their axes."""
        free = {int(label) for group in self.found.free.values() for label in group.channels}
        chosen = []
        for weight in self._trainable():
            if _leaf(weight) in ADDED:
                continue
            axes = self.found.axes.get(id(weight), {})
            chosen.append((weight, {axis: own for axis, own in axes.items() if free & set(map(int, np.ravel(own)))}))
        return chosen

    def _trainable(self) -> list[Any]:
        seen: dict[int, Any] = {}
        for layer in self.graphs.leaf_layers(self.model):
            for weight in layer.trainable_weights:
                seen.setdefault(id(weight), weight)
        return list(seen.values())


class GroupNorm(Regularization):
    """Channels of a small norm over all weights of their group are made smaller more than others.

    A channel k of a group has the penalty strength x 2^(4 (max - I_k) / (max - min)) / 2 times the sum of its squared
    weights, where I_k is their norm, and max and min are the largest and the smallest in the group (Fang et al. 2023,
    DepGraph, arXiv:2301.12900, equation 7).
    """

    default = 1e-4
    growth = 4.0

    def strengths(self, epoch: int) -> dict[int, float]:
        squares: dict[int, float] = {}
        for weight, axes in self._weights:
            values = np.square(self.graphs.numbers(weight).astype(np.float64))
            for axis, labels in axes.items():
                sums = values.sum(axis=tuple(other for other in range(values.ndim) if other != axis))
                for row in rows_of(labels):
                    for label, value in zip(row, sums, strict=True):
                        squares[int(label)] = squares.get(int(label), 0.0) + float(value)
        strengths = {}
        for group in self.found.free.values():
            norms = np.sqrt([squares.get(int(label), 0.0) for label in group.channels])
            spread = np.ptp(norms)
            shares = (norms.max() - norms) / spread if spread > 0 else np.zeros(len(norms))
            for label, share in zip(group.channels, shares, strict=True):
                strengths[int(label)] = self.strength * 2.0 ** (self.growth * float(share))
        return strengths


class Growing(Regularization):
    """The channels that are worth least at the beginning have a penalty that grows until nothing of them is left.

    It grows by the strength every ten steps, up to 1, on half of their squared weights (Wang et al. 2021, GReg-1,
    arXiv:2012.09243). Which they are is chosen once, by the L1 norm, so that a share of `keep` of each group stays.
    """

    default = 1e-4
    every = 10  # steps
    ceiling = 1.0

    def __init__(self, model: Any, strength: float | None = None, keep: float = 0.5) -> None:
        super().__init__(model, strength, keep)
        scores = CRITERIA["l1"](model, self.found, 0, None)
        self._going: list[int] = []
        for name, group in self.found.free.items():
            stay = width(len(group), keep, group.step(MULTIPLE))
            order = np.argsort(-scores[name], kind="stable")
            self._going += [int(group.channels[place]) for place in order[stay:]]
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Counts the steps."""
        self._steps += 1

    def strengths(self, epoch: int) -> dict[int, float]:
        grown = min(self.ceiling, self.strength * (1 + self._steps / self.every))
        return dict.fromkeys(self._going, grown)


class BatchNormScale(Regularization):
    """The factors of BatchNorm are made smaller by the gradient of their size (Liu et al. 2017, arXiv:1708.06519)."""

    default = 1e-4
    absolute = True

    def _penalised(self) -> list[tuple[Any, dict[int, np.ndarray]]]:
        return [(weight, axes) for weight, axes in super()._penalised() if _leaf(weight) == "gamma"]

    def strengths(self, epoch: int) -> dict[int, float]:
        return {int(label): self.strength for group in self.found.free.values() for label in group.channels}


REGULARIZATIONS: dict[str, type[Regularization]] = {
    "group_norm": GroupNorm,
    "growing": Growing,
    "bn_scale": BatchNormScale,
}


def regularize(model: Any, kind: str = "group_norm", strength: float | None = None, keep: float = 0.5) -> Any:
    """Returns a callback under which `model.fit` makes channels small that `tfprune.shrink` can then take out.

    The penalty's gradients are added to those that the optimizer is given, as in the papers (where it is SGD); they end
    with the training, and nothing of them is saved.

    Args:
        model: functional or sequential, of Keras 3 or tf_keras, compiled. Give the callback to a `fit` of this model.
        kind: `group_norm` (channels of a small norm over all weights of their group; DepGraph, Fang et al. 2023,
            arXiv:2301.12900; then shrink by `l2`), `growing` (a penalty that grows on the channels of the smallest L1
            norm; Wang et al. 2021, arXiv:2012.09243; then shrink by `l1`), `bn_scale` (the size of BatchNorm's factors;
            Liu et al. 2017, arXiv:1708.06519; then shrink by `bn`, `scope="global"`, `normalizer="none"`).
        strength: of the penalty, above 0; None is the paper's 1e-4 (of `growing` what it grows by every ten steps).
        keep: of `growing` the share of each group's channels that stays, in (0, 1).

    Raises:
        ConfigError: a setting is out of range, or the model is not compiled.
        ModelError: the model has no channels that can go.

    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(16, input_shape=(4,)), keras.layers.Dense(3)])
    >>> model.compile("sgd", "mse")
    >>> callback = tfprune.regularize(model, "group_norm")
    >>> history = model.fit(np.ones((8, 4)), np.ones((8, 3)), epochs=2, verbose=0, callbacks=[callback])
    >>> [layer.units for layer in tfprune.shrink(model, 0.5).layers]
    [8, 3]
    """
    check_choice("kind", kind, REGULARIZATIONS)
    strength = None if strength is None else check_positive("strength", strength)
    keep = check_fraction("keep", keep, above_zero=True)
    adapter = adapter_of(model)
    if getattr(model, "optimizer", None) is None:
        raise ConfigError("the model must be compiled: a penalty is added to the gradients that its optimizer is given")
    if apart := layers_to_take_apart(model):
        log.warning(
            "no penalty is on what is in %s, which tfprune.shrink takes apart: train tfprune.shrink(model, keep=1) "
            "instead, where the layers in them stand in their place",
            few(apart),
        )
    return adapter.callback(REGULARIZATIONS[kind](model, strength, keep))


def _spread(shape: tuple[int, ...], axes: Mapping[int, np.ndarray], by_label: Mapping[int, float]) -> np.ndarray:
    """Returns strengths of a weight: of each number the sum of those of the channels that it makes or reads."""
    total = np.zeros([size if axis in axes else 1 for axis, size in enumerate(shape)], np.float32)
    for axis, labels in axes.items():
        own = sum(np.array([by_label.get(int(label), 0.0) for label in row]) for row in rows_of(labels))
        total += np.reshape(own, [-1 if other == axis else 1 for other in range(len(shape))]).astype(np.float32)
    return total


def _leaf(weight: Any) -> str:
    """Returns a weight's own name, without those of layers and numbers of TensorFlow."""
    return str(weight.name).rpartition("/")[2].partition(":")[0]
