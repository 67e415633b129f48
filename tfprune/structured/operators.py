"""What TensorFlow's functions and operators make of the channels of their inputs, see `channels`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras
from tfprune.structured.tracing import Call, Fixed, Labels, Trace

ELEMENTWISE = frozenset(  # of any number of tensors, by the last part of their names
    "add multiply subtract truediv divide div divide_no_nan multiply_no_nan maximum minimum pow squared_difference neg "
    "negative abs square sqrt rsqrt exp expm1 log log1p sin cos sign floor round ceil erf reciprocal identity cast "
    "stop_gradient clip_by_value relu relu6 leaky_relu elu selu gelu silu swish sigmoid hard_sigmoid tanh softplus "
    "softsign mish hard_silu radd rmul rsub rtruediv sub mul where greater greater_equal less less_equal equal "
    "not_equal gt ge lt le logical_and logical_or logical_not".split()
)
REDUCTIONS = frozenset("reduce_mean reduce_sum reduce_max reduce_min reduce_prod reduce_std reduce_variance".split())
CALLS = {  # names of the arguments of what is followed
    "reshape": ("tensor", "shape"),
    "concat": ("values", "axis"),
    "expand_dims": ("input", "axis"),
    "softmax": ("logits", "axis"),
    "log_softmax": ("logits", "axis"),
} | dict.fromkeys(REDUCTIONS, ("input_tensor", "axis"))


def operated(trace: Trace, call: Call) -> Labels | None:
    """Returns the labels of what an operator gives; None if it may mix channels."""
    name = str(getattr(call.layer, "symbol", None)).rpartition(".")[2]
    if name in ELEMENTWISE:
        return _broadcast(trace, call)
    rule = _RULES.get("reduce" if name in REDUCTIONS else name)
    return None if rule is None else rule(trace, call, _arguments(call, CALLS[name]))


def _arguments(call: Call, names: tuple[str, ...]) -> dict[str, tuple[str | int, Any]]:
    """Returns name -> where an argument stands in the call, and what it is."""
    found: dict[str, tuple[str | int, Any]] = {
        names[place]: (place, own) for place, own in enumerate(call.node.call_args[:2])
    }
    return found | {name: (name, own) for name, own in call.node.call_kwargs.items()}


def _broadcast(trace: Trace, call: Call) -> Labels | None:
    """Combines tensors and constants element by element; of the constants go those of the channels that go."""
    labels = trace.stretch(call.inputs)
    arguments = [*enumerate(call.node.call_args), *call.node.call_kwargs.items()]
    for key, value in arguments if labels is not None else ():
        if (
            _is_tensor(value)
            or value is None
            or isinstance(value, (str, bool, int, float))
            or hasattr(value, "as_numpy_dtype")
        ):
            continue
        try:
            constant = np.asarray(value)
        except (TypeError, ValueError):  # tensors among numbers
            return None
        if constant.dtype.kind not in "iufb" or constant.shape[-1:] not in ((), (1,), (len(labels),)):
            return None
        if constant.shape[-1:] not in ((), (1,)):
            trace.arguments.setdefault(id(call.node), []).append(Fixed(key, labels, sliced=True))
    return labels


def _is_tensor(value: Any) -> bool:
    return bool(keras.backend.is_keras_tensor(value)) if hasattr(value, "_keras_history") else False


def _reduce(trace: Trace, call: Call, given: dict[str, tuple[str | int, Any]]) -> Labels | None:
    axis, rank = given.get("axis", (1, None))[1], len(call.shapes[0])
    if axis is None or len(call.inputs) != 1 or any(_is_tensor(own) for own in np.ravel(axis)):
        return None
    return call.inputs[0] if rank - 1 not in {int(own) % rank for own in np.ravel(axis)} else None


def _concat(trace: Trace, call: Call, given: dict[str, tuple[str | int, Any]]) -> Labels | None:
    axis, rank = given["axis"][1], len(call.shapes[0])
    values = given["values"][1]
    if not isinstance(axis, int) or len(values) != len(call.inputs):
        return None
    return np.concatenate(call.inputs) if axis % rank == rank - 1 else trace.stretch(call.inputs)


def _reshape(trace: Trace, call: Call, given: dict[str, tuple[str | int, Any]]) -> Labels | None:
    key, shape = given["shape"]
    if len(call.inputs) != 1:
        return None
    labels = trace.reshaped(call.inputs[0], call.shapes[0], call.outputs[0])
    if labels is not None and int(np.asarray(shape)[-1]) != -1:
        trace.arguments.setdefault(id(call.node), []).append(Fixed(key, labels, place=-1))
    return labels


def _expand(trace: Trace, call: Call, given: dict[str, tuple[str | int, Any]]) -> Labels | None:
    axis, rank = given["axis"][1], len(call.outputs[0])
    return call.inputs[0] if isinstance(axis, int) and axis % rank != rank - 1 else None


def _soft(trace: Trace, call: Call, given: dict[str, tuple[str | int, Any]]) -> Labels | None:
    axis, rank = given.get("axis", (1, -1))[1], len(call.shapes[0])
    if axis is None or axis % rank == rank - 1:
        trace.protect(call.inputs[0], f"{call.layer.name} mixes them")
    return call.inputs[0]


_RULES: dict[str, Callable[[Trace, Call, dict[str, tuple[str | int, Any]]], Labels | None]] = {
    "reduce": _reduce,
    "concat": _concat,
    "reshape": _reshape,
    "expand_dims": _expand,
    "softmax": _soft,
    "log_softmax": _soft,
}
