"""Derivatives of a network that criteria rank weights by.

They are taken on a copy without wrappers, in float64 and without dropout: with respect to all weights, pruned ones
too; no moving statistic of the network changes; and rounding decides no rank, so that networks come to the same masks
alone and side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfprune.adapters.rebuilding import rebuilt
from tfprune.backend import keras, tf
from tfprune.cuts import Criterion
from tfprune.data._base import Split
from tfprune.errors import ModelError
from tfprune.layer_traits import traits_of
from tfprune.masks import Arrays
from tfprune.wrapping import Masked, has_graph, kernel_variables, leaf_layers

ADDED = ("bias", "beta", "moving_mean")  # weights that are added to what flows, not multiplied with it
PASSES = {
    "gradients": 3,
    "squared_gradients": 3,
    "hessian_gradients": 9,
    "flow_gradients": 3,
}  # forward ones, an example


class Slopes:
    """The derivatives of a model as it stood at the last `renew`, each computed when it is first asked for.

    Args:
        model: a wrapped model of one network, or a stack of several.
        sample: draws so many training examples a class; of a stack for each network its own.

    Attributes:
        passes: what was computed so far, in forward passes of one example.
    """

    def __init__(self, model: keras.Model, sample: Callable[[int], Split]) -> None:
        self.model = model
        self.sample = sample
        self.passes = 0
        self._known: dict[tuple[str, Criterion], dict[str, np.ndarray]] = {}
        self._copies: dict[Callable, keras.Model] = {}

    def renew(self) -> None:
        """Forgets all derivatives, since the model has changed."""
        self._known = {}

    def __call__(self, kind: str, criterion: Criterion) -> Arrays:
        """Returns derivatives by kernel name.

        Args:
            kind: `gradients` g of the mean cross-entropy over the sample, as one batch in training mode
                (BatchNorm takes the batch's statistics); `hessian_gradients` Hg of the same;
                `squared_gradients`, the mean of g * g over batches of one example a class, with BatchNorm's
                moving statistics; `flow_gradients` of the sum of the outputs for an input of ones,
                where all weights are positive and nothing is added or bent.
            criterion: who asks: how many examples of each class, and at what temperature of the logits.
        """
        if (kind, criterion) not in self._known:
            slopes = getattr(self, f"_{kind}")(criterion)
            self._known[kind, criterion] = {name: slope.numpy() for name, slope in slopes.items()}
        return self._known[kind, criterion]

    def _gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        network = self._copy(_plain)
        variables = self._variables(network)
        with tf.GradientTape() as tape:
            loss = _loss(network, *self._drawn("gradients", criterion), criterion, training=True)
        return dict(zip(variables, tape.gradient(loss, list(variables.values())), strict=True))

    def _hessian_gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        network = self._copy(_plain)
        variables = self._variables(network)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = _loss(network, *self._drawn("hessian_gradients", criterion), criterion, training=True)
            gradients = inner.gradient(loss, list(variables.values()))
            product = sum(tf.reduce_sum(g * tf.stop_gradient(g)) for g in gradients)
        return dict(zip(variables, outer.gradient(product, list(variables.values())), strict=True))

    def _squared_gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        network = self._copy(_plain)
        variables = self._variables(network)
        x, y = self._drawn("squared_gradients", criterion)
        parts = criterion.per_class
        totals = {name: tf.zeros_like(variable) for name, variable in variables.items()}
        for own in zip(np.split(x, parts), np.split(y, parts), strict=True):  # an example of each class by turns
            with tf.GradientTape() as tape:
                loss = _loss(network, *own, criterion, training=False)
            for name, gradient in zip(variables, tape.gradient(loss, list(variables.values())), strict=True):
                totals[name] += tf.square(gradient) / parts
        return totals

    def _flow_gradients(self, criterion: Criterion) -> dict[str, tf.Tensor]:
        network = self._copy(_linear)
        for variable in network.weights:
            added = variable.name.rpartition("/")[2].partition(":")[0] in ADDED
            variable.assign(tf.zeros_like(variable) if added else tf.abs(variable))
        variables = self._variables(network)
        self.passes += PASSES["flow_gradients"]
        with tf.GradientTape() as tape:
            flow = tf.reduce_sum(network(tf.ones((1, *network.input_shape[1:]), tf.float64), training=False))
        return dict(zip(variables, tape.gradient(flow, list(variables.values())), strict=True))

    def _drawn(self, kind: str, criterion: Criterion) -> tuple[np.ndarray, np.ndarray]:
        split = self.sample(criterion.per_class)
        self.passes += PASSES[kind] * len(split)
        return split.x.astype(np.float64), split.y

    def _copy(self, rebuilt: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
        """Returns the model with each layer rebuilt and with the weights of now; the same copy every time."""

        def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
            if has_graph(layer):
                return keras.models.clone_model(layer, clone_function=clone)
            return rebuilt(layer.layer if isinstance(layer, Masked) else layer)

        if not has_graph(self.model):
            raise ModelError(
                f"model {self.model.name} is subclassed and cannot be copied to take derivatives; rank its weights "
                "by a criterion that needs none, such as magnitude"
            )
        if rebuilt not in self._copies:
            inputs = keras.layers.Input(self.model.input_shape[1:], dtype="float64")
            self._copies[rebuilt] = keras.models.clone_model(self.model, input_tensors=inputs, clone_function=clone)
        copy = self._copies[rebuilt]
        for old, new in zip(_layers(self.model), _layers(copy), strict=True):
            if new.weights:
                new.set_weights(old.get_weights())
        return copy

    def _variables(self, network: keras.Model) -> dict[str, tf.Variable]:
        variables = kernel_variables(network)
        return {name: variables[name] for name in kernel_variables(self.model)}


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


def _loss(network: keras.Model, x: np.ndarray, y: np.ndarray, criterion: Criterion, *, training: bool) -> tf.Tensor:
    """Returns the mean cross-entropy, summed over the networks of a stack, which leaves their slopes apart."""
    logits = network(x, training=training) / criterion.temperature
    losses = keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
    return tf.reduce_sum(tf.reduce_mean(losses, axis=0))


def balanced(classes: np.ndarray, per_class: int, random: np.random.Generator) -> np.ndarray:
    """Draws the numbers of `per_class` examples of each class, by turns one of every class.

    Args:
        classes: class of each example.
        per_class: at least 1; where a class has fewer examples they come again and again.
        random: draws them.
    """
    found = [random.permutation(np.flatnonzero(classes == one)) for one in np.unique(classes)]
    return np.stack([np.resize(rows, per_class) for rows in found], axis=-1).reshape(-1)


def sampled(split: Split, per_class: int, randoms: Sequence[np.random.Generator]) -> Split:
    """Returns a balanced sample of a split; of the splits of a stack one for each network, equally long."""
    if split.y.ndim == 1:
        rows = balanced(split.y, per_class, randoms[0])
        return Split(np.asarray(split.x[rows]), split.y[rows])
    chosen = [balanced(split.y[:, n], per_class, random) for n, random in enumerate(randoms)]
    longest = max(map(len, chosen))  # a network's few examples may lack a class
    chosen = [np.resize(rows, longest) for rows in chosen]
    return Split(*(np.stack([a[rows, ..., n] for n, rows in enumerate(chosen)], axis=-1) for a in (split.x, split.y)))


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in leaf_layers(model) if not isinstance(layer, keras.layers.InputLayer)]


def _plain(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer in float64; one that draws lots becomes one that does nothing."""
    if traits_of(layer).noise:
        return _nothing(layer)
    kind = TwiceDifferentiable if type(layer) is keras.layers.BatchNormalization else type(layer)
    return rebuilt(layer, kind=kind, dtype="float64")


def _linear(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer in float64 without what bends or shifts its output."""
    if traits_of(layer).noise or traits_of(layer).nonlinear:
        return _nothing(layer)
    linear = {"activation": "linear"} if "activation" in layer.get_config() else {}
    return rebuilt(layer, dtype="float64", **linear)


def _nothing(layer: keras.layers.Layer) -> keras.layers.Layer:
    return keras.layers.Activation("linear", name=layer.name, dtype="float64")
