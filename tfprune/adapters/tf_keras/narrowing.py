"""Makes a model of tf_keras again, layer by layer and call by call, with fewer channels or branches.

Layers are made from their settings, and their calls repeated with the arguments that they had: functions, constants and
layers that are shared stay what they are, whether Keras could store them or not.
"""

from __future__ import annotations

import inspect
from typing import Any

from tfprune.adapters.attributes import carry_attributes
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.changed import apply_to_arguments, narrow_settings, without_shapes
from tfprune.adapters.graphs import Changes, Remade
from tfprune.adapters.rebuilding import check_shared, name_alike, of_its_own_class, rebuilt_by_names, weight_of
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.adapters.tf_keras.remaking import settings_of
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line

OPERATORS = ("TFOpLambda", "SlicingOpLambda")  # layers that Keras makes of functions of TensorFlow


class Narrowed:
    """A model without some channels or branches, with weights of its own.

    Args:
        model: functional or sequential. It is not changed.
        changes: what is different.

    Attributes:
        model: the smaller one, not compiled.
        layers: the layers that stay, those of nested models and the models too, with those of the smaller model.

    Raises:
        ModelError: a layer or model cannot be made again.
    """

    def __init__(self, model: keras.Model, changes: Changes) -> None:
        self._changes = changes
        self._made: dict[int, tuple[keras.layers.Layer, keras.layers.Layer]] = {}
        self._calls: dict[int, int] = {}
        self._weights = model.weights
        self.model: keras.Model = self._layer(model)
        self.layers = list(self._made.values())
        for old, new in reversed(self.layers):  # models before the layers in them, to which they hand theirs on
            new.trainable = old.trainable
        for old, new in self.layers:
            if not has_graph(old):
                name_alike(old, new)
                for own, made in zip(old._flatten_layers(), new._flatten_layers(), strict=True):
                    made.trainable = own.trainable
        check_shared(pair for pair in self.layers if not has_graph(pair[0]))

    def remade(self) -> Remade:
        """Returns the smaller model with what has become of the parts of the larger one."""
        return Remade(self.model, self.layers, {key: new for key, (_, new) in self._made.items()}, self._calls)

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
        self._carry_attributes(old, new)
        return new

    def _functional(self, old: keras.Model) -> keras.Model:
        self._check_kind(old)
        tensors = {
            id(tensor): self._layer(layer).output for tensor, layer in zip(old.inputs, old._input_layers, strict=True)
        }
        own = {id(node) for nodes in old._nodes_by_depth.values() for node in nodes if not node.is_input}
        waiting = {layer: [node for node in layer._inbound_nodes if id(node) in own] for layer in old.layers}
        while waiting:  # in the order in which Keras does it, which decides what initial weights are drawn
            left = sum(map(len, waiting.values())) + len(waiting)
            for layer, nodes in list(waiting.items()):
                while nodes and all(id(tensor) in tensors for tensor in self._read(nodes[0])):
                    self._call(nodes.pop(0), tensors)
                if not nodes:
                    del waiting[layer]
            assert sum(map(len, waiting.values())) + len(waiting) < left, "a call reads what nothing makes"
        inputs, outputs = (
            tf.nest.map_structure(lambda tensor: tensors[id(tensor)], ends)
            for ends in (old._nested_inputs, old._nested_outputs)
        )
        new = self._kind(old)(inputs=inputs, outputs=outputs, name=old.name)
        stay = [own for own in old.layers if id(own) not in self._changes.gone and not self._is_apart(own)]
        ancillary = [self._layer(layer) for layer in stay]
        ancillary = [layer for layer in ancillary if not any(layer is known for known in new.layers)]
        if ancillary:  # such as those of `add_loss`, which no output is computed from
            new._insert_layers(ancillary, [node for layer in ancillary for node in layer.inbound_nodes])
        self._carry_attributes(old, new)
        return new

    def _carry_attributes(self, old: keras.Model, new: keras.Model) -> None:
        carry_attributes(keras, old, new, {key: made for key, (_, made) in self._made.items()})

    def _read(self, node: Any) -> list[tf.Tensor]:
        """Returns the tensors that a call needs; that of a layer which goes needs none."""
        if id(node.layer) in self._changes.gone:
            return []
        stay = self._changes.sums.get(id(node.layer))
        return node.keras_inputs if stay is None else [node.keras_inputs[place] for place in stay]

    def _call(self, node: Any, tensors: dict[int, tf.Tensor]) -> None:
        """Repeats a call; adds what it gives to `tensors`."""
        if id(node.layer) in self._changes.gone:
            return
        if id(node.layer) in self._changes.sums:
            inputs = [tensors[id(tensor)] for tensor in self._read(node)]
            outputs = self._layer(node.layer)(inputs if len(inputs) > 1 else inputs[0])
        else:
            args, kwargs = list(node.call_args), dict(node.call_kwargs)
            changes = self._changes.arguments.get(id(node), ())
            apply_to_arguments(args, kwargs, changes, lambda array, old: tf.constant(array, old.dtype))
            args, kwargs = tf.nest.map_structure(lambda own: self._given(own, tensors), (args, kwargs))
            outputs = self._applied(node.layer, args, kwargs)
        if id(node.layer) in self._made:
            self._calls[id(node)] = id(self._layer(node.layer)._inbound_nodes[-1])
        tensors |= zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs), strict=True)

    def _given(self, own: Any, tensors: dict[int, tf.Tensor]) -> Any:
        """Returns what an argument becomes."""
        if isinstance(own, tf.Variable):
            layers = (pair for pair in self._made.values() if not has_graph(pair[0]))
            return weight_of(own, layers, self._weights)
        return tensors.get(id(own), own)

    def _applied(self, layer: keras.layers.Layer, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Makes a call of the new layer."""
        return self._layer(layer)(*args, **kwargs)

    def _is_apart(self, layer: keras.layers.Layer) -> bool:
        """Returns whether other layers stand in a layer's place."""
        return False

    def _check_kind(self, old: keras.Model) -> None:
        """Raises `ModelError` if a model is of a class that its inputs and outputs do not make."""
        if own_class(old):
            raise of_its_own_class(old)

    def _kind(self, old: keras.Model) -> type:
        """Returns the class of what becomes of a model."""
        return type(old)

    def _settings(self, old: keras.layers.Layer, config: dict[str, Any]) -> dict[str, Any]:
        """Returns the settings of what a layer becomes."""
        return config

    def _name(self, old: keras.layers.Layer, config: dict[str, Any]) -> str | None:
        """Returns the name of what a layer becomes whose settings have none."""
        return None

    def _remade(self, old: keras.layers.Layer) -> keras.layers.Layer:
        """Returns a layer of another one's settings, with fewer channels."""
        kept_as = keras.layers.Layer.get_config(old) if is_of_keras(old, *OPERATORS, "Lambda") else {}
        kept_as = self._settings(old, kept_as)
        if is_of_keras(old, *OPERATORS):
            return type(old)(old.function, **kept_as)
        if is_of_keras(old, "Lambda"):
            shape = old._output_shape
            return type(old)(old.function, output_shape=shape, mask=old.mask, arguments=old.arguments, **kept_as)
        try:
            config, functions = settings_of(old)
            if len(self._changes.sums.get(id(old), ())) == 1:
                kept_as = {key: config[key] for key in ("name", "trainable", "dtype")}
                return keras.layers.Activation("linear", **kept_as)
            config = without_shapes(config) | functions
            narrow_settings(keras, config, old, self._changes, self._layer)
            return rebuilt_by_names(old, keras, self._settings(old, config), self._name(old, config))
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ModelError(
                f"{old.name} ({type(old).__name__}) cannot be made again from its get_config: {one_line(error)}"
            ) from None


def is_of_keras(layer: keras.layers.Layer, *kinds: str) -> bool:
    return type(layer).__module__.partition(".")[0] == "tf_keras" and type(layer).__name__ in kinds


def own_class(model: keras.Model) -> bool:
    """Returns whether a model is of a class that its inputs and outputs do not make."""
    if isinstance(model, keras.Sequential):
        return False
    given = inspect.getfullargspec(type(model).__init__)
    return given.args[1:] != ["inputs", "outputs", "name", "trainable"] and not (given.varargs and given.varkw)
