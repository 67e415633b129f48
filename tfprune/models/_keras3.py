"""A person's model of Keras 3 in a run: it is trained as a classifier that returns logits, and stays what it is.

What a run puts around a model shares its layers, so that what is trained are its own weights: in front of it images are
scaled, and a softmax or sigmoid at its end is left to the loss while it is trained. `BroughtModel.model` is the
person's own, and what is saved.
"""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.graphs import GRAPHS
from tfprune.adapters.keras3.layers import NAMES, has_graph
from tfprune.adapters.keras3.narrowing import Narrowed
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.models._scales import FIRST_LAYERS, NORMALISING, SCALES
from tfprune.models._user import check_end, check_outputs
from tfprune.structured.surgery import Removed, carry_weights, changes_of, channels_or_branches, labels_of
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line

log = logging.getLogger(__name__)

PROBED = 16  # random examples by which probabilities that no layer names are recognised
SMALLEST = 1e-7  # probability, as Keras has it in its own losses
ROUNDING = 2e-2  # of sums of probabilities, which half precision rounds too
LOOKS_ALIKE = ("Flatten", "Reshape", "Dropout", "Identity")  # return what they get, in another shape
OTHERS = ("relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "softplus", "softsign", "exponential")


class BroughtModel:
    """A person's model, and the classifier that a run trains in its place.

    Args:
        model: of Keras 3, as it was brought.
        name: for messages.
        input_shape: of an example.
        classes: number of logits.
        dtype: of the examples.
        rescale: of images of uint8: `unit` to [0, 1], `signed` to [-1, 1], `none`, or `auto`: `unit` unless the model
            takes uint8 or one of its first layers normalises.
        objective: the task.
        finished: whether the model is one that `whole` gave, which answers in the unit of the targets.

    Attributes:
        model: the person's own.
        classifier: takes examples of the run, returns logits, or standardised targets; its layers are those of the
            model.

    Raises:
        ModelError: it does not fit the data.
    """

    def __init__(
        self,
        model: Any,
        name: str,
        input_shape: tuple[int, ...],
        classes: int,
        dtype: str,
        rescale: str,
        objective: Objective = CLASSIFICATION,
        *,
        finished: bool = False,
    ) -> None:
        self.name = name
        self.objective = objective
        self._fit = input_shape, classes, dtype, rescale, objective
        self._end: tuple[Any, Any] | None = None  # the layer whose activation is left out, and that
        graph = _functional(model, input_shape, name)
        _check_ends(graph, name, input_shape, dtype)
        if finished and not objective.of_logits:
            model = graph = _without_unit(graph)
        self.model = model
        self._graph = graph
        logits = self._as_trained(graph, classes)
        check_outputs(tuple(logits.outputs[0].shape[1:]), name, input_shape, classes, objective)
        self.classifier = _rescaled(logits, input_shape, dtype, rescale)

    def of_other(self, model: Any) -> BroughtModel:
        """Returns another model, that `whole` gave, in the place of this one."""
        return BroughtModel(model, self.name, *self._fit, finished=True)

    def without(self, removed: Removed, *, carried: bool = True) -> BroughtModel:
        """Returns the model without channels or residual branches, and a classifier of it.

        Args:
            removed: of the classifier, see `surgery.remove_groups`.
            carried: whether they have the weights that are left; otherwise initial ones of their own.

        Raises:
            ModelError: the model cannot be made again.
        """
        found = channels_or_branches(self.classifier, removed)
        gone = labels_of(found, removed)
        with backends.scope(self.classifier):
            smaller = Narrowed(self.classifier, changes_of(self.classifier, found, gone), [self.model])
        if carried:
            carry_weights(GRAPHS, found, gone, smaller.layers)
        other = copy.copy(self)
        other.model, other.classifier = smaller.made(self.model), smaller.model
        if self._end is not None:
            other._end = smaller.made(self._end[0]), self._end[1]
        return other

    def kernels(self) -> dict[str, np.ndarray]:
        """Returns the prunable kernels, by the names that the classifier knows."""
        return {own.name: backends.numbers(own.variable) for own in NAMES.named_kernels(self.classifier)}

    @contextlib.contextmanager
    def whole(self) -> Iterator[Any]:
        """Gives the person's model with its own end, which the classifier leaves out; or one in the targets' unit."""
        if not self.objective.of_logits:
            yield self.objective.finished(keras, self._graph)
            return
        if self._end is None:
            yield self.model
            return
        layer, activation = self._end
        without, layer.activation = layer.activation, activation
        try:
            yield self.model
        finally:
            layer.activation = without

    def _as_trained(self, graph: Any, classes: int) -> Any:
        """Returns a model that returns what the task is trained on, see `_heads.as_trained`."""
        if self.objective.name == CLASSIFICATION.name:
            return self._as_logits(graph, classes)
        chain, answer = _end(graph)
        ends = _kind_of(chain[-1])
        check_end(ends, self.name, self.objective)
        return self._without_end(graph, chain, answer) if ends == self.objective.activation != "linear" else graph

    def _as_logits(self, graph: Any, classes: int) -> Any:
        """Returns a model that returns a logit for each class, see `_heads.as_logits`."""
        numbers = tuple(graph.outputs[0].shape[1:])
        chain, answer = _end(graph)
        ends = _kind_of(chain[-1])
        if ends == "softmax" and numbers == (1,):
            raise ModelError(f"model {self.name} ends with a softmax of one number, which is always 1; use a sigmoid")
        if numbers == (1,):
            if classes != 2 or ends not in ("sigmoid", "linear"):
                return graph
            return _two_logits(self._without_end(graph, chain, answer) if ends == "sigmoid" else graph)
        if ends == "softmax":
            return self._without_end(graph, chain, answer)
        if ends == "sigmoid":
            log.warning(
                "model %s ends with %d sigmoids: an example has one class here, so what they are given is trained as "
                "the logits of a softmax",
                self.name,
                numbers[-1],
            )
            return self._without_end(graph, chain, answer)
        return graph if ends in ("linear", "other") else _judged(graph, self.name)

    def _without_end(self, graph: Any, chain: list[Any], answer: Any) -> Any:
        """Leaves out the activation that the answer comes out of."""
        end = chain[-1]
        if _has_activation(end) and all(len(own._inbound_nodes) == 1 for own in chain):
            self._end = end, end.activation
            end.activation = keras.activations.linear
            return graph
        alone = not _has_activation(end) or isinstance(end, keras.layers.Activation)  # it does nothing else
        if alone and len(chain) == 1:
            node = end._inbound_nodes[answer._keras_history.node_index]
            return keras.Model(graph.inputs[0], node.input_tensors[0], name=graph.name)
        return _with_logarithm(graph)  # in a nested model, or called more than once


def _functional(model: Any, input_shape: tuple[int, ...], name: str) -> Any:
    """Returns a model whose graph is known; a subclassed one as the only layer of such a model."""
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise ModelError(f"model {name}: a Keras model is needed, got {kind}")
    try:
        if isinstance(model, keras.Sequential) and not model.built:
            model.build((None, *input_shape))
        if has_graph(model):
            single = len(model.inputs) == len(model.outputs) == 1  # others are refused
            return keras.Model(model.inputs[0], model.outputs[0], name=model.name) if single else model
        inputs = keras.Input(input_shape, name="inputs")
        return keras.Model(inputs, model(inputs), name=f"{model.name}_on_{'x'.join(map(str, input_shape))}")
    except Exception as error:  # a user's own code, that raises whatever it likes
        reason = one_line(error)
        raise ModelError(f"model {name} cannot be called on {input_shape} ({reason})") from None


def _check_ends(model: Any, name: str, input_shape: tuple[int, ...], dtype: str) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"model {name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; a run takes models of one "
            "each, tfprune.train from Python any"
        )
    wanted, given = tuple(model.inputs[0].shape[1:]), tuple(input_shape)
    if len(wanted) != len(given) or any(own not in (None, other) for own, other in zip(wanted, given, strict=True)):
        raise ModelError(f"model {name} takes examples of shape {wanted}, the data's are {given}")
    if model.inputs[0].dtype == "uint8" and dtype != "uint8":
        raise ModelError(f"model {name} takes images of uint8, 0 to 255; the data are {dtype}")


def _without_unit(graph: Any) -> Any:
    """Returns a model without the layer that makes answers of targets in their unit."""
    last = _made_by(graph.outputs[0])
    return keras.Model(graph.inputs[0], last._inbound_nodes[0].input_tensors[0], name=graph.name)


def _end(model: Any) -> tuple[list[Any], Any]:
    """Returns the operation that the answer comes out of, after the models that contain it, and what it returns."""
    tensor = model.outputs[0]
    while _passes_on(_made_by(tensor)):
        before = _made_by(tensor)._inbound_nodes[0].input_tensors[0]
        if isinstance(_made_by(before), keras.layers.InputLayer):
            break
        tensor = before
    last = _made_by(tensor)
    if not has_graph(last):
        return [last], tensor
    chain, inner = _end(getattr(last, "_functional", None) or last)
    return [last, *chain], inner


def _made_by(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _passes_on(operation: Any) -> bool:
    if len(operation._inbound_nodes) != 1 or isinstance(operation, keras.layers.InputLayer):
        return False
    node = operation._inbound_nodes[0]
    alike = type(operation).__name__ in LOOKS_ALIKE and node.input_tensors[0].shape[-1] == node.outputs[0].shape[-1]
    return alike or (isinstance(operation, keras.layers.Activation) and _kind_of(operation) == "linear")


def _has_activation(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer) and callable(getattr(operation, "activation", None))


def _kind_of(operation: Any) -> str:
    """Returns `softmax`, `sigmoid`, `linear`, `other`, or "" if an operation does not say what it returns."""
    if not isinstance(operation, keras.layers.Layer):
        kind = type(operation).__name__
        return {"Softmax": "softmax", "Sigmoid": "sigmoid"}.get(kind, "")
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    activation = getattr(operation, "activation", None)
    for name in ("softmax", "sigmoid", "linear"):
        if activation in (getattr(keras.activations, name), getattr(keras.ops, name, None)) and activation is not None:
            return name
    return "other" if activation in [getattr(keras.activations, own) for own in OTHERS] else ""


def _two_logits(model: Any) -> Any:
    """Returns the logits 0 and z of a model that returns z: their softmax is 1 - sigmoid(z) and sigmoid(z)."""
    z = model.outputs[0]
    return keras.Model(model.inputs[0], keras.ops.concatenate([0.0 * z, z], axis=-1), name=model.name)


def _with_logarithm(model: Any) -> Any:
    probabilities = keras.ops.cast(model.outputs[0], "float32")
    logits = keras.ops.log(keras.ops.maximum(probabilities, SMALLEST))
    return keras.Model(model.inputs[0], logits, name=model.name)


def _judged(model: Any, name: str) -> Any:
    """Looks at what a model answers whose end says nothing, such as a subclassed one."""
    answers = _probe(model)
    if answers is None or answers.min() < 0 or answers.max() > 1 + ROUNDING:
        return model
    if np.all(np.abs(answers.sum(axis=-1) - 1) < ROUNDING) and answers.shape[-1] > 1:
        return _with_logarithm(model)
    raise ModelError(
        f"model {name} returns numbers in [0, 1] that do not add up to 1, and its last layer does not say what they "
        "are; let it return logits, or end with a Dense layer whose activation is softmax or sigmoid"
    )


def _probe(model: Any) -> np.ndarray | None:
    """Returns what a model answers to random examples of several sizes; None if that tells nothing."""
    tensor, random = model.inputs[0], np.random.default_rng(0)
    dtype, shape = str(tensor.dtype), (PROBED, *(side or 8 for side in tensor.shape[1:]))
    if not dtype.startswith(("float", "int", "uint", "bfloat")) or len(model.outputs[0].shape) != 2:
        return None
    x = random.normal(size=shape) * np.geomspace(1, 100, PROBED).reshape(-1, *[1] * (len(shape) - 1))
    x = np.abs(x).astype(dtype) if "int" in dtype else x.astype(np.float32)
    try:
        answers = keras.ops.convert_to_numpy(model(x, training=False)).astype(np.float32)
    except Exception:  # numbers that are none of an Embedding, by whatever the backend makes of that
        return None
    return answers if np.all(np.isfinite(answers)) and np.ptp(answers) > 0 else None


def _rescaled(model: Any, input_shape: tuple[int, ...], dtype: str, rescale: str) -> Any:
    """Returns a model that takes images of uint8, scaled for what it was."""
    if dtype != "uint8" or len(input_shape) != 3 or rescale == "none":
        return model
    if rescale == "auto":
        names = [type(layer).__name__ for layer in model.layers[:FIRST_LAYERS]]
        if model.inputs[0].dtype == "uint8" or any(name in NORMALISING for name in names):
            return model
    scale, offset = SCALES["unit" if rescale == "auto" else rescale]
    inputs = keras.Input(input_shape, dtype="uint8", name="images")
    scaled = keras.layers.Rescaling(scale, offset, name="rescale")(inputs)
    return keras.Model(inputs, model(scaled), name=f"{model.name}_on_images")
