"""`tfprune doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.utils.folders import prepared_folder, runs_folder
from tfprune.utils.text import counted

NEEDED = ("tfprune", "tensorflow", "tf-keras", "tensorflow-model-optimization", "keras", "numpy")
OPTIONAL = {  # package -> the extra that brings it, and what for
    "jax": "jax: Keras 3 on JAX",
    "torch": "torch: Keras 3 on PyTorch",
    "ai-edge-litert": "export: TFLite files",
    "onnxruntime": "export: ONNX files",
    "tf2onnx": "export: ONNX files",
    "scikit-learn": "openml: data sets of OpenML",
    "ray": "ray: sweeps on a cluster",
    "mlflow-skinny": "mlflow: tracking",
}
WITHOUT_ONEDNN = "without oneDNN; with TF_ENABLE_ONEDNN_OPTS=1 convolutions may take half the time"


@click.command(cls=Command, short_help="Show versions, devices and data folders.")
@json_option
def doctor(as_json: bool) -> None:
    """Show what tfprune finds here: versions, devices, data folders; and what is missing.

    The exit code is 1 if something is wrong.
    """
    start_logging()
    packages = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    problems = [f"{name} is missing: pip install tfprune" for name in NEEDED if packages[name] is None]
    if os.environ.get("TF_USE_LEGACY_KERAS", "1") != "1":
        problems.append("TF_USE_LEGACY_KERAS is not 1: TensorFlow then takes Keras 3 where tfprune needs tf_keras")
    found = _machine() if not problems else {}
    folders = _folders()
    if as_json:
        echo_json({"packages": packages, "machine": found, "folders": folders, "problems": problems})
    else:
        _echo(packages, found, folders, problems)
    if problems:
        raise click.exceptions.Exit(1)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    from tfprune.adapters.backend import computes_with_onednn, machine, main_memory

    own = {"memory": main_memory(), "onednn": computes_with_onednn()}
    return {"python": platform.python_version(), **machine(), **own}


def _folders() -> dict[str, Any]:
    """Returns where data sets and runs are looked for, and how many are there."""
    data = prepared_folder()
    prepared = sorted(own.name for own in data.iterdir() if own.is_dir()) if data.is_dir() else []
    runs = Path(runs_folder())
    count = sum((own / "config.json").is_file() for own in runs.iterdir()) if runs.is_dir() else 0
    return {"data": str(data), "prepared": prepared, "runs": str(runs.resolve()), "count": count}


def _echo(packages: dict[str, str | None], found: dict[str, Any], folders: dict[str, Any], problems: list[str]) -> None:
    rows = [(name, version or f"not installed ({_extra(name)})") for name, version in packages.items()]
    echo_table(rows, ("package", "version"))
    echo()
    if found:
        gpus = ", ".join(found["gpus"]) or "none"
        backend = os.environ.get("KERAS_BACKEND") or "tensorflow, as KERAS_BACKEND is not set"
        rows = [("Python", found["python"]), ("processor", f"{found['cpu']}, {counted(found['cores'], 'core')}")]
        rows += [("memory", f"{found['memory'] / 1e9:,.1f} GB"), ("GPUs", gpus), ("Keras 3 computes with", backend)]
        rows += [("TensorFlow on the CPU", "with oneDNN" if found["onednn"] else WITHOUT_ONEDNN)]
        prepared = ", ".join(folders["prepared"]) or "none"
        rows += [("data sets of TFDS", f"{folders['data']}: {prepared}")]
        rows += [("runs", f"{folders['runs']}: {folders['count']:,}")]
        echo_table(rows, ("machine", ""))
        echo()
    echo(*(problems or ["Nothing is wrong."]))


def _extra(package: str) -> str:
    extra, _, purpose = OPTIONAL.get(package, ": needed").partition(": ")
    return f"pip install 'tfprune[{extra}]', for {purpose}" if extra else purpose
