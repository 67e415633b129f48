"""Makes a model of tf_keras again with what is inside of composite layers in their place, see `adapters.unfolding`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.graphs import Changes, Shape
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.taking_apart import TakingApart
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.adapters.tf_keras.narrowing import OPERATORS, Narrowed, is_of_keras, own_class
from tfprune.adapters.tf_keras.remaking import settings_of
from tfprune.adapters.unfolding import CALLS, Followed, NotUnfolded, Ref, Step, Steps, in_order, nodes_kept
from tfprune.utils.text import one_line

PLACES = 4  # what sides that are not fixed are taken for


def _nodes(model: keras.Model) -> list[Any]:
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth] if not node.is_input]


def _symbolic(own: Any) -> bool:
    return hasattr(own, "_keras_history") and bool(keras.backend.is_keras_tensor(own))


def _tensors(args: Any, kwargs: Any) -> list[Any]:
    """Returns the symbolic tensors among arguments."""
    return [own for own in tf.nest.flatten((list(args), dict(kwargs))) if _symbolic(own)]


def _operation_of(step: Step, args: Sequence[Any], name: str) -> Any:
    """Returns a new layer of a function; one that reshapes leaves the batch alone."""
    function = step.settings["function"]
    shape = args[1] if len(args) > 1 else None
    if step.settings["symbol"] == "reshape" and isinstance(shape, (list, tuple)) and shape and shape[0] is None:
        reshape = keras.layers.Reshape(tuple(shape[1:]), name=name, dtype=args[0].dtype)
        return lambda tensor, *rest, **settings: reshape(tensor)
    return type(step.operation)(function, name=name)


def _check_alone(layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Raises `NotUnfolded` if a layer does more than what its call returns."""
    if layer._trainable_weights or layer._non_trainable_weights:
        raise NotUnfolded("it has weights of its own, beside those of the layers in it")
    if layer._activity_regularizer is not None:
        raise NotUnfolded("it adds to the loss of what it gives")
    tensors = _tensors(args, kwargs)
    if any(getattr(own, "_keras_mask", None) is not None for own in tensors):
        raise NotUnfolded("its inputs have a mask")
    if any(own.dtype.is_floating and own.dtype.name != layer.compute_dtype for own in tensors):
        raise NotUnfolded(f"it casts its inputs to {layer.compute_dtype}")


def _tried(layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], list[np.ndarray]]:
    """Returns numbers at random in the place of a layer's tensors, and what it makes of them."""
    random, inputs = np.random.default_rng(0), []

    def number(own: Any) -> Any:
        if not _symbolic(own):
            return own
        shape = (3, *(side or PLACES for side in own.shape[1:]))
        values = random.normal(size=shape) if own.dtype.is_floating else random.integers(0, 2, shape)
        inputs.append(tf.cast(tf.constant(values.astype("float32")), own.dtype))
        return inputs[-1]

    args, kwargs = tf.nest.map_structure(number, (args, kwargs))
    weighted = sum(own is not None for part in layer._flatten_layers() for own in _regularizers(part))
    expected = [np.asarray(own) for own in tf.nest.flatten(layer(*args, **kwargs))]
    if len(layer.losses) > weighted:
        raise NotUnfolded("it adds to the loss")
    return inputs, expected


def _regularizers(layer: keras.layers.Layer) -> list[Any]:
    return list(layer._callable_losses)


def _followed_with(
    layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any], batch: int, training: bool | None = None
) -> Steps:
    """Follows a layer's call with a batch of a size."""
    inputs: list[Any] = []

    def sized(own: Any) -> Any:
        if not _symbolic(own):
            return own
        inputs.append(keras.Input(own.shape[1:], batch, dtype=own.dtype))
        return inputs[-1]

    args, kwargs = tf.nest.map_structure(sized, (args, kwargs))
    if layer._call_spec.expects_training_arg and kwargs.get("training") is None:
        kwargs = kwargs | {"training": training}
    outputs = layer.call(*args, **kwargs)
    if not all(map(_symbolic, tf.nest.flatten(outputs))):
        raise NotUnfolded("it returns more than tensors of what it is given")
    if any(getattr(own, "_keras_mask", None) is not None for own in tf.nest.flatten(outputs)):
        raise NotUnfolded("it gives a mask")
    numbers = {id(tensor): Ref(place) for place, tensor in enumerate(inputs)}
    calls = []
    for node in in_order(tf.nest.flatten(outputs), numbers, _node_of, lambda own: own.keras_inputs):
        given = list(node.call_args), dict(node.call_kwargs)
        args, kwargs = tf.nest.map_structure(lambda own: numbers.get(id(own), own), given)
        if any(isinstance(own, tf.Variable) for own in tf.nest.flatten((args, kwargs))):
            raise NotUnfolded("it uses weights of the layers in it directly")
        settings = {}
        if str(type(node.layer).__module__).partition(".")[0] == "tf_keras" and hasattr(node.layer, "symbol"):
            if not is_of_keras(node.layer, *OPERATORS):
                raise NotUnfolded(f"it uses {node.layer.name}, which is no function")
            _check_stored(node)
            settings = {"function": node.layer.function, "symbol": str(node.layer.symbol).rpartition(".")[2]}
        given_out = tf.nest.flatten(node.outputs)
        for tensor in given_out:
            numbers[id(tensor)] = Ref(len(numbers))
        calls.append(Step(node.layer, settings, args, kwargs, len(given_out)))
    return Steps(calls, tf.nest.map_structure(lambda own: numbers[id(own)], outputs))


def _node_of(tensor: Any) -> Any:
    return tensor._keras_history.layer._inbound_nodes[tensor._keras_history.node_index]


def _check_stored(node: Any) -> None:
    """Raises `NotUnfolded` if tf_keras cannot load a call of a function from a file."""
    try:
        several = any(
            own.kind is own.VAR_POSITIONAL for own in inspect.signature(node.layer.function).parameters.values()
        )
    except (TypeError, ValueError):  # a function that has no signature
        several = False
    if several or any(own is Ellipsis for own in tf.nest.flatten((node.call_args, node.call_kwargs))):
        raise NotUnfolded(f"tf_keras could not load its {node.layer.symbol} from a file")


@contextlib.contextmanager
def _other_weights(layer: keras.layers.Layer) -> Iterator[None]:
    """Lets the weights of a layer be others meanwhile."""
    before = [(own, own.numpy()) for own in layer.weights if own.dtype.is_floating]
    try:
        for own, values in before:
            own.assign(values * 1.25 + 0.25)
        yield
    finally:
        for own, values in before:
            own.assign(values)


def _check_made_again(steps: Steps) -> None:
    """Raises `NotUnfolded` if a layer among the calls cannot be made again, in memory or of a file."""
    for step in steps.calls:
        own = step.operation
        if not step.settings and not is_of_keras(own, type(own).__name__) and own.weights:
            try:
                config, functions = settings_of(own)
                rebuilt(own, config=config | functions)
            except (NotImplementedError, TypeError, ValueError, AttributeError) as error:
                reason = f"{own.name} ({type(own).__name__}) in it cannot be made again from its get_config"
                raise NotUnfolded(f"{reason}: {one_line(error)}") from None


def _calls_in(model: keras.Model) -> Iterator[tuple[Any, Any, Any]]:
    for node in _nodes(model):
        yield node.layer, node.call_args, node.call_kwargs


def _output_shapes(layer: keras.layers.Layer, args: Any, kwargs: Any) -> list[Shape]:
    with nodes_kept(layer):
        return [tuple(own.shape) for own in tf.nest.flatten(layer(*args, **kwargs))]


class Unfolding(TakingApart, Narrowed):
    """A model in which layers that are not followed are taken apart, with weights of its own.

    Args:
        model: functional or sequential. It is not changed.
        follows: says which layers are known, see `unfolding.Followed`.
    """

    keras = keras
    overrides_training = False
    behaviour = (*CALLS, "train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")
    flatten, map_structure = staticmethod(tf.nest.flatten), staticmethod(tf.nest.map_structure)
    array, has_graph, own_class = staticmethod(np.asarray), staticmethod(has_graph), staticmethod(own_class)
    calls_in, tensors, output_shapes = staticmethod(_calls_in), staticmethod(_tensors), staticmethod(_output_shapes)
    check_alone, check_made_again = staticmethod(_check_alone), staticmethod(_check_made_again)
    tried, followed = staticmethod(_tried), staticmethod(_followed_with)
    other_weights, operation_of = staticmethod(_other_weights), staticmethod(_operation_of)

    def __init__(self, model: keras.Model, follows: Followed) -> None:
        super().__init__(model, follows, Changes())

    @staticmethod
    def adds(model: keras.Model) -> bool:
        return bool(model._callable_losses) or any(is_of_keras(own, "AddLoss", "AddMetric") for own in model.layers)

    @staticmethod
    def stays(operation: Any) -> bool:
        return is_of_keras(operation, type(operation).__name__)

    def _model_called(self, model: keras.Model, args: list[Any], kwargs: dict[str, Any]) -> Any:
        tensors = self._given_to(model._nested_inputs, args, kwargs)
        for node in _nodes(model):
            self._call(node, tensors)
        return tf.nest.map_structure(lambda tensor: tensors[id(tensor)], model._nested_outputs)
