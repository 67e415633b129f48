"""Makes a model of Keras 3 again with what is inside of composite layers in their place, see `adapters.unfolding`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.graphs import Changes
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.layers import graph_of, has_graph
from tfprune.adapters.keras3.narrowing import FAILURES, Narrowed, own_class, settings_of
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.unfolding import (
    BATCHES,
    Followed,
    FreeNames,
    NotUnfolded,
    Ref,
    Step,
    Steps,
    Unfolded,
    behaves,
    general,
    replayed,
    same_numbers,
)
from tfprune.utils.text import one_line

BEHAVIOUR = ("call", "train_step", "test_step", "compute_loss", "compute_metrics", "stateless_compute_loss")
PLACES = 4  # what sides that are not fixed are taken for


class Unfolding(Narrowed):
    """A model in which layers that are not followed are taken apart, with weights of its own.

    Args:
        model: functional or sequential. It is not changed.
        followed: says which layers are known, see `unfolding.Followed`.

    Attributes:
        apart: names of the layers and models that were taken apart.
        reasons: name of a layer that was not -> why.
    """

    def __init__(self, model: keras.Model, followed: Followed) -> None:
        self._followed = followed
        self._steps: dict[tuple[int, Any], Steps | None] = {}
        self._names = FreeNames()
        self._open: dict[int, bool] = {}
        self.apart: list[str] = []
        self.reasons: dict[str, str] = {}
        with _better_shapes():
            self.opens = self._opens(model)
            if self.opens:
                super().__init__(model, Changes())

    def unfolded(self) -> Unfolded:
        """Returns what came of it."""
        reasons = {name: reason for name, reason in self.reasons.items() if name not in self.apart}
        return Unfolded(self.remade() if self.opens else None, self.apart, reasons)

    def _sequential(self, old: keras.Sequential) -> keras.Model:
        return self._functional(old) if self._opens(old) else super()._sequential(old)

    def _check_kind(self, old: keras.Model) -> None:
        if own_class(old):
            if behaves(old, "keras", BEHAVIOUR):
                super()._check_kind(old)
            self.apart.append(old.name)

    def _kind(self, old: keras.Model) -> type:
        return keras.Model if own_class(old) or isinstance(old, keras.Sequential) else type(old)

    def _applied(self, operation: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if has_graph(operation):
            return (
                self._model_called(operation, args, kwargs)
                if self._opens(operation)
                else super()._applied(operation, args, kwargs)
            )
        steps = self._inside(operation, args, kwargs)
        if steps is None:
            return super()._applied(operation, args, kwargs)
        if operation.name not in self.apart:
            self.apart.append(operation.name)
        with self._names.inside(operation.name):
            return replayed(steps, _tensors(args, kwargs), self._stepped, keras.tree.map_structure)

    def _stepped(self, step: Step, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        with self._names.inside(*step.within):
            if not step.settings:
                return keras.tree.flatten(self._applied(step.operation, args, kwargs))
            name = self._names.free(step.operation.name)
        return keras.tree.flatten(_operation_of(step, args, name)(*args, **kwargs))

    def _opens(self, model: keras.Model) -> bool:
        """Returns whether something in a model that is called in another is taken apart, or it is of its own class."""
        if id(model) not in self._open:
            graph = graph_of(model)
            self._open[id(model)] = own_class(model) or any(
                self._opens(node.operation)
                if has_graph(node.operation)
                else self._inside(node.operation, node.arguments.args, node.arguments.kwargs) is not None
                for nodes in graph._nodes_by_depth.values()
                for node in nodes
                if not node.is_input
            )
        return self._open[id(model)]

    def _model_called(self, model: keras.Model, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Makes the calls in a model that is called in another."""
        graph = graph_of(model)
        given = args[0] if args else next(iter(kwargs.values()))
        own = graph._inputs_struct
        if isinstance(own, dict) and isinstance(given, dict):
            pairs = [(own[key], given[key]) for key in own]
        else:
            pairs = list(zip(keras.tree.flatten(own), keras.tree.flatten(given), strict=True))
        tensors = {id(tensor): value for tensor, value in pairs}
        self._check_kind(model)
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if not node.is_input:
                    self._call(node, tensors)
        return keras.tree.map_structure(lambda tensor: tensors[id(tensor)], graph._outputs_struct)

    def _settings(self, old: Any, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"name": self._names.free(old.name)} if "name" in config else config

    def _inside(self, layer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Steps | None:
        """Returns the calls in a layer; None if it is followed as it is, or if they cannot be told."""
        if not isinstance(layer, keras.layers.Layer):
            return None
        inputs = _tensors(args, kwargs)
        key = id(layer), tuple((tuple(own.shape), own.dtype) for own in inputs)
        if key not in self._steps:
            shapes = [tuple(own.shape) for own in inputs]

            def outputs() -> list[tuple[int | None, ...]]:
                return [tuple(own.shape) for own in keras.tree.flatten(layer.compute_output_spec(*args, **kwargs))]

            self._steps[key] = None
            if not self._followed(layer, shapes, outputs):
                try:
                    self._steps[key] = _told(layer, list(args), dict(kwargs))
                except NotUnfolded as error:
                    self.reasons[layer.name] = f"{type(layer).__name__} is not taken apart: {error}"
        return self._steps[key]


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


def _told(layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any]) -> Steps:
    """Returns the calls in a layer for any batch, which do what it does."""
    _check_alone(layer, args, kwargs)
    try:
        inputs, expected = _tried(layer, args, kwargs)
        with _nodes_kept(layer):
            one = _followed_with(layer, args, kwargs, BATCHES[0])
            with _other_weights(layer):
                larger = _followed_with(layer, args, kwargs, BATCHES[1])
            training = _followed_with(layer, args, kwargs, BATCHES[0], training=True)
        steps = general(one, larger, training)
        _check_made_again(steps)
        found = keras.tree.flatten(replayed(steps, inputs, _eagerly, keras.tree.map_structure))
    except NotUnfolded:
        raise
    except Exception as error:  # it is somebody else's, and called with what it may not have been made for
        open_sides = any(None in own.shape[1:] for own in _tensors(args, kwargs))
        remedy = "; it may be with inputs of fixed lengths" if open_sides else ""
        raise NotUnfolded(f"its call fails on symbolic tensors ({one_line(error)}){remedy}") from None
    if not same_numbers([backends.array(own) for own in found], expected):
        raise NotUnfolded("the calls in it do not give what it gives")
    return steps


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
    for node in _in_order(outputs, numbers):
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


def _in_order(outputs: Any, known: dict[int, Ref]) -> list[Any]:
    """Returns the calls that tensors come from, each after those that it needs."""
    found: dict[int, Any] = {}
    waiting = [(own, False) for own in reversed(keras.tree.flatten(outputs))]
    while waiting:
        item, ready = waiting.pop()
        if ready:
            found.setdefault(id(item), item)
            continue
        if id(item) in known:
            continue
        history = item._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) in found:
            continue
        if node.is_input:
            raise NotUnfolded("it has tensors of other graphs")
        waiting.append((node, True))
        waiting += [(own, False) for own in reversed(node.input_tensors)]
    return list(found.values())


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
    """Lets layers in a layer that hold others themselves be followed too, and not be calls of their own."""
    inner = {id(own): own for own in layer._flatten_layers(include_self=False) if _own(own)}
    kinds = {type(own) for own in inner.values() if "__call__" not in vars(type(own))}
    plain = keras.layers.Layer.__call__

    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        if id(self) not in inner:
            return plain(self, *args, **kwargs)
        _check_alone(self, args, kwargs)
        if self._call_has_training_arg and kwargs.get("training") is None:
            kwargs = kwargs | {"training": training}
        return self.call(*args, **kwargs)

    try:
        for kind in kinds:
            kind.__call__ = called
        yield
    finally:
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
def _nodes_kept(layer: keras.layers.Layer) -> Iterator[None]:
    """Forgets the calls of the layers inside that are made meanwhile."""
    known = [(own, len(own._inbound_nodes), len(own._outbound_nodes)) for own in layer._flatten_layers()]
    try:
        yield
    finally:
        for own, inbound, outbound in known:
            del own._inbound_nodes[inbound:], own._outbound_nodes[outbound:]


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


def _eagerly(step: Step, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    operation = _operation_of(step, args, "tried") if step.settings else step.operation
    return keras.tree.flatten(operation(*args, **kwargs))
