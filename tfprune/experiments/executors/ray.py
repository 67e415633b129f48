"""Runs on a Ray cluster: actors that train one run after another, wherever there is room (extra `[ray]`)."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from tfprune.adapters.loading.trust import FUNCTIONS, TRUST
from tfprune.experiments.executors._base import Executor, Resources, Train
from tfprune.experiments.executors.local import configure_worker
from tfprune.experiments.results import Result, read_result
from tfprune.experiments.rundir import RunDir, pack, unpack
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, RunError, TfpruneError
from tfprune.utils.locks import try_lock
from tfprune.utils.text import one_line

log = logging.getLogger(__name__)

ANSWERS_WITHIN = 10.0  # seconds
MARK = ".sweep-"  # what the names of files begin with that drivers leave in folders of runs
LOOKED_AT = 2.0  # seconds that what the cluster was found to have is believed
Files = dict[str, bytes]  # a run folder: see `rundir.pack`


def make(resources: Resources) -> Executor:
    """Returns what trains on a cluster, if Ray is installed."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigError("--executor ray needs Ray: pip install 'tfprune[ray]'")
    return Cluster(resources)


class Cluster:
    """A Ray cluster: the one at `address`, or in RAY_ADDRESS, or running here, or one made of this machine alone.

    It is joined when there is something to do.

    Args:
        resources: `jobs` is how many trials at a time, by default as many as have room.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._joined = False
        self._marks: dict[str, Path] = {}
        self._held: list[int] = []  # the marks' locks, which say that this sweep is not over
        self._looked = -LOOKED_AT
        self._room = 1

    @functools.cached_property
    def _ray(self) -> ModuleType:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        where = {} if (address := self._resources.address) is None else {"address": address}
        try:
            if address and "://" not in address:
                _check_reachable(address, ray.util.get_node_ip_address())  # Ray itself goes on asking for minutes
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as error:
            reason = one_line(error)
            hint = "" if os.environ.get("RAY_AUTH_MODE") else "; if it asks for a token, set RAY_AUTH_MODE=token"
            raise RunError(f"--address {address}: no Ray cluster answers there ({reason}){hint}") from None
        self._joined = True
        return ray

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        errors = self._ray.exceptions
        return errors.RayActorError, errors.ObjectLostError, errors.OutOfMemoryError

    def wanted(self) -> int:
        if self._resources.jobs is not None:
            return self._resources.jobs  # those without room wait for a node that joins
        if time.monotonic() - self._looked > LOOKED_AT:
            there, needed = self._ray.cluster_resources(), {"CPU": self._cpus, "GPU": self._gpus}
            self._room = min(int(there.get(name, 0) / share) for name, share in needed.items() if share)
            self._looked = time.monotonic()
        return max(1, self._room)

    @property
    def _cpus(self) -> float:
        return self._resources.cpus_per_trial or 1

    @property
    def _gpus(self) -> float:
        return self._resources.gpus_per_trial or 0

    def start(self, folders: Collection[str]) -> _Actor:
        trusted = {name: os.environ[name] for name in (TRUST, FUNCTIONS) if name in os.environ}
        options = {"runtime_env": {"env_vars": trusted}} if trusted else {}
        options |= {"num_cpus": self._cpus, "num_gpus": self._gpus, "scheduling_strategy": "SPREAD"}
        remote = self._ray.remote(**options)(_Trainer)
        return _Actor(self._ray, remote.remote(max(1, int(self._cpus))), {out: self._mark(out) for out in folders})

    def _mark(self, out: str) -> str:
        """Leaves a file in a folder of runs; a worker that sees it can write there. Those of the dead are removed."""
        if out not in self._marks:
            folder = Path(out).absolute()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                for old in folder.glob(f"{MARK}*"):
                    _remove_if_dead(old)
                mark = folder / f"{MARK}{uuid.uuid4().hex}"
                self._held.append(try_lock(mark))
            except OSError as error:
                raise RunError(f"cannot write in {out} ({error.strerror}); choose another folder with --out") from None
            self._marks[out] = mark
        return str(self._marks[out])

    def close(self) -> None:
        for mark in self._marks.values():
            with contextlib.suppress(OSError):
                mark.unlink()
        for handle in self._held:
            os.close(handle)
        if self._joined:
            self._ray.shutdown()


def _remove_if_dead(mark: Path) -> None:
    """Removes the mark of a sweep whose driver was killed: nobody holds its lock."""
    with contextlib.suppress(OSError):  # its driver has just ended
        handle = try_lock(mark)
        if handle is not None:
            mark.unlink()
            os.close(handle)


def _check_reachable(address: str, own: str) -> None:
    """Raises an `OSError` or `ValueError` if nothing listens at HOST:PORT; Ray takes the `own` address for loopback."""
    host, _, port = address.rpartition(":")
    host = own if host in ("127.0.0.1", "localhost") else host
    socket.create_connection((host, int(port)), timeout=ANSWERS_WITHIN).close()


class _Actor:
    """The driver's end of a `_Trainer`; a thread waits for what it is asked for."""

    def __init__(self, ray: Any, actor: Any, marks: dict[str, str]) -> None:
        self._ray = ray
        self._actor = actor
        self._thread = ThreadPoolExecutor(1)
        self._seen: set[str] = set()
        self.ready = self._thread.submit(self._handshake, marks)

    def _handshake(self, marks: dict[str, str]) -> None:
        there, host, seen = self._ask(self._actor.handshake.remote(os.getcwd(), marks))
        if there != (here := version("tfprune")):
            raise RunError(f"{host} has tfprune {there}, this machine {here}; install the same version")
        self._seen = set(seen)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._thread.submit(lambda: self._ask(self._actor.call.remote(function, *arguments)))

    def train(self, train: Train, configs: Sequence[Config], dense: Result | None) -> Future[list[Result]]:
        if self._seen.issuperset(config.out for config in configs):
            return self.submit(train, configs, dense)
        return self._thread.submit(self._train_elsewhere, train, configs, dense)

    def _train_elsewhere(self, train: Train, configs: Sequence[Config], dense: Result | None) -> list[Result]:
        """Has runs trained where their folders cannot be seen; their files come back through the object store."""
        shared = pack(dense.folder) if dense and dense.folder.exported else None
        trained = self._ask(self._actor.train.remote(train, configs, shared))
        results = []
        for config in configs:
            if config.run_id in trained:
                folder = RunDir(Path(config.out) / config.run_id)
                unpack(trained[config.run_id], folder, config.to_dict())
                results.append(read_result(folder))
        return results

    def _ask(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TfpruneError):
                raise error.cause from None
            raise

    def stop(self) -> None:
        self._ray.kill(self._actor)
        self._thread.shutdown(cancel_futures=True)


class _Trainer:
    """The worker's end, in a process of its own on some machine of the cluster."""

    def __init__(self, threads: int) -> None:
        configure_worker(threads)

    def handshake(self, folder: str, marks: dict[str, str]) -> tuple[str, str, list[str]]:
        """Returns the version, the machine's name and which folders of runs are seen from here."""
        if os.path.isdir(folder):
            os.chdir(folder)  # that relative paths mean what they mean to the driver
        return version("tfprune"), socket.gethostname(), [out for out, mark in marks.items() if os.path.exists(mark)]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def train(self, train: Train, configs: Sequence[Config], shared: Files | None) -> dict[str, Files]:
        """Trains in a folder of its own; `shared` is the run of the baseline. Returns run id -> files."""
        with tempfile.TemporaryDirectory() as scratch:
            dense = None
            if shared is not None:
                unpack(shared, folder := RunDir(Path(scratch) / "dense"))
                dense = read_result(folder)
            results = train([config.replace(out=f"{scratch}/runs") for config in configs], dense)
            return {result.config.run_id: pack(result.folder) for result in results}
