"""The optimizers and their settings, under Keras' names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.rebuilding import carry_settings, rebuilt
from tfprune.utils.checks import check_choice, check_fraction, check_least, check_switch
from tfprune.utils.errors import ConfigError, choose_from

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {  # name -> Keras class, settings and their defaults
    "adam": ("Adam", {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
    "adamw": ("AdamW", {"weight_decay": 0.004, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
    "sgd": ("SGD", {"momentum": 0.0, "nesterov": False, "weight_decay": None}),
}
NO_SETTINGS = (  # what `get_config` leaves out
    *("_exclude_from_weight_decay", "_exclude_from_weight_decay_names"),
    *("gradient_aggregator", "gradient_transformers"),  # of the legacy ones
)
FRACTIONS = ("beta_1", "beta_2", "momentum")


def check_optimizer(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all settings of an optimizer, defaults filled in; unknown names are a `ConfigError`."""
    check_choice("optimizer", name, OPTIMIZERS)
    defaults = OPTIMIZERS[name][1]
    result = dict(defaults)
    for key, value in settings.items():
        if key not in defaults:
            raise ConfigError(f"optimizer {name} has no setting {key!r}: {choose_from(key, defaults)}")
        setting = f"optimizer.{key}"
        if isinstance(defaults[key], bool):
            result[key] = check_switch(setting, value)
        elif value is None and defaults[key] is None:
            result[key] = None
        elif key in FRACTIONS:
            result[key] = check_fraction(setting, value)
        else:
            result[key] = check_least(setting, value, 0.0)
    return result


def build_optimizer(
    name: str, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, settings: Mapping[str, Any]
) -> keras.optimizers.Optimizer:
    """Returns a fresh Keras optimizer."""
    return _alone(getattr(keras.optimizers, OPTIMIZERS[name][0])(learning_rate=learning_rate, **settings))


def fresh(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns an optimizer with the same settings that has made no step.

    A schedule of the learning rate is shared: those of a user's own cannot always be made again from a configuration.
    """
    settings = optimizer.get_config()
    if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        settings["inner_optimizer"] = fresh(optimizer.inner_optimizer)
    elif (schedule := schedule_of(optimizer)) is not None:
        settings["learning_rate"] = schedule
    return _alone(carry_settings(optimizer, rebuilt(optimizer, config=settings), NO_SETTINGS))


def unwrapped(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Returns the optimizer that makes the steps: under loss scaling the one inside."""
    scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
    return optimizer.inner_optimizer if scaled else optimizer


def schedule_of(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Returns the schedule of an optimizer's learning rate; None where it is constant."""
    optimizer = unwrapped(optimizer)
    rate = vars(optimizer).get("_hyper", {}).get("learning_rate", getattr(optimizer, "_learning_rate", None))
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def slots(optimizer: keras.optimizers.Optimizer | None, variable: tf.Variable) -> list[tf.Variable]:
    """Returns what an optimizer remembers weight by weight of a variable (momentum, squared gradients, averages...).

    Memory that is not shaped like the variable is left out, such as Adafactor's rows and columns.

    Args:
        optimizer: one of `keras.optimizers` or `keras.optimizers.legacy`, under loss scaling or not.
        variable: one that it trains.

    Returns:
        The slots, in an order that the optimizer's class and settings decide; empty before its first step.
    """
    if optimizer is None:
        return []
    optimizer = unwrapped(optimizer)
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        own = optimizer._slots.get(variable._unique_id, {})
        found = [own[name] for name in optimizer.get_slot_names() if name in own]
    else:
        index = getattr(optimizer, "_index_dict", {}).get(optimizer._var_key(variable))
        if index is None:
            return []
        lists = [value for value in vars(optimizer).values() if isinstance(value, (list, tuple))]
        per_variable = [values for values in lists if len(values) == len(optimizer._index_dict)]
        found = [values[index] for values in per_variable if hasattr(values[index], "assign")]
    return [slot for slot in found if slot.shape == variable.shape]


def initial_slots(optimizer: keras.optimizers.Optimizer, ranks: Collection[int]) -> dict[int, list[float]]:
    """Returns what the slots of a weight that is zero start at, by the number of axes of its variable.

    Zero for momentum; Adagrad's and Ftrl's accumulators start above it. They are read from another optimizer of the
    same settings that trains single zeros; one that cannot be made again is taken to start at zero.

    Returns:
        number of axes -> a value for each of `slots`, in their order.
    """
    if not ranks:
        return {}
    optimizer = unwrapped(optimizer)
    zeros = {rank: tf.Variable(tf.zeros([1] * rank), name=f"zero_{rank}") for rank in sorted(set(ranks))}
    try:
        twin = fresh(optimizer)
    except (NotImplementedError, TypeError, ValueError):  # a user's own, that says too little of itself
        return {rank: [] for rank in zeros}
    if isinstance(twin, keras.optimizers.legacy.Optimizer):
        twin._create_all_weights(list(zeros.values()))
    else:
        twin.build(list(zeros.values()))
    return {rank: [float(slot.numpy().reshape(-1)[0]) for slot in slots(twin, own)] for rank, own in zeros.items()}


def _alone(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Spares an optimizer that works on one device the sum over devices.

    TensorFlow sums through a `tf.custom_gradient`, which keeps every graph that it was ever traced in: megabytes a run.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1 and hasattr(optimizer, "aggregate_gradients"):
        optimizer.aggregate_gradients = list
    return optimizer
