"""The optimizers and their settings, under Keras' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfprune.adapters.rebuilding import rebuilt
from tfprune.backend import keras, tf
from tfprune.checks import check_choice, check_fraction, check_least, check_switch
from tfprune.errors import ConfigError, choose_from

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {  # name -> Keras class, settings and their defaults
    "adam": ("Adam", {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
    "adamw": ("AdamW", {"weight_decay": 0.004, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
    "sgd": ("SGD", {"momentum": 0.0, "nesterov": False, "weight_decay": None}),
}
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

    A schedule of the learning rate is shared: those of a person's own cannot always be made again from a configuration.
    """
    settings = optimizer.get_config()
    if hasattr(optimizer, "inner_optimizer"):  # under loss scaling
        settings["inner_optimizer"] = fresh(optimizer.inner_optimizer)
    rate = getattr(optimizer, "_learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        settings["learning_rate"] = rate
    return _alone(rebuilt(optimizer, config=settings))


def _alone(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Spares an optimizer that works on one device the sum over devices.

    TensorFlow sums through a `tf.custom_gradient`, which keeps every graph that it was ever traced in: megabytes a run.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync == 1 and hasattr(optimizer, "aggregate_gradients"):
        optimizer.aggregate_gradients = list
    return optimizer
