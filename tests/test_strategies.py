"""Trainings on two logical devices, which a process must ask for before TensorFlow is used: each in one of its own."""

import json
import subprocess
import sys

import pytest

from tfprune.errors import ConfigError
from tfprune.strategies import strategy_of

TWO_DEVICES = """
import json, sys
import numpy as np
from tfprune.backend import tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfprune import experiment
from tfprune.config import Config
from tfprune.wrapping import kernel_variables, masked_layers

copies = {}
measured = experiment.on_one_device

def looked_at(model, *rest):
    masks = {f"{name} mask": mask for layer in masked_layers(model) for name, _, mask in layer.named_vars()}
    variables = kernel_variables(model) | masks
    copies.update({name: [own.numpy() for own in variable.values] for name, variable in variables.items()})
    return measured(model, *rest)

experiment.on_one_device = looked_at
out, methods = sys.argv[1], sys.argv[2:]
said = {}
for method in methods:
    common = dict(dataset="penguins", method=method, epochs=6, loop="plain", optimizer="adamw", out=out)
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
METHODS = ("lottery", "dynamic")


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    command = [sys.executable, "-c", TWO_DEVICES, str(tmp_path_factory.mktemp("runs")), *METHODS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("method", METHODS)
def test_two_devices_come_to_what_one_comes_to(said, method):
    own = said[method]
    assert own["devices"] == [2, 1] and own["copies"] == [2, 2, 2, 2] and own["identical"] and own["same masks"]
    assert own["sparsity"][0] == own["sparsity"][1]
    assert own["rows"][0] == own["rows"][1] and own["off"] < 1e-5
    assert own["test"][0] == pytest.approx(own["test"][1], abs=1e-5)


def test_what_a_strategy_cannot_do_is_refused(tiny):
    for given in ({"loop": "fused"}, {"xla": True}, {"granularity": "filter"}):
        with pytest.raises(ConfigError, match="strategy mirrored needs granularity weight, loop auto or plain"):
            tiny(strategy="mirrored", **given)
    with pytest.raises(ConfigError, match="unknown strategy 'multi'"):
        tiny(strategy="multi")
    with pytest.raises(ConfigError, match="strategy mirrored needs several devices, and there is only .*CPU:0"):
        strategy_of(tiny(strategy="mirrored"))
    assert strategy_of(tiny(strategy="auto")) is None and strategy_of(tiny()) is None
