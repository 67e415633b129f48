"""Derivatives of a Keras 3 model that criteria rank weights by, on any backend.

They are functions of the kernels: the model is called with other values in their place, and nothing of it changes. They
are taken on a copy in float64 and without dropout, as those of tf_keras are; a model that cannot be copied so (a
subclassed one, a layer of a user's own) is looked at as it is, in its own precision.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.batches import Batch
from tfprune.adapters.derivatives import ADDED, Derivatives
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.layers import NAMES, carry_state, has_graph, leaf_layers, not_compiled
from tfprune.adapters.layer_traits import traits_of
from tfprune.adapters.rebuilding import rebuilt
from tfprune.pruning.events import Criterion
from tfprune.pruning.masks import Arrays
from tfprune.utils.errors import ModelError
from tfprune.utils.trees import leaves, map_tree

RATES = ("rate", "stddev", "dropout", "recurrent_dropout")  # attributes of layers that say how much is drawn at random
Forward = Callable[[keras.Model], Any]  # calls a model -> a scalar


class GradientProvider(Derivatives):
    """Those of Keras 3, by its backend."""

    @property
    def has_call(self) -> bool:
        return type(self.model).call is not keras.Model.call

    def _computed(self, kind: str, criterion: Criterion) -> Arrays:
        backends.sync(self.model)
        with backends.precise():
            return getattr(self, f"_{kind}")(criterion)

    def _gradients(self, criterion: Criterion) -> Arrays:
        batch = self._draw_batch("gradients", criterion)
        return self._derive(backends.gradients, batch, criterion, training=True)

    def _hessian_gradients(self, criterion: Criterion) -> Arrays:
        batch = self._draw_batch("hessian_gradients", criterion)
        return self._derive(backends.hessian_gradients, batch, criterion, training=True)

    def _squared_gradients(self, criterion: Criterion) -> Arrays:
        parts = self._draw_batch("squared_gradients", criterion).parts(criterion.per_class)
        totals: dict[str, np.ndarray] = {}
        for own in parts:  # an example of each class in turn
            for name, gradient in self._derive(backends.gradients, own, criterion, training=False).items():
                totals[name] = totals.get(name, 0.0) + np.square(gradient) / len(parts)
        return totals

    def _flow_gradients(self, criterion: Criterion) -> Arrays:
        network = self._linear_copy(self._copy(_linear))
        for variable in network.weights:
            if "float" in str(variable.dtype):
                values = keras.ops.abs(variable.value)
                variable.assign(keras.ops.zeros_like(values) if variable.name in ADDED else values)
        ones = [np.ones([1, *(side or 1 for side in own.shape[1:])]).astype(own.dtype) for own in network.inputs]

        def flow(network: keras.Model) -> Any:
            outputs = network(ones if len(ones) > 1 else ones[0], training=False)
            return sum(keras.ops.sum(own) for own in keras.tree.flatten(outputs))

        return _by_name(backends.gradients, network, flow)

    def _derive(self, derivative: Callable, batch: Batch, criterion: Criterion, *, training: bool) -> dict[str, Any]:
        with self._network() as network:
            loss = compiled_loss(self.model, network, batch, criterion)
            return _by_name(derivative, network, lambda own: loss(own(batch.x, training=training)))

    @contextlib.contextmanager
    def _network(self) -> Iterator[keras.Model]:
        """Gives the copy of the model or, where it has none, the model itself, which is then as it was before."""
        network = self._copy(_plain) or self.model
        with without_noise(network):
            yield network

    def _copy(self, rebuild: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model | None:
        """Returns the model with each layer rebuilt and with the weights of now; the same copy every time.

        None if it is subclassed, or a layer cannot be rebuilt or takes no float64.
        """
        if rebuild not in self._copies:
            self._copies[rebuild] = None
            with contextlib.suppress(NotImplementedError, TypeError, ValueError):
                if has_graph(self.model):
                    self._copies[rebuild] = _cloned(self.model, rebuild, {})
        copy = self._copies[rebuild]
        for old, new in zip(_layers(self.model), _layers(copy), strict=True) if copy is not None else ():
            carry_state(old, new, weights_only=True)
        return copy


def _cloned(model: keras.Model, rebuild: Callable, known: dict[int, Any]) -> keras.Model:
    """Returns a model with its layers, those of nested models too, rebuilt; shared ones stay shared."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) not in known:
            known[id(layer)] = _cloned(layer, rebuild, known) if has_graph(layer) else rebuild(layer)
        return known[id(layer)]

    with not_compiled(model):
        return keras.models.clone_model(model, clone_function=clone)


def _by_name(derivative: Callable, network: keras.Model, forward: Forward) -> dict[str, np.ndarray]:
    """Returns the derivatives of what calling a model leads to with respect to its kernels."""
    kernels = [*NAMES.named_kernels(network), *NAMES.other_weights(network)]

    def function(values: Sequence[Any]) -> Any:
        mapping = [(kernel.variable, value) for kernel, value in zip(kernels, values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return forward(network)

    found = derivative(function, [kernel.variable.value for kernel in kernels])
    return {kernel.name: backends.array(own) for kernel, own in zip(kernels, found, strict=True)}


def compiled_loss(model: keras.Model, network: keras.Model, batch: Batch, criterion: Criterion) -> Callable[[Any], Any]:
    """Returns the loss that a user's model is compiled with as a function of outputs, penalties left out.

    Outputs are divided by the criterion's temperature if they are logits to all losses.

    Args:
        model: compiled.
        network: whose outputs they will be, it or a copy.
        batch: what the outputs are for.
        criterion: who asks.

    Raises:
        ModelError: the model is compiled without a loss.
    """
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None:
        raise ModelError(
            f"model {model.name} is compiled without a loss, and it is ranked by the gradients of one: compile it "
            "with one, or rank weights by magnitude, channels by l1"
        )
    logits = all(getattr(own, "_fn_kwargs", {}).get("from_logits") for own in leaves(model.loss))
    y, weights = (
        None if own is None else map_tree(keras.ops.convert_to_tensor, own) for own in (batch.y, batch.weights)
    )
    if not compiled.built:  # which makes variables of its own
        with keras.StatelessScope():
            outputs = network(batch.x, training=False)
        compiled.build(y, outputs)

    def loss(outputs: Any) -> Any:
        if logits:
            outputs = keras.tree.map_structure(lambda own: own / criterion.temperature, outputs)
        return compiled(y, outputs, weights)

    return loss


@contextlib.contextmanager
def without_noise(model: keras.Model) -> Iterator[None]:
    """Lets a model be called in training mode with nothing dropped out, and BatchNorm be derived twice."""
    before = []
    for layer in model._flatten_layers():
        drawing = traits_of(layer).noise or hasattr(layer, "get_dropout_mask")
        before += [(layer, name, getattr(layer, name)) for name in RATES if drawing and hasattr(layer, name)]
    norms = [layer for layer in model._flatten_layers() if type(layer) is keras.layers.BatchNormalization]
    for layer, name, _ in before:
        setattr(layer, name, 0.0)
    for layer in norms:
        if layer.compute_dtype == layer.variable_dtype:
            vars(layer)["call"] = functools.partial(_normalize, layer)
    try:
        yield
    finally:
        for layer in norms:
            vars(layer).pop("call", None)
        for layer, name, value in before:
            setattr(layer, name, value)


def _normalize(layer: keras.layers.Layer, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """Calls a BatchNorm so that its second derivatives are right.

    TensorFlow's moments stop the gradient of the variance at the mean, where the first derivative is zero and the
    second is not.
    """
    ops = keras.ops
    if mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    axis = layer.axis % len(inputs.shape)
    shape = [side if number == axis else 1 for number, side in enumerate(inputs.shape)]
    if training and layer.trainable:
        others = [number for number in range(len(shape)) if number != axis]
        mean = ops.mean(inputs, others, keepdims=True)
        variance = ops.mean(ops.square(inputs - mean), others, keepdims=True)
    else:
        mean, variance = (ops.reshape(own, shape) for own in (layer.moving_mean, layer.moving_variance))
    outputs = (inputs - mean) / ops.sqrt(variance + layer.epsilon)
    outputs = outputs * ops.reshape(layer.gamma, shape) if layer.scale else outputs
    return outputs + ops.reshape(layer.beta, shape) if layer.center else outputs


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in leaf_layers(model) if not isinstance(layer, keras.layers.InputLayer)]


def _plain(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer in float64; one that draws random numbers becomes one that does nothing."""
    return _nothing(layer) if traits_of(layer).noise else rebuilt(layer, config=_precise(layer.get_config()))


def _linear(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer in float64 without nonlinearities and shifts."""
    if traits_of(layer).noise or traits_of(layer).nonlinear:
        return _nothing(layer)
    settings = _precise(layer.get_config())
    return rebuilt(layer, config=settings | ({"activation": "linear"} if "activation" in settings else {}))


def _nothing(layer: keras.layers.Layer) -> keras.layers.Layer:
    return keras.layers.Activation("linear", name=layer.name, dtype="float64")


def _precise(config: Any) -> Any:
    """Returns the settings of a layer, and of layers inside of it, in float64 and for any examples, none before them.

    A stateful layer would take as many as the model is trained on at a time.
    """
    if isinstance(config, Mapping):
        changed = {"dtype": "float64"} if _is_float(config.get("dtype")) else {}
        changed |= {"stateful": False} if config.get("stateful") is True else {}
        return {name: changed.get(name, _precise(value)) for name, value in config.items()}
    return [_precise(own) for own in config] if isinstance(config, list) else config


def _is_float(dtype: Any) -> bool:
    name = dtype["config"]["name"] if isinstance(dtype, Mapping) and "name" in dtype.get("config", {}) else str(dtype)
    return "float" in name
