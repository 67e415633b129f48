"""The graphs of tf_keras models, see `adapters.graphs`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.batches import Batch
from tfprune.adapters.graphs import Changes, Examples, Graph, Node, Option, Penalty, Remade, Shape
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.tf_keras.copies import check_model, compile_alike
from tfprune.adapters.tf_keras.gradients import compiled_loss
from tfprune.adapters.tf_keras.kernel_names import NAMES, kernels_of
from tfprune.adapters.tf_keras.layers import carry_state, has_graph, leaf_layers
from tfprune.adapters.tf_keras.mask_values import kernel_variables
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel
from tfprune.adapters.tf_keras.narrowing import Narrowed
from tfprune.adapters.tf_keras.optimizers import schedule_of, slots, unwrapped
from tfprune.adapters.tf_keras.penalties import Penalties
from tfprune.adapters.tf_keras.unfolding import Unfolding
from tfprune.adapters.tf_keras.wrapping import carry_masks
from tfprune.adapters.unfolding import CALLS, Followed, Unfolded, behaves
from tfprune.pruning.events import Criterion


class TfKerasGraphs:
    """Those of tf_keras."""

    names = NAMES
    equal_attention = False
    leaf_layers: Callable[[keras.Model], Iterable[keras.layers.Layer]] = staticmethod(leaf_layers)
    kernels_of: Callable[[keras.layers.Layer], list[tf.Variable]] = staticmethod(kernels_of)
    check: Callable[[keras.Model], None] = staticmethod(functools.partial(check_model, copied=False))
    carry_masks: Callable[..., None] = staticmethod(carry_masks)

    def has_graph(self, layer: Any) -> bool:
        return has_graph(layer) and layer.built and hasattr(layer, "_nodes_by_depth") and bool(layer.inputs)

    def is_graph(self, layer: Any) -> bool:
        return self.has_graph(layer) and not behaves(layer, "tf_keras", CALLS)

    def graph(self, model: keras.Model) -> Graph:
        nodes = [
            Node(
                id(node),
                node.layer,
                node.call_args,
                node.call_kwargs,
                node.keras_inputs,
                tf.nest.flatten(node.outputs),
                depth,
            )
            for depth in sorted(model._nodes_by_depth, reverse=True)
            for node in model._nodes_by_depth[depth]
            if not node.is_input
        ]
        return Graph(model.inputs, model.outputs, model._input_layers, nodes)

    def shape(self, tensor: Any) -> Shape | None:
        return tuple(tensor.shape) if tensor.shape.rank else None

    def is_tensor(self, value: Any) -> bool:
        return bool(keras.backend.is_keras_tensor(value)) if hasattr(value, "_keras_history") else False

    def symbol(self, layer: keras.layers.Layer) -> str | None:
        if type(layer).__module__.partition(".")[0] != "tf_keras":
            return None
        name = str(getattr(layer, "symbol", None)).rpartition(".")[2]
        return None if getattr(layer, "symbol", None) is None else name.replace("_", "").lower()

    def options(self, node: Node) -> dict[str, Option]:
        function = getattr(node.layer, "function", None) if self.symbol(node.layer) else node.layer.call
        try:
            names = list(inspect.signature(function).parameters)
        except (TypeError, ValueError):  # a function that has no signature
            names = []
        found = {
            name: Option(place, own, True) for place, (name, own) in enumerate(zip(names, node.args, strict=False))
        }
        return found | {name: Option(name, own, True) for name, own in node.kwargs.items()}

    def learned(self, layer: keras.layers.Layer) -> list[tf.Variable]:
        return list(layer._trainable_weights)

    def numbers(self, variable: tf.Variable) -> np.ndarray:
        return variable.numpy()

    def assign(self, variable: tf.Variable, values: np.ndarray) -> None:
        variable.assign(values)

    def make_again(self, model: keras.Model, changes: Changes) -> Remade:
        return Narrowed(model, changes).remade()

    def unfold(self, model: keras.Model, followed: Followed) -> Unfolded:
        return Unfolding(model, followed).unfolded()

    def carry(self, old: keras.layers.Layer, new: keras.layers.Layer, weights: Sequence[np.ndarray] | None) -> None:
        carry_state(old, new, weights)

    def carry_on(
        self,
        model: keras.Model,
        smaller: keras.Model,
        pairs: Iterable[tuple[tf.Variable, tf.Variable]],
        narrowed: Callable[[tf.Variable, np.ndarray], np.ndarray],
        compiled: Callable[[keras.Model], None] | None,
    ) -> None:
        if getattr(model, "optimizer", None) is None:
            return
        if compiled is None:
            compile_alike(smaller, model)
        else:
            compiled(smaller)
        _carry_numbers(model.optimizer, smaller)
        old, new = unwrapped(model.optimizer), unwrapped(smaller.optimizer)
        for variable, carried in pairs:
            for remembered, slot in zip(slots(old, variable), slots(new, carried), strict=False):  # none before a step
                slot.assign(narrowed(variable, remembered.numpy()))

    def layer_again(self, layer: keras.layers.Layer, settings: Mapping[str, Any]) -> keras.layers.Layer:
        return rebuilt(layer, config=dict(settings))

    def call(self, function: Callable[..., Any], *inputs: Any, **kwargs: Any) -> Any:
        given = tf.nest.map_structure(tf.convert_to_tensor, list(inputs))
        return tf.nest.map_structure(np.asarray, function(*given, **kwargs))

    def values_at(self, model: keras.Model, tensors: Sequence[Any], inputs: Any) -> list[np.ndarray]:
        found = keras.Model(model.inputs, list(tensors))(inputs, training=False)
        return [np.asarray(own) for own in tf.nest.flatten(found)]

    def probes(self, tensors: Sequence[Any], rows: int, seed: int, numbers: int, words: Sequence[str]) -> list[Any]:
        random, inputs = np.random.default_rng(seed), []
        for tensor in tensors:
            shape = (rows, *(side or 8 for side in tensor.shape[1:]))
            if tensor.dtype == tf.string:
                inputs.append(tf.constant(random.choice([*words, "?"], shape).tolist()))
            elif tensor.dtype.is_integer:
                inputs.append(random.integers(0, numbers, shape).astype(tensor.dtype.as_numpy_dtype))
            else:
                inputs.append(random.normal(size=shape).astype(tensor.dtype.as_numpy_dtype))
        return inputs

    def slopes(self, model: keras.Model, variables: Sequence[tf.Variable], examples: Examples) -> list[np.ndarray]:
        variables = [getattr(own, "_primary", own) for own in variables]  # of several devices, the first
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = _loss(model, examples)
        return [
            tf.convert_to_tensor(own).numpy() for own in tape.gradient(loss, variables, unconnected_gradients="zero")
        ]

    def macs_per_kernel(self, model: keras.Model) -> dict[str, int]:
        return {name: count for name, (count, _) in macs_per_kernel(model).items()}

    def kernels(self, model: keras.Model) -> dict[str, tf.Variable]:
        return kernel_variables(model)

    def weights(self, model: keras.Model) -> list[tuple[str, tf.Variable]]:
        return [(layer.name, weight) for layer in model.layers for weight in layer.weights]

    def scope(self, model: keras.Model) -> Any:
        return model.distribute_strategy.scope()

    def penalize(self, model: keras.Model, penalties: Sequence[Penalty]) -> Penalties:
        return Penalties(model, penalties)

    def parameters(self, model: keras.Model) -> int:
        return model.count_params()


def _loss(model: keras.Model, examples: Examples) -> tf.Tensor:
    if isinstance(examples, Batch):
        outputs = model(tf.nest.map_structure(tf.convert_to_tensor, examples.x), training=False)
        return compiled_loss(model)(outputs, examples, Criterion())
    outputs = model(examples[0], training=False)
    if len(examples) > 2:
        return tf.reduce_mean(examples[2](examples[1], outputs))
    return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(examples[1], outputs, from_logits=True))


def _carry_numbers(old_optimizer: keras.optimizers.Optimizer, smaller: keras.Model) -> None:
    """Hands on what an optimizer remembers in single numbers: steps, learning rate, loss scale."""
    new_optimizer = smaller.optimizer
    old, new = unwrapped(old_optimizer), unwrapped(new_optimizer)
    if isinstance(old, keras.optimizers.legacy.Optimizer):
        if old.weights:  # it has made a step
            new._create_all_weights(smaller.trainable_variables)
        new.iterations.assign(old.iterations)
        for name in old._hyper:
            if schedule_of(old) is None or name != "learning_rate":
                new._set_hyper(name, old._get_hyper(name))
    else:
        new.build(smaller.trainable_variables)
    scales = [getattr(own, "_loss_scale", None) for own in (old_optimizer, new_optimizer)]
    for one, other in ((old, new), scales):
        for name, value in vars(one).items() if hasattr(one, "__dict__") else ():
            if isinstance(value, tf.Variable) and value.shape.rank == 0 and name in vars(other):
                vars(other)[name].assign(value)


GRAPHS = TfKerasGraphs()
