"""What pruning needs to know of a kind of layer, in one table: a new kind of layer is one entry of `TRAITS`.

The table goes by names, so that nothing here imports a framework.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Shape = Any  # of a call's input or output: a tuple with the batch first (None: not fixed), or several of them in a list
CountMacs = Callable[[Any, Shape, Shape], Mapping[str, int]]
_INHERITED = ("kernels", "width", "macs", "rate", "momentum")
OWN_FRAMEWORKS = ("tf_keras", "keras")  # their layers stand in the table under their bare names


class MacsUnknown(ValueError):
    """The multiply-adds of a layer cannot be counted; the message says why."""


def no_macs(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Counts nothing: lookups, additions, and factors per channel or per element cost no multiply-add here."""
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerTraits:
    """What is known of a kind of layer.

    Attributes:
        kernels: names of the attributes that hold kernels, the weights that can be pruned.
        width: the setting that says how many channels its output has; None if it has none of its own.
        channels: the rule by which channels pass through it, a name of `table.RULES`; None if it may mix them, so
            that none of those that it touches can be removed.
        zero: when its output is zero, activation aside: `weights`, if all its weights are; `inputs`, if its inputs are;
            None if neither can be relied on.
        macs: counts the multiply-adds of one example in one call: (layer, input shape, output shape) -> name below the
            layer (`kernel`, `cell/kernel`, or that of a product without a kernel, `scores`) -> multiply-adds. Raises
            `MacsUnknown`.
        fusable: whether the loop that trains many epochs per call takes it: it draws nothing at random, and XLA does
            not make it slower on a CPU, as it does convolutions.
        stackable: whether several networks with it can be trained as one model, see `stacking`.
        noise: whether it draws at random in training and does nothing otherwise, as dropout.
        rate: the attribute that says how much of it drops out; None if nothing does. None drops out where it is zero.
        momentum: the attribute that says how slowly statistics that are taken in training move; None if it takes none.
        nonlinear: whether it bends or shifts its inputs by no weight that is added: a linear copy leaves it out.
        takes_constants: whether an input that is always the same can go into its bias.
    """

    kernels: tuple[str, ...] = ()
    width: str | None = None
    channels: str | None = None
    zero: str | None = None
    macs: CountMacs = no_macs
    fusable: bool = False
    stackable: bool = False
    noise: bool = False
    rate: str | None = None
    momentum: str | None = None
    nonlinear: bool = False
    takes_constants: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActivationTraits:
    """What is known of an activation that works element by element.

    Attributes:
        zero: whether it is zero at zero.
        stackable: whether several networks with it can be trained as one model.
    """

    zero: bool = False
    stackable: bool = False


def traits_of(layer: Any) -> LayerTraits:
    """Returns what is known of a layer; of an unknown kind that nothing can be done with it.

    What is derived from a known layer has its kernels, its width, its multiply-adds, its rate of dropout and its
    statistics; whatever else it does, nobody knows.
    """
    kind = known_kind(layer)
    if kind is None:
        return LayerTraits(macs=_unknown)
    known = _entry(kind)
    if kind is type(layer):
        return known
    return LayerTraits(**{name: getattr(known, name) for name in _INHERITED})


def known_kind(layer: Any) -> type | None:
    """Returns the class of a layer, or the nearest that it is derived from, that is in the table; None if none is."""
    return next((own for own in type(layer).__mro__ if _entry(own) is not None), None)


def activation_traits(activation: Any) -> ActivationTraits | None:
    """Returns what is known of an activation (None is linear); None if it may not work element by element."""
    if activation is None:
        return ACTIVATIONS["linear"]
    package, *modules = str(getattr(activation, "__module__", "")).split(".")
    if package not in OWN_FRAMEWORKS or "activations" not in modules:
        return None
    return ACTIVATIONS.get(getattr(activation, "__name__", ""))


def count_macs(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Returns the multiply-adds of one example in one call of a layer, see `LayerTraits.macs`.

    Sides that are not fixed count as 1.

    Raises:
        MacsUnknown: they cannot be counted.
    """
    traits = traits_of(layer)
    if (traits.kernels or traits.macs is no_macs) and _entry(type(layer)) is None:
        known = {id(getattr(layer, name, None)) for name in traits.kernels}
        if any(id(weight) not in known for weight in _matrices(layer)):
            raise MacsUnknown(f"{type(layer).__name__} has weights that nothing is known of")
    return dict(traits.macs(layer, inputs, outputs))


def has_dynamic_shape(*shapes: Shape) -> bool:
    """Returns whether a side of these shapes, other than the batch, is not fixed."""
    return any(side is None for shape in shapes for one in _each(shape) for side in one[1:])


def _entry(kind: type) -> LayerTraits | None:
    """Returns what stands in the table of a class itself: under its package's name, else both Keras' share one."""
    package = kind.__module__.partition(".")[0]
    shared = TRAITS.get(kind.__name__) if package in OWN_FRAMEWORKS else None
    return TRAITS.get(f"{package}.{kind.__name__}", shared)


def _each(shape: Shape) -> list[tuple[int | None, ...]]:
    """Returns several shapes, or the only one, as a list."""
    return shape if isinstance(shape, list) else [shape]


def _product(sides: Sequence[int | None]) -> int:
    return math.prod(side or 1 for side in sides)


def _matrices(layer: Any) -> list[Any]:
    """Returns the weights of a layer that something may be multiplied with by more than one number per channel."""
    return [weight for weight in layer.weights if len(getattr(weight, "shape", ())) > 1]  # a vocabulary has no shape


def _size(weight: Any) -> int:
    return math.prod(int(side) for side in weight.shape)


def _pixels(layer: Any, shape: Shape) -> int:
    first = getattr(layer, "data_format", None) == "channels_first"
    return _product(shape[2:] if first else shape[1:-1])


def _per_output(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Each weight is used once per position of the output: of a convolution its pixels, padding included."""
    return {name: _pixels(layer, outputs) * _size(getattr(layer, name)) for name in traits_of(layer).kernels}


def _per_input(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Each weight is used once per pixel of the input."""
    return {name: _pixels(layer, inputs) * _size(getattr(layer, name)) for name in traits_of(layer).kernels}


def _once(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    return {name: _size(getattr(layer, name)) for name in traits_of(layer).kernels}


def _once_per_network(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Counts those of one network of a stack, which lie on the kernel's last axis."""
    return {"kernel": _size(layer.kernel) // int(layer.kernel.shape[-1])}


def _einsum(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Each weight is used once for each value of the input's indices that the kernel does not have."""
    left, _, _ = layer.equation.replace(" ", "").partition("->")
    of_input, of_kernel = left.split(",")
    before, dots, after = of_input.partition("...")
    named = [*before, *[""] * (len(inputs) - len(before) - len(after) if dots else 0), *after]
    free = [side for index, side in zip(named[1:], inputs[1:], strict=True) if not index or index not in of_kernel]
    return {"kernel": _product(free) * _size(layer.kernel)}


def _recurrent(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """The cell is called once per time step."""
    first = _each(inputs)[0]  # the others are initial states
    steps, rest = (first[0], first[1:]) if getattr(layer, "time_major", False) else (first[1], first[2:])
    return _below("cell", count_macs(layer.cell, (None, *rest), None), times=steps or 1)


def _cells(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    counted: dict[str, int] = {}
    for cell in layer.cells:
        counted |= _below(cell.name, count_macs(cell, inputs, None))
        size = cell.output_size if getattr(cell, "output_size", None) is not None else cell.state_size
        inputs = (None, size)
    return counted


def _convolutional_cell(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Both kernels are used once per pixel of the state, which has the size of the output."""
    first = layer.data_format == "channels_first"
    sides = inputs[2:] if first else inputs[1:-1]
    settings = zip(sides, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    pixels = _product([_convolved(*own, padding=layer.padding) for own in settings])
    return {name: pixels * _size(getattr(layer, name)) for name in ("kernel", "recurrent_kernel")}


def _convolved(side: int | None, kernel: int, stride: int, dilation: int, *, padding: str) -> int | None:
    if side is None:
        return None
    return -(-side // stride) if padding == "same" else -(-(side - (kernel - 1) * dilation) // stride)


def _both_directions(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    ways = (layer.forward_layer, layer.backward_layer)
    return {name: n for way in ways for name, n in _below(way.name, count_macs(way, inputs, None)).items()}


def _each_step(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    (first, *_), (result, *_) = _each(inputs), _each(outputs)
    counted = count_macs(layer.layer, (first[0], *first[2:]), (result[0], *result[2:]))
    return _below(layer.layer.name, counted, times=first[1] or 1)


def _multi_head(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """The four projections once per position, and for each pair of positions one product for its score and one for
    what it hands on, per head."""
    query, value, key = (tuple(own) for own in (layer._query_shape, layer._value_shape, layer._key_shape))
    return _heads(layer, query, value, key)


def _called_multi_head(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Those of Keras 3 note no shapes; the inputs are query, value and, if there is one, key, then masks."""
    query, value, *rest = _each(inputs)
    key = rest[0] if rest and len(rest[0]) == len(value) and rest[0][1:-1] == value[1:-1] else value
    return _heads(layer, query, value, key)


def _grouped(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """Several heads of the queries share one of the keys and values, whose projections are smaller for that."""
    query, value = _each(inputs)[:2]
    read = [(layer._query_dense, query), (layer._value_dense, value), (layer._key_dense, value)]
    return _projected(layer, read, layer.num_query_heads, layer.head_dim, layer.head_dim, (value[1],))


def _heads(layer: Any, query: Shape, value: Shape, key: Shape) -> dict[str, int]:
    read = [(layer._query_dense, query), (layer._value_dense, value), (layer._key_dense, key)]
    attended = [value[axis] for axis in layer._attention_axes]
    return _projected(layer, read, layer._num_heads, layer._key_dim, layer._value_dim, attended)


def _projected(
    layer: Any,
    read: Sequence[tuple[Any, Shape]],
    heads: int,
    key_dim: int,
    value_dim: int,
    attended: Sequence[int | None],
) -> dict[str, int]:
    (_, query), *_ = read
    written = (*query[:-1], heads, value_dim)
    if getattr(layer, "_gate_dense", None) is not None:  # Keras 3: factors for each number that is written
        read = [*read, (layer._gate_dense, query)]
    counted: dict[str, int] = {}
    for projection, shape in (*read, (layer._output_dense, written)):
        counted |= _below(projection.name, count_macs(projection, shape, None))
    pairs = heads * _product(query[1:-1]) * _product(attended)
    return counted | {"scores": pairs * key_dim, "mixture": pairs * value_dim}


def _attention(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """For each pair of positions one product (of additive attention a sum) for its score, one for what it hands on."""
    query, value = _each(inputs)[:2]
    pairs = _product(query[1:-1]) * (value[-2] or 1)
    return {"scores": pairs * (query[-1] or 1), "mixture": pairs * (value[-1] or 1)}


def _dot(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    one, other = _each(inputs)
    axes = (layer.axes,) * 2 if isinstance(layer.axes, int) else layer.axes
    summed = axes[1] % len(other)
    rest = [side for axis, side in enumerate(other) if axis not in (0, summed)]
    return {"product": _product(one[1:]) * _product(rest)}


def _operator(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    """TensorFlow's functions, of which those that multiply matrices or convolve are not counted."""
    symbol = str(getattr(layer, "symbol", ""))
    if any(word in symbol for word in ("matmul", "einsum", "dot", "matvec", "conv", "xw_plus_b")):
        raise MacsUnknown(f"tf.{symbol} is not counted")
    return {}


def _unknown(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    if (
        _matrices(layer) or type(layer).__module__.partition(".")[0] not in OWN_FRAMEWORKS
    ):  # which may multiply its inputs
        raise MacsUnknown(f"nothing is known of {type(layer).__name__}")
    return {}


def _uncounted(layer: Any, inputs: Shape, outputs: Shape) -> dict[str, int]:
    raise MacsUnknown(f"those of {type(layer).__name__} are not counted")


def _below(name: str, counted: Mapping[str, int], *, times: int = 1) -> dict[str, int]:
    return {f"{name}/{own}": times * count for own, count in counted.items()}


def _entries(names: str, **traits: Any) -> dict[str, LayerTraits]:
    return dict.fromkeys(names.split(), LayerTraits(**traits))


def _ranks(names: str) -> str:
    return " ".join(f"{name}{rank}D" for name in names.split() for rank in (1, 2, 3))


ACTIVATIONS: dict[str, ActivationTraits] = {
    **dict.fromkeys(
        ("linear", "relu", "elu", "selu", "gelu", "swish", "tanh", "softsign"),
        ActivationTraits(zero=True, stackable=True),
    ),
    **dict.fromkeys(("mish", "silu", "relu6", "leaky_relu", "hard_silu", "celu"), ActivationTraits(zero=True)),
    **dict.fromkeys(("sigmoid", "softplus"), ActivationTraits(stackable=True)),
    **dict.fromkeys(("hard_sigmoid", "exponential"), ActivationTraits()),
}
_KERNEL = {"kernels": ("kernel",)}
_CONVOLUTION = _KERNEL | {"width": "filters", "zero": "weights"}
_CELL = {"kernels": ("kernel", "recurrent_kernel"), "width": "units"}
TRAITS: dict[str, LayerTraits] = {  # name of a class, `package.Class` where it is not of both Keras 2 and 3
    **_entries("InputLayer", fusable=True, stackable=True),
    # Layers with kernels.
    **_entries(
        "Dense", **_KERNEL, width="units", channels="dense", zero="weights", macs=_per_output, fusable=True,
        stackable=True, takes_constants=True,
    ),
    **_entries(_ranks("Conv"), **_CONVOLUTION, channels="convolved", macs=_per_output, takes_constants=True),
    **_entries(
        "Conv1DTranspose Conv2DTranspose Conv3DTranspose", **_CONVOLUTION, channels="transposed", macs=_per_input,
    ),
    **_entries(
        "DepthwiseConv1D DepthwiseConv2D", kernels=("depthwise_kernel",), channels="depthwise", zero="weights",
        macs=_per_output,
    ),
    **_entries(
        "keras.DepthwiseConv1D keras.DepthwiseConv2D", **_KERNEL, channels="depthwise", zero="weights",
        macs=_per_output,
    ),
    **_entries(
        "SeparableConv1D SeparableConv2D", kernels=("depthwise_kernel", "pointwise_kernel"), width="filters",
        channels="separable", zero="weights", macs=_per_output,
    ),
    **_entries("LocallyConnected1D LocallyConnected2D", **_KERNEL, width="filters", macs=_once),
    **_entries("EinsumDense", **_KERNEL, channels="einsum", macs=_einsum),
    **_entries("Embedding", kernels=("embeddings",), width="output_dim", channels="embedded"),
    **_entries("tfprune.StackedDense", **_KERNEL, width="units", macs=_once_per_network, fusable=True),
    # Recurrent cells and what calls them.
    **_entries("LSTMCell GRUCell SimpleRNNCell", **_CELL, macs=_once),
    **_entries("ConvLSTMCell", **_CELL | {"width": "filters"}, macs=_convolutional_cell),
    **_entries("StackedRNNCells", macs=_cells),
    **_entries("LSTM GRU SimpleRNN", channels="recurrent", macs=_recurrent),
    **_entries("ConvLSTM1D ConvLSTM2D ConvLSTM3D", channels="convolutional", macs=_recurrent),
    **_entries("RNN", macs=_recurrent),
    **_entries("CuDNNLSTM CuDNNGRU", macs=_uncounted),
    **_entries("Bidirectional", channels="both directions", macs=_both_directions),
    **_entries("TimeDistributed", channels="each step", macs=_each_step),
    # Products of two inputs.
    **_entries("MultiHeadAttention", channels="attention", macs=_multi_head),
    **_entries("keras.MultiHeadAttention", channels="attention", macs=_called_multi_head),
    **_entries("keras.GroupedQueryAttention", channels="grouped attention", macs=_grouped),
    **_entries("Attention", channels="dot attention", macs=_attention),
    **_entries("AdditiveAttention", macs=_attention),
    **_entries("Dot", channels="dot", macs=_dot),
    **_entries("TFOpLambda", channels="operator", macs=_operator),
    **_entries("SlicingOpLambda", channels="operator", macs=_operator),
    **_entries("ClassMethod InstanceMethod InstanceProperty", macs=_operator),
    # Element by element.
    **_entries("Activation", channels="activation", zero="inputs", fusable=True, stackable=True, nonlinear=True),
    **_entries("ReLU LeakyReLU ELU", channels="pass", zero="inputs", fusable=True, stackable=True, nonlinear=True),
    **_entries("ThresholdedReLU", channels="noise", nonlinear=True),
    **_entries("PReLU", channels="sloped", nonlinear=True),
    **_entries("Lambda", channels="function", macs=_uncounted),
    **_entries("Rescaling", channels="rescaled", fusable=True, stackable=True, nonlinear=True),
    **_entries("ActivityRegularization StochasticDepth", channels="pass"),
    **_entries("LayerScale", channels="scaled"),
    **_entries("Dropout SpatialDropout1D SpatialDropout2D", channels="dropped", zero="inputs", noise=True, rate="rate"),
    **_entries("SpatialDropout3D AlphaDropout", channels="dropped", noise=True, rate="rate"),
    **_entries("GaussianDropout", channels="pass", noise=True, rate="rate"),
    **_entries("GaussianNoise", channels="noise", noise=True, rate="stddev"),
    # Normalizations.
    **_entries("BatchNormalization", channels="normalized", zero="weights", momentum="momentum", fusable=True),
    **_entries("SyncBatchNormalization", channels="normalized", momentum="momentum"),
    **_entries("LayerNormalization", channels="layer normalized", zero="weights", fusable=True, nonlinear=True),
    **_entries("keras.RMSNormalization", channels="layer normalized"),
    **_entries("GroupNormalization", channels="group normalized", zero="weights"),
    **_entries("Normalization", channels="adapted", nonlinear=True),
    **_entries("Softmax", channels="mixed", fusable=True, nonlinear=True),
    # Merging, pooling, reshaping.
    **_entries("Add", channels="merged", fusable=True),
    **_entries("Subtract Multiply Average Maximum Minimum", channels="merged"),
    **_entries("Concatenate", channels="concatenated", fusable=True),
    **_entries("Flatten", channels="flattened", fusable=True),
    **_entries("Permute", channels="permuted", fusable=True),
    **_entries("Reshape", channels="reshaped", fusable=True),
    **_entries("RepeatVector", channels="repeated"),
    **_entries(_ranks("MaxPooling AveragePooling ZeroPadding Cropping UpSampling"), channels="spatial"),
    **_entries(_ranks("GlobalMaxPooling GlobalAveragePooling"), channels="pooled"),
}  # fmt: skip
