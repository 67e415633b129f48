"""Trainings that take channels or branches out of their model, without a run's folder."""

import functools

from tfprune.experiments.building import build, initial_weights, load_data
from tfprune.training.channel_trainer import ChannelTrainer


def trainer_of(config, cls=ChannelTrainer):
    data = load_data(config)
    reinit_fn = functools.partial(initial_weights, config, data, "reinit")
    return cls(build(config, data), data, config, reinit_fn=reinit_fn)


def run(config, cls=ChannelTrainer):
    trainer = trainer_of(config, cls)
    config.pruning.run(trainer)
    trainer.finish()
    return trainer
