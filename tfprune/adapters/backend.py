"""The one place that chooses TensorFlow's Keras: tf_keras (Keras 2), the only one tfmot works on.

`tf` and `keras` stand for the modules and import them on first use, so that a file which only
mentions them inside functions costs nothing to import.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

from tfprune.utils.errors import ConfigError

if TYPE_CHECKING:
    import tensorflow as tf
    import tf_keras as keras

log = logging.getLogger(__name__)

BACKENDS = ("tensorflow", "jax", "torch")  # of Keras 3
OF_KERAS = "KERAS_BACKEND"  # the variable of the environment by which Keras 3 chooses one


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what native code writes to stderr; shown if what is done meanwhile fails."""
    try:
        stderr = os.dup(2)
    except OSError:  # no stderr to hold back
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _import(name: str, legacy: bool = True) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    if legacy:
        choose_tf_keras()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors reach Python as exceptions anyway
    with quiet_stderr():
        module = importlib.import_module(name)
        if tensorflow := sys.modules.get("tensorflow"):
            tensorflow.config.list_physical_devices()  # the first look for a GPU complains if there is none
        return module


def choose_tf_keras() -> None:
    """Has TensorFlow, once it is imported, take tf_keras for its Keras."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


class _Module:
    """A module that is imported when one of its names is first used."""

    def __init__(self, name: str, legacy: bool = True) -> None:
        self._name = name
        self._legacy = legacy

    def __getattr__(self, attribute: str) -> object:
        return getattr(_import(self._name, self._legacy), attribute)


if not TYPE_CHECKING:
    tf = _Module("tensorflow")
    keras = _Module("tf_keras")
keras3_module = _Module("keras", legacy=False)  # Keras 3 for its adapter, on the backend that it was imported with
keras3_functional = _Module("keras.src.models.functional", legacy=False)  # its class of models with a graph
keras3_seeds = _Module("keras.src.random.seed_generator", legacy=False)  # has that of draws with none of their own
keras3_adapters = _Module("keras.src.trainers.data_adapters", legacy=False)  # its own ways to go through data
tfmot = _Module("tensorflow_model_optimization")
# Two of tfmot's modules that its public names leave out: the wrapper's class and the table of prunable layers.
tfmot_wrapper = _Module("tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper")
tfmot_registry = _Module("tensorflow_model_optimization.python.core.sparsity.keras.prune_registry")
# Its public names can make operations deterministic, and not undo that.
tf_config = _Module("tensorflow.python.framework.config")
# What Keras and TensorFlow draw seeds from; their public names free all that is compiled where they set it, see
# `seed_everything`.
keras_draws = _Module("tf_keras.src.backend")
tf_context = _Module("tensorflow.python.eager.context")
# How SavedModels are stored, and the layers in those of tf_keras.
saved_model = _Module("tensorflow.core.protobuf.saved_model_pb2")
saved_metadata = _Module("tf_keras.protobuf.saved_metadata_pb2")
# Variables and captured tensors of a function as its constants.
tf_freezing = _Module("tensorflow.python.framework.convert_to_constants")
op_def_registry = _Module("tensorflow.python.framework.op_def_registry")  # TensorFlow's operations, by name
tf_build = _Module("tensorflow.python.util._pywrap_util_port")  # knows whether convolutions are oneDNN's


def seed_everything(seed: int, *, anew: bool) -> None:
    """Seeds what Python, NumPy, Keras and TensorFlow draw.

    Args:
        seed: in [0, 2**32).
        anew: forget what is compiled, as `keras.utils.set_random_seed` does, so that random operations outside of
            functions begin anew too. XLA's functions leave a megabyte behind each time, so a model that has no such
            operations is better off without.
    """
    if anew:
        keras.utils.set_random_seed(seed)
        return
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    keras_draws._SEED_GENERATOR.generator = random.Random(seed)
    context = tf_context.context()
    context._seed, context._rng = seed, random.Random(seed)


def keras3() -> ModuleType:
    """Returns Keras 3, which comes with TensorFlow, on TensorFlow."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    return _import("keras")


def keras3_operations(module: str) -> ModuleType:
    """Returns a module of Keras 3's operations, which its public names leave out."""
    keras3()
    return _import(module)


def installed_backend() -> str:
    """Returns the backend that models of Keras 3 have unless another is asked for: the first that is installed."""
    return next((name for name in BACKENDS if importlib.util.find_spec(name) is not None), BACKENDS[0])


def choose_backend(name: str) -> None:
    """Makes Keras 3 work on a backend in this process.

    Raises:
        ConfigError: the backend is not installed, or Keras has been imported on another one.
    """
    if importlib.util.find_spec(name) is None:
        extra = "tfprune" if name == BACKENDS[0] else f"tfprune[{name}]"
        raise ConfigError(f"backend {name} is not installed: pip install '{extra}', or choose another --backend")
    loaded = sys.modules.get("keras")
    if loaded is not None and (now := loaded.backend.backend()) != name:
        raise ConfigError(
            f"backend {name}: this process has imported Keras on {now}, which it keeps; set {OF_KERAS}={name} before "
            f"Python starts, or train with backend {now}"
        )
    asked = os.environ.get(OF_KERAS)
    if asked not in (None, name):
        log.warning("%s=%s is left aside: this trains on %s; --backend %s would on that", OF_KERAS, asked, name, asked)
    os.environ[OF_KERAS] = name


def machine() -> dict[str, str | int | list[str]]:
    """Returns what seconds and last digits depend on: the processor and its vectors, its cores, the GPUs."""
    import platform
    import re
    from pathlib import Path

    import numpy as np

    info = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    cpu = named[1] if named else platform.processor() or platform.machine()
    vectors = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    return {  # one name may stand for processors that round otherwise
        "cpu": ", ".join([cpu, *vectors[-1:], *(["oneDNN"] if computes_with_onednn() else [])]),
        "cores": cores(),
        "gpus": _gpus(),
    }


def computes_with_onednn() -> bool:
    """Whether TensorFlow computes here, with oneDNN: `TF_ENABLE_ONEDNN_OPTS` decides, by default the processor."""
    return _computes() not in ("jax", "torch") and bool(tf_build.IsMklEnabled())


def _computes() -> str | None:
    """Returns what Keras 3 computes with in this process, None if nobody has asked for it."""
    return os.environ.get(OF_KERAS) if "keras" in sys.modules else None


def _gpus() -> list[str]:
    """Returns the names of the GPUs, as what trains in this process knows them."""
    backend = _computes()
    if backend == "jax":
        import jax

        return [str(own.device_kind) for own in jax.devices() if own.platform != "cpu"]
    if backend == "torch":
        import torch

        return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return [str(gpu.get("device_name", "unknown")) for gpu in gpus]


def cores() -> int:
    """Returns how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main_memory() -> int:
    """Returns the bytes of main memory that this process may take: the machine's, or its container's limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    with contextlib.suppress(OSError, ValueError), open("/sys/fs/cgroup/memory.max") as file:  # "max": no limit
        limits.append(int(file.read()))
    return min(limits, default=2**33)


def versions() -> dict[str, str]:
    """Returns the versions that a result depends on."""
    import platform

    packages = ("tfprune", "tensorflow", "tf-keras", "tensorflow-model-optimization", "numpy")
    return {"python": platform.python_version()} | _versions_of(packages)


def versions_of_keras3(backend: str) -> dict[str, str]:
    """Returns the versions that a result of Keras 3 depends on."""
    import platform

    packages = ("tfprune", "keras", *(("jax", "jaxlib") if backend == "jax" else (backend,)), "numpy")
    return {"python": platform.python_version()} | _versions_of(packages)


def _versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    from importlib.metadata import version

    return {package: version(package) for package in packages}
