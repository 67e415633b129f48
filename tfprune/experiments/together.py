"""Several runs trained side by side as one model: each with a run folder of its own, or with its scores alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfprune.adapters.backend import keras, versions
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, kernels, set_masks, set_weights
from tfprune.data._base import SPLITS, Data
from tfprune.data.objectives import DEFAULT
from tfprune.experiments.board import write_board
from tfprune.experiments.building import initial_weights, make_model, masked_model, model_settings
from tfprune.experiments.compiled_models import MODEL_CACHE, kind_of, tidy_up
from tfprune.experiments.libraries import has_keras3_model
from tfprune.experiments.measuring import data_report, metrics_of, rounded_seconds
from tfprune.experiments.model_card import write_card
from tfprune.experiments.results import Result, find_result, metrics_with_checksum
from tfprune.experiments.run_data import load_data, write_arrays, write_splits
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.tracking import tracked
from tfprune.methods import BASELINE
from tfprune.pruning.counts import sparsity
from tfprune.pruning.masks import ones_like
from tfprune.pruning.pattern_masks import check_pattern
from tfprune.training.baseline_run import BaselineRun
from tfprune.training.clock import COMPILE
from tfprune.training.config import Config, by_seed
from tfprune.training.evaluation import evaluate
from tfprune.training.fused import KEPT, LARGEST_SPLIT, CompiledModelCache, can_fuse
from tfprune.training.orders import EpochOrders
from tfprune.training.precision import deterministic_ops
from tfprune.training.run_task import pattern_report
from tfprune.training.stacked_trainer import StackedTrainer
from tfprune.training.stacking import stack, stack_weights, stackable, unstack
from tfprune.utils.files import write_json
from tfprune.utils.locks import locked
from tfprune.utils.seeds import derive

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
    longer than the training: the SavedModel, the plots, and TensorBoard's histograms and masks. A network that
    diverges gets none.

    Args:
        configs: the settings of runs, each method's with the same seeds, no more than `networks_at_once`.

    Returns:
        The finished runs.

    Raises:
        TrainingError: all networks diverge.
    """
    with deterministic_ops(configs[0].deterministic):
        data = _data_of_seeds(configs)
        return [result for trainer in _trained(configs, data) for result in _finish_together(trainer, data)]


class Score(NamedTuple):
    """What a network came to.

    Attributes:
        config: its settings.
        scores: split -> `loss` and `accuracy`; no numbers for a network that diverged.
        sparsity: the share of its kernel weights that is zero.
        epochs: passes over the training split, over all its trainings.
        cpu_seconds: its share of the CPU time of the networks' trainings, all cores together, without compiling and
            without drawing the order of the examples.
    """

    config: Config
    scores: dict[str, dict[str, float]]
    sparsity: float
    epochs: int
    cpu_seconds: float

    @property
    def diverged(self) -> bool:
        return not np.isfinite(self.scores["train"]["loss"])


def score_together(
    configs: Sequence[Config], drawn: EpochOrders | None = None, log_every: int | None = None
) -> Iterator[list[Score]]:
    """Trains as `train_together` does, and leaves no files.

    Args:
        configs: see `train_together`.
        drawn: the orders of the examples, to be shared with other calls of the same seeds and data.
        log_every: epochs between two looks at the validation split; None looks as often as `train` does.

    Yields:
        The scores of a method's networks, seed by seed.
    """
    with deterministic_ops(configs[0].deterministic):
        for trainer in _trained(configs, _data_of_seeds(configs), drawn, log_every):
            yield _scores(trainer)


def _data_of_seeds(configs: Sequence[Config]) -> list[Data]:
    """Returns the data of each seed; one and the same where seeds do not change the splits."""
    seeds = sorted({config.seed for config in configs})
    if configs[0].has_own_data:
        return [load_data(configs[0])] * len(seeds)
    return [load_data(configs[0].replace(seed=seed)) for seed in seeds]


def _trained(
    configs: Sequence[Config], data: Sequence[Data], drawn: EpochOrders | None = None, log_every: int | None = None
) -> Iterator[StackedTrainer]:
    """Trains the methods one after the other; yields what trained each, whose model the next one may take over."""
    dense: dict[str, BaselineRun] = {}
    # a user's function may change between calls
    model_cache = CompiledModelCache(KEPT) if configs[0].has_own_model else MODEL_CACHE
    drawn = orders_of(configs, data[0]) if drawn is None else drawn
    initial: dict[str, list[np.ndarray]] = {}
    for own in by_seed(configs):

        def weights(purpose: str, own: Sequence[Config] = own) -> list[np.ndarray]:
            settings = model_settings(own[0], data[0])  # of small dense networks they are looked for
            kind = f"{purpose} {settings}"
            if own[0].has_own_model or kind not in initial:
                each = [initial_weights(c, d, purpose, settings) for c, d in zip(own, data, strict=True)]
                initial[kind] = stack_weights(each)
            return initial[kind]

        kind = kind_of(own[0], data[0], len(own))
        model = model_cache.get(kind) or _stacked(own[0], data[0], len(own))
        set_masks(model, ones_like(get_masks(model)))
        set_weights(model, weights("init"))
        baseline = own[0].as_baseline().run_id
        epochs = own[0].pruning.phase_epochs(own[0].epochs)
        known = drawn if drawn is not None and drawn.draw(epochs) else None
        reinit_fn = functools.partial(weights, "reinit")
        trainer = StackedTrainer(model, data, own, dense.get(baseline), reinit_fn, known, log_every)
        own[0].pruning.run(trainer)
        trainer.finish()
        if own[0].method == BASELINE:
            dense[baseline] = trainer.as_baseline_run()
        model_cache.put(kind, trainer.model)
        yield trainer
    tidy_up()


def orders_of(configs: Sequence[Config], data: Data) -> EpochOrders | None:
    """Returns the orders of the examples for the seeds of `configs`, none of them drawn; None without shuffling."""
    seeds = sorted({config.seed for config in configs})
    return EpochOrders(len(data.train), [derive(s, "order") for s in seeds]) if configs[0].shuffle else None


def _scores(trainer: StackedTrainer) -> list[Score]:
    scores = {name: evaluate(trainer.model, getattr(trainer.data, name)) for name in SPLITS}
    took = sum(value for part, value in trainer.cpu_seconds.items() if part != COMPILE) / len(trainer.configs)
    found = []
    each = zip(trainer.configs, unstack(kernels(trainer.model)), unstack(get_masks(trainer.model)), strict=True)
    for number, (config, pruned, masks) in enumerate(each):
        own = {split: {name: float(v[number]) for name, v in values.items()} for split, values in scores.items()}
        score = Score(
            config, own, sparsity(config.requested_sparsity, pruned)["achieved"], trainer.trained_epochs, took
        )
        if not score.diverged:
            check_pattern(pruned, masks, config.pruning.pruning_events, config.scope, config.units, _named(config))
        found.append(score)
    return found


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
        check_pattern(pruned, masks, config.pruning.pruning_events, config.scope, config.units, _named(config))
        metrics = metrics_of(trainer, config, own, [weight[..., number] for weight in all_weights], pruned, versions())
        metrics |= _metrics_of_one(trainer, number, metrics) | pattern_report(config, masks)
        metrics |= {"data": data_report(data[number], keras), "networks": len(trainer.configs)}
        metrics |= {"precision": {"policy": "float32", "step_seconds": {}}}
        results.append(_write(config, data[number], history, masks, metrics))
    return results


def _named(config: Config) -> str:
    return f"the trained model of seed {config.seed}"


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
    with locked(folder.root):
        if (known := find_result(config)) is not None:  # another process has trained the same meanwhile
            return known
        folder.create()
        write_json(folder.config, config.to_dict())
        write_splits(folder.splits, data)
        write_arrays(folder, history, masks)
        write_board(folder, config, history, metrics)
        metrics = metrics_with_checksum(folder, metrics)
        result = Result(folder, config, metrics)
        write_card(result, folder.card)
        write_json(folder.metrics, metrics, synced=True)
    with tracked(config) as tracker:
        tracker.begin(None)
        tracker.log(history)
        tracker.finish(metrics, folder)
    return result


def _of_one(values: Any, number: int) -> Any:
    """Returns the numbers of one network, from a table of arrays with one number per network."""
    if isinstance(values, dict):
        return {name: _of_one(value, number) for name, value in values.items()}
    return values[number].item() if isinstance(values, np.ndarray) else values
