"""Whether a layer that nothing is known of has channels of its own, or normalizes those of its input: see `probing`.

It reads channels of its input if the layer built for fewer, with the weights of these, answers as the whole one does
where the others are zero. It makes channels if one of its settings says how many: the layer built with a smaller one
answers with some. It normalizes if it treats all channels alike and what is a multiple of something as that.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.adapters.changed import without_shapes
from tfprune.adapters.graphs import Graphs, Shape
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.labels import Fixed
from tfprune.structured.probing import LARGEST, PLACES, Channelwise, candidates, makes_masks, narrower
from tfprune.structured.tracing import Call, Trace, Traced

_KNOWN: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()  # layer -> call -> what was found


class _Tried:
    """A copy of a layer with weights at random, and what it makes of something.

    Raises:
        Exception: whatever the layer does.
    """

    def __init__(self, graphs: Graphs, layer: Any, shape: Shape, whole: bool, given: Mapping[str, Any]) -> None:
        self.graphs, self.layer = graphs, layer
        self.given = dict(given) | {"training": False} if "training" in given else dict(given)
        self.random = np.random.default_rng(0)
        sides = (2, *(PLACES if side is None else min(side, LARGEST) for side in shape[1:-1]), shape[-1] or PLACES)
        self.x: np.ndarray = self.random.integers(0, 2, sides) if whole else self._numbers(sides)
        self.config = without_shapes(copy.deepcopy(layer.get_config()))
        self.copy = graphs.layer_again(layer, copy.deepcopy(self.config))
        self.call(self.copy, self.x)  # makes its weights
        self.weights = [self._numbers(tuple(own.shape)) for own in self.copy.weights]
        if [own.shape for own in self.weights] != [tuple(own.shape) for own in layer.weights]:
            raise ValueError("it has other weights when it is made again")
        self.assign(self.copy, self.weights)
        self.answer = self.call(self.copy, self.x)

    def _numbers(self, sides: tuple[int, ...]) -> np.ndarray:
        return (self.random.uniform(0.2, 1.0, sides) * self.random.choice([-1, 1], sides)).astype(np.float32)

    def call(self, layer: Any, x: np.ndarray) -> np.ndarray:
        found = self.graphs.call(layer, x, **self.given)
        if not isinstance(found, np.ndarray):
            raise ValueError("it gives several tensors")
        return found

    def assign(self, layer: Any, weights: list[np.ndarray]) -> None:
        for variable, values in zip(layer.weights, weights, strict=True):
            self.graphs.assign(variable, values)

    def kept(self, count: int) -> np.ndarray:
        """Returns which of so many channels stay in a narrower one."""
        return np.sort(self.random.permutation(count)[: max(1, count - max(1, count // 3))])

    def narrow(self, settings: tuple[tuple[str, int | None], ...], x: np.ndarray, count: int, kept: np.ndarray) -> Any:
        """Returns the layer with other settings, with those weights that it would have, and their axes; or None."""
        layer = narrower(self.graphs, self.layer, self.config, settings, len(kept))
        if layer is None:
            return None
        try:
            self.call(layer, x)  # makes its weights
        except Exception:  # it is somebody else's, and another setting is needed
            return None
        axes: dict[int, int] = {}
        weights = []
        for number, (values, variable) in enumerate(zip(self.weights, layer.weights, strict=True)):
            differing = [axis for axis, side in enumerate(variable.shape) if side != values.shape[axis]]
            if len(differing) > 1 or any(
                (values.shape[axis], variable.shape[axis]) != (count, len(kept)) for axis in differing
            ):
                return None
            if differing:
                axes[number] = differing[0]
                values = values.take(kept, differing[0])
            weights.append(values)
        self.assign(layer, weights)
        return layer, axes

    def with_zeros(self, axes: Mapping[int, int], kept: np.ndarray) -> np.ndarray:
        """Returns what the whole layer answers where its weights are zero for channels that go."""
        weights = [own.copy() for own in self.weights]
        for number, axis in axes.items():
            places = np.moveaxis(weights[number], axis, 0)
            places[np.setdiff1d(np.arange(len(places)), kept)] = 0
        self.assign(self.copy, weights)
        found = self.call(self.copy, self.x)
        self.assign(self.copy, self.weights)
        return found


def normalizing(trace: Trace, call: Call) -> Traced | None:
    """Returns what a layer makes of its input if it takes statistics over its channels, of which any can go."""
    shape = call.outputs[0]
    if not _is_plain(call) or call.inputs[0].shape != shape or call.inputs[0].others() or (shape[-1] or 0) < 2:
        return None
    labels = call.inputs[0].last
    if labels is None:
        return None
    found, zero = _known(call, "normalizing", _normalizes)
    if found is None:
        return None
    for number, axis in found.axes.items():
        trace.index(call.layer.weights[number], axis, labels)
    for name, place in found.settings:
        trace.fix(call, Fixed(name, labels, place=place))
    what = f"{call.layer.name} ({type(call.layer).__name__})"
    trace.disturb(labels, f"{what} takes its statistics over them")
    trace.keep_two(labels, what)
    return Traced(shape, {len(shape) - 1: labels}, zero)


def normalizes(graphs: Graphs, layer: Any, shape: Shape) -> bool:
    """Returns whether a layer without kernels takes statistics over the channels of an input of a shape."""
    if graphs.kernels_of(layer) or makes_masks(layer) or not shape or (shape[-1] or 0) < 2:
        return False
    try:
        return _normalizes(_Tried(graphs, layer, shape, False, {}))[0] is not None
    except Exception:  # it is somebody else's, and tried on what it may not have been made for
        return False


def _normalizes(tried: _Tried) -> tuple[Channelwise | None, bool]:
    count = tried.x.shape[-1]
    kept, order = tried.kept(count), np.random.default_rng(1).permutation(count)
    larger = [tried.call(tried.copy, (factor * tried.x).astype(np.float32)) for factor in (1e3, 1e4)]
    if tried.answer.shape != tried.x.shape or not np.allclose(*larger, rtol=1e-3, atol=1e-4):
        return None, False
    for settings in candidates(tried.config, count):
        made = tried.narrow(settings, tried.x[..., kept], count, kept)
        if made is None:
            continue
        layer, axes = made
        turned = [own.take(order, axes[n]) if n in axes else own for n, own in enumerate(tried.weights)]
        tried.assign(tried.copy, turned)
        alike = _same(tried.call(tried.copy, tried.x[..., order]), tried.answer[..., order])
        tried.assign(tried.copy, tried.weights)
        if alike and tried.call(layer, tried.x[..., kept]).shape == (*tried.x.shape[:-1], len(kept)):
            gone = np.setdiff1d(np.arange(count), kept)
            return Channelwise(axes, settings), not tried.with_zeros(axes, kept)[..., gone].any()
    return None, False


def reading(trace: Trace, call: Call) -> Traced | None:
    """Returns what a layer makes of its input if it reads its channels by weights; it may have a width of its own."""
    if not _is_plain(call) or not call.layer.weights or call.inputs[0].others():
        return None
    (tensor,), layer, shape = call.inputs, call.layer, call.outputs[0]
    taken, made, zero = _known(call, "reading", _reads)
    if taken is None and made is None:
        return None
    what = f"{layer.name} ({type(layer).__name__}) looks them up"
    if taken is None:
        trace.protect_all([tensor], what)
    elif tensor.last is not None:
        for number, axis in taken.axes.items():
            trace.index(layer.weights[number], axis, tensor.last)
        for name, place in taken.settings:
            trace.fix(call, Fixed(name, tensor.last, place=place))
    if made is None:
        reason = f"{layer.name} ({type(layer).__name__}) has no setting that says how many it makes"
        trace.whole[layer.name] = f"{type(layer).__name__} has no setting that says how many channels it makes"
        return Traced(shape, {len(shape) - 1: trace.new(int(shape[-1]), reason)})
    ((key, place),) = made.settings
    slot = "" if key == traits_of(layer).width else key
    labels = trace.make(call, int(shape[-1]), slot, key=key, place=place)
    for number, axis in made.axes.items():
        weight = layer.weights[number]
        if len(weight.shape) > 1:
            trace.makes(weight, axis, labels)
        else:
            trace.index(weight, axis, labels)
        for other in range(len(weight.shape)) if taken is None else ():
            if other != axis:
                trace.index(weight, other, trace.new(int(weight.shape[other]), what))
    return Traced(shape, {len(shape) - 1: labels}, zero)


def _reads(tried: _Tried) -> tuple[Channelwise | None, Channelwise | None, bool]:
    """Returns by which weights and settings a layer reads channels, by which it makes some, and if zeros stay zero."""
    taken = made = None
    zero = False
    count = tried.x.shape[-1]
    if tried.x.dtype.kind == "f" and count > 1:
        kept = tried.kept(count)
        without = np.where(np.isin(np.arange(count), kept), tried.x, 0).astype(np.float32)
        expected = tried.call(tried.copy, without)
        for settings in candidates(tried.config, count):
            found = tried.narrow(settings, tried.x[..., kept], count, kept)
            if found and found[1] and _same(tried.call(found[0], tried.x[..., kept]), expected):
                taken = Channelwise(found[1], settings)
                break
        if taken is None:
            return None, None, False
    width = tried.answer.shape[-1]
    kept = tried.kept(width)
    for settings in candidates(tried.config, width) if width > 1 else ():
        found = tried.narrow(settings, tried.x, width, kept) if len(settings) == 1 else None
        if found and found[1] and _same(tried.call(found[0], tried.x), tried.answer[..., kept]):
            made = Channelwise(found[1], settings)
            gone = np.setdiff1d(np.arange(width), kept)
            zero = not tried.with_zeros(found[1], kept)[..., gone].any()
            break
    return taken, made, zero


def _is_plain(call: Call) -> bool:
    """Returns whether a call is of one tensor, and gives one."""
    if len(call.outputs) != 1 or len(call.inputs) != 1 or not call.inputs[0].shape or len(call.node.outputs) != 1:
        return False
    return not makes_masks(call.layer) or getattr(call.node.outputs[0], "_keras_mask", None) is None


def _known(call: Call, what: str, find: Any) -> Any:
    """Returns what was found of a layer in such a call; all None where it cannot be tried."""
    tensor = call.node.inputs[0]
    rest = [own for own in (*call.node.args, *call.node.kwargs.values()) if own is not tensor]
    nothing = (None, False) if what == "normalizing" else (None, None, False)
    if any(call.graphs.is_tensor(own) or not isinstance(own, (bool, int, float, str, type(None))) for own in rest):
        return nothing
    if len(call.node.args) > 1:
        return nothing
    given = {name: own for name, own in call.node.kwargs.items() if own is not tensor}
    whole = "int" in str(tensor.dtype)
    known = _KNOWN.setdefault(call.layer, {})
    key = (what, call.inputs[0].shape, whole, str(sorted(given.items(), key=str)))
    if key not in known:
        try:
            known[key] = find(_Tried(call.graphs, call.layer, call.inputs[0].shape, whole, given))
        except Exception:  # it is somebody else's, and tried on what it may not have been made for
            known[key] = nothing
    return known[key]


def _same(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-4, atol=1e-5)
