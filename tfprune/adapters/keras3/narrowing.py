"""Makes a model of Keras 3 again, layer by layer and call by call, with fewer channels or branches."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from tfprune.adapters.attributes import carry_attributes
from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.changed import apply_to_arguments, apply_to_settings, narrow_settings, without_shapes
from tfprune.adapters.graphs import Changes, Remade
from tfprune.adapters.keras3.layers import graph_of, has_graph
from tfprune.adapters.rebuilding import (
    check_shared,
    functions_of,
    name_alike,
    of_its_own_class,
    rebuilt,
    rebuilt_by_names,
    weight_of,
)
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line

FAILURES = (NotImplementedError, TypeError, ValueError, AttributeError)  # of layers that say too little of themselves


class Narrowed:
    """A model without some channels or branches, with weights of its own.

    Args:
        model: functional or sequential. It is not changed.
        changes: what is different.
        others: models of the same layers, which are made again too; see `made`.

    Attributes:
        model: the smaller one, not compiled.
        layers: the layers that stay, those of nested models and the models too, with those of the smaller model.

    Raises:
        ModelError: a layer or model cannot be made again.
    """

    def __init__(self, model: keras.Model, changes: Changes, others: Sequence[keras.Model] = ()) -> None:
        self._changes = changes
        self._made: dict[int, tuple[Any, Any]] = {}
        self._calls: dict[int, int] = {}
        self._weights = model.weights
        self.model: keras.Model = self._operation(model)
        for other in others:
            self._operation(other)
        self.layers = [own for own in self._made.values() if isinstance(own[0], keras.layers.Layer)]
        for old, new in reversed(self.layers):  # models before the layers in them, to which they hand theirs on
            new.trainable = old.trainable
        for old, new in self.layers:
            if not has_graph(old):
                name_alike(old, new)
                for own, made in zip(old._flatten_layers(), new._flatten_layers(), strict=True):
                    if own.built and not made.built:  # an activation that is a layer: by its first call with numbers
                        made.build_from_config(own.get_build_config() or {})
                    made.trainable = own.trainable
                for theirs, variable in zip(old.variables, new.variables, strict=True):
                    if theirs.trainable != variable.trainable:  # a kernel that is frozen under low-rank updates
                        variable.trainable = theirs.trainable
        check_shared(pair for pair in self.layers if not has_graph(pair[0]))

    def remade(self) -> Remade:
        """Returns the smaller model with what has become of the parts of the larger one."""
        return Remade(self.model, self.layers, {key: new for key, (_, new) in self._made.items()}, self._calls)

    def made(self, old: Any) -> Any:
        """Returns what has become of a layer, or of one of the models."""
        return self._made[id(old)][1]

    def _operation(self, old: Any) -> Any:
        """Returns what has become of a layer or operation, the same whenever it is asked for."""
        if id(old) not in self._made:
            if not has_graph(old):
                new = self._layer(old) if isinstance(old, keras.layers.Layer) else self._function(old)
            else:
                new = self._sequential(old) if isinstance(old, keras.Sequential) else self._functional(old)
                if type(new) is type(old):
                    new.dtype_policy = old.dtype_policy  # Keras gives models that it makes the one of now
            self._made[id(old)] = old, new
        return self._made[id(old)][1]

    def _sequential(self, old: keras.Sequential) -> keras.Sequential:
        new = type(old)(name=old.name)
        for layer in old._layers:  # with the one for the input
            new.add(self._operation(layer))
        if not new.built:
            new.build(old.input_shape)
        self._carry_attributes(old, new)
        return new

    def _functional(self, old: keras.Model) -> keras.Model:
        self._check_kind(old)
        graph = graph_of(old)
        tensors = {id(tensor): self._operation(tensor._keras_history.operation).output for tensor in graph._inputs}
        for depth in sorted(graph._nodes_by_depth, reverse=True):
            for node in graph._nodes_by_depth[depth]:
                if not node.is_input:
                    self._call(node, tensors)
        inputs, outputs = (
            keras.tree.map_structure(lambda tensor: tensors[id(tensor)], ends)
            for ends in (graph._inputs_struct, graph._outputs_struct)
        )
        new = self._kind(old)(inputs=inputs, outputs=outputs, name=old.name)
        self._carry_attributes(old, new)
        return new

    def _carry_attributes(self, old: keras.Model, new: keras.Model) -> None:
        carry_attributes(keras, old, new, {key: made for key, (_, made) in self._made.items()})

    def _check_kind(self, old: keras.Model) -> None:
        """Raises `ModelError` if a model is of a class that its inputs and outputs do not make."""
        if own_class(old):
            raise of_its_own_class(old)

    def _kind(self, old: keras.Model) -> type:
        """Returns the class of what becomes of a model."""
        return type(old)

    def _call(self, node: Any, tensors: dict[int, Any]) -> None:
        """Repeats a call; adds what it gives to `tensors`."""
        key = id(node.operation)
        if key in self._changes.gone:
            return
        if key in self._changes.sums:
            inputs = [tensors[id(node.input_tensors[place])] for place in self._changes.sums[key]]
            outputs = self._operation(node.operation)(inputs if len(inputs) > 1 else inputs[0])
        else:
            args, kwargs = list(node.arguments.args), dict(node.arguments.kwargs)
            changes = self._changes.arguments.get(id(node), ())
            apply_to_arguments(args, kwargs, changes, lambda array, old: keras.ops.convert_to_tensor(array, old.dtype))
            args, kwargs = keras.tree.map_structure(lambda own: self._given(own, tensors), (args, kwargs))
            outputs = self._applied(node.operation, args, kwargs)
        if key in self._made:
            self._calls[id(node)] = id(self._operation(node.operation)._inbound_nodes[-1])
        tensors |= zip(map(id, node.output_tensors), keras.tree.flatten(outputs), strict=True)

    def _given(self, own: Any, tensors: dict[int, Any]) -> Any:
        """Returns what an argument becomes."""
        if isinstance(own, keras.Variable):
            pairs = (pair for pair in self._made.values() if isinstance(pair[0], keras.layers.Layer))
            return weight_of(own, (pair for pair in pairs if not has_graph(pair[0])), self._weights)
        return tensors.get(id(own), own)

    def _applied(self, operation: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Makes a call of the new layer or operation."""
        return self._operation(operation)(*args, **kwargs)

    def _settings(self, old: Any, config: dict[str, Any]) -> dict[str, Any]:
        """Returns the settings of what a layer or operation becomes."""
        return config

    def _name(self, old: Any, config: dict[str, Any]) -> str | None:
        """Returns the name of what a layer becomes whose settings have none."""
        return None

    def _function(self, old: Any) -> Any:
        """Returns one of Keras' operations that are no layers."""
        changes = self._changes.settings.get(id(old), ())
        try:
            config = old.get_config()
            apply_to_settings(config, changes)
            return rebuilt(old, config=self._settings(old, config), named=self._name(old, config))
        except FAILURES as error:
            if changes:
                raise ModelError(f"{old.name} cannot be made again: {one_line(error)}") from None
        return _twin(old, _inbound_nodes=[], _outbound_nodes=[])

    def _layer(self, old: keras.layers.Layer) -> keras.layers.Layer:
        """Returns a layer of another one's settings, with fewer channels."""
        try:
            if len(self._changes.sums.get(id(old), ())) == 1:
                return keras.layers.Activation("linear", name=old.name, dtype=old.dtype_policy)
            if type(old) is keras.layers.Lambda:
                settings = keras.layers.Layer.get_config(old)
                shape = old._output_shape
                return keras.layers.Lambda(old.function, shape, old.mask, old.arguments, **settings)
            config = settings_of(old)
            narrow_settings(keras, config, old, self._changes, self._operation)
            return rebuilt_by_names(old, keras, self._settings(old, config), self._name(old, config))
        except FAILURES as error:
            raise ModelError(
                f"{old.name} ({type(old).__name__}) cannot be made again from its get_config: {one_line(error)}"
            ) from None


def settings_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """Returns the settings of a layer; functions of a person's own are given as they are, as Keras may not store them.

    A function counts as a setting if both have one name; others are left to Keras.
    """
    functions = functions_of(layer)
    if isinstance(cell := getattr(layer, "cell", None), keras.layers.Layer):  # through which a recurrent layer has them
        functions |= functions_of(cell)
    try:
        config = layer.get_config()
    except FAILURES:
        config = _config_without(layer, functions)
    functions = {key: own for key, own in functions.items() if key in config}
    if functions:
        config = _config_without(layer, functions)
    return without_shapes(copy.deepcopy(config)) | functions


def _config_without(layer: keras.layers.Layer, functions: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a layer as if it had linear functions."""
    linear = dict.fromkeys(functions, keras.activations.linear)
    if not isinstance(cell := getattr(layer, "cell", None), keras.layers.Layer):
        return _twin(layer, **linear).get_config()
    inner = _twin(cell, **{key: own for key, own in linear.items() if key in vars(cell)})
    return _twin(layer, cell=inner, **{key: own for key, own in linear.items() if key in vars(layer)}).get_config()


def _twin(old: Any, **changes: Any) -> Any:
    """Returns an object that shares all with another but some attributes; `copy.copy` would save and load it."""
    twin = object.__new__(type(old))
    vars(twin).update(vars(old) | changes)
    return twin


def own_class(model: keras.Model) -> bool:
    """Returns whether a model is of a class that its inputs and outputs do not make."""
    if isinstance(model, keras.Sequential):
        return False
    given = inspect.getfullargspec(type(model).__init__)
    return given.args[1:4] != ["inputs", "outputs", "name"] and not (given.varargs and given.varkw)
