"""Scores of a model's channels: one a channel, by group; larger is worth more."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.batches import Batch
from tfprune.adapters.graphs import Examples
from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.channels import Channels, Group
from tfprune.structured.importance import DERIVATIVES, IMPORTANCE, Rows
from tfprune.utils.errors import ConfigError, ModelError

Scores = dict[str, np.ndarray]
Score = Callable[[Any, Channels, int, "Examples | None"], Scores]  # of a model, its channels, a seed, examples

CURVATURE = 64  # examples, one by one, that squared gradients are the mean of


def _by_weights(name: str, model: Any, found: Channels, seed: int, examples: Examples | None) -> Scores:
    """Adds up, over the kernels that make a group's channels, how important each of them is for them."""
    graphs = adapter_of(model).graphs
    makers = _makers(model, found)
    kinds = DERIVATIVES.get(name, ())
    if kinds and examples is None:
        raise ConfigError(
            f"criterion {name} needs examples=(inputs, class numbers), or data=(x, y) of a compiled model"
        )
    first = graphs.slopes(model, makers, examples) if kinds else ()
    slopes = {id(kernel): slope for kernel, slope in zip(makers, first, strict=False)}
    squares = _squared_slopes(model, makers, examples) if "squared_gradients" in kinds else {}
    totals: dict[int, float] = {}
    for kernel in makers:
        value = graphs.numbers(kernel)
        for axis in found.made[id(kernel)]:
            rows = Rows(
                _rows(value, axis),
                _rows(slopes[id(kernel)], axis) if kinds else None,
                _rows(squares[id(kernel)], axis) if squares else None,
            )
            for label, score in zip(found.axes[id(kernel)][axis], IMPORTANCE[name](rows), strict=True):
                totals[int(label)] = totals.get(int(label), 0.0) + float(score)
    return {own: _of(group, totals) for own, group in found.free.items()}


def _rows(value: np.ndarray, axis: int) -> np.ndarray:
    return np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)


def _makers(model: Any, found: Channels) -> list[Any]:
    """Returns the kernels that make channels."""
    leaves = adapter_of(model).graphs.leaf_layers(model)
    return [weight for layer in leaves for weight in layer.weights if id(weight) in found.made]


def _squared_slopes(model: Any, makers: list[Any], examples: Examples) -> dict[int, np.ndarray]:
    """Returns the mean of the squared derivatives of single examples' losses."""
    graphs = adapter_of(model).graphs
    batch = examples if isinstance(examples, Batch) else Batch(*examples[:2])
    totals = [0.0] * len(makers)
    count = min(len(batch), CURVATURE)
    for number in range(count):
        one = batch.select(np.array([number]))
        slopes = graphs.slopes(model, makers, one if isinstance(examples, Batch) else (one.x, one.y, *examples[2:]))
        totals = [total + np.square(slope) / count for total, slope in zip(totals, slopes, strict=True)]
    return {id(own): np.asarray(total) for own, total in zip(makers, totals, strict=True)}


def _of(group: Group, totals: Mapping[int, float]) -> np.ndarray:
    return np.array([totals.get(int(label), 0.0) for label in group.channels])


def _batch_norm(model: Any, found: Channels, seed: int, examples: object) -> Scores:
    graphs = adapter_of(model).graphs
    totals: dict[int, float] = {}
    for layer in graphs.leaf_layers(model):
        if traits_of(layer).momentum and getattr(layer, "gamma", None) is not None:
            labels, values = found.axes.get(id(layer.gamma), {}).get(0, np.zeros(0)), graphs.numbers(layer.gamma)
            for label, value in zip(labels if labels.ndim == 1 else (), values, strict=False):
                totals[int(label)] = totals.get(int(label), 0.0) + abs(float(value))
    return _all_known("bn needs BatchNorm with a scale after", found, totals)


def _activation(model: Any, found: Channels, seed: int, examples: Examples | None) -> Scores:
    """The mean size of what a layer hands on (as in Molchanov et al. 2017, arXiv:1611.06440), for some inputs."""
    if examples is None:
        raise ConfigError("criterion activation needs examples=(inputs, class numbers), or data=(x, y)")
    graphs = adapter_of(model).graphs
    labels = {}
    for node in graphs.graph(model).nodes:
        for weight in () if graphs.is_graph(node.layer) else getattr(node.layer, "weights", ()):
            axes = found.made.get(id(weight), ())
            shape = graphs.shape(node.outputs[0])
            if len(axes) == 1 and shape and shape[-1] == weight.shape[axes[0]]:
                labels[id(node.outputs[0])] = (node.outputs[0], found.axes[id(weight)][axes[0]])
    inputs = examples.x if isinstance(examples, Batch) else examples[0]
    totals: dict[int, float] = {}
    values = graphs.values_at(model, [tensor for tensor, _ in labels.values()], inputs)
    for (_, own), value in zip(labels.values(), values, strict=True):
        for label, score in zip(own, np.abs(value).reshape(-1, value.shape[-1]).mean(axis=0), strict=True):
            totals[int(label)] = totals.get(int(label), 0.0) + float(score)
    return _all_known("activation needs layers whose outputs the model's own graph shows, unlike", found, totals)


def _all_known(what: str, found: Channels, totals: Mapping[int, float]) -> Scores:
    missing = [name for name, group in found.free.items() if not any(int(label) in totals for label in group.channels)]
    if missing:
        raise ModelError(f"criterion {what} {', '.join(missing)}; take l1 or l2")
    return {name: _of(group, totals) for name, group in found.free.items()}


def _random(model: Any, found: Channels, seed: int, examples: object) -> Scores:
    random = np.random.default_rng(seed)
    return {name: random.random(len(group)) for name, group in found.free.items()}


CRITERIA: dict[str, Score] = {
    **{name: functools.partial(_by_weights, name) for name in IMPORTANCE},
    "bn": _batch_norm,
    "activation": _activation,
    "random": _random,
}
