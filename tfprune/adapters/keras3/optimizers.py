"""What optimizers of Keras 3 remember of a weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.rebuilding import carry_settings, rebuilt

EXCLUSIONS = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")  # what `get_config` leaves out
NO_SLOTS = ("_variables", "_trainable_variables", "_inner_optimizers")  # lists of an optimizer that hold something else

# Whose step, without a gradient, leaves a weight that is zero and what they remember of it as they are.
KEEP_ZEROS = ("SGD", "RMSprop", "Adam", "AdamW", "Nadam", "Lion", "Adagrad", "Adadelta", "Adamax")


def parts(optimizer: keras.optimizers.Optimizer | None) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizers that make the steps: that under loss scaling, or several for some variables each."""
    if optimizer is None:
        return []
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return parts(optimizer.inner_optimizer)
    return [own for inner in optimizer.optimizers for own in parts(inner)] if _is_several(optimizer) else [optimizer]


def _is_several(optimizer: keras.optimizers.Optimizer) -> bool:
    several = getattr(keras.optimizers, "MultiOptimizer", None)  # not in older versions
    return several is not None and isinstance(optimizer, several)


def fresh(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns an optimizer with the same settings that has made no step.

    A schedule of the learning rate is shared: those of a user's own cannot always be made again from a configuration.
    Those of several optimizers in one are made again: it has no rate itself.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        settings = {name: value for name, value in optimizer.get_config().items() if name != "inner_optimizer"}
        return type(optimizer)(fresh(optimizer.inner_optimizer), **settings)
    settings = optimizer.get_config()
    if "learning_rate" in settings and (schedule := schedule_of(optimizer)) is not None:
        settings["learning_rate"] = schedule
    kind = type(optimizer)
    if kind.__module__.startswith("keras.src.backend."):  # PyTorch's, which stand in for Keras' own
        kind = next(own for own in kind.__mro__ if own.__module__.startswith("keras.src.optimizers."))
    new = rebuilt(optimizer, kind=None if kind is type(optimizer) else kind, config=settings)
    return carry_settings(optimizer, new, EXCLUSIONS)


def schedule_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns the schedule, or any function, of an optimizer's learning rate; None where it is constant."""
    for own in parts(optimizer):
        rate = own._learning_rate
        if not isinstance(rate, keras.Variable) and callable(rate):
            return rate
    return None


def knows(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> bool:
    """Returns whether one of `parts` trains a variable."""
    return optimizer._var_key(variable) in optimizer._trainable_variables_indices


def keeps_zeros(optimizer: keras.optimizers.Optimizer) -> bool:
    """Returns whether one of `parts` is known to leave zeros without a gradient, and its slots of them, as they are.

    Then slots need no masks in every step, which would read and write each once more. A class of a user's own is not
    known; averages of weights follow these, whatever is written to them.
    """
    kind = type(optimizer)
    known = kind.__module__.startswith("keras.src.") and kind.__name__ in KEEP_ZEROS and not optimizer.use_ema
    return known and getattr(optimizer, "epsilon", None) != 0  # without any, a step of nothing is 0 / 0


def sees_more_than_a_weight(optimizer: keras.optimizers.Optimizer) -> bool:
    """Returns whether one of `parts` that `keeps_zeros` lets a gradient count beyond its weight, or beyond a step."""
    norms = optimizer.clipnorm, optimizer.global_clipnorm
    return any(own is not None for own in (*norms, optimizer.gradient_accumulation_steps))


def slots(optimizer: keras.optimizers.Optimizer | None, variable: keras.Variable) -> list[keras.Variable]:
    """Returns what an optimizer remembers weight by weight of a variable (momentum, squared gradients, averages...).

    Memory that is not shaped like the variable is left out, such as Adafactor's rows and columns.

    Args:
        optimizer: any, also one of `parts`.
        variable: one that it trains.

    Returns:
        The slots, in an order that the optimizer's class and settings decide; empty before it is built.
    """
    return [slot for own in parts(optimizer) for slot in slots_of_each(own, [variable]).get(id(variable), ())]


def slots_of_each(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> dict[int, list[keras.Variable]]:
    """Returns the `slots` of those variables that one of `parts` trains, by id."""
    places = optimizer._trainable_variables_indices
    memory = [
        own
        for name, own in vars(optimizer).items()
        if isinstance(own, (list, tuple)) and name not in NO_SLOTS and len(own) == len(places)
    ]
    found = {}
    for variable in variables:
        if (place := places.get(optimizer._var_key(variable))) is not None:
            each = [own[place] for own in memory if isinstance(own[place], keras.Variable)]
            found[id(variable)] = [slot for slot in each if tuple(slot.shape) == tuple(variable.shape)]
    return found


def initial_slots(
    optimizer: keras.optimizers.Optimizer, kernels: Sequence[keras.Variable]
) -> dict[int, Sequence[float]]:
    """Returns what the slots of a weight that is zero start at.

    Zero for momentum; Adagrad's and Ftrl's accumulators start above it. They are read from another optimizer of the
    same settings that trains single zeros; one that cannot be made again is taken to start at zero.

    Args:
        optimizer: one of `parts`.
        kernels: what it trains.

    Returns:
        id of a kernel -> a value for each of `slots`, in their order.
    """
    zeros = {id(kernel): _zero(kernel) for kernel in kernels}
    try:
        twin = fresh(optimizer)
    except (NotImplementedError, TypeError, ValueError):  # a user's own, that says too little of itself
        twin = None
    if twin is not None:
        twin.build(list(zeros.values()))
    starts = {}
    for kernel in kernels:
        found = [keras.ops.convert_to_numpy(slot.value) for slot in slots(twin, zeros[id(kernel)])]
        count = len(slots(optimizer, kernel))
        starts[id(kernel)] = [float(own.reshape(-1)[0]) for own in found] if len(found) == count else [0.0] * count
    return starts


def _zero(kernel: keras.Variable) -> keras.Variable:
    """Returns a variable of one zero that an optimizer treats as it does a kernel: by its axes and its name."""
    zero = keras.Variable(keras.ops.zeros([1] * len(kernel.shape)), dtype=kernel.dtype, name="zero")
    zero._path = kernel.path
    return zero
