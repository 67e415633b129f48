"""Whether a layer that nothing is known of works channel by channel, found by trying a copy of it.

It does if a channel depends on the same channel alone, each of its weights has at most one axis for channels, and the
layer made narrower, with the weights of some channels, answers as the whole one does for these. The last of the three
finds the setting that says how many there are, and tells layers apart that divide by their number or count them.
"""

from __future__ import annotations

import copy
import dataclasses
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfprune.adapters.changed import without_shapes
from tfprune.adapters.graphs import Graphs
from tfprune.structured.labels import Fixed
from tfprune.structured.tracing import Call, Trace, Traced

PLACES = 3  # what sides that are not fixed are taken for
LARGEST = 16  # sides are at most this in what is tried
_KNOWN: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()  # layer -> shape -> what was found


@dataclasses.dataclass(frozen=True)
class Channelwise:
    """What was found of a layer.

    Attributes:
        axes: number of a weight -> its axis of channels.
        settings: those with the number of channels, and their place there if it is a shape.
    """

    axes: dict[int, int]
    settings: tuple[tuple[str, int | None], ...]


def probed(trace: Trace, call: Call) -> Traced | None:
    """Returns what a layer that has no rule makes of its input; None if it may mix channels."""
    if len(call.inputs) != 1 or len(call.outputs) != 1 or call.outputs[0] != call.inputs[0].shape:
        return None
    (tensor,), layer = call.inputs, call.layer
    labels, shape = tensor.last, tensor.shape
    if labels is None or tensor.others() or (shape[-1] or 0) < 2 or _makes_masks(layer):
        return None
    known = _KNOWN.setdefault(layer, {})
    if shape not in known:
        known[shape] = _channelwise(call.graphs, layer, shape)
    found = known[shape]
    if found is None:
        return None
    for number, axis in found.axes.items():
        trace.index(layer.weights[number], axis, labels)
    for key, place in found.settings:
        trace.fix(call, Fixed(key, labels, place=place))
    return Traced(call.outputs[0], tensor.axes)


def _makes_masks(layer: Any) -> bool:
    """Returns whether a layer says which steps count, for which it may look at all channels."""
    own = [kind for kind in type(layer).__mro__ if "compute_mask" in vars(kind)]
    return bool(own) and own[0].__name__ not in ("Layer", "Model", "Functional", "Operation")


def _channelwise(graphs: Graphs, layer: Any, shape: tuple[int | None, ...]) -> Channelwise | None:
    count = int(shape[-1])
    random = np.random.default_rng(0)
    sides = [2, *(PLACES if side is None else min(side, LARGEST) for side in shape[1:-1])]
    x = random.uniform(0.2, 1.0, (*sides, count)).astype(np.float32) * random.choice([-1, 1], (*sides, count))
    x = x.astype(np.float32)
    kept = np.sort(random.permutation(count)[: max(1, count - max(1, count // 3))])
    try:
        config = without_shapes(copy.deepcopy(layer.get_config()))
        whole = graphs.layer_again(layer, copy.deepcopy(config))
        graphs.call(whole, x, training=False)  # makes its weights
        weights = [_values(own, random) for own in whole.weights]
        if [own.shape for own in weights] != [tuple(own.shape) for own in layer.weights]:
            return None
        for variable, values in zip(whole.weights, weights, strict=True):
            graphs.assign(variable, values)
        answer = graphs.call(whole, x, training=False)
        if np.shape(answer) != x.shape or not _apart(graphs, whole, x, answer):
            return None
        for settings in _candidates(config, count):
            found = _narrower(graphs, layer, config, settings, weights, x[..., kept], kept, answer[..., kept])
            if found is not None:
                return found
    except Exception:  # it is somebody else's, and tried on what it may not have been made for
        return None
    return None


def _values(variable: Any, random: np.random.Generator) -> np.ndarray:
    return random.uniform(0.3, 0.9, tuple(variable.shape)).astype(np.float32)


def _apart(graphs: Graphs, whole: Any, x: np.ndarray, answer: np.ndarray) -> bool:
    """Returns whether channels that change leave the others as they are."""
    for chosen in (np.arange(x.shape[-1]) % 2 == 0, np.arange(x.shape[-1]) < x.shape[-1] // 2):
        for changed in (chosen, ~chosen):
            other = np.where(changed, 1.7 * x + 0.3, x).astype(np.float32)
            same = np.isclose(graphs.call(whole, other, training=False), answer, rtol=1e-5, atol=1e-6)
            if not same[..., ~changed].all():
                return False
    return True


def _candidates(config: dict[str, Any], count: int) -> Iterator[tuple[tuple[str, int | None], ...]]:
    """Yields which settings may have the number of channels: none, each, all."""
    single: list[tuple[str, int | None]] = []
    for key, value in config.items():
        if isinstance(value, int) and not isinstance(value, bool) and value == count:
            single.append((key, None))
        elif isinstance(value, (list, tuple)) and value and value[-1] == count:
            single.append((key, len(value) - 1))
    yield ()
    yield from ((own,) for own in single)
    if len(single) > 1:
        yield tuple(single)


def _narrower(
    graphs: Graphs,
    layer: Any,
    config: dict[str, Any],
    settings: tuple[tuple[str, int | None], ...],
    weights: list[np.ndarray],
    x: np.ndarray,
    kept: np.ndarray,
    expected: np.ndarray,
) -> Channelwise | None:
    """Returns what was found if the layer with fewer channels answers as it has to."""
    changed = copy.deepcopy(config)
    for key, place in settings:
        if place is None:
            changed[key] = len(kept)
        else:
            shape = list(changed[key])
            shape[place] = len(kept)
            changed[key] = type(config[key])(shape)
    try:
        narrow = graphs.layer_again(layer, changed)
        graphs.call(narrow, x, training=False)
    except Exception:  # another setting is needed
        return None
    axes: dict[int, int] = {}
    for number, (values, variable) in enumerate(zip(weights, narrow.weights, strict=True)):
        differing = [axis for axis, side in enumerate(variable.shape) if side != values.shape[axis]]
        if len(differing) > 1 or any(variable.shape[axis] != len(kept) for axis in differing):
            return None
        if differing:
            axes[number] = differing[0]
            values = values.take(kept, differing[0])
        graphs.assign(variable, values)
    answer = graphs.call(narrow, x, training=False)
    fits = np.shape(answer) == expected.shape and np.allclose(answer, expected, rtol=1e-5, atol=1e-6)
    return Channelwise(axes, settings) if fits else None
