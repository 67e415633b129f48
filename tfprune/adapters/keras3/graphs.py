"""The graphs of Keras 3 models, see `adapters.graphs`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.batches import Batch
from tfprune.adapters.compile_arguments import compile_copy, compiled_arguments
from tfprune.adapters.graphs import Changes, Examples, Graph, Node, Option, Penalty, Remade, Shape
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.copies import check_model
from tfprune.adapters.keras3.facts import macs_of_layers
from tfprune.adapters.keras3.gradients import compiled_loss
from tfprune.adapters.keras3.layers import NAMES, carry_assets, graph_of, has_graph, leaf_layers
from tfprune.adapters.keras3.masking import carry_masks
from tfprune.adapters.keras3.narrowing import Narrowed
from tfprune.adapters.keras3.optimizers import fresh, parts, slots
from tfprune.adapters.keras3.penalties import Penalties
from tfprune.adapters.keras3.unfolding import Unfolding
from tfprune.adapters.kernel_names import free_name
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.unfolding import CALLS, Followed, Unfolded, behaves
from tfprune.pruning.events import Criterion


class Keras3Graphs:
    """Those of Keras 3."""

    names = NAMES
    leaf_layers: Callable[[keras.Model], Iterable[keras.layers.Layer]] = staticmethod(leaf_layers)
    kernels_of: Callable[[keras.layers.Layer], list[keras.Variable]] = staticmethod(NAMES.kernels_of)
    numbers: Callable[[keras.Variable], np.ndarray] = staticmethod(backends.numbers)
    check: Callable[[keras.Model], None] = staticmethod(functools.partial(check_model, copied=False))
    carry_masks: Callable[..., None] = staticmethod(carry_masks)

    @property
    def equal_attention(self) -> bool:
        return backends.name() == "jax"

    def has_graph(self, layer: Any) -> bool:
        return has_graph(layer) and layer.built and hasattr(graph_of(layer), "_nodes_by_depth")

    def is_graph(self, layer: Any) -> bool:
        return self.has_graph(layer) and not behaves(layer, "keras", CALLS)

    def graph(self, model: keras.Model) -> Graph:
        graph = graph_of(model)
        nodes = [
            Node(
                id(node),
                node.operation,
                node.arguments.args,
                node.arguments.kwargs,
                self._inputs(node),
                node.output_tensors,
                depth,
            )
            for depth in sorted(graph._nodes_by_depth, reverse=True)
            for node in graph._nodes_by_depth[depth]
            if not node.is_input
        ]
        layers = [tensor._keras_history.operation for tensor in graph._inputs]
        return Graph(graph._inputs, graph._outputs, layers, nodes)

    def _inputs(self, node: Any) -> list[Any]:
        """Returns the tensors of a call in the order in which they stand in it; Keras goes by the names."""
        given = keras.tree.flatten((list(node.arguments.args), [*node.arguments.kwargs.values()]))
        return [own for own in given if self.is_tensor(own)]

    def shape(self, tensor: Any) -> Shape | None:
        return tuple(tensor.shape) if len(tensor.shape) else None

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, keras.KerasTensor)

    def symbol(self, layer: Any) -> str | None:
        if isinstance(layer, keras.layers.Layer) or type(layer).__module__.partition(".")[0] != "keras":
            return None
        return type(layer).__name__.replace("_", "").lower()

    def options(self, node: Node) -> dict[str, Option]:
        found = {}
        if self.symbol(node.layer):
            try:
                config = node.layer.get_config()
            except (NotImplementedError, TypeError, ValueError):  # an operation that says nothing of itself
                config = {}
            found = {name: Option(name, value, False) for name, value in config.items()}
        names = list(inspect.signature(node.layer.call).parameters)
        places = enumerate(zip(names, node.args, strict=False))
        found |= {name: Option(place, own, True) for place, (name, own) in places}
        return found | {name: Option(name, own, True) for name, own in node.kwargs.items()}

    def learned(self, layer: keras.layers.Layer) -> list[keras.Variable]:
        return list(layer._trainable_variables)

    def assign(self, variable: keras.Variable, values: np.ndarray) -> None:
        variable.assign(values)

    def make_again(self, model: keras.Model, changes: Changes) -> Remade:
        backends.sync(model)
        with backends.scope(model):
            return Narrowed(model, changes).remade()

    def unfold(self, model: keras.Model, followed: Followed) -> Unfolded:
        backends.sync(model)
        with backends.scope(model):
            return Unfolding(model, followed).unfolded()

    def carry(self, old: keras.layers.Layer, new: keras.layers.Layer, weights: Sequence[np.ndarray] | None) -> None:
        given = [backends.numbers(own) for own in old.weights] if weights is None else weights
        for own, values in zip(new.weights, given, strict=True):
            own.assign(values)
        others = [
            [own for own in layer.variables if not any(own is known for known in layer.weights)] for layer in (old, new)
        ]
        for theirs, own in zip(*others, strict=True):  # what draws at random
            own.assign(keras.ops.copy(theirs.value))
        carry_assets(old, new)

    def carry_on(
        self,
        model: keras.Model,
        smaller: keras.Model,
        pairs: Iterable[tuple[keras.Variable, keras.Variable]],
        narrowed: Callable[[keras.Variable, np.ndarray], np.ndarray],
        compiled: Callable[[keras.Model], None] | None,
    ) -> None:
        if getattr(model, "optimizer", None) is None:
            return
        with backends.scope(model):
            if compiled is None:
                compile_copy(keras, smaller, compiled_arguments(model) | {"optimizer": fresh(model.optimizer)})
            else:
                compiled(smaller)
            if not model.optimizer.built:
                return
            smaller.optimizer.build(smaller.trainable_variables)
        for old, new in zip(_every(model.optimizer), _every(smaller.optimizer), strict=True):
            for name, value in vars(old).items():
                if isinstance(value, keras.Variable) and not len(value.shape) and name in vars(new):
                    vars(new)[name].assign(keras.ops.copy(value.value))
        for variable, carried in pairs:
            remembered = zip(slots(model.optimizer, variable), slots(smaller.optimizer, carried), strict=False)
            for slot, own in remembered:
                own.assign(narrowed(variable, backends.numbers(slot)))

    def layer_again(self, layer: keras.layers.Layer, settings: Mapping[str, Any]) -> keras.layers.Layer:
        return rebuilt(layer, config=dict(settings))

    def call(self, function: Callable[..., Any], *inputs: Any, **kwargs: Any) -> Any:
        given = keras.tree.map_structure(keras.ops.convert_to_tensor, list(inputs))
        return keras.tree.map_structure(backends.array, function(*given, **kwargs))

    def values_at(self, model: keras.Model, tensors: Sequence[Any], inputs: Any) -> list[np.ndarray]:
        found = keras.Model(graph_of(model)._inputs, list(tensors))(inputs, training=False)
        return [backends.array(own) for own in keras.tree.flatten(found)]

    def probes(self, tensors: Sequence[Any], rows: int, seed: int, numbers: int, words: Sequence[str]) -> list[Any]:
        random, inputs = np.random.default_rng(seed), []
        for tensor in tensors:
            shape = (rows, *(side or 8 for side in tensor.shape[1:]))
            kind = keras.backend.standardize_dtype(tensor.dtype)
            if kind == "string":
                inputs.append(keras.ops.convert_to_tensor(random.choice([*words, "?"], shape).tolist()))
            elif "int" in kind:
                inputs.append(random.integers(0, numbers, shape).astype(kind))
            else:
                inputs.append(random.normal(size=shape).astype("float32"))
        return inputs

    def slopes(self, model: keras.Model, variables: Sequence[keras.Variable], examples: Examples) -> list[np.ndarray]:
        backends.sync(model)

        def function(values: Sequence[Any]) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss(model(x, training=False))

        if isinstance(examples, Batch):
            loss, x = compiled_loss(model, model, examples, Criterion()), examples.x
        else:
            x, y, *given = examples
            crossentropy = keras.losses.sparse_categorical_crossentropy
            losses = given[0] if given else functools.partial(crossentropy, from_logits=True)
            loss = lambda out: keras.ops.mean(losses(y, out))  # noqa: E731 - of two
        return [backends.array(own) for own in backends.gradients(function, [own.value for own in variables])]

    def macs_per_kernel(self, model: keras.Model) -> dict[str, int]:
        counted, found = macs_of_layers(model), {}
        names = {id(own.variable): own.name for own in NAMES.named_kernels(model)}
        for path, layer in NAMES.leaves_with_paths(model):
            below = dict(NAMES.every_kernel(layer, layer.name))
            for name, count in counted.pop(id(layer), ({}, None))[0].items():
                kernel = below.get(f"{layer.name}/{name}")
                known = names.get(id(kernel)) or free_name(f"{path}{layer.name}/{name}", found)
                found[known] = count
        return found

    def kernels(self, model: keras.Model) -> dict[str, keras.Variable]:
        return {own.name: own.variable for own in NAMES.named_kernels(model)}

    def weights(self, model: keras.Model) -> list[tuple[str, keras.Variable]]:
        owners: dict[int, str] = {}
        for layer in model.layers:
            for weight in layer.weights:
                owners.setdefault(id(weight), layer.name)
        return [(owners.get(id(weight), ""), weight) for weight in model.weights]

    def scope(self, model: keras.Model) -> Any:
        return backends.scope(model)

    def penalize(self, model: keras.Model, penalties: Sequence[Penalty]) -> Penalties:
        return Penalties(model, penalties)

    def parameters(self, model: keras.Model) -> int:
        return model.count_params()


def _every(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """Returns an optimizer and those inside of it."""
    return [optimizer, *(own for own in parts(optimizer) if own is not optimizer)]


GRAPHS = Keras3Graphs()
