"""Keras 3 on each of its backends, in a process each."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import derivatives
import numpy as np
import pages
import pytest

HERE = Path(__file__).parent
BACKENDS = ("tensorflow", "jax", "torch")


def run(backend, *scripts, folder=None):
    """Runs scripts of this folder on a backend, in one process one after the other; returns what they print.

    Args:
        backend: the name of a package.
        scripts: of each its name and its arguments.
        folder: to keep in it what JAX compiles; the same programs are compiled over and over.
    """
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    given = [list(map(str, script)) for script in scripts]
    [name, *arguments] = given[0] if len(given) == 1 else ["together.py", json.dumps(given)]
    command = [sys.executable, "-W", "ignore", str(HERE / name), *arguments]
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(HERE.parents[2])}
    environment.pop("TF_USE_LEGACY_KERAS", None)  # of this process: TensorFlow's own name for Keras would be tf_keras
    if folder is not None:
        environment |= {"JAX_COMPILATION_CACHE_DIR": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_pruned_is_zero_after_every_batch_under_every_optimizer(backend):
    assert "0 failed" in run(backend, ("exactness.py", "sample"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_models_are_trained_saved_and_pruned_exactly_by_the_derivatives_of_tensorflow(backend, tmp_path):
    """In one process: to start Keras, and to compile a first model, takes as long as each of these."""
    scripts = [("end_to_end.py", tmp_path), ("pairs.py", 6, 1), ("derivatives.py", tmp_path / "own.npz")]
    notebook = [("notebook.py",)] if backend == "jax" else []
    said = run(backend, *scripts, *notebook, folder=tmp_path / "compiled")
    assert "tf_keras is not imported" in said and said.count(", 0 failed") == 1
    assert ("as stored" in said) is (backend == "jax")
    own, reference = np.load(tmp_path / "own.npz"), derivatives.derivatives(derivatives.small_model())
    assert own.files == list(reference) and len(own.files) >= 28
    for name in own.files:
        alike = [np.abs(reference[other]).max() for other in own.files if other.split(":")[0] == name.split(":")[0]]
        np.testing.assert_allclose(own[name], reference[name], rtol=1e-5, atol=1e-5 * max(alike), err_msg=name)


@pytest.mark.parametrize("backend", [*(pytest.param(own, marks=pytest.mark.slow) for own in BACKENDS[:2]), BACKENDS[2]])
def test_what_keras_offers_around_a_model_works_on_pruned_ones(backend):
    assert ", 0 failed" in run(backend, ("ecosystem.py",))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_keras_does_with_trained_models_works_on_pruned_ones(backend):
    assert ", 0 failed" in run(backend, ("tools.py",))


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_what_the_page_lists_is_enough_without_tensorflow(backend, tmp_path):
    assert "nothing else was needed" in run(backend, ("without_tensorflow.py", tmp_path))


def test_the_page_has_what_was_found():
    text = pages.PAGE.read_text(encoding="utf-8")
    assert pages.models() in text and pages.combinations() in text, "run: python tests/adapters/keras3/pages.py"
