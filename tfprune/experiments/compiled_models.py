"""Compiled models that one run leaves for the next of its kind, in this process."""

from __future__ import annotations

import itertools
import json

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, set_masks, set_weights
from tfprune.data._base import SPLITS, Data
from tfprune.training.config import Config
from tfprune.training.fused import KEPT, CompiledModelCache

MODEL_CACHE = CompiledModelCache(KEPT)
TRAINED, TIDIED = itertools.count(1), 64  # trainings of this process, and after how many it is tidied up


def tidy_up() -> None:
    """Frees what Keras keeps of models, now and then: all that is compiled goes along, and must be set up again."""
    keras.backend.reset_uids()
    if next(TRAINED) % TIDIED == 0:
        keras.backend.clear_session()


def compiled_already(config: Config, data: Data, model: keras.Model) -> keras.Model:
    """Returns a compiled model with the weights and masks of this one if an earlier run has left it, else this one."""
    kept = MODEL_CACHE.get(kind_of(config, data)) if recurs(config) else None
    if kept is None:
        return model
    set_masks(kept, get_masks(model))
    set_weights(kept, get_weights(model))
    return kept


def recurs(config: Config) -> bool:
    """Returns whether the model of a later run of the kind is sure to be of the same layers, which keep their form."""
    return config.granularity == "weight" and config.strategy == "none" and not config.has_own_model


def kind_of(config: Config, data: Data, networks: int = 0) -> str:
    """Returns what the compiled models of runs have in common; 0 networks: one that is not a stack."""
    common = config.as_baseline().replace(seed=0).identity()
    own = config.pruning.phase_epochs(config.epochs), config.pruning.width_reduction
    shapes = [getattr(data, name).x.shape for name in SPLITS]
    return json.dumps([common, own, shapes, len(data.labels), repr(data.objective), networks])
