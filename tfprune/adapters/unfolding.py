"""What a layer that holds others does, as a list of calls of these: recorded on symbolic tensors, and compared.

A layer's `call` is followed with a batch of a fixed size, because code may ask for it. It is followed three times: with
another size, which tells numbers that count the batch from others; with other weights, which tells constants from what
was computed of weights; and in training. What differs otherwise cannot be told from a list of calls.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.graphs import Remade

# (layer, shapes of its inputs, what returns those of its outputs) -> whether channels are followed through it
Followed = Callable[[Any, Sequence[Any], Callable[[], Sequence[Any]]], bool]
BATCHES = (7, 11)  # sizes with which a layer is followed
TOLERANCE = 1e-5  # largest difference, of the largest number, between a layer and the calls in it
CALLS = ("call", "__call__")  # methods by which the class of a model says how it is called


class NotUnfolded(ValueError):
    """A layer is not told by a list of calls; the message says why."""


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor: one of the inputs, or what an earlier call has given."""

    number: int


@dataclasses.dataclass(frozen=True)
class Step:
    """A call.

    Attributes:
        operation: the layer or operation that is called.
        settings: those of an operation that is no layer.
        args, kwargs: what it is called with, a `Ref` for each tensor.
        outputs: how many tensors it gives.
        within: names of the layers that the called one is in.
    """

    operation: Any
    settings: Mapping[str, Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    outputs: int
    within: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Steps:
    """The calls in a layer.

    Attributes:
        calls: each after those that it needs; the tensors are numbered, inputs first, in this order.
        result: what the layer returns, a `Ref` for each tensor.
    """

    calls: Sequence[Step]
    result: Any


@dataclasses.dataclass(frozen=True)
class Unfolded:
    """A model in which layers that hold others are taken apart.

    Attributes:
        remade: the new model, with weights of its own; None if it would be made of the same layers.
        apart: names of the layers and models that were taken apart.
        reasons: name of a layer that was not -> why.
    """

    remade: Remade | None
    apart: Collection[str]
    reasons: Mapping[str, str]


def general(one: Steps, larger: Steps, training: Steps) -> Steps:
    """Returns calls that hold for any batch.

    Args:
        one: followed with the first of `BATCHES`.
        larger: with the second, and other weights.
        training: with the first, in training.

    Raises:
        NotUnfolded: they differ.
    """
    if not len(one.calls) == len(larger.calls) == len(training.calls):
        raise NotUnfolded("it does other things in training or with other batches")
    if not one.result == larger.result == training.result:
        raise NotUnfolded("it returns other things in training or with other batches")
    calls = []
    for own, other, trained in zip(one.calls, larger.calls, training.calls, strict=True):
        if not _kind(own) == _kind(other) == _kind(trained):
            raise NotUnfolded("it does other things in training or with other batches")
        told = {key: value for key, value in own.kwargs.items() if key != "training"}
        in_training = {key: value for key, value in trained.kwargs.items() if key != "training"}
        _merged((own.settings, own.args, told), (trained.settings, trained.args, in_training), (None, None))
        if own.kwargs.get("training") is not None and own.kwargs != trained.kwargs:
            raise NotUnfolded("it does other things in training")
        settings, args, kwargs = _merged(
            (own.settings, own.args, own.kwargs), (other.settings, other.args, other.kwargs)
        )
        calls.append(dataclasses.replace(own, settings=settings, args=args, kwargs=kwargs))
    return Steps(calls, one.result)


def _kind(step: Step) -> tuple[Any, int]:
    """Returns what a step is of: the layer itself, or the class of an operation."""
    return (type(step.operation) if step.settings else id(step.operation)), step.outputs


def _merged(one: Any, other: Any, batches: tuple[Any, Any] = BATCHES) -> Any:
    """Returns what holds for both; a size of the batch is -1 in a shape, and what is the same for all is there once."""
    if isinstance(one, Mapping):
        if not isinstance(other, Mapping) or one.keys() != other.keys():
            raise NotUnfolded("it is called with other arguments in training or with other batches")
        return {key: _merged(own, other[key], batches) for key, own in one.items()}
    if isinstance(one, (list, tuple)):
        if not isinstance(other, (list, tuple)) or len(one) != len(other):
            raise NotUnfolded("it is called with other arguments in training or with other batches")
        counted = [place for place, pair in enumerate(zip(one, other, strict=True)) if _counts(*pair, batches)]
        if counted and all(own is None or isinstance(own, (int, np.integer)) for own in one):
            return _shape(one, counted)
        several = [_merged(*pair, batches) for pair in zip(one, other, strict=True)]
        return tuple(several) if isinstance(one, tuple) else several
    if one is other:
        return one
    if hasattr(one, "shape") and hasattr(other, "shape") and not isinstance(one, Ref):
        return _same_numbers(one, other, batches)
    try:
        same = type(one) is type(other) and bool(one == other)
    except (TypeError, ValueError):
        same = False
    if not same:
        raise NotUnfolded("numbers in it go by the batch, the weights, chance or training")
    return one


def _shape(sides: Sequence[Any], counted: Sequence[int]) -> tuple[int | None, ...]:
    """Returns a shape of which one side is open: None if it is the first one, the batch, of two that are."""
    open_sides = [place for place, side in enumerate(sides) if place in counted or side in (None, -1)]
    if len(counted) > 1 or len(open_sides) > 2 or (len(open_sides) == 2 and counted != [0]):
        raise NotUnfolded("a shape in it has several sides that go by the batch")
    shape = [-1 if place in open_sides else int(side) for place, side in enumerate(sides)]
    return (None, *shape[1:]) if len(open_sides) == 2 else tuple(shape)


def _counts(one: Any, other: Any, batches: tuple[Any, Any]) -> bool:
    whole = all(isinstance(own, (int, np.integer)) and not isinstance(own, bool) for own in (one, other))
    return whole and (int(one), int(other)) == batches


def _same_numbers(one: Any, other: Any, batches: tuple[Any, Any]) -> Any:
    """Returns the constant that two are; once, along an axis where all entries are the same and as many as a batch."""
    values, others = np.asarray(one), np.asarray(other)
    if values.ndim == others.ndim:
        sizes = list(zip(values.shape, others.shape, strict=True))
        for axis, pair in enumerate(sizes):
            if pair == batches:
                first = [own.take([0], axis) for own in (values, others)]
                if all((own == start).all() for own, start in zip((values, others), first, strict=True)):
                    values, others = first
    if values.shape != others.shape or values.dtype != others.dtype or not (values == others).all():
        raise NotUnfolded("numbers in it go by the batch, the weights, chance or training")
    return one if values.shape == tuple(one.shape) else values


def replayed(steps: Steps, inputs: Sequence[Any], apply: Callable[[Step, Any, Any], Sequence[Any]], fill: Any) -> Any:
    """Makes the calls on other tensors; returns what the last ones give.

    Args:
        steps: the calls.
        inputs: tensors in the place of the layer's inputs.
        apply: makes a call of arguments; returns its tensors, flat.
        fill: maps a function over a structure.
    """
    known = list(inputs)

    def filled(own: Any) -> Any:
        return fill(lambda leaf: known[leaf.number] if isinstance(leaf, Ref) else leaf, own)

    for step in steps.calls:
        known += apply(step, filled(list(step.args)), filled(dict(step.kwargs)))
    return filled(steps.result)


class FreeNames:
    """Names of the layers of a model, after those of the layers that they were in.

    Attributes:
        within: names of the layers that a layer is in which is made now.
    """

    def __init__(self) -> None:
        self.within: list[str] = []
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        """Returns a name that nothing has yet, and takes it."""
        full = free = "_".join([*self.within, name])
        number = 1
        while free in self._taken:
            free = f"{full}_{number}"
            number += 1
        self._taken.add(free)
        return free

    @contextlib.contextmanager
    def inside(self, *names: str) -> Iterator[None]:
        """Adds names of layers that those are in which are made meanwhile."""
        before, self.within = self.within, [*self.within, *names]
        try:
            yield
        finally:
            self.within = before


def behaves(model: Any, package: str, methods: Sequence[str]) -> bool:
    """Returns whether the class of a model says itself how it is called or trained, in one of some methods."""
    own = (getattr(type(model), name, None) for name in methods)
    return any(str(method.__module__).partition(".")[0] != package for method in own if method is not None)


def place_of_training(operation: Any) -> int | None:
    """Returns which argument of a call is `training`; None if there is none."""
    try:
        names = list(inspect.signature(operation.call).parameters)
    except (TypeError, ValueError):  # a function that has no signature
        names = []
    return names.index("training") if "training" in names else None


def training_of(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Returns what a call is told of training; None if nothing."""
    place = place_of_training(operation)
    return args[place] if place is not None and place < len(args) else kwargs.get("training")


def with_training(
    operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any], value: Any
) -> tuple[list[Any], dict[str, Any]]:
    """Returns the arguments of a call that is told something of training; None is nothing."""
    place, args = place_of_training(operation), list(args)
    if place is not None and place < len(args):
        args[place] = value
        return args, dict(kwargs)
    return args, {key: own for key, own in kwargs.items() if key != "training"} | (
        {} if value is None else {"training": value}
    )


def heeds_training(layer: Any) -> bool:
    """Returns whether a layer, or one in it, may do something else in training."""
    return any(
        place_of_training(own) is not None and not list(own._flatten_layers(include_self=False, recursive=False))
        for own in layer._flatten_layers()
    )


def same_numbers(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> bool:
    """Returns whether the calls in a layer give what it gives."""
    return len(found) == len(expected) and all(
        one.shape == other.shape
        and np.allclose(one.astype(float), other.astype(float), rtol=0, atol=TOLERANCE * max(1.0, np.abs(other).max()))
        for one, other in zip(found, expected, strict=True)
    )


def in_order(outputs: Any, known: Collection[int], node_of: Callable[[Any], Any], inputs_of: Callable) -> list[Any]:
    """Returns the calls that tensors come from, each after those that it needs.

    Args:
        outputs: the tensors.
        known: ids of those that are given.
        node_of: returns the call that a tensor comes from.
        inputs_of: returns the tensors that a call is of.

    Raises:
        NotUnfolded: a tensor comes from no call.
    """
    found: dict[int, Any] = {}
    waiting = [(own, False) for own in reversed(outputs)]
    while waiting:
        item, ready = waiting.pop()
        if ready:
            found.setdefault(id(item), item)
            continue
        if id(item) in known:
            continue
        node = node_of(item)
        if id(node) in found:
            continue
        if node.is_input:
            raise NotUnfolded("it has tensors of other graphs")
        waiting.append((node, True))
        waiting += [(own, False) for own in reversed(inputs_of(node))]
    return list(found.values())


@contextlib.contextmanager
def nodes_kept(layer: Any) -> Iterator[None]:
    """Forgets the calls of a layer and those in it that are made meanwhile."""
    known = [(own, len(own._inbound_nodes), len(own._outbound_nodes)) for own in layer._flatten_layers()]
    try:
        yield
    finally:
        for own, inbound, outbound in known:
            del own._inbound_nodes[inbound:], own._outbound_nodes[outbound:]
