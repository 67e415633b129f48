"""Whether a layer that nothing is known of works channel by channel, found by trying a copy of it.

It does if a channel depends on the same channel alone, each of its weights has at most one axis for channels, and the
layer made narrower, with the weights of some channels, answers as the whole one does for these. The last of the three
finds the setting that says how many there are, and tells layers apart that divide by their number or count them.
"""

from __future__ import annotations

import copy
import dataclasses
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfprune.adapters.changed import without_shapes
from tfprune.adapters.graphs import Graphs, Shape
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
    """Returns what a layer that has no rule makes of its input, or of a list of such; None if it may mix channels."""
    if len(call.outputs) != 1 or makes_masks(call.layer):
        return None
    layer, shape, tensors = call.layer, call.outputs[0], call.inputs
    if any(own.shape != shape or own.last is None or own.others() for own in tensors) or (shape[-1] or 0) < 2:
        return None
    if len(tensors) > 1 and [type(own) for own in call.node.args] not in ([list], [tuple]):
        return None
    found = _tried(call.graphs, layer, shape, len(tensors))
    if found is None:
        return None
    labels = trace.merge([own.axes[len(shape) - 1] for own in tensors])
    for number, axis in found.axes.items():
        trace.index(layer.weights[number], axis, labels)
    for name, place in found.settings:
        trace.fix(call, Fixed(name, labels, place=place))
    return Traced(shape, {len(shape) - 1: labels})


def works_by_channel(graphs: Graphs, layer: Any, shape: Shape, inputs: int) -> bool:
    """Returns whether a layer works channel by channel on so many inputs of a shape, which its output has too."""
    if makes_masks(layer) or not shape or (shape[-1] or 0) < 2:
        return False
    return _tried(graphs, layer, shape, inputs) is not None


def _tried(graphs: Graphs, layer: Any, shape: Shape, inputs: int) -> Channelwise | None:
    known, key = _KNOWN.setdefault(layer, {}), (shape, inputs)
    if key not in known:
        known[key] = _channelwise(graphs, layer, shape, inputs)
    return known[key]


def makes_masks(layer: Any) -> bool:
    """Returns whether a layer says which steps count, for which it may look at all channels."""
    own = [kind for kind in type(layer).__mro__ if "compute_mask" in vars(kind)]
    return bool(own) and own[0].__name__ not in ("Layer", "Model", "Functional", "Operation")


def _channelwise(graphs: Graphs, layer: Any, shape: tuple[int | None, ...], inputs: int) -> Channelwise | None:
    count = int(shape[-1])
    random = np.random.default_rng(0)
    sides = (2, *(PLACES if side is None else min(side, LARGEST) for side in shape[1:-1]), count)
    xs = [random.uniform(0.2, 1.0, sides) * random.choice([-1, 1], sides) for _ in range(inputs)]
    xs = [own.astype(np.float32) for own in xs]
    kept = np.sort(random.permutation(count)[: max(1, count - max(1, count // 3))])

    def call(own: Any, xs: list[np.ndarray]) -> Any:
        return graphs.call(own, xs if inputs > 1 else xs[0], training=False)

    try:
        config = without_shapes(copy.deepcopy(layer.get_config()))
        whole = graphs.layer_again(layer, copy.deepcopy(config))
        call(whole, xs)  # makes its weights
        weights = [_values(own, random) for own in whole.weights]
        if [own.shape for own in weights] != [tuple(own.shape) for own in layer.weights]:
            return None
        for variable, values in zip(whole.weights, weights, strict=True):
            graphs.assign(variable, values)
        answer = call(whole, xs)
        if np.shape(answer) != sides or not _apart(lambda xs: call(whole, xs), xs, answer):
            return None
        for settings in candidates(config, count):
            narrow = narrower(graphs, layer, config, settings, len(kept))
            found = narrow and _fits(graphs, call, narrow, settings, weights, xs, kept, answer)
            if found:
                return found
    except Exception:  # it is somebody else's, and tried on what it may not have been made for
        return None
    return None


def _values(variable: Any, random: np.random.Generator) -> np.ndarray:
    return random.uniform(0.3, 0.9, tuple(variable.shape)).astype(np.float32)


def _apart(call: Callable[[list[np.ndarray]], Any], xs: list[np.ndarray], answer: np.ndarray) -> bool:
    """Returns whether channels that change leave the others as they are."""
    count = answer.shape[-1]
    for chosen in (np.arange(count) % 2 == 0, np.arange(count) < count // 2):
        for changed in (chosen, ~chosen):
            others = [np.where(changed, 1.7 * x + 0.3, x).astype(np.float32) for x in xs]
            same = np.isclose(call(others), answer, rtol=1e-5, atol=1e-6)
            if not same[..., ~changed].all():
                return False
    return True


def candidates(config: dict[str, Any], count: int) -> Iterator[tuple[tuple[str, int | None], ...]]:
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


def narrower(
    graphs: Graphs, layer: Any, config: dict[str, Any], settings: tuple[tuple[str, int | None], ...], count: int
) -> Any:
    """Returns the layer with other settings, not built; None if it cannot be made."""
    changed = copy.deepcopy(config)
    for key, place in settings:
        if place is None:
            changed[key] = count
        else:
            shape = list(changed[key])
            shape[place] = count
            changed[key] = type(config[key])(shape)
    try:
        return graphs.layer_again(layer, changed)
    except Exception:  # another setting is needed
        return None


def _fits(
    graphs: Graphs,
    call: Callable[[Any, list[np.ndarray]], Any],
    narrow: Any,
    settings: tuple[tuple[str, int | None], ...],
    weights: list[np.ndarray],
    xs: list[np.ndarray],
    kept: np.ndarray,
    answer: np.ndarray,
) -> Channelwise | None:
    """Returns what was found if the layer with fewer channels answers as it has to."""
    xs = [own[..., kept] for own in xs]
    try:
        call(narrow, xs)  # makes its weights
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
    found, expected = call(narrow, xs), answer[..., kept]
    fits = np.shape(found) == expected.shape and np.allclose(found, expected, rtol=1e-5, atol=1e-6)
    return Channelwise(axes, settings) if fits else None
