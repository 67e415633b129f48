"""Compiles a model as the settings of a run say."""

from __future__ import annotations

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.optimizers import build_optimizer
from tfprune.adapters.tf_keras.wrapping import hold_masks
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.training.config import Config
from tfprune.training.fused import Fused
from tfprune.training.learning_rates import build_learning_rate

STEPS_IN_ONE_CALL = 64  # at most: an epoch of so few steps runs as one call of the compiled function


def compile_model(
    model: keras.Model,
    config: Config,
    steps_per_epoch: int,
    first_step: int | tf.Variable = 0,
    scale: tf.Variable | None = None,
    step_multiplier: float | tf.Variable = 1.0,
    objective: Objective = CLASSIFICATION,
) -> None:
    """Compiles a model as a run's settings say, with a fresh optimizer that starts at a step of the run.

    Its logs have the objective's loss alone as `loss`, where penalties are trained on too.
    """
    learning_rate = build_learning_rate(
        config.learning_rate_schedule,
        config.learning_rate,
        warmup_steps=round(config.warmup_epochs * steps_per_epoch),
        total_steps=config.pruning.phase_epochs(config.epochs) * steps_per_epoch,
        first_step=first_step,
        scale=scale,
        step_multiplier=step_multiplier,
    )
    fused = isinstance(model, Fused)
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=build_optimizer(config.optimizer, learning_rate, config.optimizer_settings),
            loss=objective.loss(keras),
            metrics=objective.compiled_metrics(keras),
            steps_per_execution=steps_per_epoch if steps_per_epoch <= STEPS_IN_ONE_CALL and not fused else 1,
            jit_compile=config.xla or fused or None,
        )
    if config.strategy == "none":  # else TensorFlow traces the first step twice: an optimizer makes its variables in it
        getattr(model.optimizer, "inner_optimizer", model.optimizer).build(model.trainable_variables)
    hold_masks(model)


def devices(model: keras.Model) -> int:
    """Returns how many devices a model is trained on."""
    return model.distribute_strategy.num_replicas_in_sync
