"""Which values settings have, and which settings are at odds with one another."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfprune.data._base import STREAMS
from tfprune.data.objectives._base import CLASS_WEIGHTS
from tfprune.models._user import APPLICATIONS, OF_KERAS3
from tfprune.pruning.patterns import NOfM, check_every_m
from tfprune.structured.widths import SCOPES as CHANNEL_SCOPES
from tfprune.utils.checks import check_choice, check_names, check_plain, check_switch
from tfprune.utils.errors import ConfigError, choose_from

if TYPE_CHECKING:
    from tfprune.training.config import Config

GRANULARITIES = ("weight", "filter", "branch", "block", "n:m")
REMOVING = ("filter", "branch")  # granularities at which what goes is taken out of the network, and not zeroed
UNITS = {  # granularity -> what a share of is pruned
    "weight": "kernel weights",
    "filter": "filters and units",
    "branch": "residual branches",
    "block": "kernel weights, in blocks",
    "n:m": "kernel weights",
}
SCOPED = {  # scope -> where ranks are taken
    "layer": "within each layer",
    "global": "across all layers",
    "erk": "within each layer, by shares of Erdős-Rényi-Kernel",
    "isomorphic": "across layers that are built alike",
}
WEIGHT_SCOPES = ("layer", "global", "erk")
SCOPES = (*WEIGHT_SCOPES, "isomorphic")  # the last one of channels alone
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "auto")
LOOPS = ("auto", "plain", "fused")
STRATEGIES = ("none", "mirrored", "multiworker", "auto")
TEXTS = (
    *("dataset", "method", "model", "backend", "optimizer", "learning_rate_schedule", "precision", "loop", "strategy"),
    *("scope", "granularity", "pattern", "pooling", "class_weight", "data_dir", "stream", "out", "mlflow"),
)


def check_texts(config: Config) -> None:
    """Raises `ConfigError` if a setting is no plain value, or no text where it should be."""
    for field in dataclasses.fields(config):
        check_plain(field.name, getattr(config, field.name))
    for name in TEXTS:
        if not isinstance(getattr(config, name), (str, os.PathLike, type(None))):
            raise ConfigError(f"{name} must be text, got {getattr(config, name)!r}")


def check_tables(config: Config) -> None:
    """Raises `ConfigError` if the settings of a part are no table."""
    for name in ("settings", "model_settings", "optimizer_settings", "data_settings", "channel_settings"):
        if not isinstance(getattr(config, name), Mapping):
            raise ConfigError(f"{name} must be a table of names and values, got {getattr(config, name)!r}")


def check_execution(config: Config) -> None:
    """Raises `ConfigError` if precision, loop, strategy and stream are unknown, or do not go together."""
    check_choice("precision", config.precision, PRECISIONS)
    check_switch("xla", config.xla)
    if check_switch("deterministic", config.deterministic) and config.precision == "auto":
        raise ConfigError("deterministic needs a precision by name: the fastest may be another one next time")
    check_choice("loop", config.loop, LOOPS)
    check_choice("strategy", config.strategy, STRATEGIES)
    check_choice("stream", config.stream, STREAMS)
    if config.stream == "shards" and not config.spec.streams:
        raise ConfigError(
            f"stream=shards is for images in TFDS or in a folder; {config.data_name} is read whole: use stream=auto"
        )
    if config.stream == "shards" and config.loop == "fused":
        raise ConfigError("loop=fused needs the data in memory; use loop=auto, or stream=memory")
    if config.strategy != "none" and (config.loop == "fused" or config.xla):
        raise ConfigError(f"strategy {config.strategy} needs loop auto or plain, and no --xla; or use none")
    if config.strategy == "multiworker" and config.precision == "auto":
        raise ConfigError("strategy multiworker needs a precision by name: workers could measure different ones")


def check_scores(config: Config) -> tuple[str, ...]:
    """Returns the names of metrics if the task has them, and can weigh classes if that is asked for.

    Raises:
        ConfigError: it has or can not.
    """
    names = check_names("metrics", config.metrics)
    for name in names:
        if name not in config.objective.metrics:
            raise ConfigError(
                f"task {config.task} has no metric {name!r}: {choose_from(name, config.objective.metrics)}"
            )
    if config.class_weight is not None:
        check_choice("class_weight", config.class_weight, CLASS_WEIGHTS)
        if config.task == "regression":
            raise ConfigError("class_weight is of classes; task regression has none: leave it out")
    if config.augment and not config.objective.augments:
        raise ConfigError(f"augment must be empty for task {config.task}, whose masks would not follow the images")
    return names


def check_backend(config: Config) -> None:
    """Raises `ConfigError` if the backend is of Keras 3 and the model is not, or a setting is of TensorFlow alone."""
    if config.backend == "tensorflow":
        return
    if not config.has_own_model or config.model.startswith(APPLICATIONS):
        name = config.model.removeprefix(APPLICATIONS)
        known = "a function or a .keras file of Keras 3" if name == config.model else f"{OF_KERAS3}{name}"
        raise ConfigError(
            f"backend {config.backend} is for models of Keras 3, and {config.model} is made in tf_keras, on "
            f"TensorFlow: leave --backend out, or name {known} with --model"
        )
    check_keras3(config)


def check_keras3(config: Config) -> None:
    """Raises `ConfigError` if a setting is of tf_keras alone, for a run whose model is of Keras 3."""
    for name, known in (("loop", ("auto", "plain")), ("strategy", ("none", "auto"))):
        if getattr(config, name) not in known:
            raise ConfigError(
                f"{name} {getattr(config, name)} is for models of tf_keras; for one of Keras 3 leave --{name} out"
            )
    if config.precision == "auto":
        raise ConfigError("precision auto is measured for models of tf_keras; for one of Keras 3 choose it by name")
    if config.deterministic and config.backend != "tensorflow":
        raise ConfigError(f"deterministic is TensorFlow's; on {config.backend} leave it out")
    if config.xla and config.backend == "torch":
        raise ConfigError("xla is a compiler of TensorFlow and JAX; on torch leave it out")
    if config.pruning.width_reduction and not config.removes:
        raise ConfigError(
            f"method {config.method} narrows models of tf_keras by their settings; for one of Keras 3 it needs "
            f"granularity {' or '.join(REMOVING)}"
        )


def check_granularity(config: Config) -> None:
    """Raises `ConfigError` if the method cannot prune at the granularity, or a setting is of another one."""
    if config.granularity not in config.pruning.granularities:
        raise ConfigError(
            f"method {config.method} has no granularity {config.granularity!r}; "
            f"it can be {', '.join(config.pruning.granularities)}"
        )
    if isinstance(config.units, NOfM):
        check_every_m(
            config.units, config.requested_sparsity, config.pruning.pruning_events, config.scope, option="--sparsity"
        )
    if not config.removes:
        check_weight_scope(config.scope)
        for key in config.channel_settings:
            raise ConfigError(f"channels.{key} is of granularity filter or branch; set --granularity")


def check_weight_scope(scope: str) -> None:
    """Raises `ConfigError` if single weights, or blocks of them, cannot be ranked in a scope."""
    if scope == "isomorphic":
        raise ConfigError("scope isomorphic ranks the channels of layers that are built alike: set granularity filter")


def check_removal(config: Config) -> None:
    """Raises `ConfigError` if a setting is at odds with removing channels or residual branches."""
    if config.strategy != "none" and config.channel_settings["recalibrate"]:
        raise ConfigError(f"channels.recalibrate needs strategy none, not {config.strategy}")
    check_removing_method(config.granularity, config.settings, config.scope)
    if config.pruning.width_multiple != 1:
        raise ConfigError(
            f"multiple of method {config.method} is of granularity weight; for {config.granularity} set "
            "channels.multiple"
        )
    if config.loop == "fused":
        raise ConfigError(
            f"granularity {config.granularity} changes the model in training, which loop=fused cannot; use loop=auto"
        )


def check_removing_method(granularity: str, settings: Mapping[str, Any], scope: str) -> None:
    """Raises `ConfigError` if a method's settings or scope are at odds with removing channels or residual branches."""
    what = {"filter": "channels", "branch": "residual branches"}[granularity]
    if settings.get("criterion", "magnitude") not in ("magnitude", "random"):
        raise ConfigError(f"granularity {granularity} ranks {what} by channels.criterion; leave criterion alone")
    if settings.get("shuffle"):
        raise ConfigError(
            f"shuffle=true moves single weights; with granularity {granularity} take method random_at_init"
        )
    choices = CHANNEL_SCOPES if granularity == "filter" else ("layer",)
    if scope not in choices:
        raise ConfigError(f"granularity {granularity} ranks {what} in scope {' or '.join(choices)}, not {scope}")
