"""Trainings on two logical devices, which a process must ask for before TensorFlow is used, and by two processes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tfprune.experiments.experiment import train
from tfprune.experiments.results import find_result
from tfprune.experiments.sweeps import run_all
from tfprune.training.config import Config
from tfprune.training.strategies import DistributedContext, strategy_of
from tfprune.utils.errors import ConfigError

TWO_DEVICES = """
import json, sys
import numpy as np
from matplotlib.figure import Figure
from tfprune.adapters.backend import tf
Figure.savefig = lambda figure, path, **_: path.touch()  # to print them takes as long as a training
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfprune.experiments import experiment, tf_keras_runs
from tfprune.training.config import Config
from tfprune.adapters.tf_keras.mask_values import kernel_variables
from tfprune.adapters.tf_keras.wrapping import masked_layers

copies = {}
measured = tf_keras_runs.on_one_device

def looked_at(trainer, *rest):
    model = trainer.model
    masks = {f"{name} mask": mask for layer in masked_layers(model) for name, _, mask in layer.named_vars()}
    variables = kernel_variables(model) | masks
    copies.update({name: [own.numpy() for own in variable.values] for name, variable in variables.items()})
    return measured(trainer, *rest)

tf_keras_runs.on_one_device = looked_at
out, trials = sys.argv[1], json.loads(sys.argv[2])
said = {}
for method, own in trials.items():
    copies.clear()
    common = dict(dataset="penguins", epochs=6, loop="plain", optimizer="adamw", out=out) | own
    two, one = (experiment.train(Config(**common, strategy=name)) for name in ("mirrored", "none"))
    said[method] = {
        "devices": [two.metrics["devices"], one.metrics["devices"]],
        "copies": [len(own) for own in copies.values()],
        "identical": all(np.array_equal(*own) for own in copies.values()),
        "same masks": all(np.array_equal(mask, one.masks()[name]) for name, mask in two.masks().items()),
        "sparsity": [run.metrics["sparsity"]["layers"] for run in (two, one)],
        "off": max(abs(a["loss"] - b["loss"]) for a, b in zip(two.history(), one.history(), strict=True)),
        "rows": [len(run.history()) for run in (two, one)],
        "files": sorted({p.name for run in (two, one) for p in run.folder.root.iterdir()}),
        "test": [run.metrics["test"]["loss"] for run in (two, one)],
    }
print(json.dumps(said))
"""
TRIALS = {
    "dynamic": {"method": "dynamic", "limit": 103},  # an epoch's last batch is uneven
    "filters": {
        **{"method": "dynamic", "granularity": "filter", "settings": {"final_sparsity": 0.5}},
        "channel_settings": {"criterion": "taylor"},
    },
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    command = [sys.executable, "-c", TWO_DEVICES, str(tmp_path_factory.mktemp("runs")), json.dumps(TRIALS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("trial", TRIALS)
def test_two_devices_come_to_what_one_comes_to(said, trial):
    own = said[trial]
    assert own["devices"] == [2, 1] and set(own["copies"]) == {2} and own["identical"] and own["same masks"]
    assert own["sparsity"][0] == own["sparsity"][1]
    assert own["rows"][0] == own["rows"][1] and own["off"] < 1e-5
    assert own["test"][0] == pytest.approx(own["test"][1], abs=1e-5)


# What two processes train, one after the other; the first is cut off once.
RUNS = (
    {"method": "lottery", "epochs": 12},  # long enough to be cut off in the middle
    {
        "method": "dynamic",
        "epochs": 4,
        "granularity": "filter",
        "settings": {"events": (0.5,), "final_sparsity": 0.5},
        "channel_settings": {"criterion": "taylor"},
    },
    {
        "method": "pruned",
        "dataset": "fashion_mnist",  # its small copy
        "stream": "shards",
        "epochs": 2,
        "limit": 60,
        "batch_size": 16,
        "warmup_epochs": 0.0,
        "model_settings": {"filters": (8,), "hidden": (16,), "batch_norm": False, "dropout": 0.0},
    },
)
WORKER = """
import json, sys
from matplotlib.figure import Figure
from tfprune.training.config import Config
from tfprune.utils.errors import TfpruneError
from tfprune.experiments.experiment import train

Figure.savefig = lambda figure, path, **_: path.touch()  # to print them takes as long as a training
for settings in json.loads(sys.argv[1]):
    try:
        print(train(Config(**settings)).folder.root)
    except TfpruneError as error:
        sys.exit(f"one line: {error}")
"""


def settings_of(out, **own):
    common = {"dataset": "penguins", "loop": "plain", "optimizer": "adamw", "checkpoint_every": "5", "out": str(out)}
    return common | own


@contextlib.contextmanager
def two_workers(settings):
    """Two processes that train the same runs together."""
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(socket.socket()) for _ in range(2)]
        for port in ports:
            port.bind(("127.0.0.1", 0))
        workers = ["{}:{}".format(*port.getsockname()) for port in ports]
    crew = []
    for index in range(2):
        described = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(described)}
        command = [sys.executable, "-c", WORKER, json.dumps(settings)]
        crew.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    try:
        yield crew
    finally:
        for worker in crew:
            worker.kill()
            worker.communicate()


def left_alone(settings, saved):
    """Returns what a process says when its fellow is killed in the middle of the first run, after a checkpoint."""
    with two_workers(settings) as (chief, fellow):
        until = time.monotonic() + 600
        while not saved.exists() and chief.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        fellow.send_signal(signal.SIGKILL)
        _, complaint = chief.communicate(timeout=600)
    assert saved.exists(), complaint
    return complaint


@pytest.fixture(scope="module")
def crews(tmp_path_factory, copies):
    """What the survivor says when its fellow is killed in the middle of a run, and the runs after another start."""
    out = tmp_path_factory.mktemp("shared")
    settings = [settings_of(out, strategy="multiworker", data_dir=str(copies), **own) for own in RUNS]
    configs = [Config(**own) for own in settings]
    complaint = left_alone(settings, out / configs[0].run_id / "checkpoints" / "000002.ckpt")
    with two_workers(settings) as crew:
        said = [worker.communicate(timeout=600) for worker in crew]
    assert [worker.returncode for worker in crew] == [0, 0], said[0][1] + said[1][1]
    return complaint, [find_result(config) for config in configs], [own[0].split() for own in said]


@pytest.mark.slow
def test_a_worker_that_is_left_alone_says_so_in_one_line(crews):
    complaint, _, _ = crews
    assert complaint.splitlines()[-1].startswith("one line: another worker is gone or does not answer; start the same")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(RUNS)))
def test_two_processes_come_to_what_one_comes_to(crews, tmp_path, copies, number):
    _, results, folders = crews
    alone = settings_of(tmp_path, data_dir=str(copies), **RUNS[number]) | {"stream": "memory"}
    two, one = results[number], train(Config(**alone))
    assert [two.metrics["devices"], one.metrics["devices"]] == [2, 1]
    assert two.metrics["sparsity"] == one.metrics["sparsity"]
    assert all(np.array_equal(mask, one.masks()[name]) for name, mask in two.masks().items())
    rows = list(zip(two.history(), one.history(), strict=True))
    assert all(a["loss"] == pytest.approx(b["loss"], abs=1e-5) for a, b in rows)
    assert two.metrics["test"]["loss"] == pytest.approx(one.metrics["test"]["loss"], abs=1e-5)
    assert folders[0][number] == folders[1][number] == str(two.folder.root)
    assert sorted(p.name for p in two.folder.root.iterdir()) == sorted(p.name for p in one.folder.root.iterdir())


def test_who_the_workers_are_must_be_said(tiny, monkeypatch):
    for said in ("", "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}'):
        monkeypatch.setenv("TF_CONFIG", said)
        with pytest.raises(ConfigError, match="strategy multiworker needs TF_CONFIG to name all workers and which"):
            train(tiny(strategy="multiworker"))


def test_a_process_alone_is_its_own_crew(tmp_path):
    alone = DistributedContext()
    assert alone.chief and alone.any(True) and not alone.any(False)
    alone.assert_same_across_workers("anything")
    with alone.folder(tmp_path) as folder:
        assert folder == tmp_path


def test_what_a_strategy_cannot_do_is_refused(tiny):
    for given in ({"loop": "fused"}, {"xla": True}):
        with pytest.raises(ConfigError, match="strategy mirrored needs loop auto or plain, and no --xla"):
            tiny(strategy="mirrored", **given)
    with pytest.raises(ConfigError, match="strategy multiworker needs a precision by name"):
        tiny(strategy="multiworker", precision="auto")
    with pytest.raises(ConfigError, match="strategy multiworker trains one run"):
        run_all([tiny(strategy="multiworker")])
    with pytest.raises(ConfigError, match="unknown strategy 'multi'"):
        tiny(strategy="multi")
    with pytest.raises(ConfigError, match="strategy mirrored needs several devices, and there is only .*CPU:0"):
        strategy_of(tiny(strategy="mirrored"))
    assert strategy_of(tiny(strategy="auto")) is None and strategy_of(tiny()) is None
