"""From a trained model to the files of its run: checked, exported, measured, drawn."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfprune.adapters.backend import keras, versions
from tfprune.adapters.tf_keras.mask_values import get_masks, kernels
from tfprune.adapters.tf_keras.wrapping import strip
from tfprune.data._base import SPLITS
from tfprune.experiments.board import write_final
from tfprune.experiments.measuring import data_report, metrics_of, rounded_seconds
from tfprune.experiments.run_data import draw, write_arrays
from tfprune.experiments.rundir import RunDir
from tfprune.exporting.savedmodel import export
from tfprune.pruning.counts import folder_bytes
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.evaluation import evaluate
from tfprune.training.precision import in_float32
from tfprune.training.trainer import Trainer
from tfprune.utils.files import atomic_write, write_json

log = logging.getLogger(__name__)


def finish(trainer: Trainer, folder: RunDir, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Checks, exports, measures and draws a trained model; returns what goes into `metrics.json`."""
    log.info("Exporting and measuring ...")
    started = time.perf_counter()
    config, data, masks = trainer.config, trainer.data, trainer.masks()
    trainer.check(kernels(trainer.model), "the trained model")
    stripped = in_float32(strip(trainer.model))
    exported = export(stripped, data, get_masks(trainer.model), folder.model)
    trainer.check(exported, "the exported model")

    scores = {
        split: {name: float(v) for name, v in evaluate(stripped, getattr(data, split), data.objective).items()}
        for split in SPLITS
    }
    pruned = {name: exported[name] for name in masks if name in exported}
    metrics = metrics_of(trainer, config, scores, stripped.get_weights(), pruned, versions())
    metrics |= trainer.report()
    metrics["data"] = data_report(data, keras)
    metrics["bytes"] |= folder_bytes(folder.model)
    if isinstance(trainer, ChannelTrainer):
        write_json(folder.channels, trainer.channel_tracker.removed)
    write_arrays(folder, trainer.history, masks)
    if config.has_own_model:
        write_architecture(folder.architecture, stripped)
    draw(trainer, metrics["sparsity"]["layers"], folder)
    write_final(folder, config, metrics)
    metrics["seconds"] = rounded_seconds({**seconds, "finish": time.perf_counter() - started})
    return metrics


def write_architecture(path: Path, model: keras.Model) -> None:
    """Writes the layers of a user's own model, for `restore`; none whose layers cannot be written down."""
    try:
        text = model.to_json()
    except (NotImplementedError, TypeError):  # a subclassed model, or a layer that does not describe itself
        return
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
