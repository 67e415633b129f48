"""XLA training loop that runs several epochs per `train_step`, for small data and models.

A Keras loop costs about a millisecond per step whatever the step computes. Here the whole training split is
one Keras batch, and `train_step` goes through a chunk of real epochs inside XLA; callbacks and logs
come at the ends of chunks. The numbers are those of the plain loop.

Arrays may have one more axis at the end, that of several networks which are trained side by side
(see `stacking`): every score is then an array with one number per network.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.layer_traits import TRAITS, traits_of
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.data._base import Split
from tfprune.data._pipeline import epoch_order, without_autotuning
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.training.orders import EpochOrders

MAX_STEPS = 64  # an epoch
LARGEST_SPLIT = 2**26  # bytes
KEPT = 16  # compiled models
LAYERS = tuple(sorted(name.rpartition(".")[2] for name, traits in TRAITS.items() if traits.fusable))


def can_fuse(model: keras.Model, split: Split, batch_size: int) -> bool:
    """Returns whether model and data are of a size and a kind to be trained many epochs per call."""
    layers = [layer.layer if isinstance(layer, Masked) else layer for layer in leaf_layers(model)]
    return (
        all(traits_of(layer).fusable and layer.compute_dtype == "float32" for layer in layers)
        and -(-len(split) // batch_size) <= MAX_STEPS
        and split.x.nbytes <= LARGEST_SPLIT
        and not split.stored
    )


class Fused(keras.Model):
    """A functional model whose `train_step` takes an element of `epoch_chunks`. It needs a compiled optimizer.

    Args:
        inputs, outputs: of a model that returns logits, [examples, classes] or [examples, networks, classes].
        batch_size: examples per step.
        objective: what is trained and scored; of several networks it is a class.
    """

    def __init__(
        self, inputs: Any, outputs: Any, batch_size: int, objective: Objective = CLASSIFICATION, **kwargs: Any
    ) -> None:
        super().__init__(inputs, outputs, **kwargs)
        self.batch_size = batch_size
        self.objective = objective
        self.first_step = tf.Variable(0, trainable=False, dtype=tf.int64)  # of the run, where the optimizer starts
        self.step_multiplier = tf.Variable(1.0, trainable=False)  # 0 where the learning rate stays at that step's
        self.rate_scale = tf.Variable(1.0, trainable=False)
        self.fresh: list[np.ndarray] = []  # the optimizer's variables before its first step
        self.compiled: dict[int, tuple[float, float]] = {}  # epochs of a chunk -> seconds: wall, processors

    def restart(self, first_step: int, step_multiplier: float = 1.0) -> None:
        """Makes the compiled optimizer a fresh one, with no need to compile again."""
        self.first_step.assign(first_step)
        self.step_multiplier.assign(step_multiplier)
        self.rate_scale.assign(1.0)
        if not self.fresh:
            self.optimizer.build(self.trainable_variables)
            self.fresh = [variable.numpy() for variable in self.optimizer.variables]
        for variable, value in zip(self.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)

    def train_step(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Trains a chunk of epochs; returns the scores of its last epoch, and of the validation split after it."""
        count = data["y"].shape[0]
        full, rest = divmod(count, self.batch_size)

        def step(epoch: tf.Tensor, first: tf.Tensor | int, size: int, totals: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            x, y = _batch(data, epoch, first, size)
            with tf.GradientTape() as tape:
                outputs = self(x, training=True)
                scores = self.scores(y, outputs)
                loss = tf.reduce_sum(self._trained_on(y, outputs, scores)) + sum(self.losses)
            self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
            return [total + size * score for total, score in zip(totals, scores.values(), strict=True)]

        def epoch(number: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor]:
            totals = zeros
            if full:
                _, *totals = tf.while_loop(
                    lambda batch, *_: batch < full,
                    lambda batch, *totals: [batch + 1, *step(number, batch * self.batch_size, self.batch_size, totals)],
                    [tf.constant(0), *totals],
                )
            if rest:
                totals = step(number, full * self.batch_size, rest, totals)
            return [number + 1, *totals]

        zeros = [tf.zeros(data["y"].shape[1:] if self.stacked else ())] * 2
        start = [tf.constant(0), *zeros]
        _, *totals = tf.while_loop(lambda number, *_: number < data["epochs"], epoch, start)
        validation = self.scores(data["val_y"], self(data["val_x"], training=False))
        scores = {name: total / count for name, total in zip(validation, totals, strict=True)}
        return scores | {f"val_{name}": score for name, score in validation.items()}

    def scores(self, y: tf.Tensor, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns mean `loss`, penalties not included, and the logged metric, one number per network."""
        losses = self.objective.losses(keras, y, logits)
        scores = self.objective.logged_scores(keras, y, logits)
        return {"loss": tf.reduce_mean(losses, axis=0), self.objective.logged: tf.reduce_mean(scores, axis=0)}

    def _trained_on(self, y: tf.Tensor, outputs: tf.Tensor, scores: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the mean loss that is trained on, in which classes may have weights."""
        if not self.objective.class_weights:
            return scores["loss"]
        return tf.reduce_mean(self.objective.trained_losses(keras, y, outputs), axis=0)

    @property
    def stacked(self) -> bool:
        """Whether it is several networks."""
        return self.objective == CLASSIFICATION and len(self.outputs[0].shape) > 2

    def measure(self, split: Split) -> dict[str, np.ndarray | float]:
        """Returns the `scores` of a whole split."""
        scores = self.scores(tf.constant(split.y), self(split.x, training=False))
        return {name: score.numpy() if score.shape.rank else float(score) for name, score in scores.items()}


def longest_chunk(ends: Sequence[int], first_epoch: int) -> int:
    """Returns the epochs of the longest chunk, see `epoch_chunks`."""
    return max(end - start for start, end in zip([first_epoch, *ends[:-1]], ends, strict=True))


def epoch_chunks(
    train: Split,
    validation: Split,
    *,
    first_epoch: int,
    ends: Sequence[int],
    order_seeds: Sequence[int] | None,
    stacked: bool = False,
    drawn: EpochOrders | None = None,
) -> tf.data.Dataset:
    """Returns what `Fused.train_step` takes, one element per chunk of epochs.

    Args:
        train: what is trained on.
        validation: what is evaluated on after each chunk.
        first_epoch: epochs that count as done.
        ends: the last epoch of each chunk, counted from 1.
        order_seeds: of the orders of the examples, one seed per network, with the same orders as
            `data._pipeline.training_batches` draws; None keeps the split's own order.
        stacked: whether the splits are those of several networks.
        drawn: these orders of several networks, where they are drawn already.
    """
    starts = [first_epoch, *ends[:-1]]
    most = longest_chunk(ends, first_epoch)
    arrays = {"x": train.x, "y": train.y, "val_x": validation.x, "val_y": validation.y}
    fixed = {name: tf.constant(array) for name, array in arrays.items()}

    def orders(epoch: tf.Tensor) -> tf.Tensor:
        drawn = [epoch_order(len(train), seed, epoch) for seed in order_seeds]
        return tf.stack(drawn, axis=-1) if stacked else drawn[0]

    def orders_from(start: tf.Tensor) -> tf.Tensor:
        if drawn is None:
            return tf.map_fn(orders, tf.range(start, start + most), fn_output_signature=tf.int64)
        found = tf.numpy_function(lambda first: drawn.between(first, first + most), [start], tf.int64)
        return tf.ensure_shape(found, (most, drawn.count, len(drawn.seeds)))

    def element(start: tf.Tensor, end: tf.Tensor) -> dict[str, tf.Tensor]:
        chunk = fixed | {"epochs": tf.cast(end - start, tf.int32)}
        if order_seeds is not None:
            chunk["order"] = orders_from(start)
        return chunk

    bounds = (tf.constant(starts, tf.int64), tf.constant(list(ends), tf.int64))
    return without_autotuning(tf.data.Dataset.from_tensor_slices(bounds).map(element).prefetch(1))


class CompiledModelCache:
    """Cache of compiled models that no run uses at the moment.

    Compiling takes longer than many runs, and XLA keeps what it has compiled for as long as the process lives.

    Args:
        most: models that are kept; those used longest ago go first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.idle: collections.OrderedDict[str, Fused] = collections.OrderedDict()

    def get(self, kind: str) -> Fused | None:
        """Returns a model of a kind, which nobody else then has; None if there is none."""
        return self.idle.pop(kind, None)

    def put(self, kind: str, model: keras.Model) -> None:
        """Keeps a model for the next run of its kind; one that another loop trains is not kept."""
        if isinstance(model, Fused):
            self.idle[kind] = model
            while len(self.idle) > self.most:
                self.idle.popitem(last=False)


class EpochRemapCallback(keras.callbacks.Callback):
    """Hands callbacks the numbers of real epochs where Keras counts chunks.

    Args:
        callbacks: what listens, in this order.
        ends: the last epoch of each chunk, counted from 1.
        events: epochs after which weights are pruned, and the validation split is then measured again.
        validation: that split.
        first_epoch: epochs before the first chunk.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        ends: Sequence[int],
        events: Collection[int],
        validation: Split,
        first_epoch: int,
    ) -> None:
        super().__init__()
        self.callbacks = callbacks
        self.first_epoch = first_epoch
        self.ends = ends
        self.events = events
        self.validation = validation

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(self.ends[epoch - 1] if epoch else self.first_epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = dict(logs or {})
        if self.ends[epoch] in self.events:
            logs |= {f"val_{name}": score for name, score in self.model.measure(self.validation).items()}
        for callback in self.callbacks:
            callback.on_epoch_end(self.ends[epoch] - 1, logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs)


def _batch(
    data: Mapping[str, tf.Tensor], epoch: tf.Tensor, first: tf.Tensor | int, size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns inputs and classes of a step."""
    if "order" not in data:
        return tuple(_slice(data[name], first, size) for name in ("x", "y"))
    chosen = _slice(data["order"][epoch], first, size)
    if chosen.shape.rank == 1:
        return tuple(tf.gather(data[name], chosen) for name in ("x", "y"))
    return tuple(_gather_each(data[name], chosen) for name in ("x", "y"))


def _slice(array: tf.Tensor, first: tf.Tensor | int, size: int) -> tf.Tensor:
    rest = array.shape.rank - 1
    return tf.slice(array, [first, *[0] * rest], [size, *[-1] * rest])


def _gather_each(array: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Picks the `chosen` rows [size, networks] of each network from an array [examples, ..., networks]."""
    rank = array.shape.rank
    by_network = tf.gather(
        tf.transpose(array, [rank - 1, *range(rank - 1)]), tf.transpose(chosen), axis=1, batch_dims=1
    )
    return tf.transpose(by_network, [*range(1, rank), 0])
