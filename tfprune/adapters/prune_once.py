"""Pruning a trained model at once, with no training and no data."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.methods._base import ZEROED
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import SCOPES, ones_like
from tfprune.pruning.pattern_masks import check_pattern, prune_pattern
from tfprune.pruning.patterns import NOfM, check_every_m, pattern_of
from tfprune.utils.checks import check_choice, check_fraction, from_alias
from tfprune.utils.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from tfprune.adapters.backend import keras


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
    training would move the zeros; `tfprune.train` with `method="magnitude_at_init"` and the same sparsity keeps
    them). Matrices that are not pruned are named in a warning of the logger `tfprune`.

    Args:
        model: functional or sequential, of tf_keras or Keras 3. It is not changed.
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
    adapter, what = adapter_of(model), f"model {model.name}"
    adapter.check(model, copied=not in_place)
    adapter.report_unprunable(model, include)
    copy = model if in_place else adapter.copy(model)
    if not in_place and getattr(model, "optimizer", None) is not None:
        adapter.compile(copy, adapter.compiled(model))
    held = in_place and adapter.masked(model)
    masked = adapter.attach(copy, from_alias("exclude", exclude, "spare", spare), include)
    kernels = masked.kernels()
    scores = {name: np.abs(kernel) for name, kernel in kernels.items()}
    for name, score in scores.items():
        if not np.all(np.isfinite(score)):
            raise ModelError(f"{name} has weights that are no finite numbers; prune the model as it was before")
    masks = prune_pattern(scores, ones_like(scores), event, scope, units)
    masked.set_masks(masks)
    check_pattern({name: np.array(kernel) for name, kernel in kernels.items()}, masks, [event], scope, units, what)
    if not held:
        adapter.detach(copy)  # an ordinary model
    elif getattr(copy, "optimizer", None) is not None:
        adapter.hold(copy)
    return copy
