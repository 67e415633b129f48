"""The part of `unfolding` that makes the new model: what both Keras do alike, with what differs as attributes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.graphs import Shape
from tfprune.adapters.unfolding import (
    BATCHES,
    CALLS,
    Followed,
    FreeNames,
    NotUnfolded,
    Step,
    Steps,
    Unfolded,
    behaves,
    general,
    heeds_training,
    nodes_kept,
    place_of_training,
    replayed,
    same_numbers,
    training_of,
    with_training,
)
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line


class TakingApart:
    """Makes a model again in which layers that are not followed are taken apart; goes before the `Narrowed` of a Keras.

    Attributes:
        opens: whether there is something to take apart; else nothing is made.
        apart: names of the layers and models that were taken apart.
        reasons: name of a layer that was not -> why.
        keras: the Keras, and then what differs between the two of them.
        overrides_training: whether what a model is told of training counts more than what a call in it is told.
        behaviour: methods by which a model of a class of its own says how it is called or trained.
        flatten, map_structure: of nested tensors.
        array: turns a tensor into NumPy's.
        has_graph, own_class: of a model, see `layers` and `narrowing`.
        calls_in: yields the calls in a model, each after those that it needs: operation, args, kwargs.
        adds: returns whether a model adds to the loss or the metrics itself.
        stays: returns whether an operation is never taken apart.
        tensors: returns the symbolic tensors among args and kwargs.
        output_shapes: returns what a call gives.
        check_alone: raises `NotUnfolded` if a layer does more than what its call returns.
        check_made_again: raises `NotUnfolded` if a layer among some steps cannot be made again.
        tried: returns numbers at random in the place of a layer's tensors, and what it makes of them.
        followed: follows a layer's call with a batch of a size.
        other_weights: lets the weights of a layer be others meanwhile.
        operation_of: returns a new operation that does what a step's does.
    """

    keras: Any
    overrides_training: bool
    behaviour: Sequence[str]
    flatten: Callable[[Any], list[Any]]
    map_structure: Callable
    array: Callable[[Any], np.ndarray]
    has_graph: Callable[[Any], bool]
    own_class: Callable[[Any], bool]
    calls_in: Callable[[Any], Iterable[tuple[Any, Sequence[Any], Mapping[str, Any]]]]
    adds: Callable[[Any], bool]
    stays: Callable[[Any], bool]
    tensors: Callable[[Any, Any], list[Any]]
    output_shapes: Callable[[Any, Any, Any], list[Shape]]
    check_alone: Callable[[Any, Any, Any], None]
    check_made_again: Callable[[Steps], None]
    tried: Callable[[Any, Any, Any], tuple[list[Any], list[np.ndarray]]]
    followed: Callable[..., Steps]
    other_weights: Callable[[Any], contextlib.AbstractContextManager[None]]
    operation_of: Callable[[Step, Sequence[Any], str], Any]

    def __init__(self, model: Any, followed: Followed, changes: Any) -> None:
        self._follows = followed
        self._steps: dict[tuple[int, Any], Steps | None] = {}
        self._names = FreeNames()
        self._open: dict[int, bool] = {}
        self._stays = False  # what is made now is in a model that is not taken apart
        self._training: Any = None  # what calls are told of it that are made now
        self._gone: set[int] = set()  # ids of what has others in its place
        self.apart: list[str] = []
        self.reasons: dict[str, str] = {}
        self.opens = self._opens(model)
        if self.opens:
            super().__init__(model, changes)

    def unfolded(self) -> Unfolded:
        """Returns what came of it."""
        reasons = {name: reason for name, reason in self.reasons.items() if name not in self.apart}
        return Unfolded(self.remade() if self.opens else None, self.apart, reasons)

    def _sequential(self, old: Any) -> Any:
        if self._opens_here(old):
            return self._functional(old)
        with self._staying():
            return super()._sequential(old)

    def _functional(self, old: Any) -> Any:
        with contextlib.nullcontext() if self._opens_here(old) else self._staying():
            return super()._functional(old)

    @contextlib.contextmanager
    def _staying(self) -> Iterator[None]:
        """Lets what is in a model that stays whole stay too."""
        before, self._stays = self._stays, True
        try:
            yield
        finally:
            self._stays = before

    def _opens_here(self, model: Any) -> bool:
        return not self._stays and self._opens(model)

    def _check_kind(self, old: Any) -> None:
        if self.own_class(old):
            if not self._opens_here(old):
                super()._check_kind(old)
            self.apart.append(old.name)

    def _kind(self, old: Any) -> type:
        return type(old) if not self._opens_here(old) or self._keeps_class(old) else self.keras.Model

    def _keeps_class(self, model: Any) -> bool:
        """Returns whether a model that is taken apart stays one of its class."""
        return not (self.own_class(model) or isinstance(model, self.keras.Sequential))

    def _why_whole(self, model: Any) -> str | None:
        """Returns why a model is not taken apart whatever is in it: it would do something else."""
        package = self.keras.__name__.partition(".")[0]
        if behaves(model, package, CALLS):
            return "its class says itself how it is called"
        if not self._keeps_class(model) and behaves(model, package, self.behaviour):
            return "its class says itself how it is trained or used"
        return None

    def _settings(self, old: Any, config: dict[str, Any]) -> dict[str, Any]:
        return config | {"name": self._names.free(old.name)} if "name" in config else config

    def _name(self, old: Any, config: dict[str, Any]) -> str | None:
        return None if "name" in config else self._names.free(old.name)

    def _is_apart(self, layer: Any) -> bool:
        return id(layer) in self._gone

    def _applied(self, operation: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if self._training is not None and not self._stays and hasattr(operation, "_flatten_layers"):
            args, kwargs = self._handed_on(operation, args, kwargs)
        if self.has_graph(operation):
            if not self._opens_here(operation):
                return super()._applied(operation, args, kwargs)
            self._gone.add(id(operation))
            self._check_kind(operation)
            with self._told_of_training(operation, args, kwargs):
                return self._model_called(operation, args, kwargs)
        steps = None if self._stays else self._inside(operation, args, kwargs)
        if steps is None:
            return super()._applied(operation, args, kwargs)
        self._gone.add(id(operation))
        if operation.name not in self.apart:
            self.apart.append(operation.name)
        with self._names.inside(operation.name), self._told_of_training(operation, args, kwargs):
            return replayed(steps, self.tensors(args, kwargs), self._stepped, self.map_structure)

    @contextlib.contextmanager
    def _told_of_training(self, operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[None]:
        """Lets the calls in another be told of training what that is, as Keras does."""
        before, told = self._training, training_of(operation, args, kwargs)
        self._training = before if told is None else told
        try:
            yield
        finally:
            self._training = before

    def _handed_on(self, operation: Any, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Returns the arguments of a call that is told what the one is that it is in."""
        if place_of_training(operation) is None:
            if self._inside(operation, args, kwargs) is None and heeds_training(operation):
                raise ModelError(_untold(operation, self._training))
        elif self.overrides_training or training_of(operation, args, kwargs) is None:
            return with_training(operation, args, kwargs, self._training)
        return args, kwargs

    def _untold(self, model: Any) -> Any:
        """Returns a layer in a model that stays whole, and could not be told what the model is told of training."""
        for operation, args, kwargs in self.calls_in(model):
            if self.has_graph(operation):
                if self._opens(operation) and (found := self._untold(operation)) is not None:
                    return found
            elif hasattr(operation, "_flatten_layers") and place_of_training(operation) is None:
                if self._inside(operation, args, kwargs) is None and heeds_training(operation):
                    return operation
        return None

    def _stepped(self, step: Step, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        with self._names.inside(*step.within):
            if not step.settings:
                return self.flatten(self._applied(step.operation, args, kwargs))
            name = self._names.free(step.operation.name)
        return self.flatten(self.operation_of(step, args, name)(*args, **kwargs))

    def _opens(self, model: Any) -> bool:
        """Returns whether something in a model is taken apart, or it is of a class of its own; notes why it is not."""
        if id(model) not in self._open:
            self._open[id(model)] = self.own_class(model) or bool(self._opened_in(model))
            if self._open[id(model)] and (reason := self._why_whole(model)):
                self._keep_whole(model, reason)
        return self._open[id(model)]

    def _opened_in(self, model: Any) -> list[str]:
        """Returns the names of what is taken apart in a model if that is."""
        return [
            operation.name
            for operation, args, kwargs in self.calls_in(model)
            if (
                self._opens_called(operation, args, kwargs)
                if self.has_graph(operation)
                else self._inside(operation, args, kwargs) is not None
            )
        ]

    def _keep_whole(self, model: Any, reason: str) -> None:
        reason = f"{model.name} ({type(model).__name__}) is not taken apart: {reason}"
        self.reasons |= dict.fromkeys([model.name, *self._opened_in(model)], reason)
        self._open[id(model)] = False

    def _opens_called(self, model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Returns whether a model is taken apart that is called in another one."""
        if self._opens(model):
            told = training_of(model, args, kwargs)
            if self.adds(model):
                self._keep_whole(model, "it adds to the loss or the metrics")
            elif told is not None and (layer := self._untold(model)) is not None:
                self._keep_whole(model, _untold(layer, told))
        return self._opens(model)

    def _model_called(self, model: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Makes the calls in a model that is called in another."""
        raise NotImplementedError

    def _given_to(self, inputs: Any, args: list[Any], kwargs: dict[str, Any]) -> dict[int, Any]:
        """Returns id of each input of a model -> what it is called with."""
        given = args[0] if args else next(iter(kwargs.values()))
        if isinstance(inputs, dict) and isinstance(given, dict):
            return {id(inputs[key]): given[key] for key in inputs}
        pairs = zip(self.flatten(inputs), self.flatten(given), strict=True)
        return {id(tensor): value for tensor, value in pairs}

    def _inside(self, layer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Steps | None:
        """Returns the calls in a layer; None if it is followed as it is, or if they cannot be told."""
        if self.stays(layer):
            return None
        args, kwargs = with_training(layer, args, kwargs, None)  # whatever it is told
        inputs = self.tensors(args, kwargs)
        key = id(layer), tuple((tuple(own.shape), own.dtype) for own in inputs)
        if key not in self._steps:
            self._steps[key] = None
            shapes = [tuple(own.shape) for own in inputs]
            try:
                if not self._follows(layer, shapes, lambda: self.output_shapes(layer, args, kwargs)):
                    self._steps[key] = self._told(layer, list(args), dict(kwargs))
            except NotUnfolded as error:
                self.reasons[layer.name] = f"{type(layer).__name__} is not taken apart: {error}"
        return self._steps[key]

    def _told(self, layer: Any, args: list[Any], kwargs: dict[str, Any]) -> Steps:
        """Returns the calls in a layer for any batch, which do what it does."""
        self.check_alone(layer, args, kwargs)
        try:
            inputs, expected = self.tried(layer, args, kwargs)
            with nodes_kept(layer):
                one = self.followed(layer, args, kwargs, BATCHES[0])
                with self.other_weights(layer):
                    larger = self.followed(layer, args, kwargs, BATCHES[1])
                training = self.followed(layer, args, kwargs, BATCHES[0], training=True)
            steps = general(one, larger, training)
            self.check_made_again(steps)
            found = self.flatten(replayed(steps, inputs, self._eagerly, self.map_structure))
        except NotUnfolded:
            raise
        except Exception as error:  # it is somebody else's, and called with what it may not have been made for
            open_sides = any(None in tuple(own.shape)[1:] for own in self.tensors(args, kwargs))
            remedy = "; it may be with inputs of fixed lengths" if open_sides else ""
            raise NotUnfolded(f"its call fails on symbolic tensors ({one_line(error)}){remedy}") from None
        if not same_numbers(list(map(self.array, found)), expected):
            raise NotUnfolded("the calls in it do not give what it gives")
        return steps

    def _eagerly(self, step: Step, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
        operation = self.operation_of(step, args, "tried") if step.settings else step.operation
        return self.flatten(operation(*args, **kwargs))


def _untold(layer: Any, training: Any) -> str:
    return f"it is called with training={training}, which the call of {layer.name} in it would have to take"
