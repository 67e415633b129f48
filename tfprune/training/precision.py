"""Which arithmetic a model computes in, and which is fastest here."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tfprune.adapters.backend import keras, tf, tf_config
from tfprune.adapters.tf_keras.layers import carry_state
from tfprune.adapters.tf_keras.remaking import cloned

WARM_UP_STEPS, MEASURED_STEPS = 3, 7


@contextlib.contextmanager
def precision_scope(precision: str) -> Iterator[None]:
    """Layers made inside compute in `precision`, a Keras policy; their weights stay float32."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


@contextlib.contextmanager
def deterministic_ops(wanted: bool) -> Iterator[None]:
    """Has TensorFlow's operations give the same bits for the same input meanwhile, on GPUs too."""
    before = tf_config.is_op_determinism_enabled()
    _set_determinism(before or wanted)
    try:
        yield
    finally:
        _set_determinism(before)


def _set_determinism(wanted: bool) -> None:
    (tf_config.enable_op_determinism if wanted else tf_config.disable_op_determinism)()


def candidates() -> tuple[str, ...]:
    """Returns the precisions worth trying on this machine."""
    half = "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"
    return ("float32", half)


def fastest(steps: Mapping[str, Callable[[], Any]]) -> tuple[str, dict[str, float]]:
    """Times steps in turn, some rounds unmeasured first.

    Returns:
        The name of the fastest, and each one's median seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for round_number in range(WARM_UP_STEPS + MEASURED_STEPS):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if round_number >= WARM_UP_STEPS:
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return min(medians, key=medians.__getitem__), medians


def in_float32(model: keras.Model) -> keras.Model:
    """Returns a copy that computes in float32 throughout, or the model itself if it does already."""
    layers = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]
    if all(layer.compute_dtype == layer.variable_dtype for layer in layers):
        return model
    copy = cloned(model, _without_policies)
    copy.set_weights(model.get_weights())
    for old, new in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        if not isinstance(new, keras.Model):
            carry_state(old, new)
    return copy


def _without_policies(settings: Any) -> Any:
    """Returns settings with float32 for each policy that computes in another dtype than weights have, however deep."""
    if isinstance(settings, dict):
        if settings.get("class_name") == "Policy":  # those of one dtype are stored as its name
            return "float32"
        return {key: _without_policies(own) for key, own in settings.items()}
    return [_without_policies(own) for own in settings] if isinstance(settings, list) else settings
