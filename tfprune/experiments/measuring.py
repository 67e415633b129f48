"""What is measured of a trained network, as `metrics.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import machine
from tfprune.data._base import Data
from tfprune.data.objectives import DEFAULT
from tfprune.experiments.results import SCHEMA
from tfprune.pruning.counts import array_bytes, parameters, sparsity
from tfprune.pruning.events import nominal_sparsity
from tfprune.training.config import Config
from tfprune.training.run_task import RunTask


def rounded_seconds(seconds: dict[str, float]) -> dict[str, float]:
    """Returns seconds as they are stored, with their `total`."""
    return {phase: round(value, 6) for phase, value in (seconds | {"total": sum(seconds.values())}).items()}


def metrics_of(
    trainer: RunTask,
    config: Config,
    scores: dict[str, Any],
    weights: list[np.ndarray],
    pruned: dict[str, np.ndarray],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Returns what `metrics.json` says of a network that is trained, all but the seconds."""
    return {
        "schema": SCHEMA,
        "seed": config.seed,
        **scores,
        "selection": {"rule": "last epoch", "split": None},
        "sparsity": sparsity(nominal_sparsity(config.pruning.pruning_events), pruned),
        **parameters(weights),
        "bytes": {"weights": array_bytes(weights)},
        "epochs": trainer.trained_epochs,
        "cost": cost(trainer),
        "untuned": trainer.untuned,
        "taken_over": trainer.taken_over,
        "versions": dict(versions),
        "machine": machine(),
    }


def data_report(data: Data, keras: Any) -> dict[str, Any]:
    """Returns what `metrics.json` says of the data: what is in each split, and what is to be known of them.

    Of tasks other than classes also what one answer for all comes to, computed with a Keras.
    """
    found = {"classes": data.class_counts(), "remarks": list(data.warnings)}
    found |= {"notes": list(data.notes)} if data.notes else {}
    if data.objective.name == DEFAULT:
        return found
    return {"task": data.objective.name, **found, "constant": data.constant(keras)}


def cost(trainer: RunTask) -> dict[str, Any]:
    """Returns what a training took, in numbers that depend on no machine; of a stack arrays, one number per network.

    A multiply-add counts as 2 FLOPs and a step of training as 3 forward passes: that, the gradient of the activations
    and that of the weights. `masked` numbers leave out multiplications with pruned weights, which are still done.
    Those of the training include `scoring`: what criteria that look at derivatives took. `uncounted` names the layers
    of a user's own model of which something is missing in all of them, if there are any.
    """
    costs = trainer.costs
    missing = costs.uncounted()
    return {
        "examples": trainer.trained_epochs * costs.examples,
        "forward_flops": 2 * costs.forward,
        "forward_flops_masked": 2 * costs.forward_masked,
        "scoring_flops": 2 * costs.scored,
        "training_flops": 6 * costs.trained(trainer.trained_epochs) + 2 * costs.scored,
        "training_flops_masked": 6 * costs.trained_masked + 2 * costs.scored_masked,
    } | ({"uncounted": missing} if missing else {})
