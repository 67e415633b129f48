"""Several runs trained side by side as one model, each with a run folder of its own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, versions
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, kernels, set_masks, set_weights
from tfprune.data._base import SPLITS, Data
from tfprune.data.objectives import DEFAULT
from tfprune.experiments.building import initial_weights, make_model, masked_model, model_settings
from tfprune.experiments.compiled_models import MODEL_CACHE, kind_of, tidy_up
from tfprune.experiments.libraries import has_keras3_model
from tfprune.experiments.measuring import data_report, metrics_of, rounded_seconds
from tfprune.experiments.results import Result, metrics_with_checksum
from tfprune.experiments.run_data import load_data, write_arrays, write_splits
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.tracking import tracked
from tfprune.methods import BASELINE
from tfprune.pruning.masks import ones_like
from tfprune.pruning.pattern_masks import check_pattern
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.clock import COMPILE
from tfprune.training.config import Config, by_seed
from tfprune.training.evaluation import evaluate
from tfprune.training.fused import KEPT, LARGEST_SPLIT, CompiledModelCache, can_fuse
from tfprune.training.precision import deterministic_ops
from tfprune.training.run_task import pattern_report
from tfprune.training.stacked_trainer import StackedTrainer
from tfprune.training.stacking import stack, stack_weights, stackable, unstack
from tfprune.utils.files import write_json
from tfprune.utils.locks import locked

MAX_NETWORKS = 100  # that are trained as one model


def networks_at_once(config: Config) -> int:
    """Returns how many runs with these settings and any seeds can be trained as one model; 1: each alone."""
    if (
        config.loop == "plain"
        or config.strategy != "none"
        or config.augment
        or config.precision not in ("float32", "auto")
        or config.task != DEFAULT
        or config.metrics
        or config.class_weight
    ):
        return 1
    data = load_data(config)
    if len(data.input_shape) != 1 or has_keras3_model(config, data):
        return 1
    model = make_model(config, data, dict(config.model_settings))
    if not (stackable(model) and can_fuse(model, data.train, config.batch_size)):
        return 1
    return max(1, min(MAX_NETWORKS, LARGEST_SPLIT // data.train.x.nbytes))


def train_together(configs: Sequence[Config]) -> list[Result]:
    """Trains runs that differ only in method and seed side by side, as one model (see `stacking`).

    Each gets a run folder with the numbers that `train` would have come to, but without what takes
    longer than the training: the SavedModel, the plots and TensorBoard's logs. A network that diverges gets none.

    Args:
        configs: the settings of runs, each method's with the same seeds, no more than `networks_at_once`.

    Returns:
        The finished runs.

    Raises:
        TrainingError: all networks diverge.
    """
    with deterministic_ops(configs[0].deterministic):
        return _train_together(configs)


def _train_together(configs: Sequence[Config]) -> list[Result]:
    seeds = sorted({config.seed for config in configs})
    data = [load_data(configs[0].replace(seed=seed)) for seed in seeds]
    dense: dict[str, BaselineRun] = {}
    # a user's function may change between calls
    model_cache = CompiledModelCache(KEPT) if configs[0].has_own_model else MODEL_CACHE
    results = []
    for own in by_seed(configs):

        def weights(purpose: str, own: Sequence[Config] = own) -> list[np.ndarray]:
            return stack_weights([initial_weights(c, d, purpose) for c, d in zip(own, data, strict=True)])

        kind = kind_of(own[0], data[0], len(seeds))
        model = model_cache.get(kind) or _stacked(own[0], data[0], len(seeds))
        set_masks(model, ones_like(get_masks(model)))
        set_weights(model, weights("init"))
        baseline = own[0].as_baseline().run_id
        trainer = StackedTrainer(model, data, own, dense.get(baseline), functools.partial(weights, "reinit"))
        own[0].pruning.run(trainer)
        trainer.finish()
        if own[0].method == BASELINE:
            dense[baseline] = trainer.as_baseline_run()
        model_cache.put(kind, trainer.model)
        results += _finish_together(trainer, data)
    tidy_up()
    return results


def _stacked(config: Config, data: Data, networks: int) -> keras.Model:
    model = make_model(config, data, model_settings(config, data))
    return masked_model(stack(model, networks), config)


def _finish_together(trainer: StackedTrainer, data: Sequence[Data]) -> list[Result]:
    results = []
    scores = {name: evaluate(trainer.model, getattr(trainer.data, name)) for name in SPLITS}
    all_weights, histories = get_weights(trainer.model), trainer.per_seed()
    each = zip(
        trainer.configs, histories, unstack(kernels(trainer.model)), unstack(get_masks(trainer.model)), strict=True
    )
    for number, (config, history, pruned, masks) in enumerate(each):
        own = {split: {name: float(v[number]) for name, v in values.items()} for split, values in scores.items()}
        if not np.isfinite(own["train"]["loss"]):
            continue
        where = f"the trained model of seed {config.seed}"
        check_pattern(pruned, masks, config.pruning.pruning_events, config.scope, config.units, where)
        metrics = metrics_of(trainer, config, own, [weight[..., number] for weight in all_weights], pruned, versions())
        metrics |= _metrics_of_one(trainer, number, metrics) | pattern_report(config, masks)
        metrics |= {"data": data_report(data[number], keras), "networks": len(trainer.configs)}
        metrics |= {"precision": {"policy": "float32", "step_seconds": {}}}
        results.append(_write(config, data[number], history, masks, metrics))
    return results


def _metrics_of_one(trainer: StackedTrainer, number: int, metrics: dict[str, Any]) -> dict[str, Any]:
    """Returns one network's share of what was counted of all of them."""
    own = {name: _of_one(metrics[name], number) for name in ("cost", "untuned")}
    for name in ("seconds", "cpu_seconds"):
        took = {phase: value for phase, value in getattr(trainer, name).items() if phase != COMPILE}
        own[name] = rounded_seconds({phase: value / len(trainer.configs) for phase, value in took.items()})
    return own


def _write(
    config: Config, data: Data, history: list[dict[str, Any]], masks: dict[str, np.ndarray], metrics: dict[str, Any]
) -> Result:
    """Writes the folder of one run."""
    folder = RunDir(Path(config.out) / config.run_id)
    with locked(folder.root):  # another process may have trained the same
        folder.create()
        write_json(folder.config, config.to_dict())
        write_splits(folder.splits, data)
        write_arrays(folder, history, masks)
        metrics = metrics_with_checksum(folder, metrics)
        write_json(folder.metrics, metrics)
    with tracked(config) as tracker:
        tracker.begin(None)
        tracker.log(history)
        tracker.finish(metrics, folder)
    return Result(folder, config, metrics)


def _of_one(values: Any, number: int) -> Any:
    """Returns the numbers of one network, from a table of arrays with one number per network."""
    if isinstance(values, dict):
        return {name: _of_one(value, number) for name, value in values.items()}
    return values[number].item() if isinstance(values, np.ndarray) else values
