"""Masks in place: kernels of any model of Keras 3 stay exactly zero where they are pruned, on each backend.

The model keeps its class, its layers and their names, its files. What holds the zeros is outside of all that is saved:

* the optimizer's `apply` masks the gradients of the kernels before a step, so that pruned weights count in no norm that
  gradients are clipped by, and after it puts pruned weights to zero and what it remembers of them to where it starts,
  whatever the step has done (decay, averages, momentum), unless its arithmetic keeps the latter there by itself, and
  on TensorFlow, where each look at a mask takes time, the weights too: there they take nothing but zeros from anyone;
  on PyTorch, where steps with many zeros take longer, gradients are masked only if a step looks at several together;
* on JAX the masks are variables of the optimizer, without being saved with it: it hands a compiled step those, and
  takes anything else for a constant. So masks change in the middle of a `fit`, and nothing is compiled anew;
* a constraint of each kernel does the same for the weights under an optimizer that is not held, as after the model was
  compiled anew.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.layers import NAMES
from tfprune.adapters.keras3.optimizers import (
    initial_slots,
    keeps_zeros,
    knows,
    parts,
    sees_more_than_a_weight,
    slots_of_each,
)
from tfprune.adapters.put_back import unwatch, watch
from tfprune.pruning.masks import revived

MASKS = "_tfprune_masks"  # the attribute of a model with its masks
HELD = "_tfprune_masks"  # the attribute of an optimizer that names the masks which it is held to
PENALTIES = "_tfprune_penalties"  # the one that names what is added to its gradients, see `penalties`
STARTS = "_tfprune_starts"  # the one that says where its slots start: `optimizers.initial_slots`
WRAPPED = ("apply", "finalize_variable_values", "save_own_variables", "load_own_variables")  # of an optimizer
Pairs = Iterable[tuple[keras.Variable, keras.Variable]]  # weights of a model and of a smaller one
Narrow = Callable[[keras.Variable, np.ndarray], np.ndarray]  # an array as a weight of the model -> what is left of it
OF_MODELS = ("save", "get_state_tree", "set_state_tree")  # methods that take an optimizer's variables one by one


class InPlaceMasks:
    """Masks of some kernels of a model, held by constraints and, once it is given to `hold`, by the optimizer.

    Args:
        model: whose they are.
        kernels: name -> variable.
    """

    def __init__(self, model: keras.Model, kernels: Mapping[str, keras.Variable]) -> None:
        self._model = model
        self._own = {name: kernel.constraint for name, kernel in kernels.items()}
        self._values = {name: np.ones(tuple(kernel.shape), np.uint8) for name, kernel in kernels.items()}
        self._vars = [(name, kernel, _mask(kernel, number)) for number, (name, kernel) in enumerate(kernels.items())]
        self._guarded, self._free = backends.guards(model), False
        self._guard()
        self._constrain()

    def kernels(self) -> dict[str, keras.Variable]:
        """Returns the kernels by name."""
        return {name: kernel for name, kernel, _ in self._vars}

    def values(self) -> dict[str, np.ndarray]:
        """Returns the masks by kernel name, uint8."""
        return {name: mask.copy() for name, mask in self._values.items()}

    def set(self, masks: Mapping[str, np.ndarray]) -> None:
        """Puts new masks on: kernels become zero where they are, and what the optimizer remembers starts anew there.

        Args:
            masks: kernel name -> array of its shape, zero where a weight is pruned.
        """
        backends.sync(self._model)
        for name, _, mask in self._vars:
            alive = np.asarray(masks[name]) != 0
            self._values[name] = alive.astype(np.uint8)
            mask.assign(alive)
        for _, kernel, mask in self._vars:
            backends.keep(mask, kernel)
            backends.settle(kernel)
        for part in parts(getattr(self._model, "optimizer", None)):
            self.forget(part)

    def renew(self) -> None:
        """Puts the masks on weights that somebody has set."""
        self.set(self._values)

    def revived(self) -> int:
        """Returns how many pruned weights are not zero."""
        return revived({name: backends.numbers(kernel) for name, kernel, _ in self._vars}, self._values)

    @contextlib.contextmanager
    def unguarded(self) -> Iterator[None]:
        """Lets the kernels take any values from whoever assigns them."""
        backends.sync(self._model)
        for _, kernel, _ in self._vars:
            backends.unguard(kernel)
        self._free = True
        try:
            yield
        finally:
            self._free = False
            self._guard()

    def _guard(self) -> None:
        for _, kernel, mask in self._vars if self._guarded else ():
            backends.guard(kernel, mask)

    def hold(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Makes an optimizer keep what is pruned at zero, with nothing remembered of it."""
        # One that chooses others for variables has no parts until it is built.
        if optimizer.built and all(vars(part).get(HELD) is self for part in parts(optimizer)):
            return
        with backends.scope(self._model):
            if not optimizer.built:
                optimizer.build(self._model.trainable_variables)
            for part in parts(optimizer):
                self._look_up_starts(part)
        for part in parts(optimizer):
            release(part, HELD)
            vars(part)[HELD] = self  # past Keras' tracking: it is no state of the optimizer
        heed(self._model, optimizer, self)

    def release(self) -> None:
        """Takes the masks off: the kernels have their own constraints again, and may leave zero from then on."""
        backends.sync(self._model)
        self._unconstrain()
        for _, kernel, _ in self._vars:
            backends.unguard(kernel)
        for part in parts(getattr(self._model, "optimizer", None)):
            if vars(part).get(HELD) is self:
                release(part, HELD)
        if self._model.train_function is not None:
            self._model.make_train_function(force=True)

    def applied(self, part: keras.optimizers.Optimizer, apply: Callable, grads: Sequence, variables: Any) -> Any:
        """Does a step of an optimizer with masked gradients; what is pruned is as it was before, whatever the step did.

        Args:
            part: that makes the step.
            apply: does it, given the gradients and their variables.
            grads: gradients; None where there is none.
            variables: None for all that the optimizer was built for.
        """
        trained = list(part._trainable_variables if variables is None else variables)
        steady, after = keeps_zeros(part), self._after_steps(part)
        masks = {id(kernel): mask for name, kernel, mask in self._vars if name not in after}
        grads = [
            gradient if gradient is None or id(own) not in masks else backends.masked(gradient, masks[id(own)])
            for gradient, own in zip(grads, trained, strict=True)
        ]
        with self._unconstrained():
            result = apply(grads, variables)
        if not (steady and self._guarded and part.clipnorm is None and part.global_clipnorm is None):
            forget = after if steady else self._values
            self._enforce(part, trained, forget=forget)  # a norm that is no number reaches all weights
        return result

    def _after_steps(self, part: keras.optimizers.Optimizer) -> set[str]:
        """Returns the kernels whose gradients an optimizer gets as they are, where arithmetic with zeros takes longer.

        What its step makes of pruned weights reaches no other weight, and is forgotten after it.
        """
        if not backends.slowed_by_zeros() or not keeps_zeros(part) or sees_more_than_a_weight(part):
            return set()
        starts = vars(part)[STARTS]  # of what it trains
        return {n for n, kernel, _ in self._vars if self._own[n] is None and not any(starts.get(id(kernel), [1.0]))}

    def forget(self, part: keras.optimizers.Optimizer) -> None:
        """Lets what an optimizer remembers start anew where weights are pruned, as after it was read from a file."""
        if part.built and not self._free:
            self._look_up_starts(part)
            for _, kernel, _ in self._vars:
                self._enforce(part, [kernel], forget=self._values)
                backends.settle(kernel)

    def _enforce(
        self, part: keras.optimizers.Optimizer, variables: Sequence[keras.Variable], forget: Container[str]
    ) -> None:
        """Puts kernels to zero where they are pruned, and what is remembered of some of them to where it starts."""
        among = {id(variable) for variable in variables}
        kernels = [(name, kernel, mask) for name, kernel, mask in self._vars if id(kernel) in among]
        memory = slots_of_each(part, [kernel for _, kernel, _ in kernels])
        for name, kernel, mask in kernels:
            if id(kernel) not in memory:  # another optimizer trains it
                continue
            remembered = memory[id(kernel)] if name in forget else ()
            starts = vars(part)[STARTS][id(kernel)] if name in forget else ()
            backends.keep(mask, kernel, *remembered, starts=(0.0, *starts))

    def variables_of(self, part: keras.optimizers.Optimizer) -> list[keras.Variable]:
        """Returns the masks of what an optimizer trains."""
        return [mask for _, kernel, mask in self._vars if knows(part, kernel)]

    def _look_up_starts(self, part: keras.optimizers.Optimizer) -> None:
        """Notes at an optimizer where what it remembers starts; not in a compiled step, which makes no variables."""
        known = vars(part).setdefault(STARTS, {})
        if missing := [own for _, own, _ in self._vars if knows(part, own) and id(own) not in known]:
            known |= initial_slots(part, missing)

    def _constrain(self) -> None:
        for name, kernel, mask in self._vars:
            kernel._constraint = _masked_after(self._own[name], mask)

    def _unconstrain(self) -> None:
        for name, kernel, _ in self._vars:
            kernel._constraint = self._own[name]

    @contextlib.contextmanager
    def _unconstrained(self) -> Iterator[None]:
        """Leaves the kernels their own constraints alone: they are masked after the step, with all else."""
        self._unconstrain()
        try:
            yield
        finally:
            self._constrain()


def put_on(model: keras.Model, masks: InPlaceMasks) -> None:
    """Gives a model its masks: any optimizer that it is compiled with from now on is held to them."""
    vars(model)[MASKS] = masks  # past Keras' tracking: they are no part of what is saved
    vars(model)["make_train_function"] = functools.partial(_held_train_function, model)
    watch(model, masks.revived, masks.renew, masks.unguarded)


def carry_masks(model: keras.Model, smaller: keras.Model, pairs: Pairs, narrowed: Narrow) -> None:
    """Gives a smaller model what is left of the masks of a larger one, see `graphs.Graphs.carry_masks`."""
    if (known := vars(model).get(MASKS)) is None:
        return
    found = {id(own.variable): own.name for own in NAMES.named_kernels(smaller)}
    left = {id(old): new for old, new in pairs}
    values = known.values()
    kernels, masks = {}, {}
    for name, kernel in known.kernels().items():
        if (new := left.get(id(kernel))) is not None:
            own = found.get(id(new), name)
            kernels[own], masks[own] = new, narrowed(kernel, values[name])
    with backends.scope(model):
        put_on(smaller, InPlaceMasks(smaller, kernels))
        vars(smaller)[MASKS].set(masks)


def take_off(model: keras.Model) -> None:
    """Takes the masks off that a model has, if any."""
    vars(model).pop("make_train_function", None)
    unwatch(model)
    if (masks := vars(model).pop(MASKS, None)) is not None:
        masks.release()


def _held_train_function(model: keras.Model, force: bool = False) -> Any:
    """Makes a masked model's function of a training step, under whatever optimizer it was compiled with since."""
    hold_masks(model)
    return type(model).make_train_function(model, force=force)


def hold_masks(model: keras.Model) -> None:
    """Makes the optimizer of a compiled model keep what is masked in place at zero."""
    if (masks := vars(model).get(MASKS)) is not None and getattr(model, "optimizer", None) is not None:
        masks.hold(model.optimizer)


def _mask(kernel: keras.Variable, number: int) -> keras.Variable:
    """Returns a mask of ones, which lies on the devices that the kernel lies on."""
    return keras.Variable(
        np.ones(tuple(kernel.shape), bool),
        dtype="bool",
        trainable=False,
        autocast=False,
        name=f"{kernel.path.replace('/', '_')}_mask_{number}",
        layout=getattr(kernel, "_layout", None),
    )


def _masked_after(inner: Callable | None, mask: keras.Variable) -> Callable[[Any], Any]:
    def constraint(kernel: Any) -> Any:
        kernel = kernel if inner is None else inner(kernel)
        return backends.where(mask.value, keras.ops.convert_to_tensor(kernel))

    return constraint


def heed(model: keras.Model, optimizer: keras.optimizers.Optimizer, holder: Any) -> None:
    """Makes the steps of a model's optimizer go by masks or penalties that its parts have been given.

    Args:
        model: that is trained.
        optimizer: its, built.
        holder: the masks or penalties; `variables_of` a part go with its own to a compiled step, and into no file.
    """
    if backends.hands_over_state():
        for part in parts(optimizer):
            _track(part, holder.variables_of(part))
    _wrap_model(model)
    for own in {id(own): own for own in (optimizer, *parts(optimizer))}.values():
        _wrap(own)
    if model.train_function is not None:  # what was compiled before knows nothing of them
        model.make_train_function(force=True)


def _wrap(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes the methods of an optimizer go by the masks that it is held to, past Keras' tracking."""
    if "apply" in vars(optimizer):
        return
    apply, finalize, save, load = (getattr(optimizer, name) for name in WRAPPED)

    def held_apply(grads: Sequence[Any], trainable_variables: Any = None) -> Any:
        masks = vars(optimizer).get(HELD)
        if (penalties := vars(optimizer).get(PENALTIES)) is not None:
            grads = penalties.added(optimizer, grads, trainable_variables)
        if masks is None:
            return apply(grads, trainable_variables)
        return masks.applied(optimizer, apply, grads, trainable_variables)

    def held_finalize(var_list: Sequence[Any]) -> None:
        finalize(var_list)
        _forget(optimizer)  # averages may have taken the places of weights
        backends.own_memory(var_list)

    def held_save(store: Any) -> None:
        with _plain(optimizer):
            save(store)

    def held_load(store: Any) -> None:
        with _plain(optimizer):
            load(store)
        _forget(optimizer)

    vars(optimizer).update(zip(WRAPPED, (held_apply, held_finalize, held_save, held_load), strict=True))


def _forget(optimizer: keras.optimizers.Optimizer) -> None:
    for part in parts(optimizer):
        if HELD in vars(part):
            vars(part)[HELD].forget(part)


def _wrap_model(model: keras.Model) -> None:
    """Makes a model's methods that list what its optimizer remembers leave the masks out, past Keras' tracking."""
    for name in OF_MODELS if backends.hands_over_state() else OF_MODELS[-1:]:
        if hasattr(model, name) and name not in vars(model):
            vars(model)[name] = _without_masks(model, getattr(model, name))


def _without_masks(model: keras.Model, method: Callable) -> Callable:
    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        backends.sync(model)
        with _plain(model.optimizer):
            result = method(*args, **kwargs)
        if method.__name__ == "set_state_tree":
            _forget(model.optimizer)
        return result

    return wrapped


def _track(part: keras.optimizers.Optimizer, masks: Sequence[keras.Variable]) -> None:
    for mask in masks:
        part._track_variable(mask)


def _untrack(part: keras.optimizers.Optimizer, names: Sequence[str] = (HELD, PENALTIES)) -> list[keras.Variable]:
    """Takes the masks and penalties that are among an optimizer's variables out of these; returns them."""
    known = {id(variable) for variable in part.variables}
    ours = [own for name in names if name in vars(part) for own in vars(part)[name].variables_of(part)]
    ours = [own for own in ours if id(own) in known]
    for own in ours:
        part._untrack_variable(own)
    return ours


def release(part: keras.optimizers.Optimizer, name: str) -> None:
    """Frees an optimizer of the masks or penalties (`HELD`, `PENALTIES`) that it goes by."""
    if name in vars(part):
        _untrack(part, [name])
        del vars(part)[name]


@contextlib.contextmanager
def _plain(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Lets an optimizer have the variables that it would have without masks: those are saved."""
    held = [(part, _untrack(part)) for part in parts(optimizer)]
    try:
        yield
    finally:
        for part, ours in held:
            _track(part, ours)
