"""`tfprune.shrink`: smaller dense models, by a share of the channels or by a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfprune.adapters.batches import Batch
from tfprune.exporting.measured import times_of
from tfprune.structured.budgets import Budget, Request
from tfprune.structured.shrinking import shrink_model
from tfprune.utils.errors import ConfigError

if TYPE_CHECKING:
    from tfprune.adapters.backend import keras


def shrink(
    model: keras.Model,
    keep: float | None = None,
    *,
    granularity: str = "filter",
    criterion: str = "l1",
    scope: str | None = None,
    normalizer: str = "mean",
    target_parameters: float | None = None,
    target_macs: float | None = None,
    target_bytes: float | None = None,
    target_latency: float | None = None,
    data: Any = None,
    runtime: str = "keras",
    batch_size: int = 1,
    multiple: int = 8,
    floor: float = 0.1,
    seed: int = 0,
    examples: tuple[Any, Any] | None = None,
) -> keras.Model:
    """Returns a smaller dense copy of a model: the most important channels stay, as many as `keep` or a target says.

    Filters and units go together with everything that reads them, or whole residual branches; outputs stay as they
    are. Train the copy on: what went is missed at first.

    Args:
        model: of Keras 3 or tf_keras, functional or sequential. It is not changed.
        keep: fraction of the channels, or of the branches, that stays, in (0, 1], before rounding; None is a half, or
            as many as the target allows.
        granularity: `filter` or `branch`.
        criterion: what channels are ranked by. Of the weights that make one: `l1`, `l2` (norms; Li et al. 2017,
            arXiv:1608.08710), `fpgm` (how far it is from the others; He et al. 2019, arXiv:1811.00250), `taylor` and
            `taylor2` (what the loss changes by if the channel goes, to first order, squared, and to second; Molchanov
            et al. 2019, arXiv:1906.10771, LeCun et al. 1989). Or `bn` (size of BatchNorm's factor; Liu et al. 2017,
            arXiv:1708.06519), `activation` (mean size of what its layer hands on; as in Molchanov et al. 2017,
            arXiv:1611.06440), `random`. Of branches there are `l1`, `l2`, `bn`, `taylor` and `random`; norms and sizes
            are means over a branch's weights, so that large ones are worth no more.
        scope: `layer` keeps the same share of each group of channels that go together; `global` ranks all channels
            against each other, so that groups whose channels are worth little become narrow; `isomorphic` does that
            among groups that are built alike (Fang et al. 2024, arXiv:2407.04616). None is `layer` with `keep`, and
            `global` with a target: then each narrowing is the one that loses least worth for what it saves.
        normalizer: what makes scores of different groups comparable: `mean`, `max`, `sum`, `standardization`, `lamp`
            (Lee et al. 2021, arXiv:2010.07611) or `none`.
        target_parameters, target_macs, target_bytes: most that the copy may have, in place of `keep`: a share of the
            model's in (0, 1), or a number. Multiply-adds are those of kernels.
        target_latency: most time that the copy may take, a share of the model's in (0, 1), as measured on this machine:
            some networks of other widths are measured, and the chosen one is.
        data: examples as the model takes them, x or `(x, y)`: for `target_latency`, which makes some up without, and,
            with y, for criteria that look at the loss that the model is compiled with.
        runtime: of `target_latency`: `keras` (the compiled model), `savedmodel`, `tflite` or `onnx` (the exported
            file), `training` (a step of training, with y).
        batch_size: examples at a time of `target_latency`.
        multiple: what a width is rounded to a multiple of, and has at least; groups that are no wider stay whole. Not
            of branches.
        floor: least share of a group's channels that stays in the scopes `global` and `isomorphic` and with targets.
        seed: of `random`.
        examples: inputs and class numbers, for criteria that look at the loss of a model that returns logits.

    Returns:
        The smaller copy: layers, outputs and all that they know but the channels that went (vocabularies, what a
        normalization has adapted to, constants, functions) are those of `model`; layers that are shared stay shared.
        It answers as `model` does where nothing reads these channels any more; LayerNormalization, RMSNormalization and
        GroupNormalization take their statistics over the channels that stay. What cannot go is named in a warning of
        the logger `tfprune`. With `keep=1` it is a plain copy.

        If `model` is compiled, so is the copy, with the same losses, weights, metrics and other settings of `compile`,
        metrics and optimizer being its own. The optimizer carries on: it counts the steps on, has the same learning
        rate or shares the schedule, and of the weights that stay it remembers the same (momentum, averages).

    Raises:
        ConfigError: a setting is out of range, or no copy meets the target.
        ModelError: the model cannot be copied, or nothing of it can go.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(64, input_shape=(4,), name="a"), keras.layers.Dense(3, name="b")])
    >>> [layer.units for layer in tfprune.shrink(model, 0.25).layers]
    [16, 3]
    >>> tfprune.shrink(model, target_parameters=0.5).count_params() <= 0.5 * model.count_params()
    True
    """
    targets = {
        "parameters": target_parameters,
        "macs": target_macs,
        "bytes": target_bytes,
        "latency": target_latency,
    }
    budgets = [Budget(what, most) for what, most in targets.items() if most is not None]
    if len(budgets) + (keep is not None) > 1:
        raise ConfigError(
            "say how much stays by one of keep, target_parameters, target_macs, target_bytes and target_latency"
        )
    times = None if target_latency is None else times_of(model, data, runtime, batch_size)
    labelled = isinstance(data, tuple) and len(data) == 2
    return shrink_model(
        model,
        Request(
            keep=keep if keep is not None or budgets else 0.5,
            budget=budgets[0] if budgets else None,
            scope=scope or ("global" if budgets else "layer"),
            normalizer=normalizer,
            multiple=multiple,
            floor=floor,
        ),
        granularity=granularity,
        criterion=criterion,
        seed=seed,
        examples=Batch(*data) if examples is None and labelled else examples,
        times=times,
    )
