"""Keras 3 on each of its backends, in a process each."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import derivatives
import numpy as np
import pages
import pairs
import pytest

HERE = Path(__file__).parent
ON_TORCH = pytest.param("torch", marks=pytest.mark.slow)  # as `contracts/test_adapters` holds it to the promises anyway
BACKENDS = ("tensorflow", "jax", ON_TORCH)


def run(backend, script, *arguments):
    """Runs a script of this folder on a backend; returns what it prints."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    command = [sys.executable, "-W", "ignore", str(HERE / script), *map(str, arguments)]
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(HERE.parents[2])}
    environment.pop("TF_USE_LEGACY_KERAS", None)  # of this process: TensorFlow's own name for Keras would be tf_keras
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_pruned_is_zero_after_every_batch_under_every_optimizer(backend):
    assert "0 failed" in run(backend, "exactness.py", "sample")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_derivatives_are_those_of_tensorflow(backend, tmp_path):
    run(backend, "derivatives.py", tmp_path / "own.npz")
    own, reference = np.load(tmp_path / "own.npz"), derivatives.derivatives(derivatives.small_model())
    assert own.files == list(reference) and len(own.files) >= 28
    for name in own.files:
        largest = max(
            np.abs(reference[other]).max() for other in own.files if other.split(":")[0] == name.split(":")[0]
        )
        np.testing.assert_allclose(own[name], reference[name], rtol=1e-5, atol=1e-5 * largest, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_is_trained_saved_and_pruned_at_once(backend, tmp_path):
    assert "tf_keras is not imported" in run(backend, "end_to_end.py", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_keras_offers_around_a_model_works_on_pruned_ones(backend):
    assert ", 0 failed" in run(backend, "ecosystem.py")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_keras_does_with_trained_models_works_on_pruned_ones(backend):
    assert ", 0 failed" in run(backend, "tools.py")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_what_the_page_lists_is_enough_without_tensorflow(backend, tmp_path):
    assert "nothing else was needed" in run(backend, "without_tensorflow.py", tmp_path)


def test_the_notebook_runs_on_jax():
    assert "as stored" in run("jax", "notebook.py")


def test_the_page_has_what_was_found():
    text = pages.PAGE.read_text(encoding="utf-8")
    assert pages.models() in text and pages.combinations() in text, "run: python tests/adapters/keras3/pages.py"


@pytest.mark.filterwarnings("ignore")
def test_pruning_to_nothing_is_plain_keras_and_to_a_half_exact():
    assert pairs.main(2, 1) == 0


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_pruning_to_nothing_is_plain_keras_on_each_backend(backend):
    assert ", 0 failed" in run(backend, "pairs.py", 4, 1)
