"""Which arithmetic a model computes in, and which is fastest here."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tfprune.adapters.backend import keras, tf, tf_config
from tfprune.adapters.rebuilding import rebuilt

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
    if all(layer.compute_dtype == layer.variable_dtype for layer in model.layers):
        return model

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=clone)
        return rebuilt(layer, dtype="float32")

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
