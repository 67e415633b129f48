"""Makes a model of tf_keras again with what is inside of composite layers in their place, see `adapters.unfolding`."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.graphs import Changes
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.adapters.tf_keras.narrowing import OPERATORS, Narrowed, is_of_keras, own_class
from tfprune.adapters.tf_keras.remaking import settings_of
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

BEHAVIOUR = ("call", "train_step", "test_step", "compute_loss", "compute_metrics")
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
        self._apart: set[int] = set()
        self.apart: list[str] = []
        self.reasons: dict[str, str] = {}
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
            if behaves(old, "tf_keras", BEHAVIOUR):
                super()._check_kind(old)
            self.apart.append(old.name)

    def _kind(self, old: keras.Model) -> type:
        return keras.Model if own_class(old) or isinstance(old, keras.Sequential) else type(old)

    def _settings(self, old: keras.layers.Layer, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"name": self._names.free(old.name)} if "name" in config else config

    def _is_apart(self, layer: keras.layers.Layer) -> bool:
        return id(layer) in self._apart

    def _applied(self, layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if has_graph(layer):
            called = self._model_called if self._opens(layer) else super()._applied
            return called(layer, args, kwargs)
        steps = self._inside(layer, args, kwargs)
        if steps is None:
            return super()._applied(layer, args, kwargs)
        self._apart.add(id(layer))
        if layer.name not in self.apart:
            self.apart.append(layer.name)
        with self._names.inside(layer.name):
            return replayed(steps, _tensors(args, kwargs), self._stepped, tf.nest.map_structure)

    def _stepped(self, step: Step, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        if not step.settings:
            return tf.nest.flatten(self._applied(step.operation, args, kwargs))
        return tf.nest.flatten(_operation_of(step, args, self._names.free(step.operation.name))(*args, **kwargs))

    def _opens(self, model: keras.Model) -> bool:
        """Returns whether something in a model is taken apart, or it is of its own class."""
        if id(model) not in self._open:
            self._open[id(model)] = own_class(model) or any(
                self._opens(node.layer)
                if has_graph(node.layer)
                else self._inside(node.layer, node.call_args, node.call_kwargs) is not None
                for node in _nodes(model)
            )
        return self._open[id(model)]

    def _model_called(self, model: keras.Model, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Makes the calls in a model that is called in another."""
        given = args[0] if args else next(iter(kwargs.values()))
        own = model._nested_inputs
        if isinstance(own, dict) and isinstance(given, dict):
            pairs = [(own[key], given[key]) for key in own]
        else:
            pairs = list(zip(tf.nest.flatten(own), tf.nest.flatten(given), strict=True))
        tensors = {id(tensor): value for tensor, value in pairs}
        self._check_kind(model)
        self._apart.add(id(model))
        for node in _nodes(model):
            self._call(node, tensors)
        return tf.nest.map_structure(lambda tensor: tensors[id(tensor)], model._nested_outputs)

    def _inside(self, layer: keras.layers.Layer, args: Sequence[Any], kwargs: dict[str, Any]) -> Steps | None:
        """Returns the calls in a layer; None if it is followed as it is, or if they cannot be told."""
        if is_of_keras(layer, type(layer).__name__):
            return None
        inputs = _tensors(args, kwargs)
        key = id(layer), tuple((tuple(own.shape), own.dtype) for own in inputs)
        if key not in self._steps:

            def outputs() -> list[tuple[int | None, ...]]:
                with _nodes_kept(layer):
                    return [tuple(own.shape) for own in tf.nest.flatten(layer(*args, **kwargs))]

            self._steps[key] = None
            try:
                if not self._followed(layer, [tuple(own.shape) for own in inputs], outputs):
                    self._steps[key] = _told(layer, list(args), dict(kwargs))
            except NotUnfolded as error:
                self.reasons[layer.name] = f"{type(layer).__name__} is not taken apart: {error}"
        return self._steps[key]


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
        found = tf.nest.flatten(replayed(steps, inputs, _eagerly, tf.nest.map_structure))
    except NotUnfolded:
        raise
    except Exception as error:  # it is somebody else's, and called with what it may not have been made for
        raise NotUnfolded(f"its call fails on symbolic tensors ({one_line(error)})") from None
    if not same_numbers([np.asarray(own) for own in found], expected):
        raise NotUnfolded("the calls in it do not give what it gives")
    return steps


def _eagerly(step: Step, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    operation = _operation_of(step, args, "tried") if step.settings else step.operation
    return tf.nest.flatten(operation(*args, **kwargs))


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
    for node in _in_order(outputs, numbers):
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


def _in_order(outputs: Any, known: dict[int, Ref]) -> list[Any]:
    """Returns the calls that tensors come from, each after those that it needs."""
    found: dict[int, Any] = {}
    waiting = [(own, False) for own in reversed(tf.nest.flatten(outputs))]
    while waiting:
        item, ready = waiting.pop()
        if ready:
            found.setdefault(id(item), item)
            continue
        if id(item) in known:
            continue
        node = item._keras_history.layer._inbound_nodes[item._keras_history.node_index]
        if id(node) in found:
            continue
        if node.is_input:
            raise NotUnfolded("it has tensors of other graphs")
        waiting.append((node, True))
        waiting += [(own, False) for own in reversed(node.keras_inputs)]
    return list(found.values())


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
