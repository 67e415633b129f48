"""Makes a model of Keras 3 again with what is inside of composite layers in their place, see `adapters.unfolding`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.graphs import Changes, Shape
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.layers import graph_of, has_graph
from tfprune.adapters.keras3.narrowing import FAILURES, Narrowed, own_class, settings_of
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.taking_apart import TakingApart
from tfprune.adapters.unfolding import (
    CALLS,
    Followed,
    NotUnfolded,
    Ref,
    Step,
    Steps,
    heeds_training,
    in_order,
    training_of,
)
from tfprune.utils.text import one_line

PLACES = 4  # what sides that are not fixed are taken for


def _tensors(args: Any, kwargs: Any) -> list[Any]:
    """Returns the symbolic tensors among arguments."""
    return [own for own in keras.tree.flatten((list(args), dict(kwargs))) if isinstance(own, keras.KerasTensor)]


def _operation_of(step: Step, args: Sequence[Any], name: str) -> Any:
    """Returns a new operation, or a layer that does the same.

    A product with a number counts as sparse in Keras, and the layers after it may not take that; a layer that reshapes
    leaves the batch alone.
    """
    shape = step.settings.get("newshape")
    if type(step.operation).__name__ == "Reshape" and shape and shape[0] is None:
        floats = {"dtype": args[0].dtype} if "float" in keras.backend.standardize_dtype(args[0].dtype) else {}
        return keras.layers.Reshape(shape[1:], name=name, **floats)
    constants = [own for own in args if not hasattr(own, "dtype")]
    if (
        type(step.operation).__name__ == "Multiply"
        and len(args) == 2
        and len(constants) == 1
        and np.ndim(constants[0]) == 0
    ):
        (tensor,) = (own for own in args if hasattr(own, "dtype"))
        if "float" in keras.backend.standardize_dtype(tensor.dtype):
            rescaling = keras.layers.Rescaling(float(constants[0]), name=name, dtype=tensor.dtype)
            return lambda *given: rescaling(tensor)
    return rebuilt(step.operation, config=dict(step.settings) | {"name": name})


def _check_alone(layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Raises `NotUnfolded` if a layer does more than what its call returns."""
    if layer._trainable_variables or layer._non_trainable_variables:
        raise NotUnfolded("it has weights of its own, beside those of the layers in it")
    if layer.activity_regularizer is not None or getattr(layer, "quantization_mode", None):
        raise NotUnfolded("it adds to the loss of what it gives, or is quantized")
    tensors = _tensors(args, kwargs)
    if any(getattr(own, "_keras_mask", None) is not None for own in tensors):
        raise NotUnfolded("its inputs have a mask")
    floats = [own for own in tensors if "float" in own.dtype]
    if any(own.dtype != layer.compute_dtype for own in floats):
        raise NotUnfolded(f"it casts its inputs to {layer.compute_dtype}")


def _followed_with(
    layer: Any, args: list[Any], kwargs: dict[str, Any], batch: int, training: bool | None = None
) -> Steps:
    """Follows a layer's call with a batch of a size."""
    inputs: list[Any] = []

    def sized(own: Any) -> Any:
        if not isinstance(own, keras.KerasTensor):
            return own
        inputs.append(keras.KerasTensor((batch, *own.shape[1:]), own.dtype))
        return inputs[-1]

    args, kwargs = keras.tree.map_structure(sized, (args, kwargs))
    if layer._call_has_training_arg and kwargs.get("training") is None:
        kwargs = kwargs | {"training": training}
    with _inner_called(layer, training):
        outputs = layer.call(*args, **kwargs)
    if not all(isinstance(own, keras.KerasTensor) for own in keras.tree.flatten(outputs)):
        raise NotUnfolded("it returns more than tensors of what it is given")
    if any(getattr(own, "_keras_mask", None) is not None for own in keras.tree.flatten(outputs)):
        raise NotUnfolded("it gives a mask")
    numbers = {id(tensor): Ref(place) for place, tensor in enumerate(inputs)}
    calls, owners = [], _owners(layer)
    for node in in_order(keras.tree.flatten(outputs), numbers, _node_of, lambda own: own.input_tensors):
        given = node.arguments.args, node.arguments.kwargs
        args, kwargs = keras.tree.map_structure(lambda own: numbers.get(id(own), own), given)
        for own in keras.tree.flatten((args, kwargs)):
            if isinstance(own, (keras.Variable, keras.KerasTensor)):
                raise NotUnfolded("it uses weights of the layers in it directly")
        plain = isinstance(node.operation, keras.layers.Layer)
        settings = {} if plain else {k: v for k, v in node.operation.get_config().items() if k != "name"} | {"name": ""}
        for tensor in node.output_tensors:
            numbers[id(tensor)] = Ref(len(numbers))
        within = owners.get(id(node.operation), ())
        calls.append(Step(node.operation, settings, args, kwargs, len(node.output_tensors), within))
    return Steps(calls, keras.tree.map_structure(lambda own: numbers[id(own)], outputs))


def _check_untold(layer: keras.layers.Layer, args: Any, kwargs: Any) -> None:
    """Raises `NotUnfolded` if a layer is told something of training: a model would tell a layer in it otherwise."""
    told = training_of(layer, args, kwargs)
    if told is not None and heeds_training(layer):
        raise NotUnfolded(f"it calls {layer.name} with training={told}, whatever the model is called with")


def _node_of(tensor: Any) -> Any:
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def _owners(layer: keras.layers.Layer, way: tuple[str, ...] = ()) -> dict[int, tuple[str, ...]]:
    """Returns id of a layer inside of another -> names of those between them."""
    found: dict[int, tuple[str, ...]] = {}
    for own in layer._flatten_layers(include_self=False, recursive=False):
        found = {**_owners(own, (*way, own.name)), **found, id(own): way}
    return found


def _own(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is of a class that is not one of Keras', and holds others."""
    kind = type(layer)
    named = kind.__module__.partition(".")[0] == "keras" or has_graph(layer)
    return not named and bool(layer._flatten_layers(include_self=False, recursive=False))


@contextlib.contextmanager
def _inner_called(layer: keras.layers.Layer, training: bool | None) -> Iterator[None]:
    """Lets layers in a layer that hold others be followed too, and be no calls of their own; checks calls."""
    inner = {id(own): own for own in layer._flatten_layers(include_self=False) if _own(own)}
    kinds = {type(own) for own in inner.values() if "__call__" not in vars(type(own))}
    plain, depth = keras.layers.Layer.__call__, 0

    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal depth
        if training is None and not depth:  # before Keras fills in what the class says
            _check_untold(self, args, kwargs)
        depth += 1
        try:
            return plain(self, *args, **kwargs)
        finally:
            depth -= 1

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        if id(self) not in inner:
            return checked(self, *args, **kwargs)
        _check_alone(self, args, kwargs)
        if training is None:
            _check_untold(self, args, kwargs)
        if self._call_has_training_arg and kwargs.get("training") is None:
            kwargs = kwargs | {"training": training}
        return self.call(*args, **kwargs)

    try:
        keras.layers.Layer.__call__ = checked
        for kind in kinds:
            kind.__call__ = called
        yield
    finally:
        keras.layers.Layer.__call__ = plain
        for kind in kinds:
            del kind.__call__


@contextlib.contextmanager
def _better_shapes() -> Iterator[None]:
    """Lets products with numbers not count as sparse, see `_operation_of`, and `EinsumDense` know all sides it can."""
    product = type(keras.ops.multiply(keras.KerasTensor((1,)), 1.0)._keras_history.operation)
    einsum = keras.layers.EinsumDense
    of_product, of_einsum = product.compute_output_spec, einsum.compute_output_shape

    def dense(self: Any, x1: Any, x2: Any) -> Any:
        given = of_product(self, x1, x2)
        sparse = any(getattr(own, "sparse", False) for own in (x1, x2))
        return keras.KerasTensor(given.shape, given.dtype, sparse=sparse)

    def known(self: Any, input_shape: Any) -> Any:
        shape = of_einsum(self, input_shape)
        taken, _, given = self.equation.replace(" ", "").replace(",", "->").split("->")
        if "." in self.equation or (len(taken), len(given)) != (len(input_shape), len(shape)):
            return shape
        sides = dict(zip(taken, input_shape, strict=True))
        return tuple(sides.get(own) if side is None else side for own, side in zip(given, shape, strict=True))

    product.compute_output_spec, einsum.compute_output_shape = dense, known
    try:
        yield
    finally:
        product.compute_output_spec, einsum.compute_output_shape = of_product, of_einsum


@contextlib.contextmanager
def _other_weights(layer: keras.layers.Layer) -> Iterator[None]:
    """Lets the weights of a layer be others meanwhile."""
    pairs = []
    for own in layer.weights:
        kind = keras.backend.standardize_dtype(own.dtype)
        pairs.append((own, own.value * 1.25 + 0.25 if "float" in kind else own.value))
    with keras.StatelessScope(state_mapping=pairs):
        yield


def _check_made_again(steps: Steps) -> None:
    """Raises `NotUnfolded` if a layer among the calls cannot be made again, in memory or of a file."""
    for step in steps.calls:
        own = step.operation
        if not step.settings and type(own).__module__.partition(".")[0] != "keras" and own.weights:
            try:
                rebuilt(own, config=settings_of(own))
            except FAILURES as error:
                reason = f"{own.name} ({type(own).__name__}) in it cannot be made again from its get_config"
                raise NotUnfolded(f"{reason}: {one_line(error)}") from None


def _tried(layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], list[np.ndarray]]:
    """Returns numbers at random in the place of a layer's tensors, and what it makes of them."""
    random, inputs = np.random.default_rng(0), []

    def number(own: Any) -> Any:
        if not isinstance(own, keras.KerasTensor):
            return own
        shape = (3, *(side or PLACES for side in own.shape[1:]))
        values = random.normal(size=shape) if "float" in own.dtype else random.integers(0, 2, shape)
        inputs.append(keras.ops.cast(keras.ops.convert_to_tensor(values.astype("float32")), own.dtype))
        return inputs[-1]

    args, kwargs = keras.tree.map_structure(number, (args, kwargs))
    weighted = len(layer.losses)
    expected = [backends.array(own) for own in keras.tree.flatten(layer(*args, **kwargs))]
    if len(layer.losses) != weighted:
        raise NotUnfolded("it adds to the loss")
    return inputs, expected


def _calls_in(model: keras.Model) -> Iterator[tuple[Any, Any, Any]]:
    for node in _nodes(model):
        yield node.operation, node.arguments.args, node.arguments.kwargs


def _nodes(model: keras.Model) -> list[Any]:
    known = graph_of(model)._nodes_by_depth
    return [node for depth in sorted(known, reverse=True) for node in known[depth] if not node.is_input]


def _output_shapes(layer: Any, args: Any, kwargs: Any) -> list[Shape]:
    return [tuple(own.shape) for own in keras.tree.flatten(layer.compute_output_spec(*args, **kwargs))]


class Unfolding(TakingApart, Narrowed):
    """A model in which layers that are not followed are taken apart, with weights of its own.

    Args:
        model: functional or sequential. It is not changed.
        follows: says which layers are known, see `unfolding.Followed`.
    """

    keras = keras
    overrides_training = True
    behaviour = (
        *CALLS,
        "train_step",
        "test_step",
        "predict_step",
        "compute_loss",
        "compute_metrics",
        "stateless_compute_loss",
    )
    flatten, map_structure = staticmethod(keras.tree.flatten), staticmethod(keras.tree.map_structure)
    array, has_graph, own_class = staticmethod(backends.array), staticmethod(has_graph), staticmethod(own_class)
    calls_in, tensors, output_shapes = staticmethod(_calls_in), staticmethod(_tensors), staticmethod(_output_shapes)
    check_alone, check_made_again = staticmethod(_check_alone), staticmethod(_check_made_again)
    tried, followed = staticmethod(_tried), staticmethod(_followed_with)
    other_weights, operation_of = staticmethod(_other_weights), staticmethod(_operation_of)

    def __init__(self, model: keras.Model, follows: Followed) -> None:
        with _better_shapes():
            super().__init__(model, follows, Changes())

    @staticmethod
    def adds(model: keras.Model) -> bool:
        return False

    @staticmethod
    def stays(operation: Any) -> bool:
        return not isinstance(operation, keras.layers.Layer)

    def _model_called(self, model: keras.Model, args: list[Any], kwargs: dict[str, Any]) -> Any:
        graph = graph_of(model)
        tensors = self._given_to(graph._inputs_struct, args, kwargs)
        for node in _nodes(model):
            self._call(node, tensors)
        return keras.tree.map_structure(lambda tensor: tensors[id(tensor)], graph._outputs_struct)
