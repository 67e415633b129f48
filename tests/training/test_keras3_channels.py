"""Models of Keras 3 that become smaller in a training, on each backend in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


USUAL = ("check_shrinking", "check_answers", "check_branches")  # a fifth of the time of all


@pytest.mark.parametrize(
    ("backend", "checks"),
    [("tensorflow", USUAL), *(pytest.param(own, (), marks=pytest.mark.slow) for own in ("tensorflow", "jax", "torch"))],
)
def test_a_model_of_keras_3_becomes_smaller_in_its_training(backend, checks):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(HERE.parents[1])}
    environment.pop("TF_USE_LEGACY_KERAS", None)  # of this process: TensorFlow's own name for Keras would be tf_keras
    command = [sys.executable, "-W", "ignore", str(HERE / "keras3_channels.py"), *checks]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert f"{backend} all ok" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
