"""Pruning a trained model at once, with no training and no data."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.rebuilding import rebuilt
from tfprune.adapters.tf_keras.kernel_names import named_kernels, prunable_names, report_unprunable, unbuilt
from tfprune.adapters.tf_keras.layers import carry_state, has_graph
from tfprune.adapters.tf_keras.mask_values import kernel_variables
from tfprune.adapters.tf_keras.optimizers import fresh
from tfprune.adapters.tf_keras.remaking import cloned
from tfprune.methods._base import ZEROED
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import SCOPES, ones_like
from tfprune.pruning.pattern_masks import check_pattern, prune_pattern
from tfprune.pruning.patterns import NOfM, check_every_m, pattern_of
from tfprune.utils.checks import check_choice, check_fraction, from_alias
from tfprune.utils.errors import ConfigError, ModelError
from tfprune.utils.text import one_line

log = logging.getLogger(__name__)


def prune(
    model: keras.Model,
    sparsity: float | None = None,
    *,
    scope: str = "layer",
    granularity: str = "weight",
    pattern: str | None = None,
    pooling: str | None = None,
    exclude: Collection[str] = (),
    include: Collection[str] = (),
    in_place: bool = False,
    spare: Collection[str] = (),
) -> keras.Model:
    """Returns a copy of a trained model with its smallest kernel weights set to zero.

    No wrappers, no `fit`: the copy is an ordinary model that saves and trains like any other (a
    training would move the zeros; train under `tfprune.train` to keep them). Matrices that are not pruned
    are named in a warning of the logger `tfprune`.

    Args:
        model: a tf_keras model, functional or sequential. It is not changed.
        sparsity: fraction of the kernel weights to zero, in [0, 1); exact to one weight, or to one block. None is that
            of the pattern, of granularity `n:m` alone.
        scope: `"layer"` ranks magnitudes within each kernel, `"global"` across all of them.
        granularity: what goes as one: `weight`; `block`, a block of weights; `n:m`, all but n in every m weights.
        pattern: of a block its sides, such as `"4x1"`, else n and m, such as `"2:4"`; None is those.
        pooling: what a block is worth: the mean (`avg`, the default) or the highest (`max`) of its magnitudes.
        exclude: names of layers to leave alone; `first` and `last` stand for those places, `frozen` for all layers that
            are not trained.
        include: names of weights with two axes or more that are no kernels of known layers, or of layers that have
            some, to be pruned too; `tfprune.summary` lists them.
        in_place: prune the model itself and return it: subclassed models cannot be copied.
        spare: the older name of `exclude`.

    Returns:
        The pruned copy. If `model` is compiled, so is the copy, with an optimizer of its own.

    Raises:
        ConfigError: `sparsity`, `scope` or what goes as one is out of range.
        ModelError: the model cannot be copied, has no layer to prune or weights that are no finite numbers.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,), name="a")])
    >>> int((tfprune.prune(model, 0.25).get_layer("a").kernel.numpy() == 0).sum())
    20
    """
    check_choice("scope", scope, SCOPES)
    check_choice("granularity", granularity, ZEROED)
    units = pattern_of(granularity, pattern, pooling)
    if sparsity is None and not isinstance(units, NOfM):
        raise ConfigError("how sparse? prune(model, sparsity=0.5) zeroes half of the kernel weights")
    event = PruningEvent(sparsity=units.sparsity if sparsity is None else check_fraction("sparsity", sparsity))
    if isinstance(units, NOfM):
        check_every_m(units, event.sparsity, [event], scope)
    copy = model if in_place else copy_of(model)
    check_model(copy, copied=not in_place)
    names = prunable_names(copy, from_alias("exclude", exclude, "spare", spare), include)
    report_unprunable(copy, include)
    kernels, known = kernel_variables(copy), {own.name for own in named_kernels(copy)}
    kernels |= {own.name: own.variable for own in named_kernels(copy, include) if own.name not in known}
    variables = {name: v for name, v in kernels.items() if name.rpartition("/")[0] in names}
    weights = {name: variable.numpy() for name, variable in variables.items()}
    scores = {name: np.abs(kernel) for name, kernel in weights.items()}
    for name, score in scores.items():
        if not np.all(np.isfinite(score)):
            raise ModelError(f"{name} has weights that are no finite numbers; prune the model as it was before")
    masks = prune_pattern(scores, ones_like(scores), event, scope, units)
    for name, variable in variables.items():
        variable.assign(weights[name] * masks[name].astype(weights[name].dtype))
    pruned = {name: variable.numpy() for name, variable in variables.items()}
    check_pattern(pruned, masks, [event], scope, units, f"model {model.name}")
    return copy


def check_model(model: keras.Model, *, copied: bool = True) -> None:
    """Raises `ModelError` if a model is none of tf_keras, has no weights yet or, to be copied, is subclassed."""
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"a tf_keras model is needed, got {type(model).__module__}.{type(model).__name__}; "
            "import tf_keras, or set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported"
        )
    if not model.built and not _parts_are_built(model):
        raise ModelError(f"model {model.name} has no weights yet: build it or call it on a batch first")
    if copied and not has_graph(model):
        raise ModelError(
            f"model {model.name} is subclassed and cannot be copied; prune it as it is: prune(..., in_place=True)"
        )


def _parts_are_built(model: keras.Model) -> bool:
    """Returns whether a model that was never called has weights all the same, as one of a generator and a critic."""
    makes_its_own = "build" in vars(type(model))
    return not has_graph(model) and not makes_its_own and bool(named_kernels(model)) and not unbuilt(model)


def copy_of(model: keras.Model) -> keras.Model:
    """Returns a copy of a model with its weights, compiled alike with an optimizer of its own."""
    check_model(model)
    copy = uncompiled_copy_of(model)
    if getattr(model, "optimizer", None) is not None:
        compile_alike(copy, model)
    return copy


def uncompiled_copy_of(model: keras.Model) -> keras.Model:
    """Returns a copy of a model, of the same class, with all that its layers know, and not compiled.

    Raises:
        ModelError: it cannot be copied.
    """
    try:
        with _strategy_scope(model):
            copy = cloned(model)
            if type(copy) is not type(model):
                copy = _of_own_class(model, copy)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = one_line(error)
        raise ModelError(
            f"model {model.name} cannot be copied ({reason}); take it as it is with in_place=True"
        ) from None
    layers = list(zip(model._flatten_layers(), copy._flatten_layers(), strict=True))
    for old, new in layers:
        new.trainable = old.trainable
    copy.set_weights(model.get_weights())
    for old, new in layers:
        if not isinstance(new, keras.Model):
            carry_state(old, new)
    return copy


def _strategy_scope(model: keras.Model) -> Any:
    """Returns the scope of a model's distribution strategy, unless it is entered already: a copy is trained alike."""
    strategy = model.distribute_strategy
    return contextlib.nullcontext() if strategy is tf.distribute.get_strategy() else strategy.scope()


def _of_own_class(model: keras.Model, copy: keras.Model) -> keras.Model:
    """Returns a copy of a functional model of a person's own class, given one of Keras'."""
    try:
        return rebuilt(model)
    except (NotImplementedError, TypeError, ValueError):  # its layers cannot be made from a configuration alone
        return type(model)(inputs=copy.inputs, outputs=copy.outputs, name=model.name)


def compile_alike(copy: keras.Model, model: keras.Model) -> None:
    """Compiles a model as another one is, with metrics and an optimizer of its own that has made no step."""
    with _strategy_scope(copy):
        settings = dict(model._compile_config.config)
        for key in ("metrics", "weighted_metrics"):
            settings[key] = tf.nest.map_structure(_own_metric, settings.get(key))
        copy.compile(**settings | {"optimizer": fresh(model.optimizer)})


def _own_metric(metric: object) -> object:
    """Returns a metric that counts anew; a user's own that cannot be made from its configuration is shared."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return rebuilt(metric)
    except (NotImplementedError, TypeError, ValueError):
        return metric
