"""Runs as `train` has them, without their files, on models that are compiled once: that takes longer than most runs."""

import functools

from tfprune.adapters.tf_keras.mask_values import get_masks, set_masks, set_weights
from tfprune.experiments.building import build, initial_weights, load_data
from tfprune.pruning.masks import ones_like
from tfprune.training.trainer import Trainer

COMPILED = {}


def compiled(config, data, *, anew=False):
    """Returns a model of a run as it begins, compiled by an earlier run of its kind if there was one.

    Args:
        config, data: of the run.
        anew: another one than runs without it have.

    Returns:
        what tells the kinds apart, by which `COMPILED` knows the model once the run is over, and the model.
    """
    own = ("model", "model_settings", "exclude", "loop", "batch_size", "optimizer", "learning_rate", "shuffle")
    rates = config.learning_rate_schedule, config.warmup_epochs, config.pruning.phase_epochs(config.epochs)
    constant = rates[:2] == ("constant", 0)
    kind = repr([getattr(config, name) for name in own]), config.pruning.width_reduction, constant or rates, anew
    model = COMPILED.get(kind)
    if model is None:
        return kind, build(config, data)
    set_masks(model, ones_like(get_masks(model)))
    set_weights(model, initial_weights(config, data))
    return kind, model


def trained(config, *, anew=False):
    """Returns the trainer of a finished run; its model is that of the next run of the kind."""
    data = load_data(config)
    kind, model = compiled(config, data, anew=anew)
    trainer = Trainer(model, data, config, reinit_fn=functools.partial(initial_weights, config, data, "reinit"))
    COMPILED[kind] = trainer.model
    config.pruning.run(trainer)
    trainer.finish()
    return trainer
