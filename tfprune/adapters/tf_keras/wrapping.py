"""Masks of a model's kernels: tfmot's wrappers around the layers of built-in models, and in place in people's own.

What stock tfmot does inside the graph (count steps, sort every kernel, write the masked kernel back
before each forward pass) is not done here. A `Masked` layer multiplies the gradients of its kernels by
their masks, so that a pruned weight is not pulled anywhere; a constraint multiplies the kernels after
each optimizer step. Together with emptied optimizer slots (see `set_masks`) a pruned weight is zero
whenever anyone can look, under every optimizer.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf, tfmot_wrapper
from tfprune.adapters.layer_traits import MacsUnknown, count_macs, traits_of, unfixed
from tfprune.adapters.tf_keras.masking import InPlaceMasks
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.adapters.tf_keras.schedules import PruneAtSteps, no_pruning
from tfprune.pruning.scores import Lazily
from tfprune.utils.errors import ModelError, choose_from

_PLACES = {"first": 0, "last": -1}
MASKS = "_tfprune_masks"  # the attribute of a model with its masks in place
FROZEN = "frozen"  # stands, among spared layers, for those that are not trained


def kernel_attributes(layer: keras.layers.Layer) -> tuple[str, ...]:
    """Returns the names of the attributes of a layer that hold prunable kernels; empty if it has none.

    See `layer_traits.TRAITS`. What is derived from a known layer may not make the kernels that this one has.
    """
    return tuple(name for name in traits_of(layer).kernels if not layer.built or hasattr(layer, name))


def has_graph(model: keras.layers.Layer) -> bool:
    """Says whether a layer is a functional or sequential model, which can be rebuilt layer by layer."""
    return isinstance(model, keras.Sequential) or (isinstance(model, keras.Model) and model._is_graph_network)


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields every layer once, those of nested models in the place of the models; subclassed ones are leaves."""
    seen: set[int] = set()
    for layer in model.layers:
        for leaf in leaf_layers(layer) if has_graph(layer) else (layer,):
            if id(leaf) not in seen:
                seen.add(id(leaf))
                yield leaf


@keras.utils.register_keras_serializable("tfprune")
class Masked(tfmot_wrapper.PruneLowMagnitude):
    """tfmot's pruning wrapper, with masks that change only when `set_masks` is called.

    Args:
        layer: a layer with prunable kernels.
        pruning_schedule: what a training under this wrapper is pruned by; kept with the layer.
    """

    def __init__(self, layer: keras.layers.Layer, pruning_schedule: PruneAtSteps | None = None, **kwargs: Any) -> None:
        attributes = kernel_attributes(layer)
        # An instance attribute: tfmot asks for this method before it looks the layer up in its own table.
        layer.get_prunable_weights = lambda: [getattr(layer, name) for name in attributes]
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, pruning_schedule or no_pruning(), **kwargs)
        self.attributes = attributes

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        for kernel, mask, _ in self.pruning_vars:
            _constrain(kernel, mask)

    def add_weight(self, name: str | None = None, **kwargs: Any) -> tf.Variable:
        """Gives each of several masks a name of its own; tfmot calls them all alike, and HDF5 takes no two."""
        self._names = [*getattr(self, "_names", ()), name]
        return super().add_weight(f"{name}_{self._names.count(name)}", **kwargs)

    def call(self, inputs: tf.Tensor, **kwargs: Any) -> tf.Tensor:
        with self._masked_kernels():
            return self.layer(inputs, **kwargs)

    @contextlib.contextmanager
    def _masked_kernels(self) -> Iterator[None]:
        """Lets the layer see `kernel * mask`. Through `__dict__`, which Keras' tracking does not notice."""
        names = [name for name in self.attributes if name in self.layer.__dict__]
        kernels = {name: self.layer.__dict__[name] for name in names}
        masks = {id(kernel): mask for kernel, mask, _ in self.pruning_vars}
        try:
            for name, kernel in kernels.items():
                # A product, so that the gradient is masked too. `tf.custom_gradient` would save it, and keeps every
                # graph that it was ever traced in.
                self.layer.__dict__[name] = kernel * tf.cast(masks[id(kernel)], kernel.dtype)
            yield
        finally:
            self.layer.__dict__.update(kernels)

    def named_vars(self) -> Iterator[tuple[str, tf.Variable, tf.Variable]]:
        """Yields each kernel's name (`"dense_1/kernel"`), the kernel and its mask."""
        for name, (kernel, mask, _) in zip(self.attributes, self.pruning_vars, strict=True):
            yield f"{self.layer.name}/{name}", kernel, mask


def _constrain(kernel: tf.Variable, mask: tf.Variable) -> None:
    """Masks a kernel after each step, after what it is constrained to otherwise."""
    inner = kernel.constraint

    def constraint(kernel: tf.Tensor) -> tf.Tensor:
        kernel = kernel if inner is None else inner(kernel)
        return kernel * tf.cast(mask, kernel.dtype)

    variable = getattr(kernel, "_variable", kernel)  # under mixed precision Keras wraps the real one
    for own in getattr(variable, "values", (variable,)):  # that of each device, where a strategy mirrors it
        own._constraint = constraint


def carry_state(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Gives a layer that was made from another's configuration all that the other knows.

    Weights, vocabularies of lookups, and what a normalization has adapted to.
    """
    if new.weights:
        new.set_weights(old.get_weights())
    if hasattr(new, "load_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
    elif hasattr(new, "finalize_state"):
        new.finalize_state()


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A prunable kernel of a model.

    Attributes:
        name: no other kernel of the model has it.
        layer: name of its layer, the same as far as the last `/`.
        path: of the layer, through the models that it is in.
        variable: its values.
    """

    name: str
    path: str
    variable: tf.Variable

    @property
    def layer(self) -> str:
        return self.name.rpartition("/")[0]


def named_kernels(model: keras.layers.Layer) -> list[Kernel]:
    """Returns all prunable kernels of a model, each once, in the order of the layers.

    A kernel is called after its layer: `"dense_1/kernel"`, `"lstm/cell/kernel"`. Where layers in different models of a
    model have one name, theirs are the paths through these: `"encoder/dense_1/kernel"`; where layers inside of one
    layer have, they are counted up.
    """
    found: dict[Any, tuple[str, str, tf.Variable]] = {}  # what a variable is known by -> short name, path, itself
    for path, leaf in _leaves(model):
        for name, variable in _every_kernel(leaf, leaf.name):
            found.setdefault(variable._unique_id, (name, f"{path}{name}", variable))
    short = collections.Counter(name for name, _, _ in found.values())
    taken = {name for name, count in short.items() if count == 1}
    kernels = []
    for name, path, variable in found.values():
        chosen = name if short[name] == 1 else _free(path, taken)
        taken.add(chosen)
        kernels.append(Kernel(chosen, path.rpartition("/")[0], variable))
    return kernels


def kernels_of(layer: keras.layers.Layer) -> list[tf.Variable]:
    """Returns the kernels of a layer and of all layers inside of it, each once."""
    return list({kernel._unique_id: kernel for _, kernel in _every_kernel(layer, layer.name)}.values())


def _leaves(model: keras.layers.Layer, path: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yields the leaf layers of a model, and the models that they are in (`"encoder/block/"`)."""
    for layer in model.layers:
        inner = layer.layer if isinstance(layer, Masked) else layer
        if has_graph(inner):
            yield from _leaves(inner, f"{path}{inner.name}/")
        else:
            yield path, inner


def _every_kernel(layer: keras.layers.Layer, path: str) -> Iterator[tuple[str, tf.Variable]]:
    """Yields the kernels of a layer and of all layers inside of it, of one name or not."""
    for name in kernel_attributes(layer):
        if (kernel := getattr(layer, name, None)) is not None:
            yield f"{path}/{name}", kernel
    for child in layer._flatten_layers(recursive=False, include_self=False):
        name = "cell" if child is getattr(layer, "cell", None) else child.name  # a cell's own name is counted up
        yield from _every_kernel(child, f"{path}/{name}")


def _free(name: str, taken: Collection[str]) -> str:
    """Returns a kernel's name or, if it is taken, its layer's counted up."""
    layer, _, attribute = name.rpartition("/")
    numbered = (f"{layer}_{number}/{attribute}" for number in itertools.count(1))
    return name if name not in taken else next(own for own in numbered if own not in taken)


def prunable_names(model: keras.Model, spare: Collection[str] = ()) -> list[str]:
    """Returns the names of the layers that have kernels and are not spared.

    Args:
        model: any model.
        spare: names of layers; `first` and `last` stand for the first and the last one with kernels, `frozen` for all
            that are not trained.

    Raises:
        ModelError: none is left, or `spare` names a layer that is not there or has no kernel.
    """
    kernels = named_kernels(model)
    names = list(dict.fromkeys(kernel.layer for kernel in kernels))
    spared = [own for name in spare for own in _spared(model, name, kernels, names)]
    left = [name for name in names if name not in spared]
    if not left:
        raise ModelError(f"model {model.name} has no layer left to prune")
    return left


def _spared(model: keras.Model, name: str, kernels: Sequence[Kernel], names: Sequence[str]) -> list[str]:
    """Returns the layers with kernels that a name stands for, see `prunable_names`."""
    inside = [
        kernel.layer
        for kernel in kernels
        if any(f"{own}/".startswith(f"{name}/") for own in (kernel.layer, kernel.path))
    ]
    if inside:
        return inside
    if name == FROZEN:
        trained = {variable._unique_id for variable in model.trainable_variables}
        return [kernel.layer for kernel in kernels if kernel.variable._unique_id not in trained]
    same = [kernel.layer for kernel in kernels if f"/{kernel.path}".endswith(f"/{name}")]  # of several models
    if same:
        return same
    if name in _PLACES and names:
        return [names[_PLACES[name]]]
    raise ModelError(f"spare names {name!r}, which is no prunable layer: {choose_from(name, names)}")


def wrap(model: keras.Model, spare: Collection[str] = ()) -> keras.Model:
    """Returns a built-in model with each layer that has kernels inside a `Masked` wrapper, masks all ones.

    People's models are masked in place, see `mask_in_place`.

    Args:
        model: functional or sequential, of layers that tfmot wraps; the result shares its layers and weights.
        spare: names of layers to leave unwrapped, see `prunable_names`.

    Raises:
        ModelError: nothing is left to prune, or `spare` names a layer that is not there.
    """
    names = prunable_names(model, spare)

    def wrap_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if has_graph(layer):
            return keras.models.clone_model(layer, clone_function=wrap_layer)
        return Masked(layer) if kernel_attributes(layer) and layer.name in names else layer

    return keras.models.clone_model(model, clone_function=wrap_layer)


def mask_in_place(model: keras.Model, spare: Collection[str] = ()) -> keras.Model:
    """Gives the kernels of any model masks in place, all ones, see `masking`; returns the model itself.

    Masks that it had before are taken off.

    Args:
        model: any model that has weights, subclassed ones too.
        spare: as for `wrap`.
    """
    if (known := in_place_masks(model)) is not None:
        known.release()
    names = prunable_names(model, spare)
    with model.distribute_strategy.scope():
        masks = InPlaceMasks({own.name: own.variable for own in named_kernels(model) if own.layer in names})
    vars(model)[MASKS] = masks  # past Keras' tracking: it is no part of what is saved
    return model


def in_place_masks(model: keras.Model) -> InPlaceMasks | None:
    """Returns the masks that `mask_in_place` has given a model."""
    return vars(model).get(MASKS)


def share_masks(model: keras.Model, other: keras.Model) -> keras.Model:
    """Gives a model the masks in place of another one whose layers it shares; returns it."""
    if (masks := in_place_masks(other)) is not None:
        vars(model)[MASKS] = masks
    return model


def hold_masks(model: keras.Model) -> None:
    """Makes the optimizer of a model that was just compiled keep what is masked in place at zero."""
    if (masks := in_place_masks(model)) is not None:
        masks.hold(model.optimizer)


def strip(model: keras.Model) -> keras.Model:
    """Returns the model without wrappers and masks; it shares the weights, which stay as they are."""

    def unwrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
        if has_graph(layer):
            return keras.models.clone_model(layer, clone_function=unwrapped)
        if not isinstance(layer, Masked):
            return layer
        if hasattr(layer, "_batch_input_shape") and not hasattr(layer.layer, "_batch_input_shape"):
            layer.layer._batch_input_shape = layer._batch_input_shape  # a Sequential's first layer is built by it
        return layer.layer

    return keras.models.clone_model(model, clone_function=unwrapped) if has_graph(model) else model


def masked_layers(model: keras.Model) -> list[Masked | InPlaceMasks]:
    """Returns the wrappers of a model, in the order of its layers, or what holds its masks in place."""
    if (masks := in_place_masks(model)) is not None:
        return [masks]
    return [layer for layer in leaf_layers(model) if isinstance(layer, Masked)]


def kernel_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns the prunable kernels by name; of a masked model those with masks, of a plain one all."""
    if masked := masked_layers(model):
        return {name: kernel for layer in masked for name, kernel, _ in layer.named_vars()}
    return {kernel.name: kernel.variable for kernel in named_kernels(model)}


def mask_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns the masks of a masked model by kernel name."""
    return {name: mask for layer in masked_layers(model) for name, _, mask in layer.named_vars()}


def kernels(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the values of the prunable kernels by name."""
    return {name: variable.numpy() for name, variable in kernel_variables(model).items()}


def kernels_by_turns(model: keras.Model) -> Lazily:
    """Returns the same as `kernels`, each read when it is asked for: as they stand then."""
    variables = kernel_variables(model)
    return Lazily(variables, lambda name: variables[name].numpy())


def multiplications(model: keras.Model) -> dict[str, tuple[int, tf.Variable | None]]:
    """Counts the multiply-adds of an example's forward pass by kernel, see `layer_traits`.

    A dense kernel's weights are used once a position, a convolution's once a pixel of the output, a recurrent cell's
    once a time step; a layer that is called several times counts each time. Attention's products of two inputs have a
    name of their own below the layer's. Lookups cost nothing. What cannot be counted is not in it, see `uncounted`.

    Returns:
        kernel name -> the number of uses times the size of the kernel, and the mask (None: not masked, or no kernel).
        For a stack of networks it is the number of one of them.
    """
    counted = macs_of_layers(model)
    masks = mask_variables(model)
    names = {kernel.variable._unique_id: kernel.name for kernel in named_kernels(model)}
    macs: dict[str, int] = {}
    for path, layer in _leaves(model):
        of_kernels = dict(_every_kernel(layer, layer.name))
        for name, count in counted.pop(id(layer), ({}, None))[0].items():
            kernel = of_kernels.get(f"{layer.name}/{name}")
            known = _free(f"{path}{layer.name}/{name}", macs) if kernel is None else names[kernel._unique_id]
            macs[known] = count
    products = [name for name in macs if name not in set(names.values())]
    return {name: (macs[name], masks.get(name)) for name in (*names.values(), *products) if name in macs}


def uncounted(model: keras.Model) -> dict[str, str]:
    """Returns the layers of which `multiplications` leaves something out, with the reason."""
    counted = macs_of_layers(model)
    return {layer.name: reason for _, layer in _leaves(model) if (reason := counted[id(layer)][1])}


def macs_of_layers(model: keras.Model) -> dict[int, tuple[dict[str, int], str | None]]:
    """Counts the multiply-adds of an example's forward pass by layer.

    Returns:
        id of each leaf layer -> its counts by kernel or product, and why some are missing, if they are.
    """
    counted: dict[int, dict[str, int]] = {id(layer): {} for _, layer in _leaves(model)}
    missing: dict[int, str] = {}
    for layer, shapes in _calls(model):
        if shapes is None:
            if any(len(weight.shape) > 1 for weight in layer.weights):
                missing[id(layer)] = "no graph shows how it is called"
            continue
        try:
            own = count_macs(layer, *shapes)
        except MacsUnknown as error:
            missing[id(layer)] = str(error)
            continue
        if own and unfixed(*shapes):
            missing[id(layer)] = "a side that is not fixed counts as 1"
        for name, count in own.items():
            counted[id(layer)][name] = counted[id(layer)].get(name, 0) + count
    return {key: (own, missing.get(key)) for key, own in counted.items()}


def _calls(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, tuple[Any, Any] | None]]:
    """Yields each call of a layer in a model's forward pass: the layer, and the shapes of its inputs and outputs.

    The shapes are None where no graph shows the call, as in subclassed models.
    """
    if not (has_graph(model) and getattr(model, "_nodes_by_depth", None)):
        for layer in model.layers:
            if has_graph(layer):
                yield from _calls(layer)
            else:
                yield _inner(layer), None
        return
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if has_graph(node.layer):
                yield from _calls(node.layer)
            elif not node.is_input:
                shapes = _shapes(node.keras_inputs), _shapes(tf.nest.flatten(node.outputs))
                yield _inner(node.layer), None if None in shapes else shapes


def _shapes(tensors: Sequence[keras.KerasTensor]) -> Any:
    """Returns the shape of a tensor or a list of those of several; None where one is not known at all."""
    if any(tensor.shape.rank is None for tensor in tensors):
        return None
    shapes = [tuple(tensor.shape) for tensor in tensors]
    return shapes[0] if len(shapes) == 1 else shapes


def _inner(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns a layer without its wrapper."""
    return layer.layer if isinstance(layer, Masked) else layer


def get_masks(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the masks of a masked model by kernel name, uint8."""
    return {name: mask.numpy().astype(np.uint8) for name, mask in mask_variables(model).items()}


def set_masks(model: keras.Model, masks: Mapping[str, np.ndarray]) -> None:
    """Puts masks on a masked model: kernels become zero where they are, what the optimizer remembers starts anew."""
    optimizer = getattr(model, "optimizer", None)
    for layer in masked_layers(model):
        if isinstance(layer, InPlaceMasks):
            layer.set(masks, optimizer)
            continue
        for name, kernel, mask in layer.named_vars():
            mask.assign(masks[name].astype(mask.dtype.as_numpy_dtype))
            for variable in (kernel, *slots(optimizer, kernel)):
                variable.assign(variable * tf.cast(mask, variable.dtype))


def get_weights(model: keras.Model) -> list[np.ndarray]:
    """Returns copies of all weights in the order of the layers, as the model without wrappers has them: no masks."""
    return [weight.copy() for layer in model.layers for weight in layer.get_weights()]


def set_weights(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Puts back what `get_weights` returned; what the masks prune stays zero."""
    rest = iter(weights)
    for layer in model.layers:
        # A wrapper's get_weights and set_weights are those of its layer: without masks, steps and thresholds.
        layer.set_weights([next(rest) for _ in layer.get_weights()])
    set_masks(model, get_masks(model))
