"""Derivatives of a network that criteria rank weights by.

They are taken on a copy without masks, in float64 and without dropout: with respect to all weights, pruned ones
too; no moving statistic of the network changes; and rounding decides no rank, so that networks come to the same masks
alone and side by side. What cannot be copied so (a subclassed model, a layer of a user's own) is looked at as it is.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.batches import Batch, balanced_indices
from tfprune.adapters.derivatives import ADDED, Derivatives
from tfprune.adapters.kernel_names import variables_of
from tfprune.adapters.layer_traits import traits_of
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.tf_keras.layers import carry_state, has_graph, leaf_layers
from tfprune.adapters.tf_keras.mask_values import kernel_variables, prunable_variables
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.pruning.events import Criterion
from tfprune.pruning.masks import Arrays
from tfprune.utils.errors import ModelError

Loss = Callable[[Any, Batch, Criterion], Any]  # outputs, the examples, who asks -> a scalar


class GradientProvider(Derivatives):
    """Those of tf_keras, by a tape.

    Args:
        model: a masked model of one network, or a stack of several.
        sample: as for `Derivatives`.
        loss: of a model's outputs for a batch; None: the mean cross-entropy of logits.
    """

    def __init__(self, model: keras.Model, sample: Callable[[int], Batch], loss: Loss | None = None) -> None:
        super().__init__(model, sample)
        self.loss = loss or cross_entropy

    @property
    def has_call(self) -> bool:
        return type(self.model).call is not keras.Model.call

    def _computed(self, kind: str, criterion: Criterion) -> Arrays:
        gradients = getattr(self, f"_{kind}")(criterion)
        return {name: tf.convert_to_tensor(slope).numpy() for name, slope in gradients.items()}

    def _gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        batch = self._draw_batch("gradients", criterion)
        with self._network() as network, _watching(network) as tape:
            loss = self.loss(network(batch.x, training=True), batch, criterion)
        return self._by_name(network, tape, loss)

    def _hessian_gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        batch = self._draw_batch("hessian_gradients", criterion)
        with self._network() as network, _watching(network) as outer:
            with _watching(network) as inner:
                loss = self.loss(network(batch.x, training=True), batch, criterion)
            gradients = self._by_name(network, inner, loss).values()
            product = sum(tf.reduce_sum(g * tf.stop_gradient(g)) for g in map(tf.convert_to_tensor, gradients))
        return self._by_name(network, outer, product)

    def _squared_gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        parts = self._draw_batch("squared_gradients", criterion).parts(criterion.per_class)
        totals: dict[str, Any] = {}
        with self._network() as network:
            for own in parts:  # an example of each class in turn
                with _watching(network) as tape:
                    loss = self.loss(network(own.x, training=False), own, criterion)
                for name, gradient in self._by_name(network, tape, loss).items():
                    totals[name] = totals.get(name, 0.0) + tf.square(tf.convert_to_tensor(gradient)) / len(parts)
        return totals

    def _flow_gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        network = self._linear_copy(self._copy(_linear))
        for variable in network.weights:
            if not variable.dtype.is_floating:
                continue
            added = variable.name.rpartition("/")[2].partition(":")[0] in ADDED
            variable.assign(tf.zeros_like(variable) if added else tf.abs(variable))
        ones = [tf.ones([1, *(side or 1 for side in own.shape[1:])], own.dtype) for own in network.inputs]
        with _watching(network) as tape:
            outputs = network(ones if len(ones) > 1 else ones[0], training=False)
            flow = sum(tf.reduce_sum(own) for own in tf.nest.flatten(outputs))
        return self._by_name(network, tape, flow)

    def _by_name(self, network: keras.Model, tape: tf.GradientTape, value: tf.Tensor) -> dict[str, Any]:
        """Returns the derivatives of a value with respect to the kernels that have masks."""
        own = prunable_variables(network)
        variables = {name: own[name] for name in kernel_variables(self.model)}
        gradients = tape.gradient(value, list(variables.values()), unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return dict(zip(variables, gradients, strict=True))

    @contextlib.contextmanager
    def _network(self) -> Iterator[keras.Model]:
        """Gives the copy of the model or, where it has none, the model itself, which is then as it was before."""
        copy = self._copy(_plain)
        if copy is not None:
            yield copy
            return
        with preserved_state(self.model):
            yield self.model

    def _copy(self, rebuilt: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model | None:
        """Returns the model with each layer rebuilt and with the weights of now; the same copy every time.

        None if it is subclassed, or a layer cannot be rebuilt or takes no float64.
        """

        def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
            if has_graph(layer):
                return keras.models.clone_model(layer, clone_function=clone)
            return rebuilt(layer.layer if isinstance(layer, Masked) else layer)

        if rebuilt not in self._copies:
            self._copies[rebuilt] = None
            with contextlib.suppress(NotImplementedError, TypeError, ValueError, tf.errors.InvalidArgumentError):
                if has_graph(self.model):
                    inputs = [
                        keras.layers.Input(own.shape[1:], dtype=_precise_type(own), name=name)
                        for own, name in zip(self.model.inputs, self.model.input_names, strict=True)
                    ]
                    inputs = inputs if len(inputs) > 1 else inputs[0]
                    self._copies[rebuilt] = keras.models.clone_model(
                        self.model, input_tensors=inputs, clone_function=clone
                    )
        copy = self._copies[rebuilt]
        for old, new in zip(_layers(self.model), _layers(copy), strict=True) if copy is not None else ():
            carry_state(old.layer if isinstance(old, Masked) else old, new)
        return copy


@contextlib.contextmanager
def _watching(network: keras.Model) -> Iterator[tf.GradientTape]:
    """Gives a tape that watches the kernels, those of layers that are not trained too."""
    with tf.GradientTape() as tape:
        tape.watch([getattr(kernel, "_variable", kernel) for kernel in prunable_variables(network).values()])
        yield tape


@contextlib.contextmanager
def preserved_state(model: keras.Model) -> Iterator[None]:
    """Lets a model be called in training mode: nothing is dropped out, and no statistic of it changes."""
    drawing = [layer for layer in model._flatten_layers() if traits_of(layer).noise]
    before = [
        (layer, name, getattr(layer, name)) for layer in drawing for name in ("rate", "stddev") if hasattr(layer, name)
    ]
    state = [(variable, variable.numpy()) for variable in variables_of(model.non_trainable_variables)]
    norms = [layer for layer in model._flatten_layers() if type(layer) is keras.layers.BatchNormalization]
    for layer, name, _ in before:
        setattr(layer, name, 0.0)
    for layer in norms:
        if layer.compute_dtype == layer.variable_dtype:
            vars(layer)["call"] = functools.partial(TwiceDifferentiable.call, layer)
    try:
        yield
    finally:
        for layer in norms:
            vars(layer).pop("call", None)
        for layer, name, value in before:
            setattr(layer, name, value)
        for variable, value in state:
            variable.assign(value)


class TwiceDifferentiable(keras.layers.BatchNormalization):
    """BatchNorm whose second derivatives are right.

    Those of Keras' own are not in float64: `tf.nn.moments` stops the variance's gradient at the mean, where the first
    derivative is zero and the second is not.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        axis = [axis % inputs.shape.rank for axis in np.ravel(self.axis)]
        shape = [side if n in axis else 1 for n, side in enumerate(inputs.shape)]
        if training:
            others = [n for n in range(inputs.shape.rank) if n not in axis]
            mean = tf.reduce_mean(inputs, others, keepdims=True)
            variance = tf.reduce_mean(tf.square(inputs - mean), others, keepdims=True)
        else:
            mean, variance = (tf.reshape(own, shape) for own in (self.moving_mean, self.moving_variance))
        outputs = (inputs - mean) / tf.sqrt(variance + self.epsilon)
        outputs = outputs if self.gamma is None else outputs * tf.reshape(self.gamma, shape)
        return outputs if self.beta is None else outputs + tf.reshape(self.beta, shape)


def cross_entropy(logits: tf.Tensor, batch: Batch, criterion: Criterion) -> tf.Tensor:
    """Returns the mean cross-entropy, summed over the networks of a stack, which leaves their slopes apart."""
    losses = keras.losses.sparse_categorical_crossentropy(batch.y, logits / criterion.temperature, from_logits=True)
    return tf.reduce_sum(tf.reduce_mean(losses, axis=0))


def compiled_loss(model: keras.Model) -> Loss:
    """Returns the loss that a user's model is compiled with, penalties left out.

    Outputs are divided by the criterion's temperature if they are logits to all losses.

    Raises:
        ModelError: when it is called: the model is compiled without a loss.
    """

    def loss(outputs: Any, batch: Batch, criterion: Criterion) -> tf.Tensor:
        if not tf.nest.flatten(getattr(model, "loss", None) or []):
            raise ModelError(
                f"model {model.name} is compiled without a loss, and it is ranked by the gradients of one: compile it "
                "with one, or rank weights by magnitude, channels by l1"
            )
        if all(getattr(own, "_fn_kwargs", {}).get("from_logits") for own in tf.nest.flatten(model.loss)):
            outputs = tf.nest.map_structure(lambda own: own / criterion.temperature, outputs)
        known = [(variable, variable.numpy()) for own in model.compiled_loss.metrics for variable in own.variables]
        y, weights = (
            None if own is None else tf.nest.map_structure(tf.convert_to_tensor, own)
            for own in (batch.y, batch.weights)
        )
        value = model.compiled_loss(y, outputs, weights)
        for variable, before in known:  # what Keras has summed up of the training
            variable.assign(before)
        if not known:
            model.compiled_loss.reset_state()
        return value

    return loss


def draw_batch(split: Any, per_class: int, randoms: Sequence[np.random.Generator]) -> Batch:
    """Returns a balanced sample of a split; of the splits of a stack one for each network, equally long."""
    if split.y.ndim == 1:
        rows = balanced_indices(split.y, per_class, randoms[0])
        return Batch(np.asarray(split.x[rows]), split.y[rows])
    chosen = [balanced_indices(split.y[:, n], per_class, random) for n, random in enumerate(randoms)]
    longest = max(map(len, chosen))  # a network's few examples may lack a class
    chosen = [np.resize(rows, longest) for rows in chosen]
    return Batch(*(np.stack([a[rows, ..., n] for n, rows in enumerate(chosen)], axis=-1) for a in (split.x, split.y)))


def _precise_type(tensor: Any) -> tf.DType:
    return tf.float64 if tensor.dtype.is_floating or tensor.dtype == tf.uint8 else tensor.dtype


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in leaf_layers(model) if not isinstance(layer, keras.layers.InputLayer)]


def _plain(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer in float64; one that draws random numbers becomes one that does nothing."""
    if traits_of(layer).noise:
        return _nothing(layer)
    kind = TwiceDifferentiable if type(layer) is keras.layers.BatchNormalization else type(layer)
    return rebuilt(layer, kind=kind, dtype="float64")


def _linear(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer in float64 without nonlinearities and shifts."""
    if traits_of(layer).noise or traits_of(layer).nonlinear:
        return _nothing(layer)
    linear = {"activation": "linear"} if "activation" in layer.get_config() else {}
    return rebuilt(layer, dtype="float64", **linear)


def _nothing(layer: keras.layers.Layer) -> keras.layers.Layer:
    return keras.layers.Activation("linear", name=layer.name, dtype="float64")
