"""Run folders as a training would leave them, written without one."""

import csv
import json

from tfprune.experiments.results import SCHEMA
from tfprune.experiments.rundir import RunDir
from tfprune.training.config import Config

BETTER = {"unpruned": 0.0, "pruned": 0.04, "lottery": -0.01, "dynamic": 0.02}
LAYERS = {"dense_1/kernel": 144, "dense_2/kernel": 36}


def write_run(out, method="dynamic", seed=0, *, finished=True, **changes):
    """Writes a run and returns its folder; the loss depends on method and seed alone.

    `changes` are settings; `metrics` among them is put over what `metrics.json` holds.
    """
    metrics = changes.pop("metrics", {})
    config = Config(**{"dataset": "penguins", "method": method, "seed": seed, "epochs": 12} | changes)
    folder = RunDir(out / config.run_id)
    folder.root.mkdir(parents=True)
    folder.config.write_text(json.dumps(config.to_dict() | {"out": str(out)}))
    history = _history(config)
    with open(folder.history, "w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    if finished:
        folder.metrics.write_text(json.dumps(_metrics(config, history) | metrics))
    return folder.root


def write_runs(out, methods=tuple(BETTER), seeds=3, **changes):
    """Writes a run of each method and seed."""
    return [write_run(out, method, seed, **changes) for method in methods for seed in range(seeds)]


def _history(config):
    phases = {"lottery": ("dense", "ticket 1"), "pruned": ("dense", "pruned")}.get(config.method, ("train",))
    rows, step = [], 0
    for phase in phases:
        epochs = (config.epochs,) if phase == "pruned" else (config.epochs // 2, config.epochs)
        for epoch in epochs:
            step = 4 * config.epochs * (phase == "ticket 1") + 4 * epoch
            late = phase in ("ticket 1", "pruned") or (config.method == "dynamic" and epoch == config.epochs)
            loss = 1.0 / epoch + 0.05 * config.seed + BETTER.get(config.method, 0.0)
            scores = {"loss": loss, "accuracy": 0.8, "val_loss": loss + 0.01, "val_accuracy": 0.8}
            rows.append({"phase": phase, "epoch": epoch, "step": step} | scores | {"sparsity": 0.3 * late})
    return rows


def _metrics(config, history):
    sparsity = history[-1]["sparsity"]
    loss = 0.5 + 0.05 * config.seed + BETTER.get(config.method, 0.0) + 0.001 * config.seed**2
    layers = {name: {"zeros": round(sparsity * size), "size": size} for name, size in LAYERS.items()}
    epochs = config.pruning.total_epochs(config.epochs)
    cost = {"examples": 200 * epochs, "training_flops": 1000 * epochs, "training_flops_masked": 900 * epochs}
    cost |= {"forward_flops": 360, "forward_flops_masked": 360 * (1 - sparsity)}
    return {
        "schema": SCHEMA,
        "seed": config.seed,
        **{split: {"loss": loss, "accuracy": 0.9} for split in ("train", "validation")},
        "test": {"loss": loss, "accuracy": 0.9 - loss / 10},
        "sparsity": {"achieved": sparsity, "layers": layers},
        "parameters": 195,
        "nonzero_parameters": 195 - round(180 * sparsity),
        "bytes": {"weights": {"raw": 780, "gzip": 700 - round(300 * sparsity)}},
        "epochs": epochs,
        "cost": cost,
        "seconds": {**{row["phase"]: 0.5 for row in history}, "total": 0.5 * epochs + 0.01 * config.seed},
        "cpu_seconds": {**{row["phase"]: 0.5 for row in history}, "total": 0.5 * epochs + 0.01 * config.seed},
        "versions": {"python": "3.11.7", "tensorflow": "2.21.0", "tensorflow-model-optimization": "0.8.1"},
        "machine": {"cpu": "Some CPU", "cores": 2, "gpus": []},
        "precision": {"policy": "float32", "step_seconds": {}},
    }
