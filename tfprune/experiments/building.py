"""What a run is trained with: its data, its model with initial weights, the precision; and its trained model again."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, seed_everything
from tfprune.adapters.loading.gate import model_from_json
from tfprune.adapters.tf_keras.kernel_names import report_unprunable
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, kernels, set_masks, set_weights
from tfprune.adapters.tf_keras.wrapping import mask_in_place, wrap
from tfprune.data._base import Data
from tfprune.data._pipeline import training_batches
from tfprune.experiments.results import Result, check_model, why_no_model
from tfprune.experiments.run_data import load_data as load_data
from tfprune.exporting.savedmodel import load_weights
from tfprune.models._narrow import narrowed
from tfprune.models._user import build_model
from tfprune.structured.surgery import remove_groups
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.compiling import compile_model
from tfprune.training.config import Config
from tfprune.training.precision import candidates, fastest, precision_scope
from tfprune.training.removal import build_narrower, whole_or_unfolded
from tfprune.training.strategies import strategy_of
from tfprune.training.trainer import Trainer
from tfprune.utils.errors import RunError
from tfprune.utils.seeds import derive

log = logging.getLogger(__name__)


def build(config: Config, data: Data, precision: str = "float32") -> keras.Model:
    """Builds the model with its initial weights, which depend on the run's seed and on no precision.

    It is masked, see `masked_model`, unless channels are removed from it: then there is nothing to mask.
    """
    settings = model_settings(config, data)
    seed_everything(derive(config.seed, "init"), anew=config.has_own_model)
    strategy = strategy_of(config)
    with precision_scope(precision), strategy.scope() if strategy else contextlib.nullcontext():
        model = plain_model(config, data, settings)
        if config.has_own_model:
            report_unprunable(model)
        return model if config.removes else masked_model(model, config)


def masked_model(model: keras.Model, config: Config) -> keras.Model:
    """Returns the model with masks: in tfmot's wrappers if it is one of ours, in place if a person brought it."""
    return mask_in_place(model, config.exclude) if config.has_own_model else wrap(model, config.exclude)


def on_one_device(trainer: Trainer, precision: str) -> keras.Model:
    """Returns a copy of a trained model that is not mirrored any more, to be measured and exported as any other."""
    single = build(trainer.config.replace(strategy="none"), trainer.data, precision)
    if isinstance(trainer, ChannelTrainer):
        single = remove_groups(single, trainer.channel_tracker.removed)
    set_weights(single, get_weights(trainer.model))
    set_masks(single, get_masks(trainer.model))
    return single


def plain_model(config: Config, data: Data, settings: Mapping[str, Any], *, fresh: bool = False) -> keras.Model:
    """Builds the run's model, of the widths that removing channels would lead to if the method asks for that.

    `fresh` draws anew even the weights that a user's own model comes with.
    """
    model = make_model(config, data, settings, fresh=fresh)
    share = config.pruning.width_reduction
    return build_narrower(model, share, config) if share and config.removes else model


def make_model(config: Config, data: Data, settings: Mapping[str, Any], *, fresh: bool = False) -> keras.Model:
    """Makes the run's model with these settings, see `plain_model`."""
    dtype = data.train.x.dtype.name
    how = {"dtype": dtype, "fresh": fresh, "objective": data.objective}
    model = build_model(config.model, data.input_shape, len(data.labels), settings, **how)
    return whole_or_unfolded(model, config.granularity) if config.has_own_model else model


def model_settings(config: Config, data: Data) -> dict[str, Any]:
    """Returns the settings that the run's model is built with: narrower ones if the method asks for that."""
    settings, share = dict(config.model_settings), config.pruning.width_reduction
    if not share or config.removes:
        return settings

    def make(**settings: Any) -> keras.Model:
        return make_model(config, data, settings)

    full = make(**settings)
    removed = round(share * sum(kernel.size for kernel in kernels(full).values()))
    return narrowed(make, settings, full.count_params() - removed, config.pruning.width_multiple)


def restore(result: Result, data: Data) -> keras.Model:
    """Rebuilds the trained model of a finished run, without wrappers, in float32.

    Raises:
        RunError: the run left no SavedModel, or it was altered.
    """
    if not result.folder.exported:
        raise RunError(why_no_model(result.folder))
    check_model(result.folder)
    architecture = result.architecture()
    if architecture is not None:  # of a user's own model, which may have changed or gone since
        model = model_from_json(architecture, result.folder.architecture)
    else:
        model = plain_model(result.config, data, model_settings(result.config, data))
        model = remove_groups(model, result.removed_channels())
    try:
        model.set_weights(load_weights(result.model))
    except ValueError:
        raise RunError(f"{result.folder.root}: the weights of its SavedModel do not fit its settings") from None
    return model


def weights_of(result: Result, config: Config, data: Data) -> list[np.ndarray]:
    """Returns the weights that another run ended with, in the order of the model of these settings."""
    weights = load_weights(result.model)
    if not config.has_own_model or config.granularity != "filter":
        return weights
    model = make_model(result.config, data, model_settings(result.config, data))
    model.set_weights(weights)
    return get_weights(whole_or_unfolded(model, config.granularity))


def initial_weights(
    config: Config, data: Data, purpose: str = "init", settings: dict[str, Any] | None = None
) -> list[np.ndarray]:
    """Returns initial weights of the run's model, other ones for each purpose.

    Args:
        config, data: of the run.
        purpose: what they are for.
        settings: those of its model where they are known, see `model_settings`.
    """
    settings = model_settings(config, data) if settings is None else settings
    seed_everything(derive(config.seed, purpose), anew=config.has_own_model)
    return plain_model(config, data, settings, fresh=purpose != "init").get_weights()


def choose_precision(config: Config, data: Data) -> tuple[str, dict[str, float]]:
    """Returns the precision to compute in, and the seconds a step that were measured for it (`auto` only)."""
    if config.precision != "auto":
        return config.precision, {}
    log.info("Measuring which precision is fastest ...")
    images, labels = next(iter(training_batches(data.train, config.batch_size, shuffle=False, seed=0)))

    def step(precision: str) -> Callable[[], object]:
        model = build(config, data, precision)
        compile_model(model, config, steps_per_epoch=1, objective=data.objective)
        return lambda: model.train_on_batch(images, labels)

    return fastest({precision: step(precision) for precision in candidates()})
