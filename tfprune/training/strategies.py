"""One training on several devices (`tf.distribute`): each has the weights, and a part of each batch.

`mirrored` is devices of one process. `multiworker` is several processes, on any machines, which are all started with
the same command and find each other by `TF_CONFIG`. Each of them does all that a single process does, in the same
order, so that they meet wherever numbers have to pass between them; only the first one, the chief, keeps the files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tfprune.adapters.backend import tf
from tfprune.data._pipeline import ReplicaShard
from tfprune.pruning.masks import Arrays
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, RunError
from tfprune.utils.locks import locked
from tfprune.utils.text import one_line

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
WORKER_LOST = (
    "another worker is gone or does not answer; start the same command on all workers again, and the run goes on from "
    "its last checkpoint"
)


def strategy_of(config: Config) -> tf.distribute.Strategy | None:
    """Returns what a run's model is built and compiled under; None is one device.

    Raises:
        ConfigError: there is one device only, the batches cannot be divided evenly, or `TF_CONFIG` does not say who
            the workers are.
    """
    if config.strategy == "multiworker":
        strategy = _workers(os.environ.get("TF_CONFIG", ""))
        _check_batches(config, strategy.num_replicas_in_sync)
        return strategy
    gpus = tf.config.list_logical_devices("GPU") if config.strategy != "none" else []
    if config.strategy == "none" or (config.strategy == "auto" and len(gpus) < 2):
        return None
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise ConfigError(f"strategy mirrored needs several devices, and there is only {devices[0].name}; use auto")
    _check_batches(config, len(devices))
    return _mirrored(tuple(device.name for device in devices))


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """Returns the strategy of some devices; one in a process, for each counts its sums anew, and TensorFlow remembers
    which shape the sum of a number had.
    """
    return tf.distribute.MirroredStrategy(devices)


def _check_batches(config: Config, devices: int) -> None:
    if config.batch_size % devices:
        raise ConfigError(
            f"batch_size must be a multiple of the {devices} devices of strategy {config.strategy}, "
            f"got {config.batch_size}"
        )


@functools.cache
def _workers(description: str) -> tf.distribute.Strategy:
    """Connects to the other workers; once in a process, before anything else is computed."""
    try:
        value = json.loads(description)
        cluster, task = value["cluster"], value["task"]
        known = set(cluster) <= {"chief", "worker"} and 0 <= int(task["index"]) < len(cluster[task["type"]])
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise ConfigError(
            f"strategy multiworker needs TF_CONFIG to name all workers and which of them this is, like {EXAMPLE}; "
            f"got {description!r}"
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, tf.errors.OpError) as error:
        raise RunError(f"cannot join the workers of TF_CONFIG: {one_line(error)}") from error


def distribute_dataset(
    strategy: tf.distribute.Strategy, batches: Callable[..., tf.data.Dataset]
) -> tf.distribute.DistributedDataset:
    """Returns batches in parts, for each device its own.

    Args:
        strategy: what connects the devices.
        batches: makes them from the `share` of a process.
    """

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = context.num_replicas_in_sync // context.num_input_pipelines
        return batches(shard=ReplicaShard(context.input_pipeline_id * count, count, context.num_replicas_in_sync))

    return strategy.distribute_datasets_from_function(own)


@functools.cache
def _summing(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function that sums a tensor over processes."""
    own_devices = len(strategy.extended.worker_devices)

    def of_first_device(array: tf.Tensor) -> tf.Tensor:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.where(tf.equal(number % own_devices, 0), array, tf.zeros_like(array))

    @tf.function
    def total(array: tf.Tensor) -> tf.Tensor:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(of_first_device, (array,)), axis=None)

    return total


@dataclasses.dataclass(frozen=True)
class DistributedContext:
    """The processes that train one run. All of them call the same methods, in the same order.

    Args:
        strategy: what connects them; None: this process is alone.
    """

    strategy: tf.distribute.Strategy | None = None

    @classmethod
    def of(cls, config: Config) -> DistributedContext:
        """Meets the other processes of a run, or finds that there are none."""
        return cls(strategy_of(config) if config.strategy == "multiworker" else None)

    @property
    def chief(self) -> bool:
        """Whether it is this process that keeps the files."""
        if self.strategy is None:
            return True
        resolver = self.strategy.cluster_resolver
        first = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
        return (resolver.task_type, resolver.task_id) == (first, 0)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Returns the sum of an array over all processes, float64."""
        return array if self.strategy is None else _summing(self.strategy)(tf.constant(array, tf.float64)).numpy()

    def any(self, flag: bool) -> bool:
        """Returns whether one of the processes says yes."""
        return bool(self.sum(np.array(float(flag))))

    def broadcast_from_chief(self, arrays: Arrays) -> Arrays:
        """Returns the chief's arrays: what two kinds of processors compute can differ in its last bits."""
        if self.strategy is None:
            return arrays
        own = {name: self.sum(array * float(self.chief)) for name, array in arrays.items()}
        return {name: array.astype(arrays[name].dtype) for name, array in own.items()}

    def barrier(self) -> None:
        """Waits until all processes have come so far."""
        self.sum(np.zeros(1))

    def assert_same_across_workers(self, what: str) -> None:
        """Checks that all processes are about to do the same.

        Raises:
            RunError: they are not.
        """
        own = np.frombuffer(hashlib.sha256(what.encode()).digest(), np.uint8).astype(np.float64)
        if not np.array_equal(self.sum(own), own * self.sum(np.array(1.0))):
            raise RunError(
                "the workers are not about to do the same: each needs the same command, and --out must be a folder "
                "that all of them share"
            )

    @contextlib.contextmanager
    def folder(self, shared: Path) -> Iterator[Path]:
        """Yields where this process writes: the chief in the run's own folder, which is locked, others beside it."""
        if self.chief:
            with locked(shared):
                yield shared
        else:
            with tempfile.TemporaryDirectory(prefix="tfprune-") as aside:
                yield Path(aside)

    @contextlib.contextmanager
    def catch_worker_loss(self) -> Iterator[None]:
        """Says in one line if another process is gone.

        Raises:
            RunError: it is.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as error:
            if self.strategy is None:
                raise
            raise RunError(WORKER_LOST) from error
