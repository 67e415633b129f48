"""tfmot's wrappers around a model's layers, with masks that are ours.

What stock tfmot does inside the graph (count steps, sort every kernel, write the masked kernel back
before each forward pass) is not done here. A `Masked` layer multiplies the gradients of its kernels by
their masks, so that a pruned weight is not pulled anywhere; a constraint multiplies the kernels after
each optimizer step. Together with emptied optimizer slots (see `set_masks`) a pruned weight is zero
whenever anyone can look, under every optimizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.backend import keras, tf, tfmot_wrapper
from tfprune.errors import ModelError, choose_from
from tfprune.layer_traits import MacsUnknown, count_macs, traits_of, unfixed
from tfprune.schedules import PruneAtSteps, no_pruning
from tfprune.scores import Lazily

_PLACES = {"first": 0, "last": -1}
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


class InPlace:
    """Masks of the kernels inside of a layer that no wrapper can reach: an attention, a recurrent cell, a block of
    somebody's own, a subclassed model.

    Their constraints multiply them by the masks after each optimizer step. Their gradients are not masked, so an
    optimizer goes on remembering something of a pruned weight, which stays zero all the same.

    Args:
        layer: the outermost layer.
        kernels: name -> variable.
    """

    def __init__(self, layer: keras.layers.Layer, kernels: Mapping[str, tf.Variable]) -> None:
        self.layer = layer
        self.pruning_schedule: PruneAtSteps | None = None
        self._vars = [
            (name, kernel, tf.Variable(tf.ones(kernel.shape), trainable=False, name=f"{name}_mask"))
            for name, kernel in kernels.items()
        ]
        for _, kernel, mask in self._vars:
            _constrain(kernel, mask)

    def named_vars(self) -> Iterator[tuple[str, tf.Variable, tf.Variable]]:
        """Yields each kernel's name (`"lstm/cell/kernel"`), the kernel and its mask."""
        yield from self._vars


def all_kernels(layer: keras.layers.Layer, path: str = "") -> dict[str, tf.Variable]:
    """Returns the kernels of a layer and of all layers inside of it, by name."""
    path = path or layer.name
    found = {
        f"{path}/{name}": kernel
        for name in kernel_attributes(layer)
        if (kernel := getattr(layer, name, None)) is not None
    }
    for child in layer._flatten_layers(recursive=False, include_self=False):
        name = "cell" if child is getattr(layer, "cell", None) else child.name  # a cell's own name is counted up
        inner = all_kernels(child, f"{path}/{name}")
        found |= {name: own for name, own in inner.items() if not any(own is other for other in found.values())}
    return found


def _constrain(kernel: tf.Variable, mask: tf.Variable) -> None:
    """Masks a kernel after each step, after what it is constrained to otherwise."""
    constraint = _masked_after(kernel.constraint, mask)
    variable = getattr(kernel, "_variable", kernel)  # under mixed precision Keras wraps the real one
    for own in getattr(variable, "values", (variable,)):  # that of each device, where a strategy mirrors it
        own._constraint = constraint


def _masked_after(inner: Callable | None, mask: tf.Variable) -> Callable[[tf.Tensor], tf.Tensor]:
    def constraint(kernel: tf.Tensor) -> tf.Tensor:
        kernel = kernel if inner is None else inner(kernel)
        return kernel * tf.cast(mask, kernel.dtype)

    return constraint


def prunable_names(model: keras.Model, spare: Collection[str] = ()) -> list[str]:
    """Returns the names of the layers that have kernels and are not spared.

    Args:
        model: any model.
        spare: names of layers; `first` and `last` stand for the first and the last one with kernels, `frozen` for all
            that are not trained.

    Raises:
        ModelError: none is left, or `spare` names a layer that is not there or has no kernel.
    """
    names = _kernel_layers(model)
    spare = [own for name in spare for own in (_inside(name, names) or [name])]
    if FROZEN in spare and FROZEN not in names:
        frozen = [name for layer in leaf_layers(model) if not layer.trainable_weights for name in _names_of(layer)]
        spare = [*(name for name in spare if name != FROZEN), *frozen]
    spare = [names[_PLACES[name]] if name in _PLACES and name not in names and names else name for name in spare]
    for name in spare:
        if name not in names:
            raise ModelError(f"spare names {name!r}, which is no prunable layer: {choose_from(name, names)}")
    left = [name for name in names if name not in spare]
    if not left:
        raise ModelError(f"model {model.name} has no layer left to prune")
    return left


def _kernel_layers(model: keras.Model) -> list[str]:
    """Returns the names of all layers with kernels; of those inside of other layers with the names of these."""
    return [name for layer in leaf_layers(model) for name in _names_of(layer)]


def _inside(name: str, names: Sequence[str]) -> list[str]:
    """Returns those of the names that are of layers inside of the layer called `name`."""
    return [other for other in names if other.startswith(f"{name}/")]


def _names_of(layer: keras.layers.Layer) -> list[str]:
    if isinstance(layer, Masked):
        layer = layer.layer
    return list(dict.fromkeys(name.rpartition("/")[0] for name in all_kernels(layer)))


def wrap(model: keras.Model, spare: Collection[str] = ()) -> keras.Model:
    """Returns the model with each layer that has kernels inside a `Masked` wrapper, masks all ones.

    Kernels inside of other layers, which no wrapper can reach, get their masks in place, see `InPlace`.

    Args:
        model: functional or sequential; the result shares its layers and weights.
        spare: names of layers to leave unwrapped, see `prunable_names`.

    Raises:
        ModelError: nothing is left to prune, or `spare` names a layer that is not there.
    """
    names = prunable_names(model, spare)

    def wrap_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        if has_graph(layer):
            return keras.models.clone_model(layer, clone_function=wrap_layer)
        if kernel_attributes(layer):
            return Masked(layer) if layer.name in names else layer
        _mask_in_place(layer, names)
        return layer

    if has_graph(model):
        wrapped = keras.models.clone_model(model, clone_function=wrap_layer)
    else:
        wrapped = mask_in_place(model, spare)
    wrapped.masked_in_place = True  # which `strip` does not hand on, though it shares the layers
    return wrapped


def mask_in_place(model: keras.Model, spare: Collection[str] = ()) -> keras.Model:
    """Gives all kernels of a model masks in place, see `InPlace`; returns the model itself.

    Args:
        model: any model that has weights, subclassed ones too.
        spare: as for `wrap`.
    """
    names = prunable_names(model, spare)
    for layer in leaf_layers(model):
        _mask_in_place(layer, names)
    model.masked_in_place = True
    return model


def _mask_in_place(layer: keras.layers.Layer, names: Collection[str]) -> None:
    chosen = {name: kernel for name, kernel in all_kernels(layer).items() if name.rpartition("/")[0] in names}
    layer.in_place = InPlace(layer, chosen) if chosen else None


def strip(model: keras.Model) -> keras.Model:
    """Returns the model without wrappers; it shares the (masked) weights.

    What was masked in place stays as it is: its kernels go on being zero where they are pruned.
    """

    def unwrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
        if has_graph(layer):
            return keras.models.clone_model(layer, clone_function=unwrapped)
        if not isinstance(layer, Masked):
            return layer
        if hasattr(layer, "_batch_input_shape") and not hasattr(layer.layer, "_batch_input_shape"):
            layer.layer._batch_input_shape = layer._batch_input_shape  # a Sequential's first layer is built by it
        return layer.layer

    if has_graph(model):
        return keras.models.clone_model(model, clone_function=unwrapped)
    model.masked_in_place = False
    return model


def masked_layers(model: keras.Model) -> list[Masked | InPlace]:
    """Returns the wrappers of a model, and the masks in place, in the order of its layers."""
    in_place = getattr(model, "masked_in_place", False)
    found = [
        layer if isinstance(layer, Masked) else getattr(layer, "in_place", None) if in_place else None
        for layer in leaf_layers(model)
    ]
    return [masked for masked in found if masked is not None]


def kernel_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Returns the prunable kernels by name; of a wrapped model those under wrappers, of a plain one all."""
    if masked := masked_layers(model):
        return {name: kernel for layer in masked for name, kernel, _ in layer.named_vars()}
    return {name: kernel for layer in leaf_layers(model) for name, kernel in all_kernels(layer).items()}


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
    counted = _count(model)[0]
    masks = {name: mask for layer in masked_layers(model) for name, _, mask in layer.named_vars()}
    kernels = [name for layer in leaf_layers(model) for name in all_kernels(_inner(layer))]
    ordered = [*(name for name in kernels if name in counted), *(name for name in counted if name not in {*kernels})]
    return {name: (counted[name], masks.get(name)) for name in ordered}


def uncounted(model: keras.Model) -> dict[str, str]:
    """Returns the layers of which `multiplications` leaves something out, with the reason."""
    return _count(model)[1]


def _count(model: keras.Model) -> tuple[dict[str, int], dict[str, str]]:
    """Returns the multiply-adds by kernel, and the layers of which some are missing, with the reason."""
    counted: dict[str, int] = {}
    missing: dict[str, str] = {}
    for layer, shapes in _calls(model):
        if shapes is None:
            if any(len(weight.shape) > 1 for weight in layer.weights):
                missing[layer.name] = "no graph shows how it is called"
            continue
        try:
            own = count_macs(layer, *shapes)
        except MacsUnknown as error:
            missing[layer.name] = str(error)
            continue
        if own and unfixed(*shapes):
            missing[layer.name] = "a side that is not fixed counts as 1"
        for name, count in own.items():
            counted[f"{layer.name}/{name}"] = counted.get(f"{layer.name}/{name}", 0) + count
    return counted, missing


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
    """Returns the masks of a wrapped model by kernel name, uint8."""
    return {
        name: mask.numpy().astype(np.uint8) for layer in masked_layers(model) for name, _, mask in layer.named_vars()
    }


def set_masks(model: keras.Model, masks: Mapping[str, np.ndarray]) -> None:
    """Puts masks on a wrapped model: kernels become zero where they are, and so do the optimizer's slots."""
    for layer in masked_layers(model):
        for name, kernel, mask in layer.named_vars():
            mask.assign(masks[name].astype(mask.dtype.as_numpy_dtype))
            for variable in (kernel, *slots(getattr(model, "optimizer", None), kernel)):
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


def slots(optimizer: keras.optimizers.Optimizer | None, variable: tf.Variable) -> list[tf.Variable]:
    """Returns what an optimizer remembers weight by weight of a variable (momentum, squared gradients...)."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # under loss scaling
    index = getattr(optimizer, "_index_dict", {}).get(optimizer._var_key(variable)) if optimizer else None
    if index is None:
        return []
    lists = [value for value in vars(optimizer).values() if isinstance(value, (list, tuple))]
    per_variable = [values for values in lists if len(values) == len(optimizer._index_dict)]
    found = [values[index] for values in per_variable if hasattr(values[index], "assign")]
    return [slot for slot in found if slot.shape == variable.shape]
