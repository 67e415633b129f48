"""One training on several devices of a machine (`tf.distribute`): each has the weights, and a part of each batch."""

from __future__ import annotations

from tfprune.backend import tf
from tfprune.config import Config
from tfprune.errors import ConfigError


def strategy_of(config: Config) -> tf.distribute.Strategy | None:
    """Returns what a run's model is built and compiled under; None is one device.

    Raises:
        ConfigError: there is one device only, or the batches cannot be divided evenly: the mean over parts of
            different sizes would be another loss.
    """
    gpus = tf.config.list_logical_devices("GPU") if config.strategy != "none" else []
    if config.strategy == "none" or (config.strategy == "auto" and len(gpus) < 2):
        return None
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise ConfigError(f"strategy mirrored needs several devices, and there is only {devices[0].name}; use auto")
    if config.batch_size % len(devices):
        raise ConfigError(
            f"batch_size must be a multiple of the {len(devices)} devices of strategy {config.strategy}, "
            f"got {config.batch_size}"
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])
