"""Sweeps on a real Ray cluster: a head without cores and worker nodes, each with its own raylet, on loopback.

The short test runs with the others; `scripts/test-cluster` runs all.
"""

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfprune.experiments.executors._base import Resources
from tfprune.experiments.executors.ray import Cluster
from tfprune.experiments.experiment import train
from tfprune.experiments.plans import read_plan
from tfprune.experiments.results import find_result, read_result
from tfprune.experiments.rundir import RunDir

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'tfprune[ray]'"
    ),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found through /proc"),
]

PATIENCE = 400  # seconds that anything here may take
GOOD = """
dataset = "penguins"
loop = "plain"
epochs = 3
methods = ["unpruned", "pruned"]
seeds = 4
"""
BAD = """
[[runs]]
[[runs]]
learning_rate = 1e38
optimizer = "sgd"
model.output_activation = "linear"
seed = 0
"""
BLIND_NODE = """
import sys, time
from ray._private.node import Node  # `ray start` refuses to be one of several nodes on loopback
from ray._private.parameter import RayParams
Node(RayParams(gcs_address=sys.argv[1], node_ip_address="127.0.0.1", num_cpus=3, include_log_monitor=False), head=False)
time.sleep(600)
"""


class Nodes:
    """A cluster, as processes: the head here, workers by `add`."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"},
        )
        self.workers = [self.add(), self.add()]

    @property
    def address(self):
        return self.cluster.address

    def add(self):
        return self.cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")

    def trainers(self, node=None):
        """Returns the numbers of the processes that train, on one node or on all."""
        nodes = [node] if node else list(self.cluster.worker_nodes)
        raylets = {own.all_processes["raylet"][0].process.pid for own in nodes}
        return [pid for pid, parent, command in processes() if parent in raylets and "ray::_Trainer" in command]


def processes():
    """Yields number, parent's number and command line of all processes."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            yield int(folder.name), parent, (folder / "cmdline").read_text()
        except (OSError, ValueError):  # it has ended meanwhile
            continue


def signal_all(numbers, what):
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(number, what)


@pytest.fixture(scope="module")
def nodes():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # whatever the system: Ray then stays on loopback
    cluster = Nodes()
    yield cluster
    cluster.cluster.shutdown()


@pytest.fixture
def sweep(nodes, tmp_path):
    """Starts sweeps, and ends those that a failed test leaves."""
    started = []

    def start(plan, *options):
        started.append(Sweep(tmp_path, nodes.address, plan, *options))
        return started[-1]

    yield start
    for own in started:
        own.process.kill()
        own.process.communicate()


class Sweep:
    """`tfprune sweep` in a process of its own."""

    def __init__(self, folder, address, plan, *options):
        (folder / "plan.toml").write_text(plan)
        self.out = folder / "runs"
        self.configs = read_plan(folder / "plan.toml", {"out": str(self.out)})
        command = [sys.executable, "-m", "tfprune", "sweep", folder / "plan.toml", "--out", self.out]
        command += ["--executor", "ray", "--address", address, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finished(self):
        """Returns when each finished run was finished."""
        return {path.parent.name: path.stat().st_mtime_ns for path in self.out.glob("penguins-*/metrics.json")}

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain until {what}"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)

    def end(self):
        """Returns exit code, output and errors."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def assert_all_done(sweep, earlier, failing=()):
    """Nothing is lost: all that can be finished is. Nothing is run twice: what was finished has not been touched."""
    done = sweep.finished()
    assert set(done) == {config.run_id for config in sweep.configs} - set(failing)
    assert {name: done[name] for name in earlier} == earlier
    assert {path.name for path in sweep.out.iterdir()} >= set(done)
    assert not list(sweep.out.glob(".*")), "a mark or a draft is left"
    for name in done:
        read_result(RunDir(sweep.out / name))


def test_marks_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path):
    dead = tmp_path / ".sweep-dead"
    dead.touch()
    first, second = Cluster(Resources()), Cluster(Resources())
    marks = [Path(own._mark(str(tmp_path))) for own in (first, second)]
    assert set(tmp_path.iterdir()) == set(marks)
    first.close()
    assert list(tmp_path.iterdir()) == marks[1:]
    second.close()
    assert not list(tmp_path.iterdir())


def test_a_worker_is_killed_and_a_trial_always_fails(nodes, sweep, tmp_path):
    first = sweep(GOOD.replace("seeds = 4", "seeds = 2") + BAD)
    first.until(lambda: first.finished() and nodes.trainers(), "the first run was finished")
    earlier = first.finished()
    os.kill(nodes.trainers()[0], signal.SIGKILL)
    code, out, err = first.end()
    failing = [config.run_id for config in first.configs if config.learning_rate == 1e38]
    failed = [line for line in err.splitlines() if line.startswith("Failed: ")]
    assert code == 1 and len(failing) == len(failed) == 2
    for name, line in zip(failing, failed, strict=True):
        assert re.match(f"Failed: {name}: .*try a lower --learning-rate", line)
    assert "4 of 6 runs are finished" in out
    assert_all_done(first, earlier, failing)

    config = next(config for config in first.configs if config.method == "pruned" and config.run_id not in failing)
    there, here = find_result(config), train(config.replace(out=str(tmp_path / "here")))
    assert there.history() == here.history() and there.metrics["test"] == here.metrics["test"]
    assert there.metrics["taken_over"] and there.folder.exported


@pytest.mark.slow
def test_the_driver_is_killed_and_started_again(nodes, sweep, tmp_path):
    first = sweep(GOOD)
    first.until(lambda: len(first.finished()) >= 2, "two runs were finished")
    first.process.kill()
    first.process.communicate()
    earlier = first.finished()
    assert len(earlier) < len(first.configs)
    assert list(first.out.glob(".sweep-*")), "no mark is left of the killed driver"
    again = sweep(GOOD)
    code, out, err = again.end()
    assert code == 0 and "8 of 8 runs are finished" in out, err
    assert_all_done(again, earlier)


@pytest.mark.slow
def test_a_node_that_joins_late_takes_part(nodes, sweep, tmp_path):
    first = sweep(GOOD)
    first.until(first.finished, "the first run was finished")
    others = nodes.trainers()
    signal_all(others, signal.SIGSTOP)  # or they might be done with all before the new node has begun
    earlier = first.finished()
    late = nodes.add()
    try:
        first.until(lambda: len(first.finished()) > len(earlier), "the node that joined late finished a run")
        signal_all(others, signal.SIGCONT)
        code, out, err = first.end()
        assert code == 0 and "8 of 8 runs are finished" in out, err
        assert_all_done(first, earlier)
    finally:
        signal_all(others, signal.SIGCONT)
        nodes.cluster.remove_node(late)


@pytest.mark.slow
def test_a_node_that_leaves_is_done_without(nodes, sweep, tmp_path):
    extra = nodes.add()
    first = sweep(GOOD)
    first.until(lambda: first.finished() and nodes.trainers(extra), "the node that will leave trained")
    earlier = first.finished()
    nodes.cluster.remove_node(extra, allow_graceful=False)
    code, out, err = first.end()
    assert code == 0 and "8 of 8 runs are finished" in out, err
    assert_all_done(first, earlier)


@pytest.mark.slow
def test_results_come_through_the_object_store_where_the_folder_is_not_seen(nodes, sweep, tmp_path):
    """The only node with a core of this kind lives in a mount namespace where the folder of the runs is another."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    runs = tmp_path / "runs"
    runs.mkdir()
    hidden = f"mount -t tmpfs none {runs}"
    if not shutil.which("unshare") or subprocess.run([*namespace, "sh", "-c", hidden], capture_output=True).returncode:
        pytest.skip("mount namespaces are not allowed here")
    node = [sys.executable, "-c", BLIND_NODE, nodes.address]
    blind = subprocess.Popen([*namespace, "sh", "-c", f"{hidden} && exec {shlex.join(node)}"])
    try:
        first = sweep(GOOD.replace("seeds = 4", "seeds = 1"), "--cpus-per-trial", "3", "--jobs", "1")
        code, out, err = first.end()
        assert code == 0 and "2 of 2 runs are finished" in out, err
        assert_all_done(first, {})
        for config in first.configs:
            result = find_result(config)
            assert json.loads(result.folder.config.read_text())["out"] == str(runs) and result.folder.exported
            assert bool(result.metrics["taken_over"]) == (config.method == "pruned")
    finally:
        blind.terminate()
        blind.wait(timeout=60)
