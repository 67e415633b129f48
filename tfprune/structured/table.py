"""The rules by which channels pass through layers, by the names that `layer_traits` has for them."""

from __future__ import annotations

from typing import Any

from tfprune.adapters.layer_traits import traits_of
from tfprune.structured import composite, making, operators, rules
from tfprune.structured.operators import operated
from tfprune.structured.rules import Known, Rule
from tfprune.structured.tracing import Call, Trace


def rule_of(layer: Any, inputs: int = 1) -> Rule:
    """Returns the rule by which channels pass through a layer that has so many inputs."""
    name = traits_of(layer).channels if hasattr(layer, "weights") else "operator"
    if name is None or getattr(layer, "data_format", None) == "channels_first" or (inputs != 1 and name not in SEVERAL):
        return unknown
    return RULES[name]


def unknown(trace: Trace, call: Call) -> Known:
    """Nothing is known of this layer."""
    return None


SEVERAL = (
    "operator",
    "merged",
    "concatenated",
    "recurrent",
    "convolutional",
    "both directions",
    "attention",
    "grouped attention",
    "dot",
    "dot attention",
)
RULES: dict[str, Rule] = {
    "pass": rules.passed,
    "noise": rules.noisy,
    "spatial": rules.spatial,
    "pooled": rules.pooled,
    "repeated": rules.repeated,
    "activation": rules.activation,
    "function": rules.function,
    "operator": operated,
    "mixed": rules.mixed,
    "sloped": rules.sloped,
    "scaled": rules.scaled,
    "rescaled": rules.rescaled,
    "dropped": rules.dropped,
    "adapted": rules.adapted,
    "normalized": rules.normalized,
    "layer normalized": rules.layer_normalized,
    "group normalized": rules.group_normalized,
    "merged": rules.merged,
    "concatenated": rules.concatenated,
    "flattened": rules.flattened,
    "reshaped": rules.into_shape,
    "permuted": rules.permuted,
    "dense": making.dense,
    "convolved": making.convolved,
    "transposed": making.transposed,
    "depthwise": making.depthwise,
    "separable": making.separable,
    "embedded": making.embedded,
    "einsum": making.einsum_dense,
    "recurrent": composite.recurrent,
    "convolutional": composite.convolutional,
    "both directions": composite.both_directions,
    "each step": composite.each_step,
    "attention": composite.attention,
    "grouped attention": composite.grouped_attention,
    "dot": operators.dotted,
    "dot attention": operators.attended,
}
