"""What a run asks of Keras 3 beside masks: a compiled classifier, its learning rate, its state as arrays."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras3_module as keras
from tfprune.adapters.backend import keras3_seeds
from tfprune.adapters.keras3 import backends
from tfprune.adapters.keras3.masking import hold_masks
from tfprune.adapters.keras3.optimizers import parts

STEP_MILESTONES, STEP_FACTOR = (0.5, 0.75), 0.1  # of the schedule `steps`, as for tf_keras
SEEDS = 2**31  # numbers that the seeds of every backend can hold


def learning_rate(
    name: str,
    peak: float,
    *,
    warmup_steps: int,
    total_steps: int,
    first_step: int = 0,
    moves: bool = True,
    factors: Mapping[int, float] | None = None,
) -> Any:
    """Returns a learning rate for a fresh optimizer that starts at `first_step` of a run: a number, or a schedule.

    Args:
        name: `constant`, `cosine` or `steps`, see `training.learning_rates`.
        peak: the learning rate after the warm-up.
        warmup_steps: steps over which it rises linearly from 0.
        total_steps: steps of the whole run, warm-up included.
        first_step: steps of the run that count as done.
        moves: whether it goes on from there; otherwise it stays at that of `first_step`.
        factors: number of the optimizer's steps -> what the learning rate is multiplied by after them.
    """
    if name == "constant" and not warmup_steps and not factors:
        return peak
    ops = keras.ops

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            done = first_step + (step if moves else 0.0 * step)
            share = ops.clip((done - warmup_steps) / max(1, total_steps - warmup_steps), 0.0, 1.0)
            rate = peak * _factor(name, share)
            for after, factor in (factors or {}).items():
                rate = rate * ops.where(step >= after, factor, 1.0)
            return rate * ops.minimum((done + 1.0) / warmup_steps, 1.0) if warmup_steps else rate

        def get_config(self) -> dict[str, Any]:
            return {"name": name, "peak": peak, "warmup_steps": warmup_steps, "total_steps": total_steps}

    return Schedule()


def _factor(name: str, share: Any) -> Any:
    ops = keras.ops
    if name == "cosine":
        return 0.5 * (1.0 + ops.cos(math.pi * share))
    if name == "steps":
        passed = sum(ops.cast(share >= milestone, "float32") for milestone in STEP_MILESTONES)
        return ops.power(STEP_FACTOR, passed)
    return ops.ones_like(share)


def compile_for(
    model: Any, loss: Any, metrics: Sequence[Any], kind: str, rate: Any, settings: Mapping[str, Any], *, xla: bool
) -> None:
    """Compiles a model with a fresh optimizer that is held to the model's masks.

    Args:
        model: any.
        loss: that is trained on.
        metrics: that are logged; one called `loss` takes the place of the loss, in which penalties are.
        kind: the optimizer's class.
        rate: its learning rate, see `learning_rate`.
        settings: its others.
        xla: whether XLA compiles the step where the backend does not always do so.
    """
    backends.sync(model)
    if any(layer.compute_dtype == "float16" for layer in model._flatten_layers()):
        model.dtype_policy = "mixed_float16"  # by which Keras scales the loss, so that small gradients are not lost
    optimizer = getattr(keras.optimizers, kind)(learning_rate=rate, **settings)
    with backends.scope(model):
        model.compile(
            optimizer=optimizer,
            loss=loss,
            metrics=list(metrics),
            jit_compile="auto" if backends.name() == "jax" else xla,  # there wherever the layers allow it
        )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    hold_masks(model)


def answers(model: Any, x: np.ndarray) -> np.ndarray:
    """Returns what a model answers to some examples, in inference mode."""
    returned = model.predict_on_batch(x) if backends.name() == "jax" else model(x, training=False)
    return backends.array(returned)


def use_precision(model: Any, policy: str) -> None:
    """Has the layers of a model compute in a policy of mixed precision, those that have one of their own excepted."""
    if policy == "float32":
        return
    for layer in model._flatten_layers():
        if layer.dtype_policy.name == "float32":
            layer.dtype_policy = policy


def restore_precision(model: Any, policy: str) -> None:
    """Undoes `use_precision`."""
    for layer in model._flatten_layers() if policy != "float32" else ():
        if layer.dtype_policy.name == policy:
            layer.dtype_policy = "float32"
    model.predict_function = None  # that computes as before


def state_of(model: Any, *, in_epoch: bool) -> dict[str, np.ndarray]:
    """Returns all that a training changes in a compiled model, by numbered names.

    `in_epoch` that are metrics and what is drawn from too, which begin anew in each epoch.
    """
    backends.sync(model)
    return {
        f"{part}/{number}": backends.numbers(variable)
        for part, own in variables_of(model, in_epoch=in_epoch).items()
        for number, variable in enumerate(own)
    }


def variables_of(model: Any, *, in_epoch: bool) -> dict[str, list[Any]]:
    """Returns the variables that a training changes, by part."""
    optimizer = [variable for part in (model.optimizer, *parts(model.optimizer)) for variable in part.variables]
    draws = [generator.state for generator in seed_generators(model)]
    others = {id(state) for state in draws}
    weights = [variable for variable in _distinct(model.variables) if id(variable) not in others]
    found = {"weight": weights, "optimizer": _distinct(optimizer)}
    return found | ({"metric": _distinct(model.metrics_variables), "draw": _distinct(draws)} if in_epoch else {})


def _distinct(variables: Sequence[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())


def seed_generators(model: Any) -> list[Any]:
    """Returns what a model's layers draw from, always in the same order, and at last what any other draw comes from."""
    own = [generator for layer in model._flatten_layers() for generator in layer._seed_generators]
    return _distinct([*own, keras3_seeds.global_seed_generator()])


def seed_everything(seed: int) -> None:
    """Seeds what Python, NumPy, Keras and its backend draw; Keras' own function imports TensorFlow on any backend."""
    if backends.name() == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    random.seed(seed)
    np.random.seed(seed)
    keras3_seeds.global_state.set_global_attribute(keras3_seeds.GLOBAL_SEED_GENERATOR, None)
    backends.seed(seed)


def reset_names() -> None:
    """Has layers without names of their own be counted from the start, as in a process that has built none."""
    keras3_seeds.global_state.set_global_attribute("object_name_uids", None)


def reseed(model: Any, seeds: Sequence[int]) -> None:
    """Sets what a model's layers draw from now on.

    Args:
        model: any.
        seeds: one for each of `seed_generators`.
    """
    for generator, seed in zip(seed_generators(model), seeds, strict=True):
        generator.state.assign(np.array([seed % SEEDS, 0]))
