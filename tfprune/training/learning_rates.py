"""How the learning rate moves over a run."""

from __future__ import annotations

import math
from typing import Any

from tfprune.adapters.backend import keras, tf

STEP_MILESTONES = (0.5, 0.75)  # fractions of the run
STEP_FACTOR = 0.1
LEARNING_RATE_SCHEDULES = ("constant", "cosine", "steps")


def build_learning_rate(
    name: str,
    peak: float,
    *,
    warmup_steps: int,
    total_steps: int,
    first_step: int | tf.Variable = 0,
    scale: tf.Variable | None = None,
    step_multiplier: float | tf.Variable = 1.0,
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns a learning rate for a fresh optimizer that starts at `first_step` of a run.

    Args:
        name: `constant`; `cosine` falls to 0 over the run (Loshchilov & Hutter 2017, arXiv:1608.03983);
            `steps` divides by 10 at 1/2 and at 3/4 of the run (He et al. 2016, arXiv:1512.03385).
        peak: the learning rate after the warm-up.
        warmup_steps: steps over which it rises linearly from 0 (Goyal et al. 2017, arXiv:1706.02677).
        total_steps: steps of the whole run, warm-up included.
        first_step: steps of the run that count as done; a variable may change between trainings.
        scale: a factor that may change at any time.
        step_multiplier: steps of the run for each of the optimizer's; 0 keeps the learning rate of `first_step`.
    """
    if name == "constant" and not warmup_steps and scale is None:
        return peak

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: tf.Tensor) -> tf.Tensor:
            done = step_multiplier * tf.cast(step, tf.float32) + tf.cast(first_step, tf.float32)
            share = tf.clip_by_value((done - warmup_steps) / max(1, total_steps - warmup_steps), 0.0, 1.0)
            rate = peak * _factor(name, share) * (1.0 if scale is None else scale)
            return rate * tf.minimum((done + 1.0) / warmup_steps, 1.0) if warmup_steps else rate

        def get_config(self) -> dict[str, Any]:
            return {"name": name, "peak": peak, "warmup_steps": warmup_steps, "total_steps": total_steps}

    return Schedule()


def _factor(name: str, share: tf.Tensor) -> tf.Tensor:
    if name == "cosine":
        return 0.5 * (1.0 + tf.cos(math.pi * share))
    if name == "steps":
        passed = tf.reduce_sum(tf.cast(share >= tf.constant(STEP_MILESTONES), tf.float32))
        return tf.pow(STEP_FACTOR, passed)
    return tf.ones_like(share)
