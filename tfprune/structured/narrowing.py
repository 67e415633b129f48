"""Makes a model again, layer by layer and call by call, with fewer channels or branches.

Layers are made from their settings, and their calls repeated with the arguments that they had: functions, constants and
layers that are shared stay what they are, whether Keras could store them or not.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.adapters.tf_keras.remaking import functions_of, settings_of
from tfprune.structured.branches import Branches
from tfprune.structured.channels import Channels
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line

Axes = Mapping[int, np.ndarray]  # axis of a weight -> the labels of the channels that it is indexed by


def drop_axes(value: np.ndarray, axes: Axes, gone: np.ndarray) -> np.ndarray:
    """Returns an array without the channels whose labels are `gone`."""
    for axis, labels in axes.items():
        value = np.compress(~np.isin(labels, gone), value, axis)
    return value


class Narrowed:
    """A model without some channels or branches, with weights of its own.

    Args:
        model: functional or sequential. It is not changed.
        found: its channels or branches.
        gone: the labels of those that go.

    Attributes:
        model: the smaller one, not compiled.
        layers: the layers that stay, those of nested models and the models too, with those of the smaller model.

    Raises:
        ModelError: a layer or model cannot be made again.
    """

    def __init__(self, model: keras.Model, found: Channels, gone: np.ndarray) -> None:
        self._found, self._gone = found, gone
        self._made: dict[int, tuple[keras.layers.Layer, keras.layers.Layer]] = {}
        everything = list(model._flatten_layers())
        self._known: dict[str, Any] = {type(layer).__name__: type(layer) for layer in everything}
        self._known |= {
            own.__name__: own for layer in everything for own in functions_of(layer).values() if _named(own)
        }
        self.model: keras.Model = self._layer(model)
        self.layers = list(self._made.values())
        for old, new in reversed(self.layers):  # models before the layers in them, to which they hand theirs on
            new.trainable = old.trainable
        for old, new in self.layers:
            if not has_graph(old):
                for own, made in zip(old._flatten_layers(), new._flatten_layers(), strict=True):
                    made.trainable = own.trainable

    def _layer(self, old: keras.layers.Layer) -> keras.layers.Layer:
        """Returns what has become of a layer, the same whenever it is asked for."""
        if id(old) not in self._made:
            if not has_graph(old):
                new = self._remade(old)
            else:
                new = self._sequential(old) if isinstance(old, keras.Sequential) else self._functional(old)
            self._made[id(old)] = old, new
        return self._made[id(old)][1]

    def _sequential(self, old: keras.Sequential) -> keras.Sequential:
        new = type(old)(name=old.name)
        for layer in super(keras.Sequential, old).layers:  # with the one for the input, if there is one
            new.add(self._layer(layer))
        if not new.built:
            new.build(old.input_shape)
        return new

    def _functional(self, old: keras.Model) -> keras.Model:
        _check_kind(old)
        tensors = {
            id(tensor): self._layer(layer).output for tensor, layer in zip(old.inputs, old._input_layers, strict=True)
        }
        own = {id(node) for nodes in old._nodes_by_depth.values() for node in nodes if not node.is_input}
        waiting = {layer: [node for node in layer._inbound_nodes if id(node) in own] for layer in old.layers}
        while waiting:  # in the order in which Keras does it, which decides what initial weights are drawn
            for layer, nodes in list(waiting.items()):
                while nodes and all(id(tensor) in tensors for tensor in self._read(nodes[0])):
                    self._call(nodes.pop(0), tensors)
                if not nodes:
                    del waiting[layer]
        inputs, outputs = (
            tf.nest.map_structure(lambda tensor: tensors[id(tensor)], ends)
            for ends in (old._nested_inputs, old._nested_outputs)
        )
        new = type(old)(inputs=inputs, outputs=outputs, name=old.name)
        ancillary = [self._layer(layer) for layer in old.layers if self._stays(layer)]
        ancillary = [layer for layer in ancillary if not any(layer is known for known in new.layers)]
        if ancillary:  # such as those of `add_loss`, which no output is computed from
            new._insert_layers(ancillary, [node for layer in ancillary for node in layer.inbound_nodes])
        return new

    def _stays(self, layer: keras.layers.Layer) -> bool:
        found = self._found
        return not isinstance(found, Branches) or found.inside.get(layer.name, -1) not in self._gone

    def _read(self, node: Any) -> list[tf.Tensor]:
        """Returns the tensors that a call needs; that of a layer which goes needs none."""
        if not self._stays(node.layer):
            return []
        return node.keras_inputs if (stay := self._left(node)) is None else [node.keras_inputs[place] for place in stay]

    def _left(self, node: Any) -> list[int] | None:
        """Returns the places of the inputs that a sum is left with; None if it loses none."""
        ends = self._found.ends.get(node.layer.name, ()) if isinstance(self._found, Branches) else ()
        stay = [place for place, label in enumerate(ends) if label not in self._gone]
        return stay if len(stay) < len(ends) else None

    def _call(self, node: Any, tensors: dict[int, tf.Tensor]) -> None:
        """Repeats a call; adds what it gives to `tensors`."""
        if not self._stays(node.layer):
            return
        if (stay := self._left(node)) is not None:
            inputs = [tensors[id(node.keras_inputs[place])] for place in stay]
            outputs = self._layer(node.layer)(inputs if len(inputs) > 1 else inputs[0])
        else:
            args, kwargs = list(node.call_args), dict(node.call_kwargs)
            for fixed in self._found.arguments.get(id(node), ()):
                where = kwargs if isinstance(fixed.key, str) else args
                where[fixed.key] = fixed.without(where[fixed.key], self._gone)
            args, kwargs = tf.nest.map_structure(lambda own: tensors.get(id(own), own), (args, kwargs))
            outputs = self._layer(node.layer)(*args, **kwargs)
        tensors |= zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs), strict=True)

    def _remade(self, old: keras.layers.Layer) -> keras.layers.Layer:
        """Returns a layer of another one's settings, with fewer channels."""
        kept_as = keras.layers.Layer.get_config(old) if _is(old, "TFOpLambda", "Lambda") else {}
        if _is(old, "TFOpLambda"):
            return type(old)(old.function, **kept_as)
        if _is(old, "Lambda"):
            shape = old._output_shape
            return type(old)(old.function, output_shape=shape, mask=old.mask, arguments=old.arguments, **kept_as)
        try:
            config, functions = settings_of(old)
            if isinstance(self._found, Branches) and len(self._ends(old)) == 1:
                kept_as = {key: config[key] for key in ("name", "trainable", "dtype")}
                return keras.layers.Activation("linear", **kept_as)
            config |= functions
            self._change(config, old)
            with keras.utils.custom_object_scope(self._known):
                return rebuilt(old, config=config)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ModelError(
                f"{old.name} ({type(old).__name__}) cannot be made again from its get_config: {one_line(error)}"
            ) from None

    def _ends(self, layer: keras.layers.Layer) -> list[int]:
        """Returns the places of the inputs that a sum of branches is left with; empty if it loses none."""
        nodes = [] if layer.name not in self._found.ends else layer._inbound_nodes
        return next((stay for node in nodes if (stay := self._left(node)) is not None), [])

    def _change(self, config: dict[str, Any], old: keras.layers.Layer) -> None:
        """Takes away from the settings of a layer what channels have there that go."""
        for key in config:
            own = getattr(old, key, None)
            if key == "activation" and isinstance(own, keras.layers.Layer):
                config[key] = self._layer(own)
            elif key.endswith("_initializer") and np.ndim(getattr(own, "value", 0)):  # an array that does not fit
                weight = getattr(old, key.removesuffix("_initializer"), None)
                axes = self._found.axes.get(id(weight), {})
                if any(np.isin(labels, self._gone).any() for labels in axes.values()):
                    values = np.broadcast_to(own.value, weight.shape)
                    config[key] = keras.initializers.Constant(drop_axes(values, axes, self._gone))
        for fixed in self._found.settings.get(id(old), ()):
            if fixed.key in config:
                config[fixed.key] = fixed.without(config[fixed.key], self._gone)


def _named(function: Any) -> bool:
    return getattr(function, "__name__", "<lambda>") != "<lambda>"


def _is(layer: keras.layers.Layer, *kinds: str) -> bool:
    return type(layer).__module__.partition(".")[0] == "tf_keras" and type(layer).__name__ in kinds


def _check_kind(model: keras.Model) -> None:
    """Raises `ModelError` if a model is of a class that its inputs and outputs do not make."""
    given = inspect.getfullargspec(type(model).__init__)
    if given.args[1:] != ["inputs", "outputs", "name", "trainable"] and not (given.varargs and given.varkw):
        raise ModelError(
            f"model {model.name} is of a class of its own, {type(model).__name__}, which cannot be made again from "
            "inputs and outputs; take keras.Model(model.inputs, model.outputs)"
        )
