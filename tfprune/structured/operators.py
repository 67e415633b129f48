"""What functions make of the channels of their inputs: those of TensorFlow and Keras' operations, see `channels`.

They go by names in lower case without `_`, which both libraries share for the most part.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Callable, Iterator

import numpy as np

from tfprune.structured import rearranging
from tfprune.structured.labels import Fixed, Labels
from tfprune.structured.rules import Known, axes_of
from tfprune.structured.tracing import Call, Trace, Traced

_KEEP_ZERO = frozenset(  # of all inputs zero
    "add addv2 subtract sub maximum minimum neg negative abs absolute square sqrt expm1 log1p sin sinh asin asinh tan "
    "atan arctan arcsin floor round ceil erf identity cast stopgradient relu relu6 leakyrelu elu selu gelu silu swish "
    "tanh tanhshrink softsign mish hardsilu hardswish hardtanh radd rsub sign celu sparseplus squareplus softshrink "
    "hardshrink threshold".split()
)
_PRODUCTS = frozenset("multiply mul rmul multiplynonan".split())
ELEMENTWISE = (  # of any number of tensors
    _KEEP_ZERO
    | _PRODUCTS
    | frozenset(
        "truediv truedivide divide div divnonan dividenonan pow power squareddifference rsqrt exp exp2 log log2 log10 "
        "cos cosh reciprocal clipbyvalue clip sigmoid hardsigmoid logsigmoid softplus rtruediv where greater "
        "greaterequal less lessequal equal notequal gt ge lt le logicaland logicalor logicalnot isfinite isnan isinf "
        "floordivide mod logaddexp hypot conj real selectv2 nantonum".split()
    )
)
REDUCTIONS = frozenset(
    "reducemean reducesum reducemax reducemin reduceprod reducestd reducevariance mean sum max min prod std var "
    "logsumexp reducelogsumexp amax amin all any argmax argmin median countnonzero".split()
)
_SEVERAL = frozenset("concat concatv2 concatenate stack matmul einsum dotproductattention".split())
_STILL = frozenset("flip roll pad cumsum cumprod sort argsort tile".split())  # move no entry to another axis


def operated(trace: Trace, call: Call) -> Known:
    """Returns what an operation gives; None if it may mix channels."""
    name = call.graphs.symbol(call.layer)
    if name is None:
        return None
    if name in ELEMENTWISE:
        return _broadcast(trace, call, name)
    if name in REDUCTIONS:
        return _reduced(trace, call)
    if len(call.inputs) != 1 and name not in _SEVERAL:
        return None
    if name in _STILL:
        return _still(trace, call)
    rule = _RULES.get(name)
    return None if rule is None else rule(trace, call)


def _broadcast(trace: Trace, call: Call, name: str) -> Known:
    """Combines tensors and constants element by element; of the constants go those of the channels that go."""
    shape = call.outputs[0]
    arrays = any(np.ndim(own.value) for own in call.options.values() if not own.argument)
    if arrays or len(shape) != max(len(own.shape) for own in call.inputs):
        return None
    if name == "where" and len(call.node.args) + len(call.node.kwargs) < 3:  # it gives the places
        return None
    axes = trace.broadcast(call.inputs, shape, call.layer.name)
    constants = list(_constants(call))
    for key, value in constants:
        if value is None:  # tensors among numbers
            return None
        for own, size in enumerate(value.shape):
            axis = own - value.ndim + len(shape)
            if size == 1:
                continue
            if axis not in axes:
                continue
            if size != len(np.atleast_2d(axes[axis])[0]):
                return None
            trace.arguments.setdefault(call.node.key, []).append(Fixed(key, axes[axis], axis=own))
    zeros = [own.zero for own in call.inputs]
    zero = any(zeros) if name in _PRODUCTS else name in _KEEP_ZERO and all(zeros) and not constants
    return Traced(shape, axes, zero)


def _constants(call: Call) -> Iterator[tuple[str | int, np.ndarray | None]]:
    """Yields the arguments of a call that are numbers or arrays; None for what is neither."""
    for key, value in (*enumerate(call.node.args), *call.node.kwargs.items()):
        if call.graphs.is_tensor(value) or value is None or isinstance(value, (str, bool)):
            continue
        if hasattr(value, "as_numpy_dtype") or key in ("dtype", "name", "approximate", "negative_slope", "alpha"):
            continue
        try:
            constant = np.asarray(value)
        except (TypeError, ValueError):
            constant = None
        yield key, constant if constant is not None and constant.dtype.kind in "iufb" else None


def _reduced(trace: Trace, call: Call) -> Known:
    """Sums, means and maxima over axes without channels."""
    if len(call.inputs) != 1:
        return None
    (tensor,), axis = call.inputs, call.value("axis")
    axes = None if axis is None else rearranging.whole_numbers(axis)
    if axes is None:
        return None if tensor.axes else Traced(call.outputs[0])
    gone = axes_of(axes, len(tensor.shape))
    if any(own in tensor.axes for own in gone):
        return None
    if len(call.outputs[0]) == len(tensor.shape):
        return Traced(call.outputs[0], tensor.axes)
    left = [own for own in range(len(tensor.shape)) if own not in gone]
    return Traced(call.outputs[0], {left.index(own): labels for own, labels in tensor.axes.items()})


def _still(trace: Trace, call: Call) -> Known:
    """What changes the places on some axes: those must have no channels."""
    if len(call.inputs) != 1:
        return None
    (tensor,), name = call.inputs, call.graphs.symbol(call.layer)
    if name in ("pad", "tile"):
        amounts = call.value("pad_width", "paddings", "repeats", "multiples")
        try:
            amounts = np.asarray(amounts, int)
        except (TypeError, ValueError):
            return None
        rank = len(tensor.shape)
        if amounts.ndim == 0 or len(amounts) != rank:
            return None
        changed = [axis for axis in range(rank) if (amounts[axis] != (1 if name == "tile" else 0)).any()]
    else:
        axis = call.value("axis")
        changed = None if axis is None else rearranging.whole_numbers(axis)
        if changed is None:
            return None
        changed = axes_of(changed, len(tensor.shape))
    return None if any(axis in tensor.axes for axis in changed) else Traced(call.outputs[0], tensor.axes)


def _softmax(trace: Trace, call: Call) -> Known:
    if len(call.inputs) != 1:
        return None
    (tensor,), axes = call.inputs, rearranging.whole_numbers(call.value("axis", default=-1))
    axes = axes_of([-1] if axes is None else axes, len(tensor.shape))
    for axis in axes:
        if axis in tensor.axes:
            trace.protect(tensor.axes[axis], f"{call.layer.name} mixes them")
    return Traced(call.outputs[0], tensor.axes)


def _matmul(trace: Trace, call: Call) -> Known:
    if len(call.inputs) != 2 or any(len(own.shape) < 2 for own in call.inputs):
        return None
    swapped = [bool(call.value(f"transpose_{own}")) or bool(call.value(f"adjoint_{own}")) for own in "ab"]
    letters = []
    batch = "ABCDEFGH"[: max(len(own.shape) for own in call.inputs) - 2]
    for tensor, pair, swap in zip(call.inputs, ("mk", "kn"), swapped, strict=True):
        letters.append(batch[len(batch) - len(tensor.shape) + 2 :] + (pair[::-1] if swap else pair))
    return _contracted(trace, call, letters, f"{batch}mn")


def _einsum(trace: Trace, call: Call) -> Known:
    equation = call.value("equation", "subscripts")
    if not isinstance(equation, str) or "." in equation or "->" not in equation:
        return None
    left, _, given = equation.replace(" ", "").partition("->")
    letters = left.split(",")
    fits = len(letters) == len(call.inputs) and all(
        len(own) == len(tensor.shape) and len(set(own)) == len(own)
        for own, tensor in zip(letters, call.inputs, strict=True)
    )
    return _contracted(trace, call, letters, given) if fits else None


def dotted(trace: Trace, call: Call) -> Known:
    """Dot: one axis of each of two tensors is multiplied and summed."""
    if len(call.inputs) != 2 or call.layer.normalize:
        return None
    ranks = [len(own.shape) for own in call.inputs]
    pair = (call.layer.axes,) * 2 if isinstance(call.layer.axes, int) else tuple(call.layer.axes)
    axes = [axis % rank for axis, rank in zip(pair, ranks, strict=True)]
    letters = list(string.ascii_letters)
    one, other = ([letters[0], *(letters.pop() for _ in range(rank - 1))] for rank in ranks)
    if 0 in axes:
        return None
    other[axes[1]] = shared = one[axes[0]]
    given = "".join(letter for letter in one + other[1:] if letter != shared)
    return _contracted(trace, call, ["".join(one), "".join(other)], given)


def attended(trace: Trace, call: Call) -> Known:
    """Attention: products of queries and keys say how much of each value is taken."""
    given = call.node.args[0] if call.node.args else ()
    if len(call.outputs) != 1 or not 2 <= len(call.inputs) == len(given) or call.layer.score_mode != "dot":
        return None
    query, value, key = (*call.inputs, call.inputs[1])[:3]
    for tensor in (query, value, key):
        for labels in tensor.others().values():
            trace.protect(labels, f"{call.layer.name} ({type(call.layer).__name__}) mixes them")
    scored = [Traced((None, own.shape[-1]), {1: own.last}, own.zero) for own in (query, key) if own.last is not None]
    if len(scored) == 2:
        _contracted(trace, dataclasses.replace(call, inputs=scored), ["ab", "ab"], "a")
    else:
        trace.protect_all(scored, f"{call.layer.name} combines them with what cannot go")
    rank = len(value.shape)
    return Traced(call.outputs[0], {} if value.last is None else {rank - 1: value.last}, value.zero)


def _contracted(trace: Trace, call: Call, letters: list[str], given: str) -> Known:
    """Ties what is multiplied and summed; what is on one side alone is handed on."""
    axes: dict[int, Labels] = {}
    for letter in dict.fromkeys(itertools.chain.from_iterable(letters)):
        held = [
            (tensor, tensor.axes.get(own.index(letter)), tensor.shape[own.index(letter)])
            for own, tensor in zip(letters, call.inputs, strict=True)
            if letter in own
        ]
        sides = [own for own in held if own[2] != 1] or held
        known = [labels for _, labels, _ in sides if labels is not None]
        if not known:
            continue
        labels = trace.merge(known)
        if len(known) < len(sides):
            trace.protect(labels, f"{call.layer.name} combines them with what cannot go")
        if letter in given:
            axes[given.index(letter)] = labels
        elif len(held) == 1:
            return None  # they are summed
        else:
            trace.read(labels)
            if not any(tensor.zero for tensor, _, _ in held):
                trace.disturb(labels, f"{call.layer.name} multiplies what is not zero where its weights are")
    return Traced(call.outputs[0], axes, any(own.zero for own in call.inputs))


def _repeated(trace: Trace, call: Call) -> Known:
    """Puts each entry of an axis there several times."""
    (tensor,), repeats, axis = call.inputs, call.value("repeats"), call.value("axis")
    if not isinstance(repeats, int) or not isinstance(axis, int):
        return None
    (axis,) = axes_of(axis, len(tensor.shape))
    axes = {own: np.repeat(lab, repeats, axis=-1) if own == axis else lab for own, lab in tensor.axes.items()}
    return Traced(call.outputs[0], axes, tensor.zero)


def _attention(trace: Trace, call: Call) -> Known:
    """Ties heads, and places of queries and keys, which the scores are divided by the root of, where that is not given.

    Biases and masks are (batch, heads, queries, keys).
    """
    tensors = [call.value(name) for name in ("query", "key", "value")]
    known = [next((own for given, own in zip(call.node.inputs, call.inputs, strict=True) if given is tensor), None)
             for tensor in tensors]  # fmt: skip
    if any(own is None or len(own.shape) != 4 or own.axes.keys() - {2, 3} for own in known):
        return None
    scores = [own for own in call.inputs if not any(own is tensor for tensor in known)]
    heads = [own.axes.get(2) for own in known]
    sizes = [own.axes.get(3) for own in known]
    if len({own.shape[2] for own in known}) > 1 or any(len(own.shape) != 4 for own in scores):
        return None
    trace.protect_all(scores, f"{call.layer.name} adds them to scores, or masks these")
    if len({own.shape[3] for own in known}) == 1 and call.graphs.equal_attention:
        sizes = [sizes, sizes, sizes]
    else:
        sizes = [sizes[:2], sizes[:2], sizes[2:]]
    fixed = "the heads of another tensor stay" if any(own.shape[1] != 1 for own in scores) else None
    axes = {}
    for axis, several in ((2, [heads] * 3), (3, sizes)):
        for place, own in enumerate(several):
            labels = [one for one in own if one is not None]
            if labels:
                merged = trace.merge(labels)
                trace.read(merged)
                if len(labels) < len(own) or (axis == 2 and fixed):
                    trace.protect(merged, fixed or f"{call.layer.name} combines them with what cannot go")
                if place == 2:
                    axes[axis] = merged
                elif axis == 3 and call.value("scale") is None:
                    trace.protect(merged, f"{call.layer.name} divides its scores by the root of their number")
    return Traced(call.outputs[0], axes, known[2].zero)


def _same(trace: Trace, call: Call) -> Known:
    (tensor,) = call.inputs
    return Traced(call.outputs[0], tensor.axes, tensor.zero)


_RULES: dict[str, Callable[[Trace, Call], Known]] = {
    "reshape": rearranging.reshape,
    "concat": rearranging.join_along,
    "concatv2": rearranging.join_along,
    "concatenate": rearranging.join_along,
    "stack": rearranging.stack_up,
    "unstack": rearranging.take_apart,
    "split": rearranging.split_up,
    "expanddims": rearranging.add_axes,
    "squeeze": rearranging.drop_single,
    "transpose": rearranging.transpose,
    "swapaxes": rearranging.swap_axes,
    "moveaxis": rearranging.move_axes,
    "softmax": _softmax,
    "softmaxv2": _softmax,
    "logsoftmax": _softmax,
    "logsoftmaxv2": _softmax,
    "getitem": rearranging.index,
    "take": rearranging.take,
    "gather": rearranging.take,
    "gatherv2": rearranging.take,
    "matmul": _matmul,
    "einsum": _einsum,
    "dotproductattention": _attention,
    "repeat": _repeated,
    "copy": _same,
    "array": _same,
}
